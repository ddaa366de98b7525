//! The columns of a batch of events. Their memory is reused from batch to batch.

use crate::value::{Type, Value};

/// Appends text to a byte vector.
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
    /// Unsigned 8-bit integers, and booleans as 0 and 1.
    U8s(Vec<u8>),
    /// Unsigned 16-bit integers.
    U16s(Vec<u16>),
    /// Unsigned 32-bit integers.
    U32s(Vec<u32>),
    /// Unsigned 64-bit integers.
    U64s(Vec<u64>),
    /// Signed 64-bit integers.
    S64s(Vec<i64>),
    /// 64-bit floats.
    F64s(Vec<f64>),
    /// Texts or byte strings.
    Texts {
        /// All texts, concatenated.
        bytes: Vec<u8>,
        /// The end of each text in `bytes`.
        ends: Vec<u32>,
    },
    /// Lists of signed 64-bit integers.
    IntegerLists {
        /// The elements of all lists, concatenated.
        values: Vec<i64>,
        /// The end of each list in `values`.
        ends: Vec<u32>,
    },
}

impl ColumnBuffer {
    /// Creates an empty column for values of a type.
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
            // No field is a list of floats or JSON. Bytes and texts have the same layout.
            Type::Text | Type::Bytes | Type::Floats | Type::Json => Self::Texts {
                bytes: Vec::new(),
                ends: Vec::new(),
            },
        }
    }

    /// Removes all values, but keeps the memory.
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

    /// Appends a number, which must fit the type of the column.
    ///
    /// # Panics
    ///
    /// Panics if the column does not contain numbers.
    #[inline]
    pub fn push_number(&mut self, number: u64) {
        self.extend_numbers(std::iter::once(number));
    }

    /// Appends numbers, which must fit the type of the column.
    ///
    /// # Panics
    ///
    /// Panics if the column does not contain numbers.
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
                unreachable!("a column of texts or lists received numbers")
            }
        }
    }

    /// Appends byte strings and returns their total length.
    ///
    /// # Panics
    ///
    /// Panics if the column does not contain texts or bytes.
    #[inline]
    pub fn extend_bytes<'a>(&mut self, all: impl Iterator<Item = &'a [u8]>) -> usize {
        let Self::Texts { bytes, ends } = self else {
            unreachable!("a column of numbers or lists received bytes")
        };
        let before = bytes.len();
        for value in all {
            bytes.extend_from_slice(value);
            ends.push(bytes.len() as u32);
        }
        bytes.len() - before
    }

    /// Appends a text or byte string. `write` must append it to the bytes that it receives.
    ///
    /// # Panics
    ///
    /// Panics if the column does not contain texts or bytes.
    #[inline]
    pub fn push_text(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let Self::Texts { bytes, ends } = self else {
            unreachable!("a column of numbers or lists received a text")
        };
        write(bytes);
        ends.push(bytes.len() as u32);
    }

    /// Appends a value of a flow, which must have the type of the column.
    ///
    /// # Panics
    ///
    /// Panics if the value has another type.
    pub fn push_value(&mut self, value: Value<'_>) {
        match value {
            Value::Boolean(value) => self.push_number(value.into()),
            Value::Integer(value) => self.push_number(value as u64),
            Value::Float(float) => match self {
                Self::F64s(values) => values.push(float),
                _ => unreachable!("a column of another type received a float"),
            },
            Value::Integers(list) => match self {
                Self::IntegerLists { values, ends } => {
                    values.extend_from_slice(list);
                    ends.push(values.len() as u32);
                }
                _ => unreachable!("a column of another type received a list"),
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
