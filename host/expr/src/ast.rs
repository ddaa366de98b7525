//! Syntax trees.

use std::net::IpAddr;

use crate::diagnostic::Span;

/// An expression with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
    /// The number of levels of the tree, which bounds the recursion of everything that walks it.
    pub(crate) depth: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ExprKind {
    /// The name of a column, with its dots.
    Name(String),
    Literal(Literal),
    /// A word with a pattern, such as `sni:*.example.com`.
    Shorthand {
        key: String,
        pattern: String,
    },
    Negate(Box<Expr>),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `value ~ pattern`.
    Matches(Box<Expr>, Box<Expr>),
    /// `value in {…}`.
    In(Box<Expr>, Vec<Member>),
    /// `value is null`.
    IsNull(Box<Expr>),
}

/// A member of the set of `in`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Member {
    One(Expr),
    /// `low..high`; both ends belong to it.
    Range(Expr, Expr),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    Null,
    Boolean(bool),
    Number(Number),
    /// A time: the number and the nanoseconds of its unit.
    Time(Number, i64),
    Text(String),
    Bytes(Vec<u8>),
    Address(IpAddr),
    Network(Network),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Integer(i64),
    Float(f64),
}

/// The addresses that share their first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Returns the network of an address and a number of bits, unless the address has fewer bits.
    pub(crate) fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Returns the network of one address.
    pub(crate) fn of_one(address: IpAddr) -> Self {
        let bits = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { address, bits }
    }

    /// Returns whether an address belongs to the network. Addresses of the other version never do.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    /// Returns whether two values that compare like this satisfy it.
    pub(crate) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }

    /// Returns whether it asks for the order of values.
    pub(crate) fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }
}
