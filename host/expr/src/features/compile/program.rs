//! Programs in the form that the compiler takes: accumulators for each flow, and expressions over them.

use flowloom_core::value::Type as FieldType;

/// A program: what a component computes.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The version in the manifest.
    pub version: String,
    /// The description in the manifest.
    pub description: String,
    /// The version of the language.
    pub language: u32,
    /// The text of the program, which the component carries.
    pub source: String,
    /// The packet fields. [`Expr::Packet`] names them by index.
    pub packet: Vec<Field>,
    /// The number of payload bytes of each packet that accumulators read.
    pub payload_bytes: u32,
    /// The flow fields at expire. [`Expr::Flow`] names them by index.
    pub expired: Vec<Field>,
    /// Values that are computed once for each packet or flow, in order. [`Expr::Shared`] names them by index.
    pub shared: Vec<Shared>,
    /// Values that packets leave for later packets. [`Expr::Previous`] names them by index.
    pub previous: Vec<Previous>,
    /// The accumulators. [`Expr::Statistic`] names them by index.
    pub accumulators: Vec<Accumulator>,
    /// The columns.
    pub outputs: Vec<Output>,
}

/// A field of Flowloom's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: &'static str,
    /// The type; a boolean or a number.
    pub ty: FieldType,
}

/// A column of the component.
#[derive(Clone, Debug)]
pub struct Output {
    /// The name: `[a-z][a-z0-9_]{0,31}`.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// The value: an expression over accumulators and flow fields.
    pub value: Expr,
}

/// A value that several expressions use.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// The value. It uses only shared values before it.
    pub value: Expr,
    /// Whether it is a value of a packet; otherwise, of a flow.
    pub is_of_packet: bool,
}

/// The value of the selected packet before this one; null before the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Previous {
    /// The value.
    pub value: Expr,
    /// Which packets leave their value.
    pub packets: Selection,
}

/// A selection of packets.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// The direction of the packets.
    pub scope: Scope,
    /// A further condition. Null selects nothing.
    pub condition: Option<Expr>,
}

/// The direction of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Packets of both directions.
    Both,
    /// Packets from source to destination.
    Src2Dst,
    /// Packets from destination to source.
    Dst2Src,
}

/// Statistics of a value over the selected packets of a flow. A packet whose value is null is not counted.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulator {
    /// The value; `None` only counts packets.
    pub value: Option<Expr>,
    /// The smallest and the largest integer that the value can be.
    pub bounds: (i64, i64),
    /// The packets.
    pub packets: Selection,
    /// Only so many values are seen.
    pub limit: Option<u32>,
}

/// A statistic of an accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Statistic {
    /// The number of values. It stops at 4,294,967,295.
    Count,
    /// The sum; 0 without values. Sums of integers stop at ±(2^63 - 1).
    Sum,
    /// The sum, rounded once to a float.
    FloatSum,
    /// The mean, with one rounding of the sum and one of the quotient.
    Mean,
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
    /// The sample standard deviation; 0 for one value.
    Stddev,
    /// The population variance.
    VariancePop,
    /// The population standard deviation.
    StddevPop,
    /// The skewness g1 of the population; null where all values are equal.
    Skewness,
    /// The excess kurtosis g2 of the population; null where all values are equal.
    Kurtosis,
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A signed 64-bit integer. The front end proves that no operation leaves 64 bits.
    Int,
    /// A 64-bit float.
    Float,
}

/// An operator of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
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
}

/// An operator of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
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
}

/// An expression. Operands that are integers become floats where the other operand is a float.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
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
    /// The value of an earlier packet. Only in accumulators.
    Previous(usize),
    /// A shared value.
    Shared(usize),
    /// The value if the packet is selected, otherwise null. Only in accumulators.
    Within(Box<Expr>, Box<Selection>),
    /// A flow field at expire. Only in outputs.
    Flow(usize),
    /// A statistic of an accumulator. Only in outputs.
    Statistic(usize, Statistic),
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
            Expr::PayloadNumber { .. } => Type::Int,
            Expr::Bool(_) | Expr::PayloadStarts(_) => Type::Bool,
            Expr::Packet(n) => Type::of_field(self.packet[*n].ty),
            Expr::Previous(n) => self.ty(&self.previous[*n].value),
            Expr::Shared(n) => self.ty(&self.shared[*n].value),
            Expr::Within(value, _) => self.ty(value),
            Expr::Flow(n) => Type::of_field(self.expired[*n].ty),
            Expr::Statistic(n, statistic) => match statistic {
                Statistic::Count => Type::Int,
                Statistic::FloatSum
                | Statistic::Mean
                | Statistic::Variance
                | Statistic::Stddev
                | Statistic::VariancePop
                | Statistic::StddevPop
                | Statistic::Skewness
                | Statistic::Kurtosis => Type::Float,
                Statistic::Sum
                | Statistic::Min
                | Statistic::Max
                | Statistic::First
                | Statistic::Last
                | Statistic::Nth => {
                    let value = &self.accumulators[*n].value;
                    value.as_ref().map_or(Type::Int, |value| self.ty(value))
                }
            },
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
            Expr::Unary(Function::Float | Function::Sqrt | Function::Round, _) => Type::Float,
            Expr::Unary(Function::Neg | Function::Abs, a) => self.ty(a),
            Expr::Coalesce(a, _) | Expr::If(_, a, _) => self.ty(a),
        }
    }
}

impl Type {
    /// Returns the type of the values of a field.
    pub(super) fn of_field(ty: FieldType) -> Self {
        match ty {
            FieldType::Boolean => Type::Bool,
            FieldType::Float => Type::Float,
            _ => Type::Int,
        }
    }
}

impl Program {
    /// Calls a function for every expression of packets and all in it.
    pub(super) fn visit_packets(&self, function: &mut dyn FnMut(&Expr)) {
        for shared in self.shared.iter().filter(|it| it.is_of_packet) {
            shared.value.visit(function);
        }
        for previous in &self.previous {
            previous.value.visit(function);
            previous
                .packets
                .condition
                .iter()
                .for_each(|it| it.visit(function));
        }
        for accumulator in &self.accumulators {
            accumulator.value.iter().for_each(|it| it.visit(function));
            accumulator
                .packets
                .condition
                .iter()
                .for_each(|it| it.visit(function));
        }
    }

    /// Calls a function for every expression of flows and all in it.
    pub(super) fn visit_flows(&self, function: &mut dyn FnMut(&Expr)) {
        for shared in self.shared.iter().filter(|it| !it.is_of_packet) {
            shared.value.visit(function);
        }
        for output in &self.outputs {
            output.value.visit(function);
        }
    }
}

impl Expr {
    /// Calls a function for this expression and for every expression in it.
    pub(super) fn visit(&self, function: &mut dyn FnMut(&Expr)) {
        function(self);
        match self {
            Expr::Binary(_, a, b) | Expr::Coalesce(a, b) => {
                a.visit(function);
                b.visit(function);
            }
            Expr::If(a, b, c) => {
                a.visit(function);
                b.visit(function);
                c.visit(function);
            }
            Expr::Unary(_, a) => a.visit(function),
            Expr::Within(a, packets) => {
                a.visit(function);
                packets.condition.iter().for_each(|it| it.visit(function));
            }
            _ => {}
        }
    }
}
