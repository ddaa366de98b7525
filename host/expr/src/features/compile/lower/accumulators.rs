//! Accumulators. Those over the same values and packets are one block.

use flowloom_core::value::Type as FieldType;

use super::super::check::CompileError;
use super::super::program::{self, Expr, Function, Keeps, Operator, Statistic};
use super::{Keep, Lowered, Lowering, binary, place};
use crate::features::graph::{Accumulate, AccumulatorId};
use crate::features::types::{Kind, LARGEST};

/// The field with the size of payloads.
const PAYLOAD_SIZE: (&str, FieldType) = ("payload_size", FieldType::U32);

impl Lowering<'_> {
    pub(super) fn accumulated(&mut self, id: AccumulatorId) -> Lowered<Expr> {
        let accumulator = &self.graph.accumulators[id.0];
        let is_boolean =
            { accumulator.value }.is_some_and(|value| self.graph.ty(value).kind == Kind::Boolean);
        let statistic = match &accumulator.what {
            Accumulate::Count => Statistic::Count,
            Accumulate::CountTrue | Accumulate::Any => Statistic::Sum,
            Accumulate::All => Statistic::Min,
            Accumulate::Sum => Statistic::Sum,
            Accumulate::WideSum => Statistic::FloatSum,
            Accumulate::Minimum => Statistic::Min,
            Accumulate::Maximum => Statistic::Max,
            Accumulate::First => Statistic::First,
            Accumulate::Last => Statistic::Last,
            Accumulate::Nth(_) => Statistic::Nth,
            Accumulate::Squares
            | Accumulate::Welford
            | Accumulate::Moments(_)
            | Accumulate::Comoments(_) => {
                return Err(CompileError::Mismatch("squares alone"));
            }
            Accumulate::Head => Statistic::Head,
            Accumulate::Histogram(edges) => return self.list(id, edges.len() as u32 + 1),
            Accumulate::Distinct(_) => Statistic::Distinct,
            // A part of it is the value.
            Accumulate::Values => return Err(CompileError::Mismatch("a list")),
        };
        let nth = match (&accumulator.what, accumulator.limit) {
            // There is no such value.
            (Accumulate::Nth(n), Some(limit)) if *n > limit => {
                let kind = |value| self.graph.ty(value).kind;
                return Ok(null(accumulator.value.map_or(Kind::Integer, kind)));
            }
            (Accumulate::Nth(n), _) => Some(*n),
            _ => None,
        };
        let is_sum = statistic == Statistic::Sum;
        let index = self.accumulator(id, nth)?;
        self.program.accumulators[index].is_wide |= statistic == Statistic::FloatSum;
        let value = Expr::Statistic(index, statistic);
        let is_true = |value| binary(Operator::Ne, value, Expr::Int(0));
        Ok(match &accumulator.what {
            Accumulate::Any => is_true(value),
            // Of nothing, it is true.
            Accumulate::All => Expr::Coalesce(is_true(value).into(), Expr::Bool(true).into()),
            Accumulate::CountTrue => value,
            _ if is_boolean && !is_sum && statistic != Statistic::Count => is_true(value),
            _ => value,
        })
    }

    /// Returns the first bytes of payloads.
    pub(super) fn head(&mut self, id: AccumulatorId, most: u32) -> Lowered<Expr> {
        let capacity = self.graph.capacities[id.0];
        let head = Expr::Statistic(self.accumulator(id, None)?, Statistic::Head);
        Ok(match most < capacity {
            true => Expr::Part(head.into(), 0, most),
            false => head,
        })
    }

    /// Returns the index of the accumulator for these values and packets. The n-th value is the last of `nth`.
    pub(super) fn accumulator(&mut self, id: AccumulatorId, nth: Option<u32>) -> Lowered<usize> {
        let accumulator = &self.graph.accumulators[id.0];
        let limit = match accumulator.what {
            Accumulate::Values => Some(self.graph.capacities[id.0]),
            _ => nth.or(accumulator.limit),
        };
        let is_boolean =
            { accumulator.value }.is_some_and(|value| self.graph.ty(value).kind == Kind::Boolean);
        let keeps = match &accumulator.what {
            Accumulate::Comoments(second) => Keep::Pairs(*second),
            Accumulate::Head => Keep::Head,
            Accumulate::Histogram(edges) => Keep::Histogram(edges.clone()),
            Accumulate::Values => Keep::Values,
            Accumulate::Distinct(most) => Keep::Distinct(*most),
            _ => Keep::Statistics,
        };
        let key = (
            accumulator.value,
            is_boolean,
            accumulator.stream,
            limit,
            keeps.clone(),
        );
        if let Some(known) = self.accumulators.get(&key) {
            return Ok(*known);
        }
        let packets = self.selection(accumulator.stream)?;
        let mut bounds = (-LARGEST, LARGEST);
        let value = match accumulator.value {
            None if keeps == Keep::Head => {
                let (name, ty) = PAYLOAD_SIZE;
                Some(Expr::Packet(place(&mut self.program.packet, name, ty)?))
            }
            None => None,
            Some(id) => {
                let ty = self.graph.ty(id);
                let value = self.value(id)?;
                Some(match is_boolean {
                    true => {
                        bounds = (0, 1);
                        Expr::If(value.into(), Expr::Int(1).into(), Expr::Int(0).into())
                    }
                    false => {
                        if ty.kind.is_whole() {
                            bounds = (ty.interval.low, ty.interval.high);
                        } else if ty.kind == Kind::Bytes {
                            bounds = (0, ty.most.into());
                        }
                        value
                    }
                })
            }
        };
        // A block of values that are never null also counts the packets.
        let is_whole = keeps == Keep::Statistics && { accumulator.value }
            .is_none_or(|id| !self.graph.ty(id).is_nullable);
        let group = (accumulator.stream, limit);
        if is_whole && let Some(index) = self.counts.get(&group).copied() {
            let block = &mut self.program.accumulators[index];
            if value.is_none() || block.value.is_none() {
                if value.is_some() {
                    (block.value, block.bounds) = (value, bounds);
                }
                self.accumulators.insert(key, index);
                return Ok(index);
            }
        }
        let accumulator = program::Accumulator {
            value,
            bounds,
            is_wide: false,
            origin: id,
            packets,
            limit,
            keeps: match keeps {
                Keep::Statistics => Keeps::Statistics,
                Keep::Pairs(second) => Keeps::Pairs(self.value(second)?),
                Keep::Head => Keeps::Head(self.graph.capacities[id.0]),
                Keep::Histogram(edges) => Keeps::Histogram(edges),
                Keep::Values => Keeps::Values,
                Keep::Distinct(most) => Keeps::Distinct(most),
            },
        };
        self.program.accumulators.push(accumulator);
        let index = self.program.accumulators.len() - 1;
        self.accumulators.insert(key, index);
        if is_whole {
            self.counts.entry(group).or_insert(index);
        }
        Ok(index)
    }
}

/// Returns a null of a kind.
pub(super) fn null(kind: Kind) -> Expr {
    let null = binary(Operator::FloorDiv, Expr::Int(1), Expr::Int(0));
    match kind {
        Kind::Boolean => binary(Operator::Eq, null, Expr::Int(0)),
        Kind::Bytes => {
            let null = binary(Operator::Eq, null, Expr::Int(0));
            let [a, b] = [(); 2].map(|()| Expr::Literal(0, 0).into());
            Expr::If(null.into(), a, b)
        }
        kind if kind.is_whole() => null,
        _ => Expr::Unary(Function::Float, null.into()),
    }
}
