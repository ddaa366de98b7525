//! Accumulators. Those over the same values and packets are one block.

use super::super::check::CompileError;
use super::super::program::{self, Expr, Function, Keeps, Operator, Statistic};
use super::{Keep, Lowered, Lowering, binary};
use crate::features::graph::{Accumulate, AccumulatorId};
use crate::features::types::{Kind, LARGEST};

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
            Accumulate::Squares | Accumulate::Welford => {
                return Err(CompileError::Unsupported("a sum of squares alone"));
            }
            Accumulate::Moments(_) | Accumulate::Comoments(_) => {
                return Err(CompileError::Unsupported("a moment"));
            }
            Accumulate::Values => return Err(CompileError::Unsupported("a list")),
            Accumulate::Distinct(_) => return Err(CompileError::Unsupported("distinct")),
            Accumulate::Histogram(_) => return Err(CompileError::Unsupported("hist")),
            Accumulate::Head => return Err(CompileError::Unsupported("head")),
        };
        let nth = match (&accumulator.what, accumulator.limit) {
            // There is no such value.
            (Accumulate::Nth(n), Some(limit)) if *n > limit => return self.null(id),
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

    /// Returns a null of the type of an accumulator's values.
    fn null(&self, id: AccumulatorId) -> Lowered<Expr> {
        let value = self.graph.accumulators[id.0].value;
        let kind = value.map_or(Kind::Integer, |value| self.graph.ty(value).kind);
        let null = binary(Operator::FloorDiv, Expr::Int(1), Expr::Int(0));
        Ok(match kind {
            Kind::Boolean => binary(Operator::Eq, null, Expr::Int(0)),
            Kind::Float | Kind::FloatTime => Expr::Unary(Function::Float, null.into()),
            kind if kind.is_whole() => null,
            _ => return Err(CompileError::Unsupported("a value of bytes")),
        })
    }

    /// Returns the index of the accumulator for these values and packets. The n-th value is the last of `nth`.
    pub(super) fn accumulator(&mut self, id: AccumulatorId, nth: Option<u32>) -> Lowered<usize> {
        let accumulator = &self.graph.accumulators[id.0];
        let limit = nth.or(accumulator.limit);
        let is_boolean =
            { accumulator.value }.is_some_and(|value| self.graph.ty(value).kind == Kind::Boolean);
        let keeps = match &accumulator.what {
            Accumulate::Comoments(second) => Keep::Pairs(*second),
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
