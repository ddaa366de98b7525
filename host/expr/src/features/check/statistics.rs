//! Statistics of numbers and times.

use super::super::ast::{Expr, ExprKind};
use super::super::graph::{Accumulate, AccumulatorId, Node, Stream, Unary, ValueId};
use super::super::types::{Interval, Kind, Type};
use super::aggregates::Seen;
use super::payload::MAX_PAYLOAD;
use super::{Checker, Context};
use crate::ast::Number;

impl Checker {
    /// Checks a value that has to be a number or a time.
    pub(super) fn number_or_time(
        &mut self,
        name: &str,
        of: &Expr,
        inner: Context,
    ) -> Option<ValueId> {
        let value = self.expr(of, inner)?;
        let kind = self.kind(value);
        if kind.is_number() || kind.is_time() {
            return Some(value);
        }
        let text = super::shown(of);
        let label = match (kind, name) {
            (Kind::Boolean, "mean") => format!("write share({text}) for the part of the packets"),
            (Kind::Boolean, "sum") => format!("write count({text})"),
            (Kind::Boolean, "max") => format!("write any({text})"),
            (Kind::Boolean, "min") => format!("write all({text})"),
            (Kind::Boolean, _) => format!("write if({text}, 1, 0)"),
            (Kind::Instant, _) => "age is the time since the flow's first packet".to_owned(),
            _ => "use a number or a time".to_owned(),
        };
        let message = format!(
            "this is {}, and {name} is of numbers and times",
            kind.name()
        );
        self.fail(&of.span, message, label)
    }

    pub(super) fn statistic(
        &mut self,
        name: &str,
        of: &Expr,
        seen: &Seen,
        inner: Context,
    ) -> Option<ValueId> {
        let value = match name {
            // Points in time have an order.
            "min" | "max" => {
                let value = self.expr(of, inner)?;
                match self.kind(value) {
                    Kind::Instant => value,
                    _ => self.number_or_time(name, of, inner)?,
                }
            }
            _ => self.number_or_time(name, of, inner)?,
        };
        let ty = self.ty(value);
        // Floats can exceed their range.
        let is_nullable = !self.is_certain(value, seen) || !ty.kind.is_whole();
        match name {
            "sum" => {
                if ty.kind == Kind::Integer && !self.can_be_summed(value) {
                    return self.fail(
                        &of.span,
                        "the sum can pass 2^63 within 2^32 packets",
                        format!("write sum(float({}))", super::shown(of)),
                    );
                }
                let id = self.accumulator(Accumulate::Sum, Some(value), seen, 0);
                let ty = sum_type(ty).nullable(!ty.kind.is_whole());
                Some(self.result(id, ty, seen))
            }
            "mean" => {
                let sum = self.summed(value, seen);
                let count = self.count(Some(value), seen);
                Some(self.divided(sum, count, ty.kind.as_float(), is_nullable))
            }
            "min" | "max" => {
                let what = match name {
                    "min" => Accumulate::Minimum,
                    _ => Accumulate::Maximum,
                };
                let id = self.accumulator(what, Some(value), seen, 0);
                let is_nullable = !self.is_certain(value, seen);
                Some(self.result(id, ty.nullable(is_nullable), seen))
            }
            "skew" | "kurtosis" => {
                let is_skew = name == "skew";
                let order = if is_skew { 3 } else { 4 };
                let id = self.accumulator(Accumulate::Moments(order), Some(value), seen, 0);
                let node = match is_skew {
                    true => Node::Skewness(id),
                    false => Node::Kurtosis(id),
                };
                // Equal values have none.
                let ty = Type::new(Kind::Float).nullable(true);
                Some(self.graph.value(node, ty, seen.level))
            }
            _ => self.spread(name, (value, of), is_nullable, seen),
        }
    }

    /// Returns whether the sum of the integers fits into 64 bits.
    fn can_be_summed(&self, value: ValueId) -> bool {
        let typed = &self.graph.values[value.0];
        // The runs of a flow have no packet in common, so that the sums of all runs are a sum of packets.
        let is_part = match typed.node {
            Node::Accumulated(id) => {
                let accumulator = &self.graph.accumulators[id.0];
                let is_sum = matches!(
                    accumulator.what,
                    Accumulate::Sum | Accumulate::Count | Accumulate::CountTrue
                );
                let stream = &self.graph.streams[accumulator.stream.0];
                is_sum && matches!(stream, Stream::RunPackets { .. })
            }
            _ => false,
        };
        is_part || typed.ty.interval.can_be_summed()
    }

    /// Returns the sum of values of any size.
    fn summed(&mut self, value: ValueId, seen: &Seen) -> ValueId {
        let ty = self.ty(value);
        // A sum of times stops at 64 bits, which a mean does not.
        let is_wide = ty.kind.is_whole() && !self.can_be_summed(value);
        let (what, ty) = match is_wide {
            true => (Accumulate::WideSum, Type::new(Kind::Internal)),
            false => (Accumulate::Sum, sum_type(ty)),
        };
        let id = self.accumulator(what, Some(value), seen, 0);
        self.result(id, ty, seen)
    }

    /// Checks variances and standard deviations.
    fn spread(
        &mut self,
        name: &str,
        (value, of): (ValueId, &Expr),
        is_nullable: bool,
        seen: &Seen,
    ) -> Option<ValueId> {
        let ty = self.ty(value);
        let is_root = name.starts_with("stddev");
        if !is_root && ty.kind.is_time() {
            let label = format!(
                "write variance({} / 1ms) for milliseconds",
                super::shown(of)
            );
            return self.fail(&of.span, "the variance of a time has no unit", label);
        }
        let is_population = name.ends_with("_pop");
        let kind = ty.kind.as_float();
        let variance = Type::new(kind).nullable(is_nullable);
        let node = match ty.kind.is_whole() {
            true => {
                // A sum of times stops at 64 bits, which the variance does not.
                let sum = match self.can_be_summed(value) {
                    true => Accumulate::Sum,
                    false => Accumulate::WideSum,
                };
                Node::Variance {
                    count: self.counter(Some(value), seen),
                    sum: self.accumulator(sum, Some(value), seen, 0),
                    squares: self.accumulator(Accumulate::Squares, Some(value), seen, 0),
                    is_population,
                }
            }
            false => {
                let id = self.accumulator(Accumulate::Welford, Some(value), seen, 0);
                Node::FloatVariance(id, is_population)
            }
        };
        let value = self.graph.value(node, variance, seen.level);
        match is_root {
            true => {
                let node = Node::Unary(Unary::SquareRoot, value);
                Some(self.node(node, variance, &[value]))
            }
            false => Some(value),
        }
    }

    pub(super) fn correlation(&mut self, first: ValueId, second: ValueId, seen: &Seen) -> ValueId {
        let id = self.accumulator(Accumulate::Comoments(second), Some(first), seen, 0);
        let ty = Type::new(Kind::Float).nullable(true);
        self.graph.value(Node::Correlation(id), ty, seen.level)
    }

    /// Returns the list of the first values.
    pub(super) fn list(
        &mut self,
        value: ValueId,
        name: &str,
        of: &Expr,
        seen: &Seen,
    ) -> Option<ValueId> {
        let text = super::shown(of);
        let Some(most) = seen.limit else {
            return self.fail(
                &seen.span,
                format!("{name} has to keep every value, and a flow may have any number"),
                match name {
                    "quantile" => {
                        format!("say how many are kept, as in quantile({text}, 0.9 first 64)")
                    }
                    _ => format!("say how many are kept, as in {name}({text} first 64)"),
                },
            );
        };
        let ty = self.ty(value);
        let kind = ty.kind.list()?;
        let id: AccumulatorId = self.accumulator(Accumulate::Values, Some(value), seen, most);
        let ty = Type {
            kind,
            most,
            is_nullable: false,
            ..ty
        };
        Some(self.graph.value(Node::Prefix(id, most), ty, seen.level))
    }

    pub(super) fn quantile(
        &mut self,
        name: &str,
        of: &Expr,
        at: f64,
        seen: &Seen,
        inner: Context,
    ) -> Option<ValueId> {
        let value = self.number_or_time(name, of, inner)?;
        let list = self.list(value, name, of, seen)?;
        let kind = self.kind(value).as_float();
        let is_nullable = !self.is_certain(value, seen);
        let ty = Type::new(kind).nullable(is_nullable);
        Some(self.node(Node::Quantile(list, at.to_bits()), ty, &[list]))
    }

    pub(super) fn distinct(
        &mut self,
        of: &Expr,
        most: &Expr,
        seen: &Seen,
        inner: Context,
    ) -> Option<ValueId> {
        let value = self.expr(of, inner)?;
        let kind = self.kind(value);
        if !kind.is_whole() {
            let message = format!("this is {}, and distinct is of whole numbers", kind.name());
            return self.fail(&of.span, message, "as in distinct(ttl, 16)");
        }
        let most = match self.place(most)? {
            0 => return self.fail(&most.span, "no values are told apart", "expected 1 or more"),
            most => most,
        };
        let id = self.accumulator(Accumulate::Distinct(most), Some(value), seen, 0);
        let ty = Type::whole(Kind::Integer, Interval::new(0, most.into()));
        Some(self.result(id, ty, seen))
    }

    pub(super) fn histogram(
        &mut self,
        of: &Expr,
        edges: &Expr,
        seen: &Seen,
        inner: Context,
    ) -> Option<ValueId> {
        let mut value = self.number_or_time("hist", of, inner)?;
        let wrong = "the edges do not fit";
        let ExprKind::List(items) = &edges.kind else {
            let label = "expected a list, as in hist(ip_size, [64, 1500])";
            return self.fail(&edges.span, wrong, label);
        };
        if items.is_empty() || items.len() > MAX_PAYLOAD as usize {
            return self.fail(
                &edges.span,
                wrong,
                format!("expected 1 to {MAX_PAYLOAD} edges"),
            );
        }
        let has_float = |item: &Expr| matches!(item.kind, ExprKind::Number(Number::Float(_)));
        if self.kind(value).is_number() && items.iter().any(has_float) {
            value = self.float_of(value);
        }
        let kind = self.kind(value);
        let mut all: Vec<i64> = Vec::new();
        let mut last = f64::NEG_INFINITY;
        for item in items {
            let edge = self.expr(item, inner)?;
            let number = match (self.graph.constant(edge), &item.kind) {
                (Some(number), _) => Some(number as f64),
                (None, ExprKind::Number(Number::Float(number))) => Some(*number),
                _ => None,
            };
            let has_unit = self.kind(edge).is_time() == kind.is_time();
            let Some(number) = number.filter(|_| has_unit) else {
                let label = match kind.is_time() {
                    true => "expected a time, such as 5ms",
                    false => "expected a number",
                };
                return self.fail(&item.span, wrong, label);
            };
            let exact = self.graph.constant(edge).filter(|_| kind.is_whole());
            let is_larger = match (exact, all.last()) {
                (Some(edge), Some(last)) => edge > *last,
                _ => number > last,
            };
            if !is_larger {
                return self.fail(&item.span, wrong, "expected a larger number than before");
            }
            last = number;
            all.push(exact.unwrap_or(number.to_bits() as i64));
        }
        let most = all.len() as u32 + 1;
        let id = self.accumulator(Accumulate::Histogram(all.into()), Some(value), seen, 0);
        let ty = Type {
            interval: Interval::new(0, u32::MAX.into()),
            ..Type::many(Kind::Integers, most)
        };
        Some(self.result(id, ty, seen))
    }
}

/// Returns the type of a sum of values. A sum of nothing is 0.
fn sum_type(of: Type) -> Type {
    Type {
        interval: match of.interval.low >= 0 {
            true => Interval::NATURAL,
            false => Interval::ALL,
        },
        is_nullable: false,
        ..of
    }
}
