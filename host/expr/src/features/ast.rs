//! Syntax trees of features.

use crate::ast::{Comparison, Number};
use crate::diagnostic::Span;

/// The statements of a text, in their order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    pub(crate) statements: Vec<Statement>,
}

/// A statement with its place. Trees are equal if they differ in places only.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) kind: StatementKind,
    pub(crate) span: Span,
    /// The comment on the lines of the statement; empty if there is none.
    pub(crate) comment: String,
}

impl PartialEq for Statement {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.comment == other.comment
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StatementKind {
    /// `language 1`.
    Language(i64),
    /// `about "…"`.
    About(String),
    /// `nulls 0`.
    Nulls(Number),
    Let {
        name: Name,
        value: Expr,
        selection: Selection,
    },
    Runs {
        name: Name,
        selection: Selection,
        break_when: Expr,
        drop: Option<Drop>,
    },
    Feature {
        name: Name,
        value: Expr,
        unit: Option<Unit>,
    },
}

/// A name with its place.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The packets of a `let` or of `runs`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    pub(crate) scope: Option<Direction>,
    pub(crate) filter: Option<Expr>,
}

/// A direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// The direction of the flow's first packet.
    Src2Dst,
    /// The opposite direction.
    Dst2Src,
}

impl Direction {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Src2Dst => "src2dst",
            Self::Dst2Src => "dst2src",
        }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        [Self::Src2Dst, Self::Dst2Src]
            .into_iter()
            .find(|direction| direction.name() == name)
    }

    /// Returns the value of the packet field `direction`: 0 or 1.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Src2Dst => 0,
            Self::Dst2Src => 1,
        }
    }
}

/// The run that a statement `runs` leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Drop {
    /// The first run of each flow.
    First,
    /// The last run of each flow, which the flow's end cuts off.
    Last,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    name: &'static str,
    ns: i64,
}

/// The units in which a feature can be written.
pub(crate) const UNITS: [Unit; 6] = [
    Unit::new("ns", 1),
    Unit::new("us", 1_000),
    Unit::new("ms", 1_000_000),
    Unit::new("s", 1_000_000_000),
    Unit::new("min", 60_000_000_000),
    Unit::new("h", 3_600_000_000_000),
];

impl Unit {
    const fn new(name: &'static str, ns: i64) -> Self {
        Self { name, ns }
    }

    pub(crate) fn by_name(name: &str) -> Option<Self> {
        UNITS.into_iter().find(|unit| unit.name == name)
    }

    /// Returns the name in the language, such as `ms`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Returns the length of the unit in nanoseconds.
    pub fn ns(self) -> i64 {
        self.ns
    }
}

/// An expression with its place in the text.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
    /// The number of levels of the tree, which bounds the recursion of everything that walks it.
    pub(crate) depth: usize,
}

impl PartialEq for Expr {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExprKind {
    Name(String),
    Boolean(bool),
    Number(Number),
    /// A time: the number and the nanoseconds of its unit.
    Time(Number, i64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Expr>),
    Negate(Box<Expr>),
    Not(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    /// `value in {…}`.
    In(Box<Expr>, Vec<Member>),
    /// `value[index]`.
    Element(Box<Expr>, Box<Expr>),
    /// `value[from:to]`.
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>),
    Call(Box<Call>),
}

/// A member of the set of `in`: one value, or `low..high` with both ends.
pub(crate) type Member = (Expr, Option<Expr>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: Name,
    /// The values, which include a scope.
    pub(crate) arguments: Vec<Expr>,
    pub(crate) filter: Option<Expr>,
    /// The number of `first N`.
    pub(crate) first: Option<i64>,
    /// The name of the runs.
    pub(crate) per: Option<Name>,
}

/// An operator between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Coalesce,
    Or,
    And,
    Compare(Comparison),
    Contains,
    BitOr,
    BitAnd,
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Remainder,
}

impl Operator {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::Coalesce => "??",
            Self::Or => "or",
            Self::And => "and",
            Self::Compare(Comparison::Equal) => "==",
            Self::Compare(Comparison::NotEqual) => "!=",
            Self::Compare(Comparison::Less) => "<",
            Self::Compare(Comparison::LessOrEqual) => "<=",
            Self::Compare(Comparison::Greater) => ">",
            Self::Compare(Comparison::GreaterOrEqual) => ">=",
            Self::Contains => "contains",
            Self::BitOr => "|",
            Self::BitAnd => "&",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::FloorDivide => "//",
            Self::Remainder => "%",
        }
    }

    /// Returns the rank among the operators. A higher one binds tighter.
    pub(crate) fn rank(self) -> u8 {
        match self {
            Self::Coalesce => 1,
            Self::Or => 2,
            Self::And => 3,
            Self::Compare(_) | Self::Contains => COMPARE_RANK,
            Self::BitOr => 6,
            Self::BitAnd => 7,
            Self::Add | Self::Subtract => 8,
            Self::Multiply | Self::Divide | Self::FloorDivide | Self::Remainder => 9,
        }
    }
}

/// The rank of `not`.
pub(crate) const NOT_RANK: u8 = 4;
/// The rank of comparisons and of `in`.
pub(crate) const COMPARE_RANK: u8 = 5;
/// The rank of a minus before a value.
pub(crate) const UNARY_RANK: u8 = 10;
/// The rank of names, literals, calls and brackets.
pub(crate) const PRIMARY_RANK: u8 = 11;
