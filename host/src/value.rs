//! Values of flow features, in memory; the sinks decide how they are written.

use std::fmt::Write;
use std::net::IpAddr;

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
    /// Unsigned 64-bit integer that stays within the signed range.
    U64,
    /// Signed 64-bit integer.
    I64,
    /// 64-bit float.
    Float,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Bytes,
    /// List of signed 64-bit integers.
    Integers,
    /// List of 64-bit floats.
    Floats,
    /// One JSON value.
    Json,
}

impl Type {
    /// The name the docs use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::Float => "float",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Integers => "list of integers",
            Self::Floats => "list of floats",
            Self::Json => "JSON",
        }
    }
}

/// One value of a flow, borrowed from it.
///
/// Addresses stay numbers until a sink writes them: nothing here allocates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A float; may be NaN or infinite.
    Float(f64),
    /// An IP address.
    Ip(IpAddr),
    /// A MAC address.
    Mac([u8; 6]),
    /// The first three bytes of a MAC address: who made the device.
    Oui([u8; 3]),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Integers.
    Integers(&'a [i64]),
    /// Floats.
    Floats(&'a [f64]),
    /// One JSON value, checked.
    Json(&'a str),
}

impl Value<'_> {
    /// Writes an address or a text as text; nothing for other values.
    pub(crate) fn write_text(&self, out: &mut impl Write) {
        // Writing to memory does not fail.
        let _ = match self {
            Self::Ip(address) => write_ip(*address, out),
            Self::Mac(mac) => write_mac(mac, out),
            Self::Oui(oui) => write_mac(oui, out),
            Self::Text(text) | Self::Json(text) => out.write_str(text),
            _ => Ok(()),
        };
    }
}

/// An address as everybody writes it. Those of IPv4 stand in most rows twice, and the standard
/// library's way of writing them takes ten times as long.
pub(crate) fn write_ip(address: IpAddr, out: &mut impl Write) -> std::fmt::Result {
    let IpAddr::V4(address) = address else {
        return write!(out, "{address}");
    };
    let mut text = [b'.'; 15];
    let mut len = 0;
    for (n, octet) in address.octets().into_iter().enumerate() {
        len += usize::from(n > 0);
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text[len] = b'0' + digit;
                len += 1;
            }
        }
    }
    write_ascii(&text[..len], out)
}

/// `aa:bb:cc:dd:ee:ff`, or the part of it that the bytes are.
pub(crate) fn write_mac(bytes: &[u8], out: &mut impl Write) -> std::fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b':'; 18];
    for (place, byte) in text.chunks_mut(3).zip(bytes) {
        place[0] = DIGITS[usize::from(byte >> 4)];
        place[1] = DIGITS[usize::from(byte & 15)];
    }
    write_ascii(&text[..(3 * bytes.len()).saturating_sub(1)], out)
}

fn write_ascii(text: &[u8], out: &mut impl Write) -> std::fmt::Result {
    out.write_str(std::str::from_utf8(text).unwrap_or_default())
}

/// A value that a plugin gave for one of its outputs.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum UdpValue {
    /// No value: the plugin said so, or it was not able to give one.
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
    /// One JSON value, checked.
    Json(Box<str>),
}

impl UdpValue {
    /// The value, borrowed.
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
            Self::Json(value) => Value::Json(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_does() {
        let octets = [0, 1, 9, 10, 19, 99, 100, 109, 200, 255];
        for (a, b) in octets.into_iter().zip(octets.into_iter().rev()) {
            let address = IpAddr::from([a, b, a, b]);
            let mut text = String::new();
            let _ = write_ip(address, &mut text);
            assert_eq!(text, address.to_string());
        }
    }

    #[test]
    fn mac_addresses_and_parts_of_them() {
        for (bytes, expected) in [
            (&[0xaa, 0xbb, 0xcc, 0, 1, 0x2f][..], "aa:bb:cc:00:01:2f"),
            (&[0, 0x1f, 0xf0], "00:1f:f0"),
        ] {
            let mut text = String::new();
            let _ = write_mac(bytes, &mut text);
            assert_eq!(text, expected);
        }
    }
}
