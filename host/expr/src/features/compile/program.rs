//! Programs in the form that the compiler takes: accumulators for each flow, and expressions over them.

mod visit;

use flowloom_core::value::Type as FieldType;

use crate::features::graph::AccumulatorId;

/// A program: what a component computes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program {
    /// The version in the manifest.
    pub(crate) version: String,
    /// The description in the manifest.
    pub(crate) description: String,
    /// The version of the language.
    pub(crate) language: u32,
    /// The text of the program, which the component carries.
    pub(crate) source: String,
    /// The packet fields. [`Expr::Packet`] names them by index.
    pub(crate) packet: Vec<Field>,
    /// The number of payload bytes of each packet that accumulators read.
    pub(crate) payload_bytes: u32,
    /// The number of packets of each flow that have an effect.
    pub(crate) packets_per_flow: Option<u32>,
    /// The bytes of literals. [`Expr::Literal`] names parts of them.
    pub(crate) literals: Vec<u8>,
    /// The maximum number of bytes that are searched in other bytes.
    pub(crate) searched_bytes: u32,
    /// The flow fields at expire. [`Expr::Flow`] names them by index.
    pub(crate) expired: Vec<Field>,
    /// Values that are computed once for each packet, run or flow, in order. [`Expr::Shared`] names them by index.
    pub(crate) shared: Vec<Shared>,
    /// Values that packets or runs leave for later ones. [`Expr::Previous`] names them by index.
    pub(crate) previous: Vec<Previous>,
    /// The divisions of packets into runs. [`Members`] names them by index.
    pub(crate) runs: Vec<Runs>,
    /// The accumulators. [`Expr::Statistic`] names them by index.
    pub(crate) accumulators: Vec<Accumulator>,
    /// The columns.
    pub(crate) outputs: Vec<Output>,
}

/// A field of Flowloom's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// The name.
    pub(crate) name: &'static str,
    /// The type; a boolean or a number.
    pub(crate) ty: FieldType,
}

/// A column of the component.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// The name: `[a-z][a-z0-9_]{0,31}`.
    pub(crate) name: String,
    /// One sentence.
    pub(crate) description: String,
    /// The value: an expression over accumulators and flow fields.
    pub(crate) value: Expr,
    /// The maximum length of bytes or of a list.
    pub(crate) most: u32,
}

/// A value that several expressions use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shared {
    /// The value. It uses only shared values before it.
    pub(crate) value: Expr,
    /// The type of the value.
    pub(crate) ty: Type,
    /// What the value is of.
    pub(crate) level: Level,
}

/// What a value is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// A constant, which every expression can use.
    Constant,
    /// A packet.
    Packet,
    /// A run of this division.
    Run(usize),
    /// A flow.
    Flow,
}

/// The value of the selected packet or run before this one; null before the first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Previous {
    /// The value.
    pub(crate) value: Expr,
    /// The type of the value.
    pub(crate) ty: Type,
    /// Which packets or runs leave their value.
    pub(crate) packets: Selection,
    /// Whether each direction has a value of its own. A packet then sees that of its direction.
    pub(crate) by_direction: bool,
}

/// A division of packets into runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Runs {
    /// The packets of all runs: packets of the flow.
    pub(crate) packets: Selection,
    /// A run begins with the first packet, and with each for which this is true.
    pub(crate) break_when: Expr,
    /// Whether the first run of a flow is left out.
    pub(crate) drops_first: bool,
    /// Whether the last run of a flow is left out.
    pub(crate) drops_last: bool,
}

/// What a selection is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Members {
    /// Packets of the flow.
    Packets,
    /// Packets of the current run of this division.
    RunPackets(usize),
    /// Runs of this division.
    Runs(usize),
}

impl Members {
    /// Returns what the values of the members are of.
    pub(super) fn level(self) -> Level {
        match self {
            Self::Packets | Self::RunPackets(_) => Level::Packet,
            Self::Runs(run) => Level::Run(run),
        }
    }

    /// Returns what statistics of the members are of.
    pub(super) fn result(self) -> Level {
        match self {
            Self::RunPackets(run) => Level::Run(run),
            Self::Packets | Self::Runs(_) => Level::Flow,
        }
    }
}

/// A selection of packets or runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selection {
    /// The packets or runs from which it selects.
    pub(crate) of: Members,
    /// The direction of the packets.
    pub(crate) scope: Scope,
    /// A further condition. Null selects nothing.
    pub(crate) condition: Option<Expr>,
}

/// The direction of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Packets of both directions.
    Both,
    /// Packets from source to destination.
    Src2Dst,
    /// Packets from destination to source.
    Dst2Src,
}

/// Statistics of a value over selected packets or runs. One whose value is null is not counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Accumulator {
    /// The value; `None` only counts packets.
    pub(crate) value: Option<Expr>,
    /// The smallest and the largest integer that the value can be, or the limits of the length of bytes.
    pub(crate) bounds: (i64, i64),
    /// Whether 64 bits may not hold the sum.
    pub(crate) is_wide: bool,
    /// An accumulator of the checked program that it computes.
    pub(crate) origin: AccumulatorId,
    /// The packets or runs.
    pub(crate) packets: Selection,
    /// Only so many values are seen.
    pub(crate) limit: Option<u32>,
    /// What it keeps of the values.
    pub(crate) keeps: Keeps,
}

/// What an accumulator keeps of its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Keeps {
    /// What its statistics need.
    #[default]
    Statistics,
    /// The moments of pairs of the value and this one. A pair without one of them is not counted.
    Pairs(Expr),
    /// The first bytes of payloads, end to end, up to this number. The value is the size of the payload.
    Head(u32),
    /// A list: how many values are below the first edge, between edges, and from the last edge on. The counts stop at
    /// 4,294,967,295. The edges of floats are given as bits.
    Histogram(Box<[i64]>),
    /// A list of the values, up to the limit.
    Values,
    /// The distinct integers, at most so many.
    Distinct(u32),
}

impl Keeps {
    fn visit(&self, function: &mut dyn FnMut(&Expr)) {
        if let Self::Pairs(second) = self {
            second.visit(function);
        }
    }

    fn visit_mut(&mut self, function: &mut dyn FnMut(&mut Expr)) {
        if let Self::Pairs(second) = self {
            second.visit_mut(function);
        }
    }
}

/// A statistic of an accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Statistic {
    /// The number of values. It stops at 4,294,967,295.
    Count,
    /// The sum; 0 without values. Sums of integers stop at ±(2^63 - 1).
    Sum,
    /// The sum, rounded once to a float.
    FloatSum,
    /// The smallest value.
    Min,
    /// The largest value.
    Max,
    /// The value of the first packet.
    First,
    /// The value of the last packet.
    Last,
    /// The value with this ordinal, which is the limit of the accumulator; null if there are fewer.
    Nth,
    /// The sample variance; 0 for one value.
    Variance,
    /// The population variance.
    VariancePop,
    /// The skewness g1 of the population; null where all values are equal.
    Skewness,
    /// The excess kurtosis g2 of the population; null where all values are equal.
    Kurtosis,
    /// Pearson's correlation of pairs; null where all values of one of them are equal.
    Correlation,
    /// The first bytes of payloads.
    Head,
    /// The number of distinct values.
    Distinct,
    /// The element of a list at an index; null if there is none.
    Element(u32),
    /// The number of elements in a part of a list.
    Len(Part),
    /// The entropy of the counts in a part of a list, in bits; null if none is above 0.
    Entropy(Part),
    /// A quantile of a part of a list, with linear interpolation: the bits of a float from 0 to 1.
    Quantile(Part, u64),
}

/// The part of a list from an index to another, which is exclusive, as far as it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Part {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// `true` or `false`.
    Bool,
    /// A signed 64-bit integer. The front end proves that no operation leaves 64 bits.
    Int,
    /// A 64-bit float.
    Float,
    /// Bytes, up to a known length.
    Bytes,
    /// A list of integers. Only of outputs.
    Integers,
    /// A list of floats. Only of outputs.
    Floats,
}

/// An operator of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `+` of integers that stops at ±(2^63 - 1).
    SaturatingAdd,
    /// `-` of integers that stops at ±(2^63 - 1).
    SaturatingSub,
    /// `*` of integers that stops at ±(2^63 - 1).
    SaturatingMul,
    /// The smaller one.
    Least,
    /// The larger one.
    Greatest,
    /// `/`, of floats. Null where the result is not finite.
    Div,
    /// `//`, rounds down. Null where the divisor is 0.
    FloorDiv,
    /// `%`, with the sign of the divisor. Null where the divisor is 0.
    Modulo,
    /// The largest multiple of the second operand that is not above the first. Null where the second is 0.
    FloorTo,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `and`, Kleene's.
    And,
    /// `or`, Kleene's.
    Or,
    /// Whether the first bytes contain the second ones.
    Contains,
}

/// An operator of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// `not`
    Not,
    /// `-`
    Neg,
    /// `abs`
    Abs,
    /// `float`
    Float,
    /// `sqrt`; null for negative numbers.
    Sqrt,
    /// `round` of a float; a half is rounded to the even number.
    Round,
    /// `log2`; null for numbers that are not positive, like the others.
    Log2,
    /// `ln`
    Ln,
    /// `log10`
    Log10,
    /// `len` of bytes.
    Length,
    /// `distinct` of bytes.
    Distinct,
    /// `entropy` of bytes; null if there are none.
    Entropy,
}

/// An expression. Operands that are integers become floats where the other operand is a float.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    /// An integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A packet field. Only in accumulators.
    Packet(usize),
    /// The ordinal of the packet in its flow, from 1. Only in accumulators.
    Index,
    /// The time since the first packet of the flow, in nanoseconds. Only in accumulators.
    Age,
    /// A big-endian number of 1, 2 or 4 bytes at an offset in the payload; null if it has fewer bytes. Only in
    /// accumulators.
    PayloadNumber {
        /// The offset.
        at: u32,
        /// The number of bytes.
        bytes: u32,
    },
    /// Whether the payload begins with these bytes. Only in accumulators.
    PayloadStarts(Box<[u8]>),
    /// The part of the payload between two offsets, as far as it exists; null if nothing of it does. Only in
    /// accumulators.
    PayloadPart(u32, u32),
    /// The literal at an offset, with a length.
    Literal(u32, u32),
    /// The part of bytes between two offsets, as far as it exists.
    Part(Box<Expr>, u32, u32),
    /// The byte at an offset in bytes; null if they are shorter.
    Byte(Box<Expr>, u32),
    /// The value of an earlier packet or run.
    Previous(usize),
    /// A shared value.
    Shared(usize),
    /// The value if the packet is selected, otherwise null. Only in accumulators.
    Within(Box<Expr>, Box<Selection>),
    /// A flow field at expire. Only in outputs.
    Flow(usize),
    /// A statistic of an accumulator. Only in outputs and in values of runs.
    Statistic(usize, Statistic),
    /// A part of the list of an accumulator. With a divisor, the elements are divided by it. Only in outputs, where it
    /// has no operation.
    List(usize, Part, Option<f64>),
    /// An operation on two operands.
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// An operation on one operand.
    Unary(Function, Box<Expr>),
    /// The first operand, or the second one where the first is null. Both have one type.
    Coalesce(Box<Expr>, Box<Expr>),
    /// The second operand where the first is true, otherwise the third. Null where the first is null.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
}

impl Program {
    /// Returns the type of an expression.
    pub(super) fn ty(&self, expr: &Expr) -> Type {
        match expr {
            Expr::Int(_) | Expr::Index | Expr::Age => Type::Int,
            Expr::Float(_) => Type::Float,
            Expr::PayloadNumber { .. } | Expr::Byte(..) => Type::Int,
            Expr::PayloadPart(..) | Expr::Literal(..) | Expr::Part(..) => Type::Bytes,
            Expr::Bool(_) | Expr::PayloadStarts(_) => Type::Bool,
            Expr::Packet(n) => Type::of_field(self.packet[*n].ty),
            Expr::Previous(n) => self.previous[*n].ty,
            Expr::Shared(n) => self.shared[*n].ty,
            Expr::Within(value, _) => self.ty(value),
            Expr::Flow(n) => Type::of_field(self.expired[*n].ty),
            Expr::Statistic(n, statistic) => match statistic {
                Statistic::Head => Type::Bytes,
                Statistic::Count | Statistic::Distinct | Statistic::Len(_) => Type::Int,
                Statistic::Element(_) if self.has_counts(*n) => Type::Int,
                Statistic::FloatSum
                | Statistic::Variance
                | Statistic::VariancePop
                | Statistic::Skewness
                | Statistic::Kurtosis
                | Statistic::Correlation
                | Statistic::Entropy(_)
                | Statistic::Quantile(..) => Type::Float,
                Statistic::Sum
                | Statistic::Min
                | Statistic::Max
                | Statistic::First
                | Statistic::Last
                | Statistic::Nth
                | Statistic::Element(_) => self.value_type(*n),
            },
            Expr::List(n, _, None) if self.has_counts(*n) => Type::Integers,
            Expr::List(n, _, None) if self.value_type(*n) == Type::Int => Type::Integers,
            Expr::List(..) => Type::Floats,
            Expr::Binary(operator, a, b) => match operator {
                Operator::Add
                | Operator::Sub
                | Operator::Mul
                | Operator::Least
                | Operator::Greatest
                | Operator::FloorTo => {
                    match self.ty(a) == Type::Float || self.ty(b) == Type::Float {
                        true => Type::Float,
                        false => Type::Int,
                    }
                }
                Operator::Div => Type::Float,
                Operator::SaturatingAdd
                | Operator::SaturatingSub
                | Operator::SaturatingMul
                | Operator::FloorDiv
                | Operator::Modulo
                | Operator::BitAnd
                | Operator::BitOr => Type::Int,
                _ => Type::Bool,
            },
            Expr::Unary(Function::Not, _) => Type::Bool,
            Expr::Unary(Function::Length | Function::Distinct, _) => Type::Int,
            Expr::Unary(Function::Neg | Function::Abs, a) => self.ty(a),
            Expr::Unary(..) => Type::Float,
            Expr::Coalesce(a, _) | Expr::If(_, a, _) => self.ty(a),
        }
    }
}

impl Program {
    fn has_counts(&self, accumulator: usize) -> bool {
        matches!(self.accumulators[accumulator].keeps, Keeps::Histogram(_))
    }

    fn value_type(&self, accumulator: usize) -> Type {
        let value = &self.accumulators[accumulator].value;
        value.as_ref().map_or(Type::Int, |value| self.ty(value))
    }
}

impl Type {
    /// Returns the number of the type in the contract: of `value-type`, and of `values`.
    pub(crate) fn case(self) -> u32 {
        match self {
            Self::Bool => 0,
            Self::Int => 1,
            Self::Float => 2,
            Self::Bytes => 4,
            Self::Integers => 5,
            Self::Floats => 6,
        }
    }

    /// Returns the type of the values of a field.
    pub(super) fn of_field(ty: FieldType) -> Self {
        match ty {
            FieldType::Boolean => Type::Bool,
            FieldType::Float => Type::Float,
            _ => Type::Int,
        }
    }
}
