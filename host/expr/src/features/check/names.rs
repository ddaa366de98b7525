//! The meaning of names.

use flowloom_core::fields::FEATURES;

use super::super::ast::{Direction, Expr, ExprKind};
use super::super::foreign::foreign_name;
use super::super::graph::{Binary, Level, Node, ValueId};
use super::super::names::{flow_names, is_aggregate, nearest, packet_field, packet_names};
use super::super::types::{Interval, Kind, LARGEST, Type};
use super::{Checker, Context, Place};
use crate::ast::Comparison;
use crate::diagnostic::Span;

impl Checker {
    pub(super) fn name(&mut self, name: &str, span: &Span, cx: Context) -> Option<ValueId> {
        if let Some(bound) = self.lets.get(name).copied() {
            return self.bound(bound?, name, span, cx);
        }
        if cx.place == Place::Flow
            && let Some((index, ty)) = Type::of_flow_field(name)
        {
            return Some(self.graph.value(Node::FlowField(index), ty, Level::Flow));
        }
        let is_of_packets = packet_names().any(|known| known == name);
        match cx.place {
            Place::Packet if is_of_packets => self.of_packet(name, span, cx),
            _ if is_of_packets => self.needs_aggregate(name, span, cx),
            _ if flow_names().any(|known| known == name) => self.fail(
                span,
                format!(
                    "'{name}' is of a flow, and {} is expected here",
                    expected(cx.place)
                ),
                "flow fields stand outside of aggregates",
            ),
            _ => self.unknown(name, span, cx),
        }
    }

    /// Returns the value of a `let`, if it has the level that is expected.
    fn bound(&mut self, value: ValueId, name: &str, span: &Span, cx: Context) -> Option<ValueId> {
        match (self.graph.level(value), cx.place) {
            (Level::Constant, _) | (Level::Packet, Place::Packet) | (Level::Flow, Place::Flow) => {
                Some(value)
            }
            (Level::Run(run), Place::Run(place)) if run == place => Some(value),
            (Level::Packet, _) => self.needs_aggregate(name, span, cx),
            _ => self.fail(
                span,
                format!(
                    "'{name}' is of a flow, and {} is expected here",
                    expected(cx.place)
                ),
                "an aggregate cannot contain the value of a flow",
            ),
        }
    }

    fn of_packet(&mut self, name: &str, span: &Span, cx: Context) -> Option<ValueId> {
        let whole = |kind, low| Type::whole(kind, Interval::new(low, LARGEST));
        let (node, ty) = match name {
            "time" => return Some(self.capture_time()),
            "iat" => {
                let time = self.capture_time();
                return self.delta(time, "iat", span, cx);
            }
            "index" => {
                let interval = Interval::new(1, u32::MAX.into());
                // The number of packets so far is in the state.
                self.count_of_packets();
                (Node::Index, Type::whole(Kind::Integer, interval))
            }
            "age" => {
                self.first_time();
                (Node::Age, whole(Kind::Time, 0))
            }
            "payload" => {
                return self.fail(
                    span,
                    "how many bytes of the payload are meant is missing",
                    "write payload[:64] for the first 64 bytes of each packet",
                );
            }
            _ => {
                if let Some(direction) = Direction::by_name(name) {
                    return self.is_direction(direction);
                }
                let (index, ty) = Type::of_packet_field(name)?;
                (Node::Field(index), ty)
            }
        };
        Some(self.graph.value(node, ty, Level::Packet))
    }

    /// Returns the time of a packet.
    pub(super) fn capture_time(&mut self) -> ValueId {
        let index = packet_field("time_ns").map_or(0, |(index, _)| index);
        let ty = Type::whole(Kind::Instant, Interval::NATURAL);
        self.graph.value(Node::Field(index), ty, Level::Packet)
    }

    fn is_direction(&mut self, direction: Direction) -> Option<ValueId> {
        let (index, ty) = Type::of_packet_field("direction")?;
        let field = self.graph.value(Node::Field(index), ty, Level::Packet);
        let number = self.integer(direction.number().into());
        let node = Node::Binary(Binary::Compare(Comparison::Equal), field, number);
        Some(
            self.graph
                .value(node, Type::new(Kind::Boolean), Level::Packet),
        )
    }

    /// Reports a value of packets where a value of a run or of a flow is expected.
    fn needs_aggregate<T>(&mut self, name: &str, span: &Span, cx: Context) -> Option<T> {
        let bound = self.lets.get(name).copied().flatten();
        let kind = match bound {
            Some(value) => self.kind(value),
            None => match Type::of_packet_field(name) {
                Some((_, ty)) => ty.kind,
                None if Direction::by_name(name).is_some() => Kind::Boolean,
                None => Kind::Integer,
            },
        };
        let example = match (name, kind) {
            ("payload", _) => "head(payload, 16)".to_owned(),
            ("time", _) => "last(time) - first(time)".to_owned(),
            (_, Kind::Boolean) => format!("count({name})"),
            _ => format!("max({name})"),
        };
        let whose = match cx.place {
            Place::Flow => "a feature is of a flow",
            _ => "a value of each run is expected",
        };
        self.fail(
            span,
            format!("'{name}' is of a packet, and {whose}"),
            format!("say of which packets, as in {example}"),
        )
    }

    fn unknown<T>(&mut self, name: &str, span: &Span, cx: Context) -> Option<T> {
        let what = match cx.place {
            Place::Flow => "flow field",
            _ => "packet field",
        };
        let message = format!("there is no {what} '{name}'");
        if let Some(label) = foreign_name(name) {
            return self.fail(span, message, label);
        }
        if self.runs.contains_key(name) {
            let label = format!("write a value of each run, as in count() per {name}");
            return self.fail(
                span,
                format!("'{name}' is the name of runs, not a value"),
                label,
            );
        }
        if self.outputs.iter().any(|output| output.name == name) {
            return self.fail(
                span,
                format!("'{name}' is a feature, and a feature cannot use another"),
                format!("name its expression: let {name}_value = …"),
            );
        }
        if super::super::names::form(name).is_some() {
            let form = super::super::names::form(name).unwrap_or(name);
            return self.fail(
                span,
                format!("'{name}' is a function"),
                format!("write {form}"),
            );
        }
        if packet_field(name).is_some() {
            return self.fail(
                span,
                format!("the packet field '{name}' is a text, which features do not have"),
                "use a number or a flag",
            );
        }
        if FEATURES.iter().any(|feature| feature.name == name) {
            return self.fail(
                span,
                format!("the flow field '{name}' is neither a number nor a flag"),
                "features have numbers and flags only",
            );
        }
        let mut known: Vec<String> = self.lets.keys().cloned().collect();
        known.extend(packet_names().map(str::to_owned));
        if cx.place == Place::Flow {
            known.extend(flow_names().map(str::to_owned));
        }
        let similar = nearest(name, known.iter().map(String::as_str));
        let label = match similar {
            Some(similar) => format!("did you mean '{similar}'?"),
            None => "the fields are listed in docs/plugin-reference.md".to_owned(),
        };
        self.fail(span, message, label)
    }

    /// Returns whether an expression contains a value of a flow.
    pub(super) fn is_of_flow(&self, expr: &Expr) -> bool {
        let any = |all: &[Expr]| all.iter().any(|expr| self.is_of_flow(expr));
        let optional =
            |part: &Option<Box<Expr>>| part.as_ref().is_some_and(|part| self.is_of_flow(part));
        match &expr.kind {
            ExprKind::Name(name) => match self.lets.get(name) {
                Some(Some(value)) => self.graph.level(*value) == Level::Flow,
                Some(None) => false,
                None => {
                    !packet_names().any(|known| known == name)
                        && flow_names().any(|known| known == name)
                }
            },
            ExprKind::Boolean(_)
            | ExprKind::Number(_)
            | ExprKind::Time(..)
            | ExprKind::Text(_)
            | ExprKind::Bytes(_) => false,
            ExprKind::List(items) => any(items),
            ExprKind::Negate(inner) | ExprKind::Not(inner) => self.is_of_flow(inner),
            ExprKind::Binary(_, left, right) | ExprKind::Element(left, right) => {
                self.is_of_flow(left) || self.is_of_flow(right)
            }
            ExprKind::In(value, _) => self.is_of_flow(value),
            ExprKind::Slice(value, from, to) => {
                self.is_of_flow(value) || optional(from) || optional(to)
            }
            ExprKind::Call(call) => is_aggregate(&call.name.text) || any(&call.arguments),
        }
    }
}

/// Returns what a place expects.
pub(super) fn expected(place: Place) -> &'static str {
    match place {
        Place::Packet => "a value of a packet",
        Place::Run(_) => "a value of a run",
        Place::Flow => "a value of a flow",
    }
}
