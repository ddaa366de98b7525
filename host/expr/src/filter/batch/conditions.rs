//! The evaluation of conditions for all rows.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_arith::boolean::{and_kleene, is_null, not, or_kleene};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, Datum, StringArray};
use arrow_ord::cmp;
use arrow_schema::ArrowError;
use arrow_select::take::take;
use flowloom_core::value::Value;

use super::addresses::Addresses;
use super::numbers::Numbers;
use super::values::{Plain, Values};
use crate::ast::{Arithmetic, Comparison};
use crate::filter::Row;
use crate::filter::node::{CompareAs, Condition, Operand};

/// The columns of a batch that a condition reads.
pub(super) struct Batch {
    pub(super) rows: usize,
    /// The values of the columns by their index in the schema.
    pub(super) columns: HashMap<usize, Values>,
}

/// A row without columns, for conditions that read none.
struct NoColumns;

impl Row for NoColumns {
    fn value(&self, _column: usize) -> Value<'_> {
        Value::Null
    }
}

impl Batch {
    /// Returns whether the condition is true, false or null for each row.
    pub(super) fn condition(&self, condition: &Condition) -> Result<BooleanArray, ArrowError> {
        match condition {
            Condition::Not(inner) => not(&self.condition(inner)?),
            Condition::And(all) => self.join(all, true, and_kleene),
            Condition::Or(all) => self.join(all, false, or_kleene),
            Condition::Constant(value) => Ok(self.constant(Some(*value))),
            test if !reads_columns(test) => Ok(self.constant(test.evaluate(&NoColumns))),
            Condition::Column(column) => Ok(match self.columns.get(column) {
                Some(Values::Other(plain)) => match plain.array.as_boolean_opt() {
                    Some(booleans) => booleans.clone(),
                    None => self.null(),
                },
                _ => self.null(),
            }),
            Condition::Compare(comparison, by, left, right) => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.compare(*comparison, *by, left, right)
            }
            Condition::InRanges(operand, ranges) => Ok(match self.operand(operand)? {
                Values::Integers(integers) => BooleanArray::from_unary(&integers.array, |value| {
                    ranges.iter().any(|range| range.contains_integer(value))
                }),
                Values::Floats(floats) => BooleanArray::from_unary(&floats.array, |value| {
                    ranges.iter().any(|range| range.contains_float(value))
                }),
                Values::Addresses(_) | Values::Other(_) => self.null(),
            }),
            Condition::InNetworks(operand, networks) => match self.operand(operand)? {
                Values::Addresses(addresses) => addresses
                    .test(|address| networks.iter().any(|network| network.contains(address))),
                _ => Ok(self.null()),
            },
            Condition::InTexts(operand, texts) => match self.operand(operand)? {
                Values::Other(plain) => {
                    test_texts(&plain.array, |text| texts.iter().any(|one| **one == *text))
                }
                _ => Ok(self.null()),
            },
            Condition::Matches(operand, glob) => match self.operand(operand)? {
                Values::Other(plain) => test_texts(&plain.array, |text| glob.matches(text)),
                _ => Ok(self.null()),
            },
            Condition::IsNull(operand) => match self.operand(operand)? {
                Values::Integers(integers) => is_null(&integers.array),
                Values::Floats(floats) => is_null(&floats.array),
                Values::Addresses(addresses) => is_null(&addresses.test(|_| true)?),
                Values::Other(plain) => is_null(&plain.array),
            },
        }
    }

    /// Joins the results of conditions. The result for no conditions is `neutral`.
    fn join(
        &self,
        all: &[Condition],
        neutral: bool,
        join: fn(&BooleanArray, &BooleanArray) -> Result<BooleanArray, ArrowError>,
    ) -> Result<BooleanArray, ArrowError> {
        let Some((first, others)) = all.split_first() else {
            return Ok(self.constant(Some(neutral)));
        };
        let mut joined = self.condition(first)?;
        for condition in others {
            joined = join(&joined, &self.condition(condition)?)?;
        }
        Ok(joined)
    }

    fn constant(&self, value: Option<bool>) -> BooleanArray {
        std::iter::repeat_n(value, self.rows).collect()
    }

    fn null(&self) -> BooleanArray {
        BooleanArray::new_null(self.rows)
    }

    fn compare(
        &self,
        comparison: Comparison,
        by: CompareAs,
        left: Values,
        right: Values,
    ) -> Result<BooleanArray, ArrowError> {
        match (by, left, right) {
            (CompareAs::Integer, Values::Integers(left), Values::Integers(right)) => {
                compare(comparison, &left, &right)
            }
            (CompareAs::Float, left, right) => match (left.into_floats(), right.into_floats()) {
                (Some(left), Some(right)) => {
                    compare(comparison, &left.to_ordered(), &right.to_ordered())
                }
                _ => Ok(self.null()),
            },
            (CompareAs::Address, Values::Addresses(left), Values::Addresses(right)) => {
                // Only `=` and `!=` compare addresses.
                left.test_pairs(&right, |left, right| comparison.holds(left.cmp(&right)))
            }
            (
                CompareAs::Boolean | CompareAs::Text | CompareAs::Bytes,
                Values::Other(left),
                Values::Other(right),
            ) => compare(comparison, &left, &right),
            _ => Ok(self.null()),
        }
    }

    fn operand(&self, operand: &Operand) -> Result<Values, ArrowError> {
        let constant = |array: ArrayRef| {
            Values::Other(Plain {
                array,
                is_constant: true,
            })
        };
        Ok(match operand {
            Operand::Column(column) => match self.columns.get(column) {
                Some(values) => values.clone(),
                // Not reached: all columns that the condition reads were found.
                None => return Err(ArrowError::SchemaError(format!("no column {column}"))),
            },
            Operand::Boolean(value) => constant(Arc::new(BooleanArray::from(vec![*value]))),
            Operand::Integer(value) => Values::Integers(Numbers::constant(*value)),
            Operand::Float(value) => Values::Floats(Numbers::constant(*value)),
            Operand::Text(text) => constant(Arc::new(StringArray::from(vec![&**text]))),
            Operand::Bytes(bytes) => constant(Arc::new(BinaryArray::from(vec![&**bytes]))),
            Operand::Address(address) => Values::Addresses(Arc::new(Addresses::Constant(*address))),
            Operand::Negate(inner) => match self.operand(inner)? {
                Values::Integers(integers) => Values::Integers(integers.negate()),
                Values::Floats(floats) => Values::Floats(floats.negate()),
                other => other,
            },
            Operand::Arithmetic(operator, left, right) => {
                arithmetic(*operator, self.operand(left)?, self.operand(right)?)?
            }
        })
    }
}

/// Computes with whole numbers exactly if both sides have such, else with floats.
fn arithmetic(operator: Arithmetic, left: Values, right: Values) -> Result<Values, ArrowError> {
    if let (Values::Integers(left), Values::Integers(right)) = (&left, &right)
        && let Some(integers) = left.arithmetic(operator, right)
    {
        return Ok(Values::Integers(integers));
    }
    match (left.into_floats(), right.into_floats()) {
        (Some(left), Some(right)) => Ok(Values::Floats(left.arithmetic(operator, &right)?)),
        _ => Err(ArrowError::ComputeError(
            "only numbers are computed with".to_owned(),
        )),
    }
}

fn reads_columns(condition: &Condition) -> bool {
    let mut reads = false;
    condition.for_each_column(&mut |_| reads = true);
    reads
}

fn compare(
    comparison: Comparison,
    left: &dyn Datum,
    right: &dyn Datum,
) -> Result<BooleanArray, ArrowError> {
    match comparison {
        Comparison::Equal => cmp::eq(left, right),
        Comparison::NotEqual => cmp::neq(left, right),
        Comparison::Less => cmp::lt(left, right),
        Comparison::LessOrEqual => cmp::lt_eq(left, right),
        Comparison::Greater => cmp::gt(left, right),
        Comparison::GreaterOrEqual => cmp::gt_eq(left, right),
    }
}

/// Returns whether the text of each row satisfies `test`. The values of a dictionary are tested once.
fn test_texts(array: &ArrayRef, test: impl Fn(&str) -> bool) -> Result<BooleanArray, ArrowError> {
    match array.as_any_dictionary_opt() {
        Some(dictionary) => {
            let values = dictionary.values().as_string::<i32>();
            let results = BooleanArray::from_unary(values, test);
            Ok(take(&results, dictionary.keys(), None)?
                .as_boolean()
                .clone())
        }
        None => Ok(BooleanArray::from_unary(array.as_string::<i32>(), test)),
    }
}
