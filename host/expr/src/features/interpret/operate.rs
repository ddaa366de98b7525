//! Values of single packets, runs and flows.

use std::cmp::Ordering;

use flowloom_core::value::{Type, UdpValue};

use super::super::graph::{Binary, Node, Unary, ValueId};
use super::super::types::Kind;
use super::super::value::Value;
use super::{Interpreter, finals};

impl Interpreter<'_> {
    /// Computes a value at one packet or run, or for the flow.
    pub(super) fn operate(&self, id: ValueId, at: usize) -> Value {
        let typed = &self.program.graph.values[id.0];
        match &typed.node {
            Node::Boolean(value) => Value::Boolean(*value),
            Node::Integer(value) => Value::Integer(*value),
            Node::Float(bits) => Value::finite(f64::from_bits(*bits)),
            Node::Bytes(bytes) => Value::Bytes(bytes.to_vec()),
            Node::Field(field) if typed.ty.kind == Kind::Boolean => {
                Value::Boolean(self.field(at, *field) != 0)
            }
            Node::Field(field) => Value::Integer(self.field(at, *field)),
            Node::FlowField(field) => self.flow_field(*field),
            Node::Index => Value::Integer(at as i64 + 1),
            Node::Age => {
                let [now, first] = [at, 0].map(|at| self.field_by_name(at, "time_ns"));
                Value::Integer(now - first)
            }
            Node::PayloadByte(byte) => match self.payloads[at].get(*byte as usize) {
                Some(byte) => Value::Integer((*byte).into()),
                None => Value::Null,
            },
            Node::PayloadSlice(from, to) => part(self.payloads[at], *from, *to)
                .map_or(Value::Null, |part| Value::Bytes(part.to_vec())),
            Node::PayloadNumber { at: from, bytes } => {
                let part = part(self.payloads[at], *from, from + bytes);
                match part.filter(|part| part.len() == *bytes as usize) {
                    Some(part) => {
                        let append = |number, byte: &u8| number << 8 | i64::from(*byte);
                        Value::Integer(part.iter().fold(0, append))
                    }
                    None => Value::Null,
                }
            }
            Node::PayloadStarts(with) => Value::Boolean(self.payloads[at].starts_with(with)),
            Node::Unary(operation, of) => unary(*operation, self.at(*of, at)),
            Node::Binary(operation, left, right) => {
                binary(*operation, self.at(*left, at), self.at(*right, at))
            }
            Node::If(condition, one, other) => match self.at(*condition, at) {
                Value::Boolean(true) => self.at(*one, at).clone(),
                Value::Boolean(false) => self.at(*other, at).clone(),
                _ => Value::Null,
            },
            Node::Element(of, index) => match self.at(*of, at) {
                Value::Bytes(bytes) => match bytes.get(*index as usize) {
                    Some(byte) => Value::Integer((*byte).into()),
                    None => Value::Null,
                },
                Value::List(values) => match values.get(*index as usize) {
                    Some(value) => value.clone(),
                    None => Value::Null,
                },
                _ => Value::Null,
            },
            Node::Slice(of, from, to) => match self.at(*of, at) {
                Value::Bytes(bytes) => {
                    Value::Bytes(part(bytes, *from, *to).unwrap_or_default().to_vec())
                }
                Value::List(values) => {
                    Value::List(part(values, *from, *to).unwrap_or_default().to_vec())
                }
                _ => Value::Null,
            },
            Node::Variance {
                count,
                sum,
                squares,
                is_population,
            } => {
                let [count, sum, squares] =
                    [count, sum, squares].map(|id| self.accumulate(*id).swap_remove(at));
                finals::variance(&count, &sum, &squares, *is_population)
            }
            Node::FloatVariance(id, is_population) => {
                finals::float_variance(&self.accumulate(*id)[at], *is_population)
            }
            Node::Skewness(id) => finals::skewness(&self.accumulate(*id)[at]),
            Node::Kurtosis(id) => finals::kurtosis(&self.accumulate(*id)[at]),
            Node::Correlation(id) => finals::correlation(&self.accumulate(*id)[at]),
            Node::Quantile(list, quantile) => {
                finals::quantile(self.at(*list, at), f64::from_bits(*quantile))
            }
            // They are computed for all places at once.
            Node::Previous { .. }
            | Node::Within { .. }
            | Node::Accumulated(_)
            | Node::Prefix(..) => Value::Null,
        }
    }

    fn flow_field(&self, field: usize) -> Value {
        let place = self.flow_places.get(field).copied().flatten();
        let is_boolean = flowloom_core::fields::FEATURES[field].ty == Type::Boolean;
        match place.and_then(|place| self.flow_fields.get(place)) {
            Some(UdpValue::Boolean(value)) => Value::Boolean(*value),
            Some(UdpValue::Integer(value)) if !is_boolean => Value::whole((*value).into()),
            Some(UdpValue::Float(value)) => Value::finite(*value),
            _ => Value::Null,
        }
    }
}

/// Returns the part from `from` to `to`, as far as it exists; none if nothing of it does.
fn part<T>(of: &[T], from: u32, to: u32) -> Option<&[T]> {
    let end = of.len().min(to as usize);
    of.get(from as usize..end).filter(|part| !part.is_empty())
}

fn unary(operation: Unary, of: &Value) -> Value {
    let float = |f: fn(f64) -> f64| of.as_float().map_or(Value::Null, |of| Value::finite(f(of)));
    match (operation, of) {
        (_, Value::Null) => Value::Null,
        (Unary::Not, Value::Boolean(value)) => Value::Boolean(!value),
        (Unary::Negate, Value::Integer(value)) => Value::whole(-i128::from(*value)),
        (Unary::Negate, _) => float(|of| -of),
        (Unary::ToFloat, _) => float(|of| of),
        (Unary::Absolute, Value::Integer(value)) => Value::whole(i128::from(*value).abs()),
        (Unary::Absolute, _) => float(f64::abs),
        (Unary::SquareRoot, _) => float(f64::sqrt),
        (Unary::Log2, _) => float(libm::log2),
        (Unary::Ln, _) => float(libm::log),
        (Unary::Log10, _) => float(libm::log10),
        (Unary::Round, _) => float(f64::round_ties_even),
        (Unary::Length, Value::Bytes(bytes)) => Value::Integer(bytes.len() as i64),
        (Unary::Length, Value::List(values)) => Value::Integer(values.len() as i64),
        (Unary::Entropy, _) => finals::entropy(of),
        (Unary::DistinctBytes, Value::Bytes(bytes)) => {
            let distinct: std::collections::HashSet<u8> = bytes.iter().copied().collect();
            Value::Integer(distinct.len() as i64)
        }
        _ => Value::Null,
    }
}

fn binary(operation: Binary, left: &Value, right: &Value) -> Value {
    match operation {
        Binary::And => return both(left, right, false),
        Binary::Or => return both(left, right, true),
        Binary::Coalesce if left.is_null() => return right.clone(),
        Binary::Coalesce => return left.clone(),
        _ if left.is_null() || right.is_null() => return Value::Null,
        Binary::Compare(comparison) => {
            return compare(left, right)
                .map_or(Value::Null, |order| Value::Boolean(comparison.holds(order)));
        }
        _ => (),
    }
    match (left, right) {
        (Value::Bytes(of), Value::Bytes(searched)) => {
            let is_in =
                searched.is_empty() || of.windows(searched.len()).any(|part| part == searched);
            Value::Boolean(is_in)
        }
        (Value::Integer(left), Value::Integer(right)) => {
            whole(operation, (*left).into(), (*right).into())
        }
        _ => match (left.as_float(), right.as_float()) {
            (Some(left), Some(right)) => float(operation, left, right),
            _ => Value::Null,
        },
    }
}

/// Returns `and` or `or` as Kleene's logic has them. `decisive` is the value that decides.
fn both(left: &Value, right: &Value, decisive: bool) -> Value {
    let decides = |value: &Value| *value == Value::Boolean(decisive);
    match (
        decides(left) || decides(right),
        left.is_null() || right.is_null(),
    ) {
        (true, _) => Value::Boolean(decisive),
        (false, true) => Value::Null,
        (false, false) => Value::Boolean(!decisive),
    }
}

/// Returns the order of two values that are not null.
pub(super) fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        _ => left.as_float()?.partial_cmp(&right.as_float()?),
    }
}

fn whole(operation: Binary, left: i128, right: i128) -> Value {
    let floor =
        |right: i128| left.div_euclid(right) - i128::from(right < 0 && left.rem_euclid(right) != 0);
    match operation {
        Binary::Add => Value::whole(left + right),
        Binary::Subtract => Value::whole(left - right),
        Binary::Multiply => Value::whole(left * right),
        Binary::FloorDivide | Binary::Remainder | Binary::FloorTo if right == 0 => Value::Null,
        Binary::FloorDivide => Value::whole(floor(right)),
        Binary::Remainder => Value::whole(left - right * floor(right)),
        Binary::FloorTo => Value::whole(right * floor(right)),
        Binary::BitAnd => Value::whole(left & right),
        Binary::BitOr => Value::whole(left | right),
        Binary::Least => Value::whole(left.min(right)),
        Binary::Greatest => Value::whole(left.max(right)),
        _ => Value::Null,
    }
}

fn float(operation: Binary, left: f64, right: f64) -> Value {
    match operation {
        Binary::Add => Value::finite(left + right),
        Binary::Subtract => Value::finite(left - right),
        Binary::Multiply => Value::finite(left * right),
        Binary::Divide => Value::finite(left / right),
        Binary::FloorTo => Value::finite((left / right).floor() * right),
        Binary::Least => Value::finite(left.min(right)),
        Binary::Greatest => Value::finite(left.max(right)),
        _ => Value::Null,
    }
}
