//! Numbers of all rows, and computing with them.

use arrow_arith::numeric;
use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float64Type, Int64Type};
use arrow_array::{Array, Datum, PrimitiveArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::ArrowError;

use crate::ast::Arithmetic;

/// An array with one number for each row, or with one number for all rows. Numbers can be null.
pub(super) struct Numbers<T: ArrowPrimitiveType> {
    pub(super) array: PrimitiveArray<T>,
    pub(super) is_constant: bool,
}

// A derived implementation would need `T: Clone`.
impl<T: ArrowPrimitiveType> Clone for Numbers<T> {
    fn clone(&self) -> Self {
        Self {
            array: self.array.clone(),
            is_constant: self.is_constant,
        }
    }
}

impl<T: ArrowPrimitiveType> Datum for Numbers<T> {
    fn get(&self) -> (&dyn Array, bool) {
        (&self.array, self.is_constant)
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(super) fn constant(value: T::Native) -> Self {
        Self {
            array: PrimitiveArray::from_value(value, 1),
            is_constant: true,
        }
    }

    pub(super) fn rows(array: PrimitiveArray<T>) -> Self {
        Self {
            array,
            is_constant: false,
        }
    }

    /// Returns the result of `operator` for each number.
    fn map<O: ArrowPrimitiveType>(&self, operator: impl Fn(T::Native) -> O::Native) -> Numbers<O> {
        Numbers {
            array: self.array.unary(operator),
            is_constant: self.is_constant,
        }
    }

    /// Returns the result of `operator` for each pair of numbers. It is null if one of them is null, or if there is
    /// no result.
    fn zip(
        &self,
        other: &Self,
        operator: impl Fn(T::Native, T::Native) -> Option<T::Native>,
    ) -> Self {
        let array = match (self.is_constant, other.is_constant) {
            (true, false) => match self.array.is_valid(0) {
                true => {
                    let left = self.array.value(0);
                    other.array.unary_opt(|right| operator(left, right))
                }
                false => PrimitiveArray::new_null(other.array.len()),
            },
            (false, true) => match other.array.is_valid(0) {
                true => {
                    let right = other.array.value(0);
                    self.array.unary_opt(|left| operator(left, right))
                }
                false => PrimitiveArray::new_null(self.array.len()),
            },
            (true, true) | (false, false) => zip_arrays(&self.array, &other.array, operator),
        };
        Self {
            array,
            is_constant: self.is_constant && other.is_constant,
        }
    }
}

/// Combines two arrays of the same length.
fn zip_arrays<T: ArrowPrimitiveType>(
    left: &PrimitiveArray<T>,
    right: &PrimitiveArray<T>,
    operator: impl Fn(T::Native, T::Native) -> Option<T::Native>,
) -> PrimitiveArray<T> {
    let mut has_result = BooleanBufferBuilder::new(left.len());
    let pairs = left.values().iter().zip(right.values());
    let values: Vec<_> = pairs
        .map(|(left, right)| {
            let result = operator(*left, *right);
            has_result.append(result.is_some());
            result.unwrap_or_default()
        })
        .collect();
    let operands = NullBuffer::union(left.nulls(), right.nulls());
    let results = NullBuffer::new(has_result.finish());
    let nulls = NullBuffer::union(operands.as_ref(), Some(&results));
    PrimitiveArray::new(values.into(), nulls)
}

impl Numbers<Int64Type> {
    pub(super) fn to_floats(&self) -> Numbers<Float64Type> {
        self.map(|value| value as f64)
    }

    /// Returns the negative numbers. A number without a negative gives null.
    pub(super) fn negate(&self) -> Self {
        Self {
            array: self.array.unary_opt(i64::checked_neg),
            is_constant: self.is_constant,
        }
    }

    /// Returns the sums, differences or products. A result that does not fit is null. Quotients are floats: `None`.
    pub(super) fn arithmetic(&self, operator: Arithmetic, right: &Self) -> Option<Self> {
        // Arrow's kernels fail if one result does not fit.
        match operator {
            Arithmetic::Add => Some(self.zip(right, i64::checked_add)),
            Arithmetic::Subtract => Some(self.zip(right, i64::checked_sub)),
            Arithmetic::Multiply => Some(self.zip(right, i64::checked_mul)),
            Arithmetic::Divide => None,
        }
    }
}

impl Numbers<Float64Type> {
    pub(super) fn negate(&self) -> Self {
        self.map(|value| -value)
    }

    /// Returns the results of an operator. A quotient with the divisor 0 is null.
    pub(super) fn arithmetic(
        &self,
        operator: Arithmetic,
        right: &Self,
    ) -> Result<Self, ArrowError> {
        let array = match operator {
            Arithmetic::Add => numeric::add(self, right)?,
            Arithmetic::Subtract => numeric::sub(self, right)?,
            Arithmetic::Multiply => numeric::mul(self, right)?,
            // Arrow's kernel gives infinity.
            Arithmetic::Divide => {
                let quotient = |left, right| (right != 0.0).then(|| left / right);
                return Ok(self.zip(right, quotient));
            }
        };
        Ok(Self {
            array: array.as_primitive().clone(),
            is_constant: self.is_constant && right.is_constant,
        })
    }

    /// Returns numbers that Arrow's kernels order as conditions do. The kernels distinguish the signs of zeros and of
    /// NaN, and the payloads of NaN.
    pub(super) fn to_ordered(&self) -> Self {
        const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0000);
        self.map(|value| match value.is_nan() {
            true => NAN,
            // The sum of -0.0 and 0.0 is 0.0.
            false => value + 0.0,
        })
    }
}
