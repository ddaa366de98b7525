//! Functions that are no aggregates.

use super::super::ast::{Call, Expr, ExprKind};
use super::super::foreign::{foreign_function, foreign_word};
use super::super::graph::{Binary, Level, Node, Unary, ValueId};
use super::super::names::{AGGREGATES, FUNCTIONS, form, is_aggregate, nearest};
use super::super::types::{Interval, Kind, Type};
use super::{Checker, Context, Place};
use crate::diagnostic::Span;

impl Checker {
    pub(super) fn call(&mut self, call: &Call, span: &Span, cx: Context) -> Option<ValueId> {
        let name = call.name.text.as_str();
        let has_clauses = call.filter.is_some() || call.first.is_some() || call.per.is_some();
        // Without operators, words of other languages are read as further arguments.
        for argument in &call.arguments {
            if let ExprKind::Name(word) = &argument.kind
                && !self.lets.contains_key(word)
                && let Some(label) = foreign_word(word)
            {
                return self.fail(
                    &argument.span,
                    format!("'{word}' is not expected here"),
                    label,
                );
            }
        }
        if name == "rate" {
            return self.rate(call, cx);
        }
        if name == "distinct"
            && call.arguments.len() == 1
            && !has_clauses
            && cx.place != Place::Packet
            && self.is_of_flow(&call.arguments[0])
        {
            // Without a number of values it counts those of bytes, and is no aggregate.
            let value = self.expr(&call.arguments[0], cx)?;
            return self.distinct_bytes(value, &call.arguments[0]);
        }
        if is_aggregate(name) {
            return self.aggregate(call, span, cx);
        }
        if !FUNCTIONS.iter().any(|(function, _)| *function == name) {
            return self.unknown_function(name, &call.name.span);
        }
        if has_clauses {
            return self.fail(
                span,
                format!("{name} is no aggregate: it has no where, first and per"),
                format!("write {}", form(name).unwrap_or(name)),
            );
        }
        let arguments = call.arguments.as_slice();
        match (name, arguments) {
            ("u16" | "u32", [of, at]) => self.payload_number(name, of, at, span, cx),
            ("starts", [of, with]) => self.payload_starts(of, with, span, cx),
            ("len", [of]) => self.length(of, span, cx),
            ("prev" | "delta" | "changed", [of]) => self.previous(name, of, &call.name.span, cx),
            ("if", [condition, one, other]) => self.choice(condition, one, other, cx),
            ("least" | "greatest", [first, others @ ..]) if !others.is_empty() => {
                self.extreme(name == "least", first, others, cx)
            }
            ("floor", [of, step]) => self.floor(of, step, cx),
            ("abs" | "float" | "sqrt" | "log2" | "ln" | "log10" | "round", [of]) => {
                self.number_function(name, of, cx)
            }
            ("entropy", [of]) => self.entropy(of, cx),
            _ => self.wrong_arguments(name, span),
        }
    }

    pub(super) fn wrong_arguments<T>(&mut self, name: &str, span: &Span) -> Option<T> {
        let label = format!("write {}", form(name).unwrap_or(name));
        self.fail(span, format!("{name} has other arguments"), label)
    }

    fn unknown_function(&mut self, name: &str, span: &Span) -> Option<ValueId> {
        let known = AGGREGATES
            .iter()
            .chain(&FUNCTIONS)
            .map(|(function, _)| *function);
        let label = match foreign_function(name) {
            Some(label) => label,
            None => match nearest(name, known) {
                Some(nearest) => format!("did you mean '{nearest}'?"),
                None => "the functions are listed in docs/features.md".to_owned(),
            },
        };
        self.fail(span, format!("there is no function '{name}'"), label)
    }

    fn choice(
        &mut self,
        condition: &Expr,
        one: &Expr,
        other: &Expr,
        cx: Context,
    ) -> Option<ValueId> {
        let condition = self.condition(condition, cx);
        let (first, second) = (self.expr(one, cx), self.expr(other, cx));
        let (first, second) = self.unify((first?, one), (second?, other), "mixed with")?;
        let condition = condition?;
        let (a, b) = (self.ty(first), self.ty(second));
        let all = [condition, first, second];
        let ty = Type {
            kind: a.kind,
            interval: a.interval.union(b.interval),
            is_nullable: self.any_nullable(&all),
            most: a.most.max(b.most),
        };
        Some(self.node(Node::If(condition, first, second), ty, &all))
    }

    fn extreme(
        &mut self,
        is_least: bool,
        first: &Expr,
        others: &[Expr],
        cx: Context,
    ) -> Option<ValueId> {
        let mut all = self.expr(first, cx)?;
        for other in others {
            let value = self.expr(other, cx)?;
            let (left, right) = self.unify((all, first), (value, other), "compared with")?;
            let (a, b) = (self.ty(left), self.ty(right));
            if matches!(a.kind, Kind::Boolean | Kind::Bytes) {
                let message = format!("this is {}, which has no order", a.kind.name());
                return self.fail(&first.span, message, "numbers and times have one");
            }
            let (ends, operation) = match is_least {
                true => (
                    [
                        a.interval.low.min(b.interval.low),
                        a.interval.high.min(b.interval.high),
                    ],
                    Binary::Least,
                ),
                false => (
                    [
                        a.interval.low.max(b.interval.low),
                        a.interval.high.max(b.interval.high),
                    ],
                    Binary::Greatest,
                ),
            };
            let ty = Type::whole(a.kind, Interval::new(ends[0], ends[1]))
                .nullable(self.any_nullable(&[left, right]));
            all = self.node(Node::Binary(operation, left, right), ty, &[left, right]);
        }
        Some(all)
    }

    fn floor(&mut self, of: &Expr, step: &Expr, cx: Context) -> Option<ValueId> {
        let (value, by) = (self.expr(of, cx), self.expr(step, cx));
        let (value, by) = (value?, by?);
        let (ty, step_ty) = (self.ty(value), self.ty(by));
        let is_constant = self.graph.level(by) == Level::Constant;
        let is_positive = match self.graph.constant(by) {
            Some(number) => number > 0,
            None => {
                matches!(step.kind, ExprKind::Number(crate::ast::Number::Float(number)) if number > 0.0)
            }
        };
        let fits = match ty.kind {
            Kind::Instant | Kind::Time | Kind::FloatTime => step_ty.kind == Kind::Time,
            kind => kind.is_number() && step_ty.kind.is_number(),
        };
        if !is_constant || !is_positive || !fits {
            let label = match ty.kind {
                Kind::Instant | Kind::Time | Kind::FloatTime => {
                    "expected a time above 0, as in floor(age, 1s)"
                }
                _ => "expected a number above 0, as in floor(ip_size, 64)",
            };
            return self.fail(&step.span, "the step of floor does not fit", label);
        }
        let (value, by) = match ty.kind.is_whole() && step_ty.kind.is_whole() {
            true => (value, by),
            false => (self.float_of(value), self.float_of(by)),
        };
        let ty = self.ty(value);
        let low = match self.graph.constant(by) {
            Some(step) => ty
                .interval
                .low
                .saturating_sub(step - 1)
                .max(-super::super::types::LARGEST),
            None => ty.interval.low,
        };
        let ty = Type {
            interval: Interval::new(if ty.interval.low >= 0 { 0 } else { low }, ty.interval.high),
            is_nullable: ty.is_nullable || !ty.kind.is_whole(),
            ..ty
        };
        Some(self.node(Node::Binary(Binary::FloorTo, value, by), ty, &[value, by]))
    }

    fn number_function(&mut self, name: &str, of: &Expr, cx: Context) -> Option<ValueId> {
        let value = self.expr(of, cx)?;
        let ty = self.ty(value);
        let accepts_time = matches!(name, "abs" | "float" | "round");
        if !(ty.kind.is_number() || accepts_time && ty.kind.is_time()) {
            let label = match ty.kind.is_time() {
                true => format!(
                    "divide it by a unit, as in {name}({} / 1s)",
                    super::shown(of)
                ),
                false => "use a number".to_owned(),
            };
            return self.fail(
                &of.span,
                format!("{name} has no value for {}", ty.kind.name()),
                label,
            );
        }
        let operation = match name {
            "abs" => {
                let ty = Type {
                    interval: ty.interval.absolute(),
                    ..ty
                };
                return Some(self.node(Node::Unary(Unary::Absolute, value), ty, &[value]));
            }
            "float" => return Some(self.float_of(value)),
            "round" if ty.kind.is_whole() => return Some(value),
            "round" => Unary::Round,
            "sqrt" => Unary::SquareRoot,
            "log2" => Unary::Log2,
            "ln" => Unary::Ln,
            _ => Unary::Log10,
        };
        let value = self.float_of(value);
        let kind = self.kind(value);
        // Roots and logarithms of negative numbers are null.
        let can_fail = operation != Unary::Round;
        let ty = Type::new(kind).nullable(ty.is_nullable || can_fail);
        Some(self.node(Node::Unary(operation, value), ty, &[value]))
    }

    fn entropy(&mut self, of: &Expr, cx: Context) -> Option<ValueId> {
        let value = self.expr(of, cx)?;
        let ty = self.ty(value);
        if !matches!(ty.kind, Kind::Bytes | Kind::Integers) {
            return self.fail(
                &of.span,
                format!(
                    "this is {}, and the entropy is of bytes or of counts",
                    ty.kind.name()
                ),
                "as in entropy(head(payload, 256)) or entropy(hist(ip_size, [64, 1500]))",
            );
        }
        // Nothing has no entropy.
        let ty = Type::new(Kind::Float).nullable(true);
        Some(self.node(Node::Unary(Unary::Entropy, value), ty, &[value]))
    }

    fn distinct_bytes(&mut self, value: ValueId, of: &Expr) -> Option<ValueId> {
        let ty = self.ty(value);
        if ty.kind != Kind::Bytes {
            let label = "give the number of values that are kept, as in distinct(ttl, 16)";
            return self.fail(&of.span, "how many values are kept is missing", label);
        }
        let ty = Type::whole(Kind::Integer, Interval::new(0, 256)).nullable(ty.is_nullable);
        Some(self.node(Node::Unary(Unary::DistinctBytes, value), ty, &[value]))
    }

    fn rate(&mut self, call: &Call, cx: Context) -> Option<ValueId> {
        let [of] = call.arguments.as_slice() else {
            return self.wrong_arguments("rate", &call.name.span);
        };
        if cx.place != Place::Flow {
            return self.fail(
                &call.name.span,
                format!(
                    "rate is of a flow, and {} is expected here",
                    super::names::expected(cx.place)
                ),
                "divide by a time, as in count() / (duration() / 1s)",
            );
        }
        let value = self.expr(of, cx)?;
        if !self.kind(value).is_number() {
            let message = format!(
                "this is {}, and a rate is of a number",
                self.kind(value).name()
            );
            return self.fail(&of.span, message, "as in rate(sum(ip_size))");
        }
        let duration = self.flow_duration();
        let second = self.time(1_000_000_000);
        let [duration, second, value] = [duration, second, value].map(|value| self.float_of(value));
        let ty = Type::new(Kind::Float).nullable(true);
        let seconds = self.node(
            Node::Binary(Binary::Divide, duration, second),
            ty,
            &[duration],
        );
        let node = Node::Binary(Binary::Divide, value, seconds);
        Some(self.node(node, ty, &[value, seconds]))
    }

    fn length(&mut self, of: &Expr, span: &Span, cx: Context) -> Option<ValueId> {
        if of.kind == ExprKind::Name("payload".to_owned()) {
            // Its length is known without reading it.
            return self.name("payload_size", span, cx);
        }
        let value = self.expr(of, cx)?;
        let ty = self.ty(value);
        if ty.kind != Kind::Bytes && !ty.kind.is_list() {
            let message = format!("this is {}, which has no length", ty.kind.name());
            return self.fail(&of.span, message, "bytes and lists have one");
        }
        let interval = Interval::new(0, ty.most.into());
        let ty = Type::whole(Kind::Integer, interval).nullable(ty.is_nullable);
        Some(self.node(Node::Unary(Unary::Length, value), ty, &[value]))
    }
}
