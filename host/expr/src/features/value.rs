//! Values of the interpreter.

/// A value. The type of its place says what it means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    /// A whole number, or nanoseconds.
    Integer(i64),
    /// A float that is finite.
    Float(f64),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    /// A sum in 128 bits.
    Wide(i128),
    /// Moments: floats that need not be finite.
    Moments(Vec<f64>),
}

impl Value {
    pub(super) fn is_null(&self) -> bool {
        *self == Self::Null
    }

    pub(super) fn is_true(&self) -> bool {
        *self == Self::Boolean(true)
    }

    /// Returns a float as a value. What is infinite or no number is null.
    pub(super) fn finite(value: f64) -> Self {
        match value.is_finite() {
            true => Self::Float(value),
            false => Self::Null,
        }
    }

    /// Returns a whole number of 64 bits. Beyond them it is the nearest one; the checker admits that for times only.
    pub(super) fn whole(value: i128) -> Self {
        let most = i128::from(i64::MAX);
        Self::Integer(value.clamp(-most, most) as i64)
    }

    /// Returns a number as a float.
    pub(super) fn as_float(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Wide(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// Returns a whole number.
    pub(super) fn as_whole(&self) -> Option<i128> {
        match self {
            Self::Integer(value) => Some((*value).into()),
            Self::Wide(value) => Some(*value),
            _ => None,
        }
    }
}
