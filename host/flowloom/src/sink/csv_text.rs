//! Untrusted text in CSV: quotes, control characters and formulas.

/// The treatment of text that a spreadsheet would interpret as a formula.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Formulas {
    /// The text is written unchanged.
    #[default]
    Keep,
    /// An apostrophe is written before the text.
    Escape,
}

impl Formulas {
    /// Returns whether this text needs an apostrophe: its first non-blank character is one with
    /// which a formula begins in spreadsheets.
    pub(super) fn needs_escape(self, text: &str) -> bool {
        // U+200B and U+FEFF are invisible, but Rust does not count them as white space.
        let is_blank = |c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}');
        let first = || text.chars().find(|c| !is_blank(*c));
        self == Self::Escape
            && matches!(
                first(),
                Some('=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
            )
    }
}

/// Bytes that need quotes or an escape, and [`C1`], which may be the first byte of such a
/// character.
static SPECIAL: [bool; 256] = {
    let mut special = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        special[byte] = byte < 0x20 || matches!(byte as u8, b',' | b'"' | 0x7f | C1);
        byte += 1;
    }
    special
};

/// The first byte of U+0080 to U+00BF in UTF-8. The characters up to U+009F are control characters.
const C1: u8 = 0xc2;

/// Returns whether a field may need quotes or escapes.
#[inline]
pub(super) fn is_special(field: &[u8]) -> bool {
    field.iter().any(|byte| SPECIAL[usize::from(*byte)])
}

/// Writes text, in quotes if necessary. Each control character becomes `\x` and two hexadecimal
/// digits.
pub(super) fn write_text(field: &[u8], out: &mut Vec<u8>) {
    write(field, out, |code, out| {
        out.extend(b"\\x");
        out.extend(hex(code));
    });
}

/// Writes JSON, in quotes if necessary.
///
/// Control characters below U+0020 are white space between values, and become spaces. Others are
/// inside strings, and are escaped as in JSON.
pub(super) fn write_json(field: &[u8], out: &mut Vec<u8>) {
    write(field, out, |code, out| match code {
        0..0x20 => out.push(b' '),
        _ => {
            out.extend(b"\\u00");
            out.extend(hex(code));
        }
    });
}

fn hex(code: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [code >> 4, code & 15].map(|digit| DIGITS[usize::from(digit)])
}

fn write(field: &[u8], out: &mut Vec<u8>, control: impl Fn(u8, &mut Vec<u8>)) {
    let is_quoted = field.iter().any(|byte| matches!(byte, b',' | b'"'));
    if is_quoted {
        out.push(b'"');
    }
    let mut rest = field;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (*byte, after) {
            (b'"', _) => out.extend(b"\"\""),
            (0..0x20 | 0x7f, _) => control(*byte, out),
            (C1, [code @ 0x80..0xa0, after @ ..]) => {
                control(*code, out);
                rest = after;
            }
            (byte, _) => out.push(byte),
        }
    }
    if is_quoted {
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(field: &str) -> String {
        let mut out = Vec::new();
        write_text(field.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn all_control_characters_are_escaped() {
        for code in 0..=0x10_ffff {
            let Some(c) = char::from_u32(code) else {
                continue;
            };
            let field = format!("a{c}b");
            let written = text(&field);
            assert!(!written.contains(char::is_control), "U+{code:04X}");
            let expected = match c.is_control() {
                true => format!("a\\x{code:02x}b"),
                false if c == '"' => "\"a\"\"b\"".to_owned(),
                false if c == ',' => "\"a,b\"".to_owned(),
                false => field.clone(),
            };
            assert_eq!(written, expected, "U+{code:04X}");
            assert!(is_special(field.as_bytes()) || written == field);
        }
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        let value = serde_json::json!({"a\u{7f}": ["\u{1b}\u{9b}é\u{a0}", -1]});
        let raw = format!("{value:#}\r\n\t");
        let mut out = Vec::new();
        write_json(raw.as_bytes(), &mut out);
        let written = String::from_utf8(out).unwrap();
        assert!(!written.contains(char::is_control), "{written}");
        let unquoted = written.trim_matches('"').replace("\"\"", "\"");
        let read: serde_json::Value = serde_json::from_str(&unquoted).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn formulas_are_recognised_by_their_first_character() {
        for formula in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(1)",
            " =1",
            "\t=1",
            "\r\n=1",
            "\u{feff}=1",
            "\u{ff1d}1",
            "\u{a0}@x",
        ] {
            assert!(Formulas::Escape.needs_escape(formula), "{formula:?}");
            assert!(!Formulas::Keep.needs_escape(formula), "{formula:?}");
        }
        for plain in ["", " ", "a=1", "example.com", "'=1", "1-1", "\"=1"] {
            assert!(!Formulas::Escape.needs_escape(plain), "{plain:?}");
        }
    }
}
