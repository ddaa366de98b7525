//! The values of an operand for all rows.

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Datum};

use super::addresses::Addresses;
use super::numbers::Numbers;

/// The values of an operand for all rows. A constant has one value for all of them.
#[derive(Clone)]
pub(super) enum Values {
    Integers(Numbers<Int64Type>),
    Floats(Numbers<Float64Type>),
    Addresses(Arc<Addresses>),
    /// Booleans, texts, bytes, lists or JSON.
    Other(Plain),
}

impl Values {
    /// Returns the values if they are numbers. Integers are converted.
    pub(super) fn into_floats(self) -> Option<Numbers<Float64Type>> {
        match self {
            Self::Integers(integers) => Some(integers.to_floats()),
            Self::Floats(floats) => Some(floats),
            Self::Addresses(_) | Self::Other(_) => None,
        }
    }
}

/// An array with one value for each row, or with one value for all rows.
#[derive(Clone)]
pub(super) struct Plain {
    pub(super) array: ArrayRef,
    pub(super) is_constant: bool,
}

impl Datum for Plain {
    fn get(&self) -> (&dyn Array, bool) {
        (&self.array, self.is_constant)
    }
}
