//! From checked programs to programs in the form that is compiled.

mod accumulators;
mod lists;
mod uses;

use std::collections::HashMap;

use flowloom_core::fields::{FEATURES, PACKET_FIELDS};

use self::accumulators::null;
use self::lists::sliced;
use super::check::CompileError;
use super::program::{
    self, Expr, Field, Function, Members, Operator, Previous, Program, Scope, Selection, Shared,
    Statistic,
};
use crate::ast::{Comparison, Number};
use crate::features::ast::{Direction, Drop};
use crate::features::graph::{
    Accumulate, AccumulatorId, Binary, Graph, Level, Node, RunId, Stream, StreamId, Unary, ValueId,
};
use crate::features::program::{Output, Program as Checked};
use crate::features::types::Kind;

/// The maximum number of operations in each other that are not shared. It bounds the recursion of all that walks
/// expressions.
const MAX_DEPTH: usize = 32;

type Lowered<T> = Result<T, CompileError>;

/// Returns a program in the form that is compiled.
///
/// # Errors
///
/// The program has a part that the compiler does not support yet.
pub(super) fn lower(checked: &Checked) -> Lowered<Program> {
    let mut lowering = Lowering {
        graph: &checked.graph,
        program: Program {
            version: "1".to_owned(),
            description: { checked.about() }
                .unwrap_or("Features of flows.")
                .to_owned(),
            language: 1,
            payload_bytes: checked.payload_bytes(),
            packets_per_flow: checked.packets_per_flow(),
            source: checked.text().to_owned(),
            ..Program::default()
        },
        uses: uses::uses(checked),
        values: HashMap::new(),
        runs: HashMap::new(),
        accumulators: HashMap::new(),
        counts: HashMap::new(),
    };
    // Operands come first, so that no chain of values is followed by recursion.
    for id in (0..checked.graph.values.len()).filter(|id| checked.live.values[*id]) {
        lowering.value(ValueId(id))?;
    }
    for output in &checked.outputs {
        let output = lowering.output(output)?;
        lowering.program.outputs.push(output);
    }
    super::twins::merge(&mut lowering.program);
    Ok(lowering.program)
}

/// Accumulators with this key are one block: the value, the packets, the limit, and what is kept.
type Key = (Option<ValueId>, bool, StreamId, Option<u32>, Keep);

/// What a block keeps of its values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Keep {
    Statistics,
    /// Pairs with this value.
    Pairs(ValueId),
    /// The first bytes of payloads.
    Head,
    /// Counts between edges.
    Histogram(Box<[i64]>),
    Values,
    Distinct(u32),
}

struct Lowering<'a> {
    graph: &'a Graph,
    program: Program,
    /// How many values, selections and accumulators use each value.
    uses: Vec<u32>,
    values: HashMap<ValueId, Expr>,
    /// The divisions of packets that are known so far.
    runs: HashMap<RunId, usize>,
    accumulators: HashMap<Key, usize>,
    /// A block that counts all packets, for each selection and limit.
    counts: HashMap<(StreamId, Option<u32>), usize>,
}

impl Lowering<'_> {
    fn output(&mut self, output: &Output) -> Lowered<program::Output> {
        let mut value = self.value(output.value)?;
        if let Some(unit) = output.unit {
            let ns = unit.ns() as f64;
            value = match value {
                Expr::List(list, part, _) => Expr::List(list, part, Some(ns)),
                value => binary(Operator::Div, value, Expr::Float(ns)),
            };
        }
        if let Some(null) = output.null {
            let is_float = self.program.ty(&value) == program::Type::Float;
            let null = match (is_float, null) {
                (true, Number::Integer(n)) => Expr::Float(n as f64),
                (true, Number::Float(x)) => Expr::Float(x),
                (false, Number::Integer(n)) => Expr::Int(n),
                (false, Number::Float(_)) => return Err(CompileError::Mismatch("nulls")),
            };
            value = Expr::Coalesce(value.into(), null.into());
        }
        Ok(program::Output {
            name: output.name.clone(),
            description: output.description.clone(),
            value,
            most: self.graph.ty(output.value).most,
        })
    }

    /// Returns the expression of a value. The component computes a value once if several others use
    /// it, or if it is long.
    fn value(&mut self, id: ValueId) -> Lowered<Expr> {
        if let Some(expr) = self.values.get(&id) {
            return Ok(expr.clone());
        }
        let mut expr = self.node(id)?;
        let is_operation = matches!(
            expr,
            Expr::Binary(..)
                | Expr::Unary(..)
                | Expr::Coalesce(..)
                | Expr::If(..)
                | Expr::Within(..)
                | Expr::Part(..)
                | Expr::Byte(..)
                | Expr::PayloadPart(..)
        );
        if is_operation && (self.uses[id.0] > 1 || expr.depth() > MAX_DEPTH) {
            let level = match self.graph.level(id) {
                Level::Constant => program::Level::Constant,
                Level::Packet => program::Level::Packet,
                Level::Run(run) => program::Level::Run(self.run(run)?),
                Level::Flow => program::Level::Flow,
            };
            let ty = self.program.ty(&expr);
            self.program.shared.push(Shared {
                value: expr,
                ty,
                level,
            });
            expr = Expr::Shared(self.program.shared.len() - 1);
        }
        self.values.insert(id, expr.clone());
        Ok(expr)
    }

    fn node(&mut self, id: ValueId) -> Lowered<Expr> {
        let typed = &self.graph.values[id.0];
        Ok(match &typed.node {
            Node::Boolean(value) => Expr::Bool(*value),
            Node::Integer(number) => Expr::Int(*number),
            Node::Float(bits) => Expr::Float(f64::from_bits(*bits)),
            Node::Field(index) => {
                let field = &PACKET_FIELDS[*index];
                Expr::Packet(place(&mut self.program.packet, field.name, field.ty)?)
            }
            Node::FlowField(index) => {
                let field = &FEATURES[*index];
                Expr::Flow(place(&mut self.program.expired, field.name, field.ty)?)
            }
            Node::Index => Expr::Index,
            Node::Age => Expr::Age,
            Node::Previous { of, stream } => {
                let packets = self.selection(*stream)?;
                let value = self.value(*of)?;
                let previous = Previous {
                    ty: self.program.ty(&value),
                    value,
                    packets,
                    by_direction: false,
                };
                let mut all = self.program.previous.iter();
                let known = all.position(|it| *it == previous);
                Expr::Previous(known.unwrap_or_else(|| {
                    self.program.previous.push(previous);
                    self.program.previous.len() - 1
                }))
            }
            Node::Within { of, stream } => {
                let packets = self.selection(*stream)?;
                Expr::Within(self.value(*of)?.into(), packets.into())
            }
            Node::Unary(unary, a) => return self.unary(*unary, *a),
            Node::Binary(operation, a, b) => {
                let kind = typed.ty.kind;
                return self.binary(*operation, *a, *b, kind);
            }
            Node::If(condition, a, b) => Expr::If(
                self.value(*condition)?.into(),
                self.value(*a)?.into(),
                self.value(*b)?.into(),
            ),
            Node::Accumulated(accumulator) => return self.accumulated(*accumulator),
            Node::Variance {
                sum,
                squares,
                is_population,
                ..
            } => {
                let accumulator = self.accumulator(*squares, None)?;
                let is_wide = self.graph.accumulators[sum.0].what == Accumulate::WideSum;
                self.program.accumulators[accumulator].is_wide |= is_wide;
                self.variance(*squares, *is_population)?
            }
            Node::FloatVariance(deviations, is_population) => {
                self.variance(*deviations, *is_population)?
            }
            Node::Bytes(bytes) => self.literal(bytes),
            Node::Slice(of, from, to) => match self.value(*of)? {
                Expr::List(list, part, _) => Expr::List(list, sliced(part, *from, *to), None),
                bytes => Expr::Part(bytes.into(), *from, *to),
            },
            Node::Element(of, at) => match self.value(*of)? {
                Expr::List(list, part, _) => self.element(list, part, *at, typed.ty.kind),
                bytes => Expr::Byte(bytes.into(), *at),
            },
            Node::PayloadByte(at) => Expr::PayloadNumber { at: *at, bytes: 1 },
            Node::PayloadNumber { at, bytes } => Expr::PayloadNumber {
                at: *at,
                bytes: *bytes,
            },
            // It reads no payload.
            Node::PayloadStarts(with) if with.is_empty() => Expr::Bool(true),
            Node::PayloadStarts(with) => Expr::PayloadStarts(with.clone()),
            Node::PayloadSlice(from, to) => Expr::PayloadPart(*from, *to),
            Node::Prefix(id, most) if typed.ty.kind == Kind::Bytes => self.head(*id, *most)?,
            Node::Prefix(id, most) => return self.list(*id, *most),
            Node::Skewness(id) => {
                Expr::Statistic(self.accumulator(*id, None)?, Statistic::Skewness)
            }
            Node::Kurtosis(id) => {
                Expr::Statistic(self.accumulator(*id, None)?, Statistic::Kurtosis)
            }
            Node::Correlation(id) => {
                Expr::Statistic(self.accumulator(*id, None)?, Statistic::Correlation)
            }
            Node::Quantile(of, quantile) => match self.value(*of)? {
                Expr::List(list, part, _) => {
                    Expr::Statistic(list, Statistic::Quantile(part, *quantile))
                }
                _ => return Err(CompileError::Mismatch("a quantile")),
            },
        })
    }

    fn variance(&mut self, id: AccumulatorId, is_population: bool) -> Lowered<Expr> {
        let accumulator = self.accumulator(id, None)?;
        Ok(Expr::Statistic(
            accumulator,
            match is_population {
                true => Statistic::VariancePop,
                false => Statistic::Variance,
            },
        ))
    }

    fn unary(&mut self, unary: Unary, a: ValueId) -> Lowered<Expr> {
        let function = match unary {
            Unary::Not => Function::Not,
            Unary::Negate => Function::Neg,
            Unary::ToFloat => {
                let value = self.value(a)?;
                return Ok(match value {
                    // A sum of 128 bits, which is rounded once.
                    Expr::Statistic(_, Statistic::FloatSum) => value,
                    _ => Expr::Unary(Function::Float, value.into()),
                });
            }
            Unary::Absolute => Function::Abs,
            Unary::SquareRoot => Function::Sqrt,
            Unary::Round => Function::Round,
            Unary::Log2 => Function::Log2,
            Unary::Ln => Function::Ln,
            Unary::Log10 => Function::Log10,
            Unary::Length => match self.value(a)? {
                Expr::List(list, part, _) => return Ok(self.length(list, part)),
                _ => Function::Length,
            },
            Unary::Entropy => match self.value(a)? {
                Expr::List(list, part, _) => {
                    return Ok(Expr::Statistic(list, Statistic::Entropy(part)));
                }
                _ => Function::Entropy,
            },
            Unary::DistinctBytes => Function::Distinct,
        };
        Ok(Expr::Unary(function, self.value(a)?.into()))
    }

    fn binary(&mut self, operation: Binary, a: ValueId, b: ValueId, kind: Kind) -> Lowered<Expr> {
        let saturates =
            matches!(kind, Kind::Time | Kind::Instant) && self.can_overflow(operation, a, b);
        let operator = match operation {
            Binary::Add if saturates => Operator::SaturatingAdd,
            Binary::Subtract if saturates => Operator::SaturatingSub,
            Binary::Multiply if saturates => Operator::SaturatingMul,
            Binary::Add => Operator::Add,
            Binary::Subtract => Operator::Sub,
            Binary::Multiply => Operator::Mul,
            Binary::Divide => Operator::Div,
            Binary::FloorDivide => Operator::FloorDiv,
            Binary::Remainder => Operator::Modulo,
            Binary::FloorTo => Operator::FloorTo,
            Binary::BitAnd => Operator::BitAnd,
            Binary::BitOr => Operator::BitOr,
            Binary::Least => Operator::Least,
            Binary::Greatest => Operator::Greatest,
            Binary::And => Operator::And,
            Binary::Or => Operator::Or,
            Binary::Compare(comparison) => match comparison {
                Comparison::Equal => Operator::Eq,
                Comparison::NotEqual => Operator::Ne,
                Comparison::Less => Operator::Lt,
                Comparison::LessOrEqual => Operator::Le,
                Comparison::Greater => Operator::Gt,
                Comparison::GreaterOrEqual => Operator::Ge,
            },
            Binary::Contains => {
                let searched = &mut self.program.searched_bytes;
                *searched = (*searched).max(self.graph.ty(b).most);
                Operator::Contains
            }
            Binary::Coalesce => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                return Ok(Expr::Coalesce(a.into(), b.into()));
            }
        };
        Ok(binary(operator, self.value(a)?, self.value(b)?))
    }

    fn literal(&mut self, bytes: &[u8]) -> Expr {
        let literals = &mut self.program.literals;
        let offset = literals.len();
        literals.extend_from_slice(bytes);
        Expr::Literal(offset as u32, bytes.len() as u32)
    }

    /// Returns whether a sum or difference of integers can need more than 64 bits.
    fn can_overflow(&self, operation: Binary, a: ValueId, b: ValueId) -> bool {
        let [a, b] = [a, b].map(|id| self.graph.ty(id).interval);
        let [low, high] = match operation {
            Binary::Add => [(a.low, b.low), (a.high, b.high)].map(|(a, b)| a.checked_add(b)),
            Binary::Subtract => [(a.low, b.high), (a.high, b.low)].map(|(a, b)| a.checked_sub(b)),
            _ => return true,
        };
        low.is_none_or(|low| low == i64::MIN) || high.is_none()
    }

    fn selection(&mut self, stream: StreamId) -> Lowered<Selection> {
        let (of, scope, filter) = match self.graph.streams[stream.0] {
            Stream::Packets { scope, filter } => (Members::Packets, scope, filter),
            Stream::RunPackets { run, scope, filter } => {
                (Members::RunPackets(self.run(run)?), scope, filter)
            }
            Stream::Runs { run, filter } => (Members::Runs(self.run(run)?), None, filter),
        };
        Ok(Selection {
            of,
            scope: match scope {
                None => Scope::Both,
                Some(Direction::Src2Dst) => Scope::Src2Dst,
                Some(Direction::Dst2Src) => Scope::Dst2Src,
            },
            condition: filter.map(|filter| self.value(filter)).transpose()?,
        })
    }

    fn run(&mut self, id: RunId) -> Lowered<usize> {
        if let Some(known) = self.runs.get(&id) {
            return Ok(*known);
        }
        let runs = &self.graph.runs[id.0];
        let lowered = program::Runs {
            packets: self.selection(runs.stream)?,
            break_when: self.value(runs.break_when)?,
            drops_first: runs.drop == Some(Drop::First),
            drops_last: runs.drop == Some(Drop::Last),
        };
        self.program.runs.push(lowered);
        let index = self.program.runs.len() - 1;
        self.runs.insert(id, index);
        Ok(index)
    }
}

fn binary(operator: Operator, a: Expr, b: Expr) -> Expr {
    Expr::Binary(operator, a.into(), b.into())
}

/// Returns the index of a field, which is added if it is new.
fn place(
    fields: &mut Vec<Field>,
    name: &'static str,
    ty: flowloom_core::value::Type,
) -> Lowered<usize> {
    if !ty.is_number() {
        return Err(CompileError::Mismatch(name));
    }
    let field = Field { name, ty };
    Ok(fields
        .iter()
        .position(|it| *it == field)
        .unwrap_or_else(|| {
            fields.push(field);
            fields.len() - 1
        }))
}
