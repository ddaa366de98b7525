//! Patterns of text.

/// A pattern: `*` stands for any characters, `?` for one, and a backslash takes the special meaning of the next one
/// away. The whole text must match, and case matters.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Character(char),
    AnyCharacter,
    AnyText,
}

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            let part = match c {
                '*' if parts.last() == Some(&Part::AnyText) => continue,
                '*' => Part::AnyText,
                '?' => Part::AnyCharacter,
                '\\' => Part::Character(characters.next().unwrap_or('\\')),
                c => Part::Character(c),
            };
            parts.push(part);
        }
        Self(parts)
    }

    /// Returns whether the text matches. The time is at most the product of both lengths.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let (mut part, mut rest) = (0, text.chars());
        // After a `*`: the part behind it, and the text that the next attempt starts with.
        let mut retry: Option<(usize, std::str::Chars<'_>)> = None;
        loop {
            let before = rest.clone();
            match (self.0.get(part), rest.next()) {
                (Some(Part::AnyText), _) => {
                    rest = before;
                    part += 1;
                    retry = Some((part, rest.clone()));
                }
                (Some(Part::AnyCharacter), Some(_)) => part += 1,
                (Some(Part::Character(wanted)), Some(c)) if *wanted == c => part += 1,
                (None, None) => return true,
                _ => {
                    // The `*` takes one more character.
                    let Some((after, from)) = &mut retry else {
                        return false;
                    };
                    if from.next().is_none() {
                        return false;
                    }
                    part = *after;
                    rest = from.clone();
                }
            }
        }
    }
}
