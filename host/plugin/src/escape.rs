//! Escaping of untrusted text, such as log lines of plugins and file names, for terminals and logs.

use std::path::Path;

/// The maximum number of bytes of [`shown`] text.
const MAX_SHOWN: usize = 1 << 10;

/// Escapes untrusted text for a terminal or a log. The result is one line.
///
/// Characters that move the cursor, change colours, reverse text or are invisible are written as `\u{1b}`.
pub fn escaped(text: &str) -> String {
    text.chars().flat_map(escape).collect()
}

/// Escapes a path as [`escaped`] does.
pub fn escaped_path(path: impl AsRef<Path>) -> String {
    escaped(&path.as_ref().to_string_lossy())
}

/// Escapes text as [`escaped`] does, and cuts it to at most 1 KiB. A cut text ends with `…`.
pub fn shown(text: &str) -> String {
    const CUT: char = '…';
    let (mut shown, mut before_cut) = (String::new(), 0);
    for c in text.chars() {
        shown.extend(escape(c));
        if shown.len() > MAX_SHOWN {
            shown.truncate(before_cut);
            shown.push(CUT);
            break;
        }
        if shown.len() + CUT.len_utf8() <= MAX_SHOWN {
            before_cut = shown.len();
        }
    }
    shown
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let is_shown = is_visible(c);
    is_shown.then_some(c).into_iter().chain(
        (!is_shown)
            .then(|| c.escape_unicode())
            .into_iter()
            .flatten(),
    )
}

/// Returns whether a character is visible and has no effect on other characters.
///
/// These are not visible: the general categories C, Zl, Zp and Zs except the space, which the standard library
/// identifies, and letters and marks without a shape.
fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let is_invisible = matches!(
        c,
        '\u{34f}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    // The letter in front keeps a combining mark from being escaped.
    let text = String::from_iter(['x', c]);
    !is_invisible && text.escape_debug().nth(1) == Some(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_escaped() {
        let plain = "It's \"ü\" \\ 漢字, naïve e\u{301}, नमस्ते, 🙂";
        assert_eq!(escaped(plain), plain);
        for c in [
            '\0',
            '\t',
            '\n',
            '\r',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{600}',
            '\u{61c}',
            '\u{115f}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fff9}',
            '\u{e0001}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{10ffff}',
        ] {
            let expected = format!("a{}b", c.escape_unicode());
            assert_eq!(escaped(&format!("a{c}b")), expected);
        }
    }

    #[test]
    fn long_text_is_cut() {
        let long = "x".repeat(1_024);
        assert_eq!(shown(&long), long);
        for text in [
            "x".repeat(1_025),
            "x".repeat(9 << 20),
            "\u{1b}".repeat(1_000),
            "漢".repeat(400),
            format!("{}\u{1b}", "x".repeat(1_020)),
        ] {
            let shown = shown(&text);
            assert!(shown.len() <= MAX_SHOWN && shown.len() > MAX_SHOWN - 10);
            assert!(shown.ends_with('…'), "{shown}");
        }
    }

    #[test]
    fn paths_stay_on_their_line() {
        let path = Path::new("a\n\u{1b}[31mb/c.pcap");
        assert_eq!(escaped_path(path), "a\\u{a}\\u{1b}[31mb/c.pcap");
    }
}
