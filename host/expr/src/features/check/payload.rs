//! Bytes of payloads, and parts of bytes and lists.

use super::super::ast::{Expr, ExprKind};
use super::super::graph::{Level, Live, Node, ValueId};
use super::super::types::{Interval, Kind, Type};
use super::{Checker, Context, Place};
use crate::diagnostic::Span;

/// The maximum number of payload bytes of a packet.
pub(super) const MAX_PAYLOAD: u32 = 65_535;

pub(super) fn is_payload(expr: &Expr) -> bool {
    expr.kind == ExprKind::Name("payload".to_owned())
}

impl Checker {
    /// Notes the place of a value that reads payloads.
    pub(super) fn reads_payload(&mut self, value: ValueId, span: &Span) -> ValueId {
        self.payload.push((value, span.clone()));
        value
    }

    /// Returns the maximum number of payload bytes that the outputs read, and where the text asks for them.
    pub(super) fn payload(&self, live: &Live) -> Option<(u32, Span)> {
        let mut most: Option<(u32, Span)> = None;
        for (value, span) in self
            .payload
            .iter()
            .filter(|(value, _)| live.values[value.0])
        {
            let bytes = self.graph.values[value.0].node.payload_bytes();
            if bytes > 0 && most.as_ref().is_none_or(|(most, _)| *most < bytes) {
                most = Some((bytes, span.clone()));
            }
        }
        most
    }

    /// Returns a constant from 0 to the maximum payload.
    pub(super) fn place(&mut self, expr: &Expr) -> Option<u32> {
        let cx = Context {
            place: Place::Flow,
            relative: None,
        };
        let value = self.expr(expr, cx)?;
        let number = self.graph.constant(value);
        match number.filter(|_| self.kind(value) == Kind::Integer) {
            Some(number) if (0..=i64::from(MAX_PAYLOAD)).contains(&number) => Some(number as u32),
            _ => self.fail(
                &expr.span,
                "this is no place in bytes",
                format!("expected a number from 0 to {MAX_PAYLOAD}"),
            ),
        }
    }

    fn require_payload(&mut self, of: &Expr, span: &Span, place: Place) -> Option<()> {
        if !is_payload(of) {
            return self.fail(
                &of.span,
                "this is not the payload",
                "write payload, as in u16(payload, 4)",
            );
        }
        match place {
            Place::Packet => Some(()),
            _ => self.fail(
                span,
                "the payload is of a packet, and a feature is of a flow",
                "say of which packets, as in first(payload[0]) or head(payload, 16)",
            ),
        }
    }

    pub(super) fn element(
        &mut self,
        of: &Expr,
        index: &Expr,
        span: &Span,
        cx: Context,
    ) -> Option<ValueId> {
        if is_payload(of) {
            self.require_payload(of, span, cx.place)?;
            let at = self.place(index)?;
            let ty = Type::whole(Kind::Integer, Interval::new(0, 255)).nullable(true);
            let value = self.graph.value(Node::PayloadByte(at), ty, Level::Packet);
            return Some(self.reads_payload(value, span));
        }
        let value = self.expr(of, cx)?;
        let at = self.place(index)?;
        let ty = self.ty(value);
        let Some(kind) = ty.kind.element() else {
            let message = format!("{} has no parts", ty.kind.name());
            return self.fail(&of.span, message, "bytes and lists have them");
        };
        let interval = match ty.kind {
            Kind::Bytes => Interval::new(0, 255),
            _ => ty.interval,
        };
        let part = Type::whole(kind, interval).nullable(true);
        Some(self.node(Node::Element(value, at), part, &[value]))
    }

    pub(super) fn slice(
        &mut self,
        of: &Expr,
        from: Option<&Expr>,
        to: Option<&Expr>,
        span: &Span,
        cx: Context,
    ) -> Option<ValueId> {
        let start = match from {
            Some(from) => self.place(from)?,
            None => 0,
        };
        let Some(to) = to else {
            return self.fail(
                span,
                "where the part ends is missing",
                format!("write {}[{start}:{}]", super::shown(of), start + 16),
            );
        };
        let end = self.place(to)?;
        if start >= end {
            return self.fail(span, "the part is empty", "write the smaller number first");
        }
        if is_payload(of) {
            self.require_payload(of, span, cx.place)?;
            let ty = Type::many(Kind::Bytes, end - start).nullable(true);
            let node = Node::PayloadSlice(start, end);
            let value = self.graph.value(node, ty, Level::Packet);
            return Some(self.reads_payload(value, span));
        }
        let value = self.expr(of, cx)?;
        let ty = self.ty(value);
        if ty.kind != Kind::Bytes && !ty.kind.is_list() {
            let message = format!("{} has no parts", ty.kind.name());
            return self.fail(&of.span, message, "bytes and lists have them");
        }
        let ty = Type {
            most: (end - start).min(ty.most),
            ..ty
        };
        Some(self.node(Node::Slice(value, start, end), ty, &[value]))
    }

    pub(super) fn payload_number(
        &mut self,
        name: &str,
        of: &Expr,
        at: &Expr,
        span: &Span,
        cx: Context,
    ) -> Option<ValueId> {
        self.require_payload(of, span, cx.place)?;
        let at = self.place(at)?;
        let (bytes, high) = match name {
            "u16" => (2, i64::from(u16::MAX)),
            _ => (4, i64::from(u32::MAX)),
        };
        let ty = Type::whole(Kind::Integer, Interval::new(0, high)).nullable(true);
        let node = Node::PayloadNumber { at, bytes };
        let value = self.graph.value(node, ty, Level::Packet);
        Some(self.reads_payload(value, span))
    }

    pub(super) fn payload_starts(
        &mut self,
        of: &Expr,
        with: &Expr,
        span: &Span,
        cx: Context,
    ) -> Option<ValueId> {
        self.require_payload(of, span, cx.place)?;
        let bytes: &[u8] = match &with.kind {
            ExprKind::Text(text) => text.as_bytes(),
            ExprKind::Bytes(bytes) => bytes,
            _ => {
                return self.fail(
                    &with.span,
                    "the start of the payload is no literal",
                    "expected \"GET \" or x\"1603\"",
                );
            }
        };
        if bytes.len() > MAX_PAYLOAD as usize {
            let label = format!("at most {MAX_PAYLOAD} are accepted");
            return self.fail(
                &with.span,
                format!("the start has {} bytes", bytes.len()),
                label,
            );
        }
        let (node, ty) = (Node::PayloadStarts(bytes.into()), Type::new(Kind::Boolean));
        let value = self.graph.value(node, ty, Level::Packet);
        Some(self.reads_payload(value, &of.span))
    }
}
