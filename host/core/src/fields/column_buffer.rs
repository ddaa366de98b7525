//! Columns of a batch: one field's values, and their memory, used again from batch to batch.

use crate::value::{Type, Value};

/// Appends text to bytes.
pub struct TextWriter<'a>(pub &'a mut Vec<u8>);

impl std::fmt::Write for TextWriter<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// The values of one field for the events of a batch.
#[derive(Debug)]
pub enum ColumnBuffer {
    U8s(Vec<u8>),
    U16s(Vec<u16>),
    U32s(Vec<u32>),
    U64s(Vec<u64>),
    S64s(Vec<i64>),
    F64s(Vec<f64>),
    Texts { bytes: Vec<u8>, ends: Vec<u32> },
    IntegerLists { values: Vec<i64>, ends: Vec<u32> },
}

impl ColumnBuffer {
    pub fn new(ty: Type) -> Self {
        match ty {
            Type::Boolean | Type::U8 => Self::U8s(Vec::new()),
            Type::U16 => Self::U16s(Vec::new()),
            Type::U32 => Self::U32s(Vec::new()),
            Type::U64 => Self::U64s(Vec::new()),
            Type::I64 => Self::S64s(Vec::new()),
            Type::Float => Self::F64s(Vec::new()),
            Type::Integers => Self::IntegerLists {
                values: Vec::new(),
                ends: Vec::new(),
            },
            // No field is a list of floats or JSON; bytes and texts look alike.
            Type::Text | Type::Bytes | Type::Floats | Type::Json => Self::Texts {
                bytes: Vec::new(),
                ends: Vec::new(),
            },
        }
    }

    pub fn clear(&mut self) {
        match self {
            Self::U8s(values) => values.clear(),
            Self::U16s(values) => values.clear(),
            Self::U32s(values) => values.clear(),
            Self::U64s(values) => values.clear(),
            Self::S64s(values) => values.clear(),
            Self::F64s(values) => values.clear(),
            Self::Texts { bytes, ends } => {
                bytes.clear();
                ends.clear();
            }
            Self::IntegerLists { values, ends } => {
                values.clear();
                ends.clear();
            }
        }
    }

    /// Adds a number, which the column's type holds.
    #[inline]
    pub fn push_number(&mut self, number: u64) {
        self.extend_numbers(std::iter::once(number));
    }

    /// Adds numbers, which the column's type holds.
    #[inline]
    pub fn extend_numbers(&mut self, numbers: impl Iterator<Item = u64>) {
        match self {
            Self::U8s(values) => values.extend(numbers.map(|number| number as u8)),
            Self::U16s(values) => values.extend(numbers.map(|number| number as u16)),
            Self::U32s(values) => values.extend(numbers.map(|number| number as u32)),
            Self::U64s(values) => values.extend(numbers),
            Self::S64s(values) => values.extend(numbers.map(|number| number as i64)),
            Self::F64s(values) => values.extend(numbers.map(|number| number as f64)),
            Self::Texts { .. } | Self::IntegerLists { .. } => {
                unreachable!("numbers for a column of texts or lists")
            }
        }
    }

    /// Adds byte strings; says how many bytes those are.
    #[inline]
    pub fn extend_bytes<'a>(&mut self, all: impl Iterator<Item = &'a [u8]>) -> usize {
        let Self::Texts { bytes, ends } = self else {
            unreachable!("bytes for a column of numbers or lists")
        };
        let before = bytes.len();
        for some in all {
            bytes.extend_from_slice(some);
            ends.push(bytes.len() as u32);
        }
        bytes.len() - before
    }

    /// Adds a text or byte string that `write` writes.
    #[inline]
    pub fn push_text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let Self::Texts { bytes, ends } = self else {
            unreachable!("a text for a column of numbers or lists")
        };
        write(bytes);
        ends.push(bytes.len() as u32);
    }

    /// Adds a flow's value, of the column's type.
    pub fn push_value(&mut self, value: Value<'_>) {
        match value {
            Value::Boolean(value) => self.push_number(value.into()),
            Value::Integer(value) => self.push_number(value as u64),
            Value::Float(float) => match self {
                Self::F64s(values) => values.push(float),
                _ => unreachable!("a float for another column"),
            },
            Value::Integers(list) => match self {
                Self::IntegerLists { values, ends } => {
                    values.extend_from_slice(list);
                    ends.push(values.len() as u32);
                }
                _ => unreachable!("a list for another column"),
            },
            Value::Bytes(value) => self.push_text(|bytes| bytes.extend_from_slice(value)),
            Value::Null | Value::Floats(_) => self.push_text(|_| ()),
            text @ (Value::Ip(_)
            | Value::Mac(_)
            | Value::Oui(_)
            | Value::Text(_)
            | Value::Json(_)) => {
                self.push_text(|bytes| text.write_text(&mut TextWriter(bytes)));
            }
        }
    }
}
