//! Aggregates: the packets or runs that they see, and what they compute.

use super::super::ast::{Call, Direction, Expr, ExprKind};
use super::super::graph::{
    ALL_PACKETS, Accumulate, Accumulator, AccumulatorId, Binary, Level, Node, Stream, StreamId,
    ValueId,
};
use super::super::types::{Interval, Kind, Type};
use super::payload::MAX_PAYLOAD;
use super::{Checker, Context, Place};
use crate::diagnostic::Span;

/// The packets or runs that an aggregate sees.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) stream: StreamId,
    /// The number of `first N`.
    pub(super) limit: Option<u32>,
    /// The level of the result.
    pub(super) level: Level,
    /// Whether there is at least one packet.
    pub(super) is_certain: bool,
    /// The place of the call.
    pub(super) span: Span,
}

/// Returns the number of values that an aggregate needs.
fn needed(name: &str) -> usize {
    match name {
        "count" | "duration" => 0,
        "corr" | "distinct" | "head" | "hist" | "nth" | "quantile" => 2,
        _ => 1,
    }
}

/// Divides arguments into values and scopes. A direction is a scope unless a value is still missing.
fn divided<'a>(name: &str, arguments: &'a [Expr]) -> (Vec<&'a Expr>, Vec<(Direction, &'a Expr)>) {
    let scope = |expr: &Expr| match &expr.kind {
        ExprKind::Name(name) => Direction::by_name(name),
        _ => None,
    };
    let certain = arguments
        .iter()
        .filter(|expr| scope(expr).is_none())
        .count();
    let mut missing = needed(name).saturating_sub(certain);
    let (mut values, mut scopes) = (Vec::new(), Vec::new());
    for expr in arguments {
        match scope(expr) {
            Some(direction) if missing == 0 => scopes.push((direction, expr)),
            Some(_) => {
                missing -= 1;
                values.push(expr);
            }
            None => values.push(expr),
        }
    }
    (values, scopes)
}

impl Checker {
    pub(super) fn aggregate(&mut self, call: &Call, span: &Span, cx: Context) -> Option<ValueId> {
        let name = call.name.text.as_str();
        if cx.place == Place::Packet {
            return self.fail(
                span,
                format!("{name} is of a flow, and a value of a packet is expected here"),
                "an aggregate cannot stand inside another; runs have aggregates of their own, with per",
            );
        }
        let (values, scopes) = divided(name, &call.arguments);
        if let [_, (_, second), ..] = scopes.as_slice() {
            let label = "give one; without a direction, packets of both are seen";
            return self.fail(&second.span, "two directions are given", label);
        }
        let scope = scopes.first().map(|(direction, _)| *direction);
        let limit = match call.first {
            Some(first) if first > i64::from(MAX_PAYLOAD) => {
                let label = format!("at most {MAX_PAYLOAD} are accepted");
                return self.fail(span, format!("first {first} is too large"), label);
            }
            first => first.map(|first| first as u32),
        };
        let (stream, inner) = self.seen(call, scope, span, cx)?;
        let level = match cx.place {
            Place::Run(run) => Level::Run(run),
            _ => Level::Flow,
        };
        let is_certain = match &self.graph.streams[stream.0] {
            Stream::RunPackets { scope, filter, .. } => scope.is_none() && filter.is_none(),
            _ => stream == ALL_PACKETS,
        };
        let seen = Seen {
            stream,
            limit,
            level,
            is_certain,
            span: span.clone(),
        };
        self.computed(name, &values, seen, inner)
    }

    /// Returns the stream of an aggregate, and the context of its values.
    fn seen(
        &mut self,
        call: &Call,
        scope: Option<Direction>,
        span: &Span,
        cx: Context,
    ) -> Option<(StreamId, Context)> {
        let place = match (&call.per, cx.place) {
            (None, _) => Place::Packet,
            (Some(name), Place::Flow) => match self.runs.get(&name.text).copied() {
                Some(run) => Place::Run(run?),
                None => {
                    let known: Vec<String> = self.runs.keys().cloned().collect();
                    let known = known.iter().map(String::as_str);
                    let label = match super::super::names::nearest(&name.text, known) {
                        Some(nearest) => format!("did you mean '{nearest}'?"),
                        None => format!(
                            "name them before, as in runs {} = break when iat > 1s",
                            name.text
                        ),
                    };
                    return self.fail(
                        &name.span,
                        format!("there are no runs '{}'", name.text),
                        label,
                    );
                }
            },
            (Some(name), _) => {
                let label = "there is one level of runs";
                return self.fail(
                    &name.span,
                    "an aggregate per run cannot contain another",
                    label,
                );
            }
        };
        let within = |relative| Context { place, relative };
        let filter = match &call.filter {
            Some(filter) => Some(self.condition(filter, within(None))?),
            None => None,
        };
        let stream = match (place, cx.place) {
            (Place::Run(run), _) if scope.is_none() => Stream::Runs { run, filter },
            (Place::Run(_), _) => {
                let label = "write the direction in the aggregate of each run, or behind runs";
                return self.fail(span, "runs have no direction", label);
            }
            (_, Place::Run(run)) => Stream::RunPackets { run, scope, filter },
            _ => Stream::Packets { scope, filter },
        };
        let stream = self.graph.stream(stream);
        Some((stream, within(Some(stream))))
    }

    fn computed(
        &mut self,
        name: &str,
        values: &[&Expr],
        seen: Seen,
        inner: Context,
    ) -> Option<ValueId> {
        match (name, values) {
            ("count", []) => Some(self.count(None, &seen)),
            ("count", [of]) => self.count_of(of, seen, inner),
            ("duration", []) if matches!(inner.place, Place::Packet) => Some(self.duration(&seen)),
            ("head", [of, most]) => self.head(of, most, &seen, inner),
            ("share" | "any" | "all", [of]) => {
                let value = self.boolean_of(name, of, inner)?;
                Some(self.of_booleans(name, value, &seen))
            }
            ("first" | "last", [of]) => {
                let value = self.expr(of, inner)?;
                let what = match name {
                    "first" => Accumulate::First,
                    _ => Accumulate::Last,
                };
                self.kept(what, value, of, &seen)
            }
            ("nth", [of, number]) => {
                let value = self.expr(of, inner)?;
                match self.place(number)? {
                    0 => self.fail(
                        &number.span,
                        "values are counted from 1",
                        "expected 1 or more",
                    ),
                    number => self.kept(Accumulate::Nth(number), value, of, &seen),
                }
            }
            ("list", [of]) => {
                let value = self.number_or_time(name, of, inner)?;
                self.list(value, name, of, &seen)
            }
            ("median", [of]) => self.quantile(name, of, 0.5, &seen, inner),
            ("quantile", [of, at]) => match at.kind {
                ExprKind::Number(crate::ast::Number::Float(at @ 0.0..=1.0)) => {
                    self.quantile(name, of, at, &seen, inner)
                }
                ExprKind::Number(crate::ast::Number::Integer(at @ 0..=1)) => {
                    self.quantile(name, of, at as f64, &seen, inner)
                }
                _ => self.fail(
                    &at.span,
                    "this is no quantile",
                    "expected a number from 0 to 1",
                ),
            },
            ("distinct", [of, most]) => self.distinct(of, most, &seen, inner),
            ("distinct", [of]) => self.fail(
                &seen.span,
                "distinct has to keep the values, and a flow may have any number",
                format!(
                    "give the most that are told apart, as in distinct({}, 16)",
                    super::shown(of)
                ),
            ),
            ("hist", [of, edges]) => self.histogram(of, edges, &seen, inner),
            ("corr", [first, second]) => {
                let first = self.number_or_time(name, first, inner);
                let second = self.number_or_time(name, second, inner);
                Some(self.correlation(first?, second?, &seen))
            }
            (
                "sum" | "mean" | "min" | "max" | "variance" | "variance_pop" | "stddev"
                | "stddev_pop" | "skew" | "kurtosis",
                [of],
            ) => self.statistic(name, of, &seen, inner),
            _ => {
                let span = seen.span.clone();
                self.wrong_arguments(name, &span)
            }
        }
    }

    /// Returns an accumulator over what an aggregate sees.
    pub(super) fn accumulator(
        &mut self,
        what: Accumulate,
        value: Option<ValueId>,
        seen: &Seen,
        capacity: u32,
    ) -> AccumulatorId {
        // What keeps a number of values needs no other limit.
        let limit = match what {
            Accumulate::Values | Accumulate::Head => None,
            _ => seen.limit,
        };
        let accumulator = Accumulator {
            what,
            value,
            stream: seen.stream,
            limit,
        };
        let known = self.graph.capacities.len();
        let (id, is_larger) = self.graph.accumulator(accumulator, capacity);
        match is_larger {
            _ if known <= id.0 => self.spans.push(seen.span.clone()),
            // The call that needs the most is shown.
            true => self.spans[id.0] = seen.span.clone(),
            false => {}
        }
        id
    }

    pub(super) fn result(&mut self, id: AccumulatorId, ty: Type, seen: &Seen) -> ValueId {
        self.graph.value(Node::Accumulated(id), ty, seen.level)
    }

    /// Returns whether an aggregate of these values has at least one of them.
    pub(super) fn is_certain(&self, value: ValueId, seen: &Seen) -> bool {
        seen.is_certain && !self.ty(value).is_nullable
    }

    /// Returns the accumulator that counts the values.
    pub(super) fn counter(&mut self, value: Option<ValueId>, seen: &Seen) -> AccumulatorId {
        let value = value.filter(|&value| self.ty(value).is_nullable);
        self.accumulator(Accumulate::Count, value, seen, 0)
    }

    pub(super) fn count(&mut self, value: Option<ValueId>, seen: &Seen) -> ValueId {
        let id = self.counter(value, seen);
        self.result(id, count_type(), seen)
    }

    fn count_of(&mut self, of: &Expr, mut seen: Seen, inner: Context) -> Option<ValueId> {
        let value = self.expr(of, inner)?;
        if self.kind(value) != Kind::Boolean {
            // Of runs, those that have a value are counted.
            return match inner.place {
                Place::Run(_) => Some(self.count(Some(value), &seen)),
                _ => self.fail(
                    &of.span,
                    format!(
                        "this is {}, and count has a condition",
                        self.kind(value).name()
                    ),
                    "write count() for all packets, or count(where …)",
                ),
            };
        }
        if seen.limit.is_some() {
            let id = self.accumulator(Accumulate::CountTrue, Some(value), &seen, 0);
            return Some(self.result(id, count_type(), &seen));
        }
        // The same as a condition behind where.
        let filtered = |this: &mut Self, filter: Option<ValueId>| match filter {
            Some(filter) => this.boolean(Binary::And, filter, value),
            None => value,
        };
        let mut stream = self.graph.streams[seen.stream.0].clone();
        match &mut stream {
            Stream::Packets { filter, .. }
            | Stream::RunPackets { filter, .. }
            | Stream::Runs { filter, .. } => *filter = Some(filtered(self, *filter)),
        }
        seen.stream = self.graph.stream(stream);
        Some(self.count(None, &seen))
    }

    /// Returns the quotient of a sum and a count.
    pub(super) fn divided(
        &mut self,
        sum: ValueId,
        count: ValueId,
        kind: Kind,
        is_nullable: bool,
    ) -> ValueId {
        let (sum, count) = (self.float_of(sum), self.float_of(count));
        let ty = Type::new(kind).nullable(is_nullable);
        self.node(Node::Binary(Binary::Divide, sum, count), ty, &[sum, count])
    }
}

/// Returns the type of counts, which stop at 2^32 − 1.
pub(super) fn count_type() -> Type {
    Type::whole(Kind::Integer, Interval::new(0, u32::MAX.into()))
}
