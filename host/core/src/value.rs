//! Values of flow features in memory. The sinks decide how values are written.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// Unsigned 8-bit integer.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer below 2^63.
    U64,
    /// Signed 64-bit integer.
    I64,
    /// 64-bit float.
    Float,
    /// A point in time.
    Time,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// List of signed 64-bit integers.
    Integers,
    /// List of 64-bit floats.
    Floats,
    /// List of UTF-8 texts.
    Texts,
    /// One JSON value.
    Json,
}

impl Type {
    /// Returns whether this is a boolean or a number. Values of these types all have a fixed size.
    pub fn is_number(self) -> bool {
        match self {
            Self::Boolean
            | Self::U8
            | Self::U16
            | Self::U32
            | Self::U64
            | Self::I64
            | Self::Float => true,
            Self::Time
            | Self::Text
            | Self::Bytes
            | Self::Integers
            | Self::Floats
            | Self::Texts
            | Self::Json => false,
        }
    }

    /// Returns the name of the type in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::Float => "float",
            Self::Time => "time",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Integers => "list of integers",
            Self::Floats => "list of floats",
            Self::Texts => "list of texts",
            Self::Json => "JSON",
        }
    }
}

/// One value of a flow, borrowed from the flow.
///
/// No value is allocated. Addresses become text only when a sink writes them.
///
/// # Examples
///
/// ```
/// use flowloom_core::value::Value;
///
/// let mut text = String::new();
/// Value::Ip([192, 0, 2, 1].into()).write_text(&mut text);
/// assert_eq!(text, "192.0.2.1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A float, possibly NaN or infinite.
    Float(f64),
    /// A point in time, in milliseconds since 1970-01-01 UTC. It is not after 9999-12-30T22:00Z.
    Time(i64),
    /// An IP address.
    Ip(IpAddr),
    /// A MAC address.
    Mac([u8; 6]),
    /// The first three bytes of a MAC address (OUI), which identify the manufacturer.
    Oui([u8; 3]),
    /// The digest of a Community ID of version 1.
    CommunityId([u8; 20]),
    /// The digest that identifies a flow in all runs.
    FlowUid([u8; 16]),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Integers.
    Integers(&'a [i64]),
    /// Floats.
    Floats(&'a [f64]),
    /// Texts.
    Texts(&'a [Arc<str>]),
    /// One valid JSON value.
    Json(&'a str),
}

/// Values are copied for every column of every flow.
const _: () = assert!(size_of::<Value<'_>>() == 24);

impl Value<'_> {
    /// Returns the time `ms` milliseconds after 1970-01-01 UTC, or null if it is too late.
    pub fn time(ms: u64) -> Self {
        match i64::try_from(ms) {
            Ok(ms) if ms <= Timestamp::MAX.as_millisecond() => Self::Time(ms),
            _ => Self::Null,
        }
    }

    /// Writes an address, a text or a JSON value as text, and a time as in ISO 8601
    /// (`2026-11-29T13:05:00.250Z`). A Community ID is `1:` and base64, a flow UID is 32 hexadecimal digits. Writes
    /// nothing for other values.
    pub fn write_text(&self, out: &mut impl Write) {
        // Writing to memory cannot fail.
        let _ = match self {
            Self::Time(ms) => match Timestamp::from_millisecond(*ms) {
                Ok(time) => write!(out, "{time:.3}"),
                Err(_) => Ok(()),
            },
            Self::Ip(address) => out.write_str(AddressText::ip(*address).as_str()),
            Self::Mac(mac) => out.write_str(AddressText::mac(mac).as_str()),
            Self::Oui(oui) => out.write_str(AddressText::mac(oui).as_str()),
            Self::CommunityId(digest) => {
                write!(out, "1:{}", Base64Display::new(digest, &BASE64_STANDARD))
            }
            Self::FlowUid(digest) => {
                let mut digits = [0; 32];
                // The digits of 16 bytes fit exactly.
                let _ = hex::encode_to_slice(digest, &mut digits);
                out.write_str(std::str::from_utf8(&digits).unwrap_or_default())
            }
            Self::Text(text) | Self::Json(text) => out.write_str(text),
            _ => Ok(()),
        };
    }
}

/// The text of an IP or MAC address, without a heap allocation.
pub struct AddressText {
    /// The longest text is an IPv6 address with a dotted IPv4 part: 45 characters.
    bytes: [u8; Self::CAPACITY],
    len: usize,
}

/// The text of each octet of an IPv4 address, with a dot after it, and the length of that text.
static OCTETS: [([u8; 4], u8); 256] = {
    let mut octets = [([b'.'; 4], 0); 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [octet / 100, octet / 10 % 10, octet % 10];
        let skipped = match octet {
            0..10 => 2,
            10..100 => 1,
            _ => 0,
        };
        let mut index = skipped;
        while index < 3 {
            octets[octet].0[index - skipped] = b'0' + digits[index] as u8;
            index += 1;
        }
        octets[octet].1 = 4 - skipped as u8;
        octet += 1;
    }
    octets
};

impl AddressText {
    const CAPACITY: usize = 48;
    const EMPTY: Self = Self {
        bytes: [0; Self::CAPACITY],
        len: 0,
    };

    /// Formats an IP address in its canonical text (RFC 5952 for IPv6).
    pub fn ip(address: IpAddr) -> Self {
        let mut text = Self::EMPTY;
        text.len = Self::write_ip(address, &mut text.bytes);
        text
    }

    /// Writes an IP address like [`ip`](Self::ip), and returns the length of its text. The bytes after the text have no
    /// meaning.
    ///
    /// IPv4 uses a table of octets, because most rows have two IPv4 addresses. The formatter of the
    /// standard library takes ten times as long.
    #[inline]
    pub fn write_ip(address: IpAddr, room: &mut [u8; 48]) -> usize {
        match address {
            IpAddr::V4(address) => {
                let mut at = 0;
                for octet in address.octets() {
                    let (octet, len) = OCTETS[usize::from(octet)];
                    room[at..][..4].copy_from_slice(&octet);
                    at += usize::from(len);
                }
                // Remove the last dot.
                at - 1
            }
            IpAddr::V6(address) => {
                let mut text = Self::EMPTY;
                // The capacity suffices for the longest address.
                let _ = write!(text, "{address}");
                *room = text.bytes;
                text.len
            }
        }
    }

    /// Formats bytes as two lowercase hexadecimal digits each, separated by colons: `aa:bb:cc:dd:ee:ff`.
    ///
    /// There is room for 16 bytes; further bytes are ignored.
    #[inline]
    pub fn mac(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Self::EMPTY;
        for (group, byte) in text.bytes.chunks_exact_mut(3).zip(bytes) {
            group[0] = DIGITS[usize::from(byte >> 4)];
            group[1] = DIGITS[usize::from(byte & 15)];
            group[2] = b':';
        }
        text.len = (3 * bytes.len()).saturating_sub(1).min(text.bytes.len());
        text
    }

    /// Returns the text as ASCII bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let target = self.bytes[self.len..].get_mut(..text.len());
        target
            .ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// A value that a plugin returned for one of its outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum UdpValue {
    /// No value: the plugin returned none, or could not return one.
    #[default]
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A float.
    Float(f64),
    /// Text.
    Text(Box<str>),
    /// Bytes.
    Bytes(Box<[u8]>),
    /// Integers.
    Integers(Box<[i64]>),
    /// Floats.
    Floats(Box<[f64]>),
    /// Texts.
    Texts(Box<[Arc<str>]>),
    /// One valid JSON value.
    Json(Box<str>),
}

impl UdpValue {
    /// Returns a borrowed form of the value.
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(value) => Value::Text(value),
            Self::Bytes(value) => Value::Bytes(value),
            Self::Integers(value) => Value::Integers(value),
            Self::Floats(value) => Value::Floats(value),
            Self::Texts(value) => Value::Texts(value),
            Self::Json(value) => Value::Json(value),
        }
    }

    /// Returns the memory outside of the value, in bytes.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Float(_) => 0,
            Self::Text(value) | Self::Json(value) => value.len(),
            Self::Bytes(value) => value.len(),
            Self::Integers(value) => size_of_val(&**value),
            Self::Floats(value) => size_of_val(&**value),
            Self::Texts(value) => texts_bytes(value),
        }
    }
}

/// The memory of a text in a list, beside its characters: two counters, a pointer and a length.
pub const TEXT_OVERHEAD: usize = 32;

/// Returns the memory of a list of texts, in bytes.
fn texts_bytes(texts: &[Arc<str>]) -> usize {
    texts.iter().map(|text| TEXT_OVERHEAD + text.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ip_addresses_match_the_standard_library() {
        for address in ["::", "2001:db8::1", "::ffff:255.255.255.255"] {
            let address = address.parse().unwrap();
            assert_eq!(AddressText::ip(address).as_str(), address.to_string());
        }
        let longest = IpAddr::from([0xffff_u16; 8]);
        assert_eq!(AddressText::ip(longest).as_str(), longest.to_string());
        for (a, b) in (0..=255).zip((0..=255).rev()) {
            let address = IpAddr::from([a, b, a, b]);
            assert_eq!(AddressText::ip(address).as_str(), address.to_string());
        }
    }

    #[test]
    fn mac_addresses_and_ouis() {
        for (bytes, expected) in [
            (&[0xaa, 0xbb, 0xcc, 0, 1, 0x2f][..], "aa:bb:cc:00:01:2f"),
            (&[0, 0x1f, 0xf0], "00:1f:f0"),
        ] {
            assert_eq!(AddressText::mac(bytes).as_str(), expected);
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_not_written() {
        let mut text = AddressText::mac(&[0xff; 17]);
        assert_eq!(text.as_str().len(), 48);
        assert!(text.write_str("a").is_err());
        let mut text = AddressText::mac(&[0xff; 15]);
        assert!(text.write_str(&"a".repeat(5)).is_err());
        assert!(text.write_str("abcd").is_ok());
        assert!(text.as_str().ends_with("ff:ffabcd"), "{}", text.as_str());
    }

    #[test]
    fn only_addresses_times_texts_and_json_are_written_as_text() {
        for (value, expected) in [
            (Value::Ip([192, 0, 2, 1].into()), "192.0.2.1"),
            (Value::Mac([0xaa, 0, 1, 2, 3, 4]), "aa:00:01:02:03:04"),
            (Value::Oui([0xaa, 0, 1]), "aa:00:01"),
            (
                Value::CommunityId([0; 20]),
                "1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            ),
            (
                Value::CommunityId([0xff; 20]),
                "1://////////////////////////8=",
            ),
            (
                Value::FlowUid(std::array::from_fn(|n| 17 * n as u8)),
                "00112233445566778899aabbccddeeff",
            ),
            (Value::Text("text"), "text"),
            (Value::Json("[1]"), "[1]"),
            (Value::Time(0), "1970-01-01T00:00:00.000Z"),
            (Value::Time(951_782_400_010), "2000-02-29T00:00:00.010Z"),
            (Value::time(u64::MAX), ""),
            (Value::Integer(1), ""),
            (Value::Bytes(b"a"), ""),
        ] {
            let mut text = String::new();
            value.write_text(&mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn types_have_names_and_numbers_a_fixed_size() {
        for (ty, name, is_number) in [
            (Type::Boolean, "boolean", true),
            (Type::U8, "u8", true),
            (Type::U16, "u16", true),
            (Type::U32, "u32", true),
            (Type::U64, "u64", true),
            (Type::I64, "i64", true),
            (Type::Float, "float", true),
            (Type::Time, "time", false),
            (Type::Text, "text", false),
            (Type::Bytes, "bytes", false),
            (Type::Integers, "list of integers", false),
            (Type::Floats, "list of floats", false),
            (Type::Json, "JSON", false),
        ] {
            assert_eq!((ty.name(), ty.is_number()), (name, is_number));
        }
    }

    #[test]
    fn values_of_plugins_are_borrowed_unchanged() {
        for (value, expected) in [
            (UdpValue::Null, Value::Null),
            (UdpValue::Boolean(true), Value::Boolean(true)),
            (UdpValue::Integer(-1), Value::Integer(-1)),
            (UdpValue::Float(0.5), Value::Float(0.5)),
            (UdpValue::Text("a".into()), Value::Text("a")),
            (UdpValue::Bytes(b"a".to_vec().into()), Value::Bytes(b"a")),
            (UdpValue::Integers([1].into()), Value::Integers(&[1])),
            (UdpValue::Floats([0.5].into()), Value::Floats(&[0.5])),
            (
                UdpValue::Texts(["a".into()].into()),
                Value::Texts(&["a".into()]),
            ),
            (UdpValue::Json("1".into()), Value::Json("1")),
        ] {
            assert_eq!(value.as_value(), expected);
        }
    }
}
