//! Checked conditions. Their columns exist, and their operands have fitting types.

use std::net::IpAddr;

use super::glob::Glob;
use crate::ast::{Arithmetic, Comparison, Network};

/// A condition, which is true, false or null.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    Constant(bool),
    /// A column of booleans.
    Column(usize),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Compare(Comparison, CompareAs, Operand, Operand),
    /// Whether the integer or float is in one of the ranges, which include both ends.
    InRanges(Operand, Vec<Range>),
    /// Whether the address is in one of the networks.
    InNetworks(Operand, Vec<Network>),
    InTexts(Operand, Vec<Box<str>>),
    Matches(Operand, Glob),
    IsNull(Operand),
}

impl Condition {
    /// Calls `visit` with the index of every column that the condition reads. An index can come several times.
    pub(crate) fn for_each_column(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Constant(_) => {}
            Self::Column(column) => visit(*column),
            Self::Not(inner) => inner.for_each_column(visit),
            Self::And(all) | Self::Or(all) => {
                for condition in all {
                    condition.for_each_column(visit);
                }
            }
            Self::Compare(_, _, left, right) => {
                left.for_each_column(visit);
                right.for_each_column(visit);
            }
            Self::InRanges(operand, _)
            | Self::InNetworks(operand, _)
            | Self::InTexts(operand, _)
            | Self::Matches(operand, _)
            | Self::IsNull(operand) => operand.for_each_column(visit),
        }
    }
}

/// The type in which two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompareAs {
    Boolean,
    Integer,
    Float,
    Text,
    Address,
    Bytes,
}

/// A range of numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Range {
    Integers(i64, i64),
    Floats(f64, f64),
}

/// A value of a flow, or a value that is computed.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Column(usize),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Box<str>),
    Bytes(Box<[u8]>),
    Address(IpAddr),
    Negate(Box<Operand>),
    Arithmetic(Arithmetic, Box<Operand>, Box<Operand>),
}

impl Operand {
    fn for_each_column(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Column(column) => visit(*column),
            Self::Boolean(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Address(_) => {}
            Self::Negate(inner) => inner.for_each_column(visit),
            Self::Arithmetic(_, left, right) => {
                left.for_each_column(visit);
                right.for_each_column(visit);
            }
        }
    }
}
