//! Aggregates that keep conditions, single values, times or payload bytes.

use super::super::ast::Expr;
use super::super::graph::{ALL_PACKETS, Accumulate, Binary, Level, Node, ValueId};
use super::super::types::{Interval, Kind, Type};
use super::aggregates::{Seen, count_type};
use super::payload::is_payload;
use super::{Checker, Context, Place};

impl Checker {
    pub(super) fn boolean_of(&mut self, name: &str, of: &Expr, inner: Context) -> Option<ValueId> {
        let value = self.expr(of, inner)?;
        match self.kind(value) {
            Kind::Boolean => Some(value),
            kind => self.fail(
                &of.span,
                format!("this is {}, and {name} has a condition", kind.name()),
                format!("compare it, as in {name}(ip_size > 1000)"),
            ),
        }
    }

    pub(super) fn of_booleans(&mut self, name: &str, value: ValueId, seen: &Seen) -> ValueId {
        let what = match name {
            "any" => Accumulate::Any,
            "all" => Accumulate::All,
            _ => {
                let id = self.accumulator(Accumulate::CountTrue, Some(value), seen, 0);
                let trues = self.result(id, count_type(), seen);
                let all = self.count(Some(value), seen);
                let is_nullable = !self.is_certain(value, seen);
                return self.divided(trues, all, Kind::Float, is_nullable);
            }
        };
        let id = self.accumulator(what, Some(value), seen, 0);
        self.result(id, Type::new(Kind::Boolean), seen)
    }

    /// Checks `first`, `last` and `nth`.
    pub(super) fn kept(
        &mut self,
        what: Accumulate,
        value: ValueId,
        of: &Expr,
        seen: &Seen,
    ) -> Option<ValueId> {
        let ty = self.ty(value);
        if ty.kind.is_list() {
            let label = "use a number, a time, a flag or bytes";
            return self.fail(&of.span, format!("{} is not kept", ty.kind.name()), label);
        }
        let is_first = !matches!(what, Accumulate::Nth(2..));
        let is_certain = is_first && self.is_certain(value, seen);
        let id = self.accumulator(what, Some(value), seen, 0);
        Some(self.result(id, ty.nullable(!is_certain), seen))
    }

    pub(super) fn duration(&mut self, seen: &Seen) -> ValueId {
        let time = self.capture_time();
        let is_nullable = !self.is_certain(time, seen);
        let [first, last] = [Accumulate::First, Accumulate::Last].map(|what| {
            let id = self.accumulator(what, Some(time), seen, 0);
            let ty = self.ty(time).nullable(is_nullable);
            self.result(id, ty, seen)
        });
        // Times of packets do not decrease.
        let ty = Type::whole(Kind::Time, Interval::NATURAL).nullable(is_nullable);
        self.node(
            Node::Binary(Binary::Subtract, last, first),
            ty,
            &[last, first],
        )
    }

    /// Returns what sees all packets of the flow.
    fn all_packets(&self) -> Seen {
        Seen {
            stream: ALL_PACKETS,
            limit: None,
            level: Level::Flow,
            is_certain: true,
            span: 0..0,
        }
    }

    pub(super) fn flow_duration(&mut self) -> ValueId {
        let seen = self.all_packets();
        self.duration(&seen)
    }

    /// Adds the state that `age` needs.
    pub(super) fn first_time(&mut self) {
        let (seen, time) = (self.all_packets(), self.capture_time());
        self.accumulator(Accumulate::First, Some(time), &seen, 0);
    }

    /// Adds the state that `index` needs.
    pub(super) fn count_of_packets(&mut self) {
        let seen = self.all_packets();
        self.accumulator(Accumulate::Count, None, &seen, 0);
    }

    pub(super) fn head(
        &mut self,
        of: &Expr,
        most: &Expr,
        seen: &Seen,
        inner: Context,
    ) -> Option<ValueId> {
        if !is_payload(of) || inner.place != Place::Packet {
            let label = "write head(payload, 16)";
            return self.fail(&of.span, "head is of the payload of packets", label);
        }
        let most = match self.place(most)? {
            0 => return self.fail(&most.span, "no bytes are kept", "expected 1 or more"),
            most => most,
        };
        if seen.limit.is_some() {
            let label = "write where index <= 3 to see the first three packets";
            return self.fail(&seen.span, "head has no first", label);
        }
        let id = self.accumulator(Accumulate::Head, None, seen, most);
        let ty = Type::many(Kind::Bytes, most);
        let value = self.graph.value(Node::Prefix(id, most), ty, seen.level);
        Some(self.reads_payload(value, &seen.span))
    }
}
