//! Accumulators.

use super::super::graph::{Accumulate, Accumulator, AccumulatorId, Node, ValueId};
use super::super::value::Value;
use super::Interpreter;
use super::operate::compare;

/// The largest count.
const MOST: i64 = u32::MAX as i64;

impl Interpreter<'_> {
    /// Returns the results of an accumulator: one for the flow, or one for each run.
    pub(super) fn accumulate(&self, id: AccumulatorId) -> Vec<Value> {
        let accumulator = &self.program.graph.accumulators[id.0];
        let capacity = self.program.graph.capacities[id.0] as usize;
        let groups = self.groups(accumulator.stream);
        groups
            .iter()
            .map(|members| self.result(accumulator, capacity, members))
            .collect()
    }

    pub(super) fn accumulated(&self, node: &Node) -> Vec<Value> {
        match node {
            Node::Accumulated(id) => self.accumulate(*id),
            Node::Prefix(id, most) => {
                let cut = |value| match value {
                    Value::Bytes(mut bytes) => {
                        bytes.truncate(*most as usize);
                        Value::Bytes(bytes)
                    }
                    Value::List(mut values) => {
                        values.truncate(*most as usize);
                        Value::List(values)
                    }
                    value => value,
                };
                self.accumulate(*id).into_iter().map(cut).collect()
            }
            _ => Vec::new(),
        }
    }

    fn result(&self, accumulator: &Accumulator, capacity: usize, members: &[usize]) -> Value {
        let Accumulator {
            what, value, limit, ..
        } = accumulator;
        let limit = limit.map_or(usize::MAX, |limit| limit as usize);
        if *what == Accumulate::Head {
            return Value::Bytes(self.head(members, capacity));
        }
        let Some(value) = *value else {
            let count = members.len().min(limit) as i64;
            return Value::Integer(count.min(MOST));
        };
        if let Accumulate::Comoments(second) = what {
            let pairs = self.pairs(members, value, *second);
            return comoments(pairs.take(limit));
        }
        let values = members.iter().map(|&member| self.at(value, member));
        let values: Vec<&Value> = values
            .filter(|value| !value.is_null())
            .take(limit)
            .collect();
        let count = |wanted: &dyn Fn(&Value) -> bool| {
            let count = values.iter().filter(|value| wanted(value)).count();
            Value::Integer((count as i64).min(MOST))
        };
        let kept = |value: Option<&&Value>| value.map_or(Value::Null, |value| (*value).clone());
        match what {
            Accumulate::Count => count(&|_| true),
            Accumulate::CountTrue => count(&Value::is_true),
            Accumulate::Sum if self.program.graph.ty(value).kind.is_whole() => {
                let sum = values.iter().filter_map(|value| value.as_whole());
                sum.fold(Value::Integer(0), |sum, value| {
                    Value::whole(sum.as_whole().unwrap_or(0) + value)
                })
            }
            Accumulate::Sum => {
                let sum = values.iter().filter_map(|value| value.as_float());
                Value::finite(sum.fold(0.0, |sum, value| sum + value))
            }
            Accumulate::WideSum => Value::Wide(values.iter().filter_map(|v| v.as_whole()).sum()),
            Accumulate::Squares => {
                let is_narrow = self.program.graph.ty(value).has_narrow_squares();
                let most = if is_narrow {
                    u64::MAX.into()
                } else {
                    i128::MAX
                };
                let add = |sum: i128, value: i128| sum.saturating_add(value * value).min(most);
                Value::Wide(
                    values
                        .iter()
                        .filter_map(|value| value.as_whole())
                        .fold(0, add),
                )
            }
            Accumulate::Welford => welford(values.iter().filter_map(|value| value.as_float())),
            Accumulate::Minimum | Accumulate::Maximum => {
                let is_better = |new: &Value, old: &Value| match compare(new, old) {
                    Some(order) if *what == Accumulate::Minimum => order.is_lt(),
                    Some(order) => order.is_gt(),
                    None => false,
                };
                let better = |old, new| if is_better(new, old) { new } else { old };
                kept(values.iter().copied().reduce(better).as_ref())
            }
            Accumulate::First => kept(values.first()),
            Accumulate::Last => kept(values.last()),
            Accumulate::Nth(number) => kept(values.get(*number as usize - 1)),
            Accumulate::Any => Value::Boolean(values.iter().any(|value| value.is_true())),
            Accumulate::All => Value::Boolean(values.iter().all(|value| value.is_true())),
            Accumulate::Moments(_) => moments(values.iter().filter_map(|value| value.as_float())),
            Accumulate::Values => {
                let first = values.iter().take(capacity);
                Value::List(first.map(|value| (*value).clone()).collect())
            }
            Accumulate::Distinct(most) => {
                let mut distinct: Vec<&Value> = Vec::new();
                for value in values {
                    if distinct.len() < *most as usize && !distinct.contains(&value) {
                        distinct.push(value);
                    }
                }
                Value::Integer(distinct.len() as i64)
            }
            Accumulate::Histogram(edges) => {
                let is_whole = self.program.graph.ty(value).kind.is_whole();
                histogram(&values, edges, is_whole)
            }
            Accumulate::Head | Accumulate::Comoments(_) => Value::Null,
        }
    }

    fn pairs<'b>(
        &'b self,
        members: &'b [usize],
        first: ValueId,
        second: ValueId,
    ) -> impl Iterator<Item = (f64, f64)> + 'b {
        members.iter().filter_map(move |&member| {
            let [x, y] = [first, second].map(|value| self.at(value, member).as_float());
            Some((x?, y?))
        })
    }

    /// Returns the first bytes of payloads, up to the first that is missing. The field `payload_size` is 0 for payload
    /// of protocols without a known transport header.
    fn head(&self, members: &[usize], capacity: usize) -> Vec<u8> {
        let mut head = Vec::new();
        for &packet in members {
            let wanted = capacity - head.len();
            let payload = self.payloads[packet];
            let size = self.field_by_name(packet, "payload_size") as usize;
            let read = payload.len().min(wanted);
            head.extend_from_slice(&payload[..read]);
            if read < size.min(wanted) || head.len() == capacity {
                break;
            }
        }
        head
    }
}

/// Returns count, mean and sum of squared deviations.
fn welford(values: impl Iterator<Item = f64>) -> Value {
    let [mut n, mut mean, mut squares] = [0.0; 3];
    for value in values {
        n += 1.0;
        let delta = value - mean;
        mean += delta / n;
        squares += delta * (value - mean);
    }
    Value::Moments(vec![n, mean, squares])
}

/// Returns count, mean, and the sums of the second, third and fourth powers of deviations, by the formulas of Terriberry
/// for one more value.
fn moments(values: impl Iterator<Item = f64>) -> Value {
    let [mut n, mut mean, mut second, mut third, mut fourth] = [0.0_f64; 5];
    for value in values {
        n += 1.0;
        let delta = value - mean;
        let part = delta / n;
        let square = part * part;
        let term = delta * part * (n - 1.0);
        mean += part;
        fourth +=
            term * square * (n * n - 3.0 * n + 3.0) + 6.0 * square * second - 4.0 * part * third;
        third += term * part * (n - 2.0) - 3.0 * part * second;
        second += term;
    }
    Value::Moments(vec![n, mean, second, third, fourth])
}

/// Returns the sums of squared deviations of two values, and of their product.
fn comoments(pairs: impl Iterator<Item = (f64, f64)>) -> Value {
    let [mut n, mut mean_x, mut mean_y, mut xx, mut yy, mut xy] = [0.0_f64; 6];
    for (x, y) in pairs {
        n += 1.0;
        let (before_x, before_y) = (x - mean_x, y - mean_y);
        mean_x += before_x / n;
        mean_y += before_y / n;
        xx += before_x * (x - mean_x);
        yy += before_y * (y - mean_y);
        xy += before_x * (y - mean_y);
    }
    Value::Moments(vec![n, xx, yy, xy])
}

fn histogram(values: &[&Value], edges: &[i64], is_whole: bool) -> Value {
    let mut counts = vec![0_i64; edges.len() + 1];
    for value in values {
        let is_below = |edge: &i64| match (value, is_whole) {
            (Value::Integer(value), true) => edge <= value,
            _ => {
                let edge = f64::from_bits(*edge as u64);
                value.as_float().is_some_and(|value| edge <= value)
            }
        };
        let class = edges.partition_point(is_below);
        counts[class] = (counts[class] + 1).min(MOST);
    }
    Value::List(counts.into_iter().map(Value::Integer).collect())
}
