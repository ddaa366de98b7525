//! The evaluation of a condition for one row.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use flowloom_core::value::{AddressText, Value};

use super::Row;
use super::node::{CompareAs, Condition, Operand, Range};
use crate::ast::{Arithmetic, Comparison};

impl Condition {
    /// Returns whether the condition is true for a row; `None` is null.
    pub(crate) fn evaluate(&self, row: &impl Row) -> Option<bool> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::Column(column) => match row.value(*column) {
                Value::Boolean(value) => Some(value),
                _ => None,
            },
            Self::Not(inner) => inner.evaluate(row).map(|value| !value),
            Self::And(all) => all_of(all, row, true),
            Self::Or(all) => all_of(all, row, false),
            Self::Compare(comparison, by, left, right) => {
                compare(*comparison, *by, &left.evaluate(row), &right.evaluate(row))
            }
            Self::InRanges(operand, ranges) => {
                let value = operand.evaluate(row);
                match value {
                    Scalar::Integer(value) => {
                        Some(ranges.iter().any(|range| range.contains_integer(value)))
                    }
                    Scalar::Float(value) => {
                        Some(ranges.iter().any(|range| range.contains_float(value)))
                    }
                    _ => None,
                }
            }
            Self::InNetworks(operand, networks) => {
                let address = operand.evaluate(row).address()?;
                Some(networks.iter().any(|network| network.contains(address)))
            }
            Self::InTexts(operand, texts) => {
                let value = operand.evaluate(row);
                let value = value.text()?;
                Some(texts.iter().any(|text| **text == *value))
            }
            Self::Matches(operand, glob) => Some(glob.matches(operand.evaluate(row).text()?)),
            Self::IsNull(operand) => Some(matches!(operand.evaluate(row), Scalar::Null)),
        }
    }
}

/// Joins conditions: with and if `neutral` is true, else with or. The opposite of `neutral` decides at once; otherwise
/// null wins.
fn all_of(all: &[Condition], row: &impl Row, neutral: bool) -> Option<bool> {
    let mut result = Some(neutral);
    for condition in all {
        match condition.evaluate(row) {
            Some(value) if value != neutral => return Some(value),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

/// A value of one row.
#[derive(Clone, Debug)]
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    Address(IpAddr),
    /// A list, of which only its presence counts.
    Other,
}

impl Scalar<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            _ => None,
        }
    }

    fn float(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }
}

impl<'a> From<Value<'a>> for Scalar<'a> {
    fn from(value: Value<'a>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Float(value) => Self::Float(value),
            Value::Ip(address) => Self::Address(address),
            Value::Mac(mac) => Self::Text(AddressText::mac(&mac).as_str().to_owned().into()),
            Value::Oui(oui) => Self::Text(AddressText::mac(&oui).as_str().to_owned().into()),
            Value::CommunityId(_) | Value::FlowUid(_) => {
                let mut text = String::new();
                value.write_text(&mut text);
                Self::Text(text.into())
            }
            Value::Text(text) | Value::Json(text) => Self::Text(text.into()),
            Value::Bytes(bytes) => Self::Bytes(bytes),
            // No column of a schema is a time.
            Value::Time(_) | Value::Integers(_) | Value::Floats(_) | Value::Texts(_) => Self::Other,
        }
    }
}

impl Operand {
    fn evaluate<'a>(&'a self, row: &'a impl Row) -> Scalar<'a> {
        match self {
            Self::Column(column) => row.value(*column).into(),
            Self::Boolean(value) => Scalar::Boolean(*value),
            Self::Integer(value) => Scalar::Integer(*value),
            Self::Float(value) => Scalar::Float(*value),
            Self::Text(text) => Scalar::Text((&**text).into()),
            Self::Bytes(bytes) => Scalar::Bytes(bytes),
            Self::Address(address) => Scalar::Address(*address),
            Self::Negate(inner) => match inner.evaluate(row) {
                Scalar::Integer(value) => integer(value.checked_neg()),
                Scalar::Float(value) => Scalar::Float(-value),
                _ => Scalar::Null,
            },
            Self::Arithmetic(operator, left, right) => {
                arithmetic(*operator, &left.evaluate(row), &right.evaluate(row))
            }
        }
    }
}

/// Computes with whole numbers exactly; a result that does not fit is null. Division gives a float, and null for the
/// divisor 0.
fn arithmetic<'a>(operator: Arithmetic, left: &Scalar<'_>, right: &Scalar<'_>) -> Scalar<'a> {
    if let (Scalar::Integer(left), Scalar::Integer(right)) = (left, right) {
        match operator {
            Arithmetic::Add => return integer(left.checked_add(*right)),
            Arithmetic::Subtract => return integer(left.checked_sub(*right)),
            Arithmetic::Multiply => return integer(left.checked_mul(*right)),
            Arithmetic::Divide => {}
        }
    }
    let (Some(left), Some(right)) = (left.float(), right.float()) else {
        return Scalar::Null;
    };
    Scalar::Float(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide if right == 0.0 => return Scalar::Null,
        Arithmetic::Divide => left / right,
    })
}

fn integer<'a>(value: Option<i64>) -> Scalar<'a> {
    value.map_or(Scalar::Null, Scalar::Integer)
}

fn compare(
    comparison: Comparison,
    by: CompareAs,
    left: &Scalar<'_>,
    right: &Scalar<'_>,
) -> Option<bool> {
    let order = match (by, left, right) {
        (CompareAs::Boolean, Scalar::Boolean(left), Scalar::Boolean(right)) => left.cmp(right),
        (CompareAs::Integer, Scalar::Integer(left), Scalar::Integer(right)) => left.cmp(right),
        (CompareAs::Float, left, right) => order(left.float()?, right.float()?),
        (CompareAs::Text, Scalar::Text(left), Scalar::Text(right)) => left.cmp(right),
        (CompareAs::Address, Scalar::Address(left), Scalar::Address(right)) => left.cmp(right),
        (CompareAs::Bytes, Scalar::Bytes(left), Scalar::Bytes(right)) => left.cmp(right),
        _ => return None,
    };
    Some(comparison.holds(order))
}

impl Range {
    pub(super) fn contains_integer(self, value: i64) -> bool {
        match self {
            Self::Integers(low, high) => (low..=high).contains(&value),
            Self::Floats(low, high) => is_between(value as f64, low, high),
        }
    }

    pub(super) fn contains_float(self, value: f64) -> bool {
        match self {
            Self::Integers(low, high) => is_between(value, low as f64, high as f64),
            Self::Floats(low, high) => is_between(value, low, high),
        }
    }
}

/// Orders floats as DuckDB and PostgreSQL do: NaN equals NaN and is greater than all other numbers, and both zeros are
/// equal.
fn order(left: f64, right: f64) -> Ordering {
    match (left.is_nan(), right.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
    }
}

fn is_between(value: f64, low: f64, high: f64) -> bool {
    order(value, low).is_ge() && order(value, high).is_le()
}
