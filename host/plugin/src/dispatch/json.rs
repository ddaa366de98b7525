//! Validation of JSON values that plugins return.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The maximum number of characters of a number. 24 are enough for every double, 20 for every 64-bit integer.
const MAX_NUMBER_LEN: usize = 64;

/// Returns a text that is one JSON value of RFC 7493 (I-JSON), on one line.
///
/// Returns `None` for values that other readers may reject or read differently:
///
/// - numbers that no double can hold, or with more than 64 characters
/// - lone surrogates and noncharacters of Unicode
/// - an object with the same name twice
/// - nesting deeper than 127
pub fn json(text: &str) -> Option<Box<str>> {
    serde_json::from_str::<Checked>(text).ok()?;
    if has_long_number(text.as_bytes()) {
        return None;
    }
    // In valid JSON, line breaks occur only between tokens, where a space has the same meaning.
    Some(text.replace(['\n', '\r'], " ").into())
}

/// Returns whether a number of this valid JSON text is too long.
fn has_long_number(text: &[u8]) -> bool {
    let (mut digits, mut in_text, mut is_escaped) = (0, false, false);
    for &byte in text {
        if in_text {
            in_text = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'0'..=b'9' | b'.' | b'+' | b'-' | b'e' | b'E' => digits += 1,
            _ => {
                digits = 0;
                in_text = byte == b'"';
            }
        }
        if digits > MAX_NUMBER_LEN {
            return true;
        }
    }
    false
}

/// A value that is checked and not stored.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an I-JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self, E> {
        match number.is_finite() {
            true => Ok(self),
            false => Err(E::custom("a number that no double can hold")),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self, E> {
        match text.chars().any(is_reserved) {
            true => Err(E::custom("a noncharacter of Unicode")),
            false => Ok(self),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self, A::Error> {
        while values.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = members.next_key_seed(Name)? {
            if !names.insert(name) {
                return Err(de::Error::custom("a duplicate name"));
            }
            members.next_value::<Self>()?;
        }
        Ok(self)
    }
}

/// The name of a member, borrowed if possible.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Checked.visit_str::<E>(name)?;
        Ok(name.to_owned().into())
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Checked.visit_str::<E>(name)?;
        Ok(name.into())
    }
}

/// Returns whether a character is a noncharacter of Unicode.
fn is_reserved(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_values_are_on_one_line() {
        for (text, line) in [
            ("null", "null"),
            (" -12.5e3 ", " -12.5e3 "),
            ("18446744073709551615", "18446744073709551615"),
            ("{\"a\":\r\n[1,\n2]}", "{\"a\":  [1, 2]}"),
            (
                r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}"#,
                r#"{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}"#,
            ),
            (r#""\ud83d\ude00 \" \\""#, r#""\ud83d\ude00 \" \\""#),
        ] {
            assert_eq!(json(text).as_deref(), Some(line), "{text}");
        }
        let digits = format!("\"{}\"", "1".repeat(100_000));
        assert!(json(&digits).is_some(), "digits in a string");
        assert!(json(&format!("[{}0]", "1,".repeat(10_000))).is_some());
        // The longest number.
        assert!(json(&"1".repeat(64)).is_some());
        assert!(json(&format!("[-1e{}]", "0".repeat(61))).is_some());
    }

    #[test]
    fn values_that_readers_may_reject_or_read_differently_are_rejected() {
        let deep = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(json(&deep(127)).is_some());
        for text in [
            "",
            "{",
            "1 2",
            "NaN",
            "1e999999",
            "-1e999999",
            r#""\ud800""#,
            r#""\udc00\ud800""#,
            r#"{"\ud800": 1}"#,
            r#""\uffff""#,
            "\"\u{fdd0}\"",
            "{\"\u{1fffe}\": 1}",
            r#"{"a": 1, "a": 2}"#,
            r#"[{"b": {"a": 1, "\u0061": 2}}]"#,
            &"1".repeat(100_000),
            &"1".repeat(65),
            &format!("0.{}", "1".repeat(100)),
            &format!("[\"a\\\"\", {}]", "1".repeat(65)),
            &deep(128),
            &deep(100_000),
        ] {
            let start: String = text.chars().take(80).collect();
            assert_eq!(json(text), None, "{start}");
        }
    }
}
