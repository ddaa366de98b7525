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
    /// Whether all its values have the same size.
    pub fn is_number(self) -> bool {
        match self {
            Self::Boolean
            | Self::U8
            | Self::U16
            | Self::U32
            | Self::U64
            | Self::I64
            | Self::Float => true,
            Self::Text | Self::Bytes | Self::Integers | Self::Floats | Self::Json => false,
        }
    }

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
    pub fn write_text(&self, out: &mut impl Write) {
        // Writing to memory does not fail.
        let _ = match self {
            Self::Ip(address) => out.write_str(AddressText::ip(*address).as_str()),
            Self::Mac(mac) => out.write_str(AddressText::mac(mac).as_str()),
            Self::Oui(oui) => out.write_str(AddressText::mac(oui).as_str()),
            Self::Text(text) | Self::Json(text) => out.write_str(text),
            _ => Ok(()),
        };
    }
}

/// An address as everybody writes it.
pub struct AddressText {
    /// The longest is one of IPv6 that ends like one of IPv4: 45 characters.
    bytes: [u8; Self::MOST],
    len: usize,
}

/// How the octets of an IPv4 address are written, with the dot behind them, and how long that is.
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
        let mut at = skipped;
        while at < 3 {
            octets[octet].0[at - skipped] = b'0' + digits[at] as u8;
            at += 1;
        }
        octets[octet].1 = 4 - skipped as u8;
        octet += 1;
    }
    octets
};

impl AddressText {
    const MOST: usize = 48;
    const EMPTY: Self = Self {
        bytes: [0; Self::MOST],
        len: 0,
    };

    /// Those of IPv4 stand in most rows twice, and the standard library's way of writing them takes
    /// ten times as long.
    #[inline]
    pub fn ip(address: IpAddr) -> Self {
        let mut text = Self::EMPTY;
        match address {
            IpAddr::V4(address) => {
                for octet in address.octets() {
                    let (octet, len) = OCTETS[usize::from(octet)];
                    text.bytes[text.len..][..4].copy_from_slice(&octet);
                    text.len += usize::from(len);
                }
                // Without the last dot.
                text.len -= 1;
            }
            // It has room for the longest.
            IpAddr::V6(address) => drop(write!(text, "{address}")),
        }
        text
    }

    /// `aa:bb:cc:dd:ee:ff`, or the part of it that the bytes are.
    #[inline]
    pub fn mac(bytes: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Self::EMPTY;
        for (place, byte) in text.bytes.chunks_exact_mut(3).zip(bytes) {
            place[0] = DIGITS[usize::from(byte >> 4)];
            place[1] = DIGITS[usize::from(byte & 15)];
            place[2] = b':';
        }
        text.len = (3 * bytes.len()).saturating_sub(1).min(text.bytes.len());
        text
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl Write for AddressText {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let place = self.bytes[self.len..].get_mut(..text.len());
        place
            .ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
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
        for address in ["::", "2001:db8::1", "::ffff:255.255.255.255"] {
            let address = address.parse().unwrap();
            assert_eq!(AddressText::ip(address).as_str(), address.to_string());
        }
        let longest = IpAddr::from([0xffff_u16; 8]);
        assert_eq!(AddressText::ip(longest).as_str(), longest.to_string());
        let octets = [0, 1, 9, 10, 19, 99, 100, 109, 200, 255];
        for (a, b) in octets.into_iter().zip(octets.into_iter().rev()) {
            let address = IpAddr::from([a, b, a, b]);
            assert_eq!(AddressText::ip(address).as_str(), address.to_string());
        }
    }

    #[test]
    fn mac_addresses_and_parts_of_them() {
        for (bytes, expected) in [
            (&[0xaa, 0xbb, 0xcc, 0, 1, 0x2f][..], "aa:bb:cc:00:01:2f"),
            (&[0, 0x1f, 0xf0], "00:1f:f0"),
        ] {
            assert_eq!(AddressText::mac(bytes).as_str(), expected);
        }
    }
}
