//! Conversions between whole numbers and floats, and of values to one kind.

use super::super::ast::{Expr, ExprKind};
use super::super::graph::{Node, Unary, ValueId};
use super::super::types::{Kind, Type};
use super::Checker;
use crate::ast::Number;

impl Checker {
    /// Returns a number or a time as a float.
    pub(super) fn float_of(&mut self, value: ValueId) -> ValueId {
        let ty = self.ty(value);
        match ty.kind {
            Kind::Float | Kind::FloatTime => value,
            kind => {
                let ty = Type {
                    kind: kind.as_float(),
                    ..ty
                };
                self.node(Node::Unary(Unary::ToFloat, value), ty, &[value])
            }
        }
    }

    /// Returns two values with one representation: if one is a float, both are.
    pub(super) fn same_representation(
        &mut self,
        left: ValueId,
        right: ValueId,
    ) -> (ValueId, ValueId) {
        match self.kind(left).is_whole() && self.kind(right).is_whole() {
            true => (left, right),
            false => (self.float_of(left), self.float_of(right)),
        }
    }

    /// Returns two values with one kind and one representation. Reports kinds that do not fit.
    pub(super) fn unify(
        &mut self,
        (left, first): (ValueId, &Expr),
        (right, second): (ValueId, &Expr),
        verb: &str,
    ) -> Option<(ValueId, ValueId)> {
        let (a, b) = (self.kind(left), self.kind(right));
        match (a, b) {
            (Kind::Boolean, Kind::Boolean)
            | (Kind::Bytes, Kind::Bytes)
            | (Kind::Instant, Kind::Instant) => Some((left, right)),
            _ if (a.is_number() && b.is_number()) || (a.is_time() && b.is_time()) => {
                Some(self.same_representation(left, right))
            }
            _ if a.is_time() && b.is_number() => {
                let right = self.number_for_time(right, second, first, verb)?;
                Some(self.same_representation(left, right))
            }
            _ if a.is_number() && b.is_time() => {
                let left = self.number_for_time(left, first, second, verb)?;
                Some(self.same_representation(left, right))
            }
            _ => {
                let span = first.span.start..second.span.end;
                let label = match (a, b) {
                    (Kind::Boolean, _) | (_, Kind::Boolean) => {
                        "a boolean stands alone, as in count(where syn)"
                    }
                    (Kind::Bytes, _) | (_, Kind::Bytes) => {
                        "bytes are written as \"GET\" or x\"160301\""
                    }
                    (Kind::Instant, _) | (_, Kind::Instant) => {
                        "a difference of two points in time is a time, as in last(time) - first(time)"
                    }
                    _ => "both need the same type",
                };
                let message = format!("{} cannot be {verb} {}", a.name(), b.name());
                self.fail(&span, message, label)
            }
        }
    }

    /// Returns the time that a number beside a time stands for, which only 0 does.
    fn number_for_time(
        &mut self,
        number: ValueId,
        expr: &Expr,
        time: &Expr,
        verb: &str,
    ) -> Option<ValueId> {
        match expr.kind {
            ExprKind::Number(Number::Integer(0)) => Some(self.time(0)),
            ExprKind::Number(_) => {
                let text = expr.to_string();
                self.fail(
                    &expr.span,
                    format!("a time cannot be {verb} a number without a unit"),
                    format!("{text} what? write {text}us, {text}ms or {text}s"),
                )
            }
            _ => {
                let kind = self.kind(number);
                self.fail(
                    &expr.span,
                    format!(
                        "this is {}, and '{}' is a time",
                        kind.name(),
                        super::shown(time)
                    ),
                    "multiply it by a unit, as in index * 1ms",
                )
            }
        }
    }
}
