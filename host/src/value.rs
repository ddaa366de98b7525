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
            Self::Ip(address) => write!(out, "{address}"),
            Self::Mac(mac) => write_mac(mac, out),
            Self::Oui(oui) => write_mac(oui, out),
            Self::Text(text) | Self::Json(text) => out.write_str(text),
            _ => Ok(()),
        };
    }
}

/// `aa:bb:cc:dd:ee:ff`, or the part of it that the bytes are.
pub(crate) fn write_mac(bytes: &[u8], out: &mut impl Write) -> std::fmt::Result {
    for (n, byte) in bytes.iter().enumerate() {
        if n > 0 {
            out.write_char(':')?;
        }
        write!(out, "{byte:02x}")?;
    }
    Ok(())
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
