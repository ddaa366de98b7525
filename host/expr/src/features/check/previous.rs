//! Values relative to the previous packet or run.

use super::super::ast::Expr;
use super::super::graph::{Binary, Level, Node, ValueId};
use super::super::types::{Interval, Kind, Type};
use super::{Checker, Context, Place};
use crate::ast::Comparison;
use crate::diagnostic::Span;

impl Checker {
    /// Returns the difference from the previous value.
    pub(super) fn delta(
        &mut self,
        of: ValueId,
        name: &str,
        span: &Span,
        cx: Context,
    ) -> Option<ValueId> {
        let before = self.before(of, name, span, cx)?;
        let ty = self.ty(of);
        let difference = match ty.kind {
            Kind::Instant => {
                // Times of packets do not decrease.
                Type::whole(Kind::Time, Interval::NATURAL)
            }
            Kind::Time | Kind::FloatTime | Kind::Float => Type::new(ty.kind),
            Kind::Integer => {
                let Some(interval) = ty.interval.subtract(ty.interval, false) else {
                    let label = "write delta(float(…))";
                    return self.fail(span, "the difference can need more than 64 bits", label);
                };
                Type::whole(Kind::Integer, interval)
            }
            kind => {
                let message = format!("{} has no difference", kind.name());
                return self.fail(span, message, "changed(x) is true where a value changes");
            }
        };
        let node = Node::Binary(Binary::Subtract, of, before);
        Some(self.node(node, difference.nullable(true), &[of, before]))
    }

    /// Returns the value of the previous packet or run.
    fn before(&mut self, of: ValueId, name: &str, span: &Span, cx: Context) -> Option<ValueId> {
        let Some(stream) = cx.relative else {
            return match cx.place {
                Place::Flow => self.fail(
                    span,
                    format!("'{name}' is of a packet, and a feature is of a flow"),
                    "say of which packets, as in mean(iat) in ms",
                ),
                _ => self.fail(
                    span,
                    format!(
                        "'{name}' is relative to the previous packet, which where has yet to select"
                    ),
                    format!(
                        "name it in a line before, as in let gap = {}",
                        example(name)
                    ),
                ),
            };
        };
        let ty = self.ty(of);
        if ty.kind.is_list() || ty.kind == Kind::Bytes {
            return self.fail(
                span,
                format!("{} of the previous packet is not kept", ty.kind.name()),
                "use a number, as in u32(payload, 0)",
            );
        }
        let node = Node::Previous { of, stream };
        let level = match cx.place {
            Place::Packet => Level::Packet,
            Place::Run(run) => Level::Run(run),
            Place::Flow => Level::Flow,
        };
        Some(self.graph.value(node, ty.nullable(true), level))
    }

    pub(super) fn previous(
        &mut self,
        name: &str,
        of: &Expr,
        span: &Span,
        cx: Context,
    ) -> Option<ValueId> {
        let value = self.expr(of, cx)?;
        match name {
            "delta" => self.delta(value, name, span, cx),
            "prev" => self.before(value, name, span, cx),
            _ => {
                let before = self.before(value, name, span, cx)?;
                let operation = Binary::Compare(Comparison::NotEqual);
                Some(self.boolean(operation, value, before))
            }
        }
    }
}

/// Returns an expression with a function, for a message.
fn example(name: &str) -> &'static str {
    match name {
        "iat" => "iat",
        "delta" => "delta(time)",
        "prev" => "prev(ip_size)",
        _ => "changed(direction)",
    }
}
