//! What plugins say, as it may be shown.

/// Text that a plugin wrote, for a terminal or a log: nothing of it moves a cursor, changes a colour or
/// turns text around. Such characters are shown as `\u{1b}`.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(escape).collect()
}

pub(super) fn escape(c: char) -> impl Iterator<Item = char> {
    let is_bidi =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmless = !c.is_control() && !is_bidi;
    harmless.then_some(c).into_iter().chain(
        (!harmless)
            .then(|| c.escape_unicode())
            .into_iter()
            .flatten(),
    )
}
