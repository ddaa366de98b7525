//! From syntax trees to typed programs.
//!
//! Methods of [`Checker`] return `None` after an error, which they have reported.

mod aggregates;
mod convert;
mod functions;
mod kept;
mod names;
mod operators;
mod payload;
mod previous;
mod state;
mod statements;
mod statistics;

use std::collections::HashMap;

use super::ast::{Expr, ExprKind, File};
use super::graph::{Graph, Level, Live, Node, RunId, StreamId, ValueId};
use super::program::{Limits, Output, Program};
use super::types::{Interval, Kind, Type};
use crate::ast::Number;
use crate::diagnostic::{Diagnostic, Span};

/// The maximum number of values of a program.
const MAX_VALUES: usize = 4_096;

/// Checks the statements of a text. The text is not complete if some of its statements could not be parsed.
pub(super) fn check(
    file: &File,
    limits: &Limits,
    is_complete: bool,
) -> Result<Program, Vec<Diagnostic>> {
    let mut checker = Checker {
        graph: Graph::new(),
        lets: HashMap::new(),
        runs: HashMap::new(),
        outputs: Vec::new(),
        payload: Vec::new(),
        spans: Vec::new(),
        about: None,
        nulls: None,
        errors: Vec::new(),
    };
    checker.statements(file, limits, is_complete);
    if !checker.errors.is_empty() {
        return Err(checker.errors);
    }
    let live = checker.live();
    checker.graph.limit_capacities(&live);
    let payload = checker.payload(&live);
    let mut program = Program {
        state_bytes: 0,
        live,
        graph: checker.graph,
        outputs: checker.outputs,
        about: checker.about,
        payload,
        file: file.clone(),
        text: String::new(),
    };
    if is_complete {
        state::check(&mut program, &checker.spans, limits).map_err(|error| vec![error])?;
    }
    Ok(program)
}

/// What an expression is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Packet,
    Run(RunId),
    Flow,
}

/// Where an expression stands.
#[derive(Clone, Copy, Debug)]
struct Context {
    place: Place,
    /// The stream to which `prev`, `delta`, `changed` and `iat` are relative; none where they are not accepted.
    relative: Option<StreamId>,
}

struct Checker {
    graph: Graph,
    /// The values of statements `let`; none after an error.
    lets: HashMap<String, Option<ValueId>>,
    runs: HashMap<String, Option<RunId>>,
    outputs: Vec<Output>,
    /// The values that read payloads, and where.
    payload: Vec<(ValueId, Span)>,
    /// The places of the calls that added each accumulator.
    spans: Vec<Span>,
    about: Option<String>,
    nulls: Option<Number>,
    errors: Vec<Diagnostic>,
}

impl Checker {
    /// Returns what the outputs need.
    fn live(&self) -> Live {
        self.graph
            .live(self.outputs.iter().map(|output| output.value))
    }

    fn fail<T>(
        &mut self,
        span: &Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Option<T> {
        let error = Diagnostic::new(span.clone(), message, label);
        // A value that is written once can be checked twice.
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
        None
    }

    fn ty(&self, value: ValueId) -> Type {
        self.graph.ty(value)
    }

    fn kind(&self, value: ValueId) -> Kind {
        self.graph.ty(value).kind
    }

    /// Adds a value that is computed from others, and has their level.
    fn node(&mut self, node: Node, ty: Type, operands: &[ValueId]) -> ValueId {
        let levels = operands.iter().map(|&operand| self.graph.level(operand));
        let level = levels
            .into_iter()
            .find(|level| *level != Level::Constant)
            .unwrap_or(Level::Constant);
        self.graph.value(node, ty, level)
    }

    fn integer(&mut self, number: i64) -> ValueId {
        let ty = Type::whole(Kind::Integer, Interval::point(number));
        self.graph.value(Node::Integer(number), ty, Level::Constant)
    }

    fn time(&mut self, ns: i64) -> ValueId {
        let ty = Type::whole(Kind::Time, Interval::point(ns));
        self.graph.value(Node::Integer(ns), ty, Level::Constant)
    }

    fn float(&mut self, number: f64) -> ValueId {
        let node = Node::Float(number.to_bits());
        self.graph
            .value(node, Type::new(Kind::Float), Level::Constant)
    }

    fn bytes(&mut self, bytes: &[u8]) -> ValueId {
        let ty = Type::many(Kind::Bytes, bytes.len() as u32);
        self.graph
            .value(Node::Bytes(bytes.into()), ty, Level::Constant)
    }

    fn any_nullable(&self, values: &[ValueId]) -> bool {
        values.iter().any(|&value| self.ty(value).is_nullable)
    }

    /// Checks an expression.
    fn expr(&mut self, expr: &Expr, cx: Context) -> Option<ValueId> {
        let span = &expr.span;
        match &expr.kind {
            ExprKind::Name(name) => self.name(name, span, cx),
            ExprKind::Boolean(value) => {
                let ty = Type::new(Kind::Boolean);
                Some(self.graph.value(Node::Boolean(*value), ty, Level::Constant))
            }
            ExprKind::Number(Number::Integer(number)) => Some(self.integer(*number)),
            ExprKind::Number(Number::Float(number)) => Some(self.float(*number)),
            ExprKind::Time(number, unit) => self.literal_time(*number, *unit, span),
            ExprKind::Text(text) => Some(self.bytes(text.as_bytes())),
            ExprKind::Bytes(bytes) => Some(self.bytes(bytes)),
            ExprKind::List(_) => self.fail(
                span,
                "a list in brackets is no value",
                "only hist has one, as in hist(ip_size, [64, 1500]); a set is written as {80, 443}",
            ),
            ExprKind::Negate(inner) => self.negate(inner, cx),
            ExprKind::Not(inner) => {
                let value = self.condition(inner, cx)?;
                let ty = self.ty(value);
                Some(self.node(Node::Unary(super::graph::Unary::Not, value), ty, &[value]))
            }
            ExprKind::Binary(operator, left, right) => {
                self.binary(*operator, left, right, span, cx)
            }
            ExprKind::In(value, members) => self.is_in(value, members, cx),
            ExprKind::Element(value, index) => self.element(value, index, span, cx),
            ExprKind::Slice(value, from, to) => {
                self.slice(value, from.as_deref(), to.as_deref(), span, cx)
            }
            ExprKind::Call(call) => self.call(call, span, cx),
        }
    }

    fn literal_time(&mut self, number: Number, unit: i64, span: &Span) -> Option<ValueId> {
        let ns = match number {
            Number::Integer(number) => number.checked_mul(unit),
            Number::Float(number) => {
                let ns = number * unit as f64;
                (ns.fract() == 0.0 && ns.abs() < 9e18).then_some(ns as i64)
            }
        };
        match ns {
            Some(ns) => Some(self.time(ns)),
            None => self.fail(
                span,
                "the time cannot be represented",
                "times are whole nanoseconds, up to 292 years",
            ),
        }
    }

    /// Checks an expression that has to be a boolean.
    fn condition(&mut self, expr: &Expr, cx: Context) -> Option<ValueId> {
        let value = self.expr(expr, cx)?;
        match self.kind(value) {
            Kind::Boolean => Some(value),
            kind => self.fail(
                &expr.span,
                format!("this is {}, not a condition", kind.name()),
                "compare it, as in ip_size > 1000",
            ),
        }
    }
}

/// Returns the text of a tree if it is short, for a message.
fn shown(expr: &Expr) -> String {
    let text = expr.to_string();
    match text.len() <= 60 {
        true => text,
        false => "…".to_owned(),
    }
}
