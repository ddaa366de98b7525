//! Operators.

use super::super::ast::{Expr, ExprKind, Member, Operator};
use super::super::graph::{Binary, Node, Unary, ValueId};
use super::super::types::{Interval, Kind, Type};
use super::{Checker, Context};
use crate::ast::Comparison;
use crate::diagnostic::Span;

impl Checker {
    pub(super) fn negate(&mut self, inner: &Expr, cx: Context) -> Option<ValueId> {
        let value = self.expr(inner, cx)?;
        let ty = self.ty(value);
        if !ty.kind.is_number() && !ty.kind.is_time() {
            let message = format!("{} has no sign", ty.kind.name());
            return self.fail(&inner.span, message, "only numbers and times have one");
        }
        let ty = Type {
            interval: ty.interval.negate(),
            ..ty
        };
        Some(self.node(Node::Unary(Unary::Negate, value), ty, &[value]))
    }

    pub(super) fn binary(
        &mut self,
        operator: Operator,
        left: &Expr,
        right: &Expr,
        span: &Span,
        cx: Context,
    ) -> Option<ValueId> {
        if matches!(operator, Operator::And | Operator::Or) {
            // Both sides are checked, so that the errors of both are reported.
            let (first, second) = (self.condition(left, cx), self.condition(right, cx));
            let operation = match operator {
                Operator::And => Binary::And,
                _ => Binary::Or,
            };
            return Some(self.boolean(operation, first?, second?));
        }
        if operator == Operator::Contains {
            return self.contains(left, right, cx);
        }
        let (first, second) = (self.expr(left, cx), self.expr(right, cx));
        let (first, second) = ((first?, left), (second?, right));
        match operator {
            Operator::Compare(comparison) => self.compare(comparison, first, second),
            Operator::Coalesce => self.coalesce(first, second),
            Operator::Add | Operator::Subtract => self.sum(operator, first, second, span),
            Operator::Multiply => self.product(first, second, span),
            Operator::Divide => self.quotient(first, second),
            _ => self.whole(operator, first, second),
        }
    }

    /// Returns a boolean that two values decide.
    pub(super) fn boolean(&mut self, operation: Binary, left: ValueId, right: ValueId) -> ValueId {
        let ty = Type::new(Kind::Boolean).nullable(self.any_nullable(&[left, right]));
        self.node(Node::Binary(operation, left, right), ty, &[left, right])
    }

    pub(super) fn compare(
        &mut self,
        comparison: Comparison,
        first: (ValueId, &Expr),
        second: (ValueId, &Expr),
    ) -> Option<ValueId> {
        let (left, right) = self.unify(first, second, "compared with")?;
        let kind = self.kind(left);
        if comparison.is_order() && matches!(kind, Kind::Boolean | Kind::Bytes) {
            let span = first.1.span.start..second.1.span.end;
            let message = format!("{} cannot be ordered", kind.name().trim_start_matches("a "));
            return self.fail(&span, message, "compare with == or !=");
        }
        Some(self.boolean(Binary::Compare(comparison), left, right))
    }

    fn contains(&mut self, left: &Expr, right: &Expr, cx: Context) -> Option<ValueId> {
        if left.kind == ExprKind::Name("payload".to_owned()) {
            let text = super::shown(right);
            return self.fail(
                &left.span,
                "how many bytes of the payload are searched is missing",
                format!("payload[:64] contains {text} asks for 64 bytes of each packet"),
            );
        }
        let (first, second) = (self.expr(left, cx), self.expr(right, cx));
        let (first, second) = (first?, second?);
        for (value, expr) in [(first, left), (second, right)] {
            if self.kind(value) != Kind::Bytes {
                let message = format!(
                    "this is {}, and only bytes are searched",
                    self.kind(value).name()
                );
                let label = "write it as in payload[:64] contains \"GET\"";
                return self.fail(&expr.span, message, label);
            }
        }
        Some(self.boolean(Binary::Contains, first, second))
    }

    fn coalesce(&mut self, first: (ValueId, &Expr), second: (ValueId, &Expr)) -> Option<ValueId> {
        let (left, right) = self.unify(first, second, "replaced by")?;
        let (a, b) = (self.ty(left), self.ty(right));
        let ty = Type {
            kind: a.kind,
            interval: a.interval.union(b.interval),
            is_nullable: a.is_nullable && b.is_nullable,
            most: a.most.max(b.most),
        };
        Some(self.node(
            Node::Binary(Binary::Coalesce, left, right),
            ty,
            &[left, right],
        ))
    }

    /// Returns the result of an operation, with an interval if it is whole.
    fn operation(
        &mut self,
        operation: Binary,
        (left, right): (ValueId, ValueId),
        kind: Kind,
        interval: Interval,
        can_fail: bool,
    ) -> ValueId {
        // A float that is no number or infinite becomes null.
        let can_fail = can_fail || !kind.is_whole();
        let ty =
            Type::whole(kind, interval).nullable(can_fail || self.any_nullable(&[left, right]));
        self.node(Node::Binary(operation, left, right), ty, &[left, right])
    }

    fn too_large<T>(&mut self, span: &Span, left: &Expr, symbol: &str, right: &Expr) -> Option<T> {
        let label = format!(
            "write float({}) {symbol} {}",
            super::shown(left),
            super::shown(right)
        );
        self.fail(span, "the result can need more than 64 bits", label)
    }

    fn sum(
        &mut self,
        operator: Operator,
        first: (ValueId, &Expr),
        second: (ValueId, &Expr),
        span: &Span,
    ) -> Option<ValueId> {
        let is_sum = operator == Operator::Add;
        let (a, b) = (self.kind(first.0), self.kind(second.0));
        let pair @ (left, right) = match (a, b) {
            (Kind::Instant, Kind::Instant) if !is_sum => (first.0, second.0),
            (Kind::Instant, _) | (_, Kind::Instant) => {
                return self.fail(
                    span,
                    "a point in time is not added, and only another one is subtracted",
                    "last(time) - first(time) is a time",
                );
            }
            _ => self.unify(
                first,
                second,
                if is_sum { "added to" } else { "combined with" },
            )?,
        };
        let kind = match self.kind(left) {
            Kind::Instant => Kind::Time,
            kind if kind.is_number() || kind.is_time() => kind,
            kind => {
                let message = format!("{} cannot be added or subtracted", kind.name());
                return self.fail(span, message, "only numbers and times can");
            }
        };
        let saturates = kind != Kind::Integer;
        let (low, high) = (self.ty(left).interval, self.ty(right).interval);
        let (operation, interval) = match is_sum {
            true => (Binary::Add, low.add(high, saturates)),
            false => (Binary::Subtract, low.subtract(high, saturates)),
        };
        match interval {
            Some(interval) => Some(self.operation(operation, pair, kind, interval, false)),
            None => self.too_large(span, first.1, operator.symbol(), second.1),
        }
    }

    fn product(
        &mut self,
        first: (ValueId, &Expr),
        second: (ValueId, &Expr),
        span: &Span,
    ) -> Option<ValueId> {
        let (a, b) = (self.kind(first.0), self.kind(second.0));
        let is_time = match (a, b) {
            _ if a.is_number() && b.is_number() => false,
            _ if (a.is_time() && b.is_number()) || (a.is_number() && b.is_time()) => true,
            _ => {
                let message = format!("{} and {} cannot be multiplied", a.name(), b.name());
                return self.fail(span, message, "numbers can, and a time by a number");
            }
        };
        let is_whole = a.is_whole() && b.is_whole();
        let pair = self.same_representation(first.0, second.0);
        let kind = match (is_time, is_whole) {
            (true, true) => Kind::Time,
            (true, false) => Kind::FloatTime,
            (false, true) => Kind::Integer,
            (false, false) => Kind::Float,
        };
        let (low, high) = (self.ty(pair.0).interval, self.ty(pair.1).interval);
        match low.multiply(high, kind != Kind::Integer) {
            Some(interval) => Some(self.operation(Binary::Multiply, pair, kind, interval, false)),
            None => self.too_large(span, first.1, "*", second.1),
        }
    }

    fn quotient(&mut self, first: (ValueId, &Expr), second: (ValueId, &Expr)) -> Option<ValueId> {
        let (a, b) = (self.kind(first.0), self.kind(second.0));
        let kind = match (a, b) {
            _ if a.is_number() && b.is_number() => Kind::Float,
            _ if a.is_time() && b.is_time() => Kind::Float,
            _ if a.is_time() && b.is_number() => Kind::FloatTime,
            _ if a.is_number() && b.is_time() => {
                let (left, right) = (super::shown(first.1), super::shown(second.1));
                return self.fail(
                    &second.1.span,
                    "a number cannot be divided by a time",
                    format!(
                        "write {left} / ({right} / 1s), or rate({left}) for the flow's duration"
                    ),
                );
            }
            _ => {
                let span = first.1.span.start..second.1.span.end;
                let message = format!("{} cannot be divided by {}", a.name(), b.name());
                return self.fail(&span, message, "numbers and times can be divided");
            }
        };
        let pair = (self.float_of(first.0), self.float_of(second.0));
        Some(self.operation(Binary::Divide, pair, kind, Interval::ALL, true))
    }

    /// Checks an operator of whole numbers.
    fn whole(
        &mut self,
        operator: Operator,
        first: (ValueId, &Expr),
        second: (ValueId, &Expr),
    ) -> Option<ValueId> {
        let symbol = operator.symbol();
        let pair @ (left, right) = (first.0, second.0);
        let (a, b) = (self.ty(left), self.ty(right));
        let span = first.1.span.start..second.1.span.end;
        let is_bits = matches!(operator, Operator::BitAnd | Operator::BitOr);
        let kind = match (a.kind, b.kind) {
            (Kind::Integer, Kind::Integer) => Kind::Integer,
            (Kind::Time, Kind::Time) if operator == Operator::FloorDivide => Kind::Integer,
            (Kind::Time, Kind::Time) if operator == Operator::Remainder => Kind::Time,
            (Kind::Time, Kind::Integer) if operator == Operator::FloorDivide => Kind::Time,
            (Kind::Boolean, Kind::Boolean) if is_bits => {
                let word = if symbol == "&" { "and" } else { "or" };
                let message = format!("{symbol} is for the bits of whole numbers");
                return self.fail(&span, message, format!("join conditions with {word}"));
            }
            (a, b) => {
                let message = format!(
                    "{symbol} is for whole numbers, not for {} and {}",
                    a.name(),
                    b.name()
                );
                let label = match is_bits {
                    true => "as in tcp_flags & 0x12",
                    false => "/ is the division of floats; floor(x, step) rounds",
                };
                return self.fail(&span, message, label);
            }
        };
        let (low, high) = (a.interval, b.interval);
        let (operation, interval) = match operator {
            Operator::FloorDivide => (Binary::FloorDivide, low.floor_divide(high)),
            Operator::Remainder => (Binary::Remainder, low.remainder(high)),
            Operator::BitAnd => (Binary::BitAnd, low.bit_and(high)),
            _ => (Binary::BitOr, low.bit_or(high)),
        };
        let can_fail = !is_bits && high.contains(0);
        Some(self.operation(operation, pair, kind, interval, can_fail))
    }

    /// Checks `value in {…}`, which is the same as comparisons that are joined with `or`.
    pub(super) fn is_in(&mut self, of: &Expr, members: &[Member], cx: Context) -> Option<ValueId> {
        let value = self.expr(of, cx)?;
        let mut whole = None;
        for (low, high) in members {
            let first = self.expr(low, cx)?;
            let test = match high {
                None => self.compare(Comparison::Equal, (value, of), (first, low))?,
                Some(high) => {
                    let last = self.expr(high, cx)?;
                    if let (Some(first), Some(last)) =
                        (self.graph.constant(first), self.graph.constant(last))
                        && first > last
                    {
                        let span = low.span.start..high.span.end;
                        let label = "write the smaller number first";
                        return self.fail(&span, "the range is empty", label);
                    }
                    let above =
                        self.compare(Comparison::GreaterOrEqual, (value, of), (first, low))?;
                    let below = self.compare(Comparison::LessOrEqual, (value, of), (last, high))?;
                    self.boolean(Binary::And, above, below)
                }
            };
            whole = Some(match whole {
                Some(before) => self.boolean(Binary::Or, before, test),
                None => test,
            });
        }
        whole
    }
}
