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
            // No field is a list of floats or JSON, and no schema has times. Bytes and texts have the same layout.
            // A list of texts is one text.
            Type::Time | Type::Text | Type::Bytes | Type::Floats | Type::Texts | Type::Json => {
                Self::Texts {
                    bytes: Vec::new(),
                    ends: Vec::new(),
                }
            }
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

    /// Appends a value of a flow, which must have the type of the column. A list of texts becomes one text with a line
    /// feed between two elements.
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
            Value::Texts(texts) => self.push_text(|bytes| {
                for (n, text) in texts.iter().enumerate() {
                    if n > 0 {
                        bytes.push(b'\n');
                    }
                    bytes.extend_from_slice(text.as_bytes());
                }
            }),
            text @ (Value::Time(_)
            | Value::Ip(_)
            | Value::Mac(_)
            | Value::Oui(_)
            | Value::CommunityId(_)
            | Value::FlowUid(_)
            | Value::Text(_)
            | Value::Json(_)) => {
                self.push_text(|bytes| text.write_text(&mut TextWriter(bytes)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_appended_by_the_type_of_the_column() {
        for (ty, values, expected) in [
            (
                Type::Boolean,
                [Value::Boolean(true), Value::Boolean(false)],
                "U8s([1, 0])",
            ),
            (
                Type::U8,
                [Value::Integer(1), Value::Integer(255)],
                "U8s([1, 255])",
            ),
            (
                Type::U16,
                [Value::Integer(1), Value::Integer(65_535)],
                "U16s([1, 65535])",
            ),
            (
                Type::U32,
                [Value::Integer(1), Value::Integer(1 << 31)],
                "U32s([1, 2147483648])",
            ),
            (
                Type::U64,
                [Value::Integer(1), Value::Integer(1 << 40)],
                "U64s([1, 1099511627776])",
            ),
            (
                Type::I64,
                [Value::Integer(1), Value::Integer(-1)],
                "S64s([1, -1])",
            ),
            (
                Type::Float,
                [Value::Float(1.5), Value::Integer(2)],
                "F64s([1.5, 2.0])",
            ),
            (
                Type::Text,
                [Value::Mac([0, 1, 2, 3, 4, 5]), Value::Text("a")],
                "Texts { bytes: [48, 48, 58, 48, 49, 58, 48, 50, 58, 48, 51, 58, 48, 52, 58, 48, 53, 97], ends: [17, 18] }",
            ),
            (
                Type::Bytes,
                [Value::Bytes(&[7, 8]), Value::Null],
                "Texts { bytes: [7, 8], ends: [2, 2] }",
            ),
            (
                Type::Integers,
                [Value::Integers(&[3, -1]), Value::Integers(&[4])],
                "IntegerLists { values: [3, -1, 4], ends: [2, 3] }",
            ),
        ] {
            let mut column = ColumnBuffer::new(ty);
            let empty = format!("{column:?}");
            for value in values {
                column.push_value(value);
            }
            assert_eq!(format!("{column:?}"), expected);
            column.clear();
            assert_eq!(format!("{column:?}"), empty);
        }
    }

    #[test]
    fn bytes_are_appended_with_their_ends() {
        let mut column = ColumnBuffer::new(Type::Text);
        column.push_text(|bytes| bytes.push(b'a'));
        assert_eq!(
            column.extend_bytes([&b"bc"[..], b"", b"def"].into_iter()),
            5
        );
        let ColumnBuffer::Texts { bytes, ends } = column else {
            panic!("{column:?}")
        };
        assert_eq!((&bytes[..], &ends[..]), (&b"abcdef"[..], &[1, 3, 3, 6][..]));
    }
}
