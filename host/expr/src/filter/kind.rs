//! The types of values in conditions.

use flowloom_core::fields::Extract;
use flowloom_core::schema::Schema;
use flowloom_core::value::Type;

use super::node::Operand;
use crate::ast::Number;

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Boolean,
    /// A number, with the nanoseconds of its unit if it is a time.
    Number {
        is_float: bool,
        unit: Option<i64>,
    },
    Text,
    Bytes,
    Address,
    List,
    Json,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Number { .. } => "a number",
            Self::Text => "text",
            Self::Bytes => "bytes",
            Self::Address => "an address",
            Self::List => "a list",
            Self::Json => "JSON",
        }
    }
}

/// A value with its type.
pub(super) struct Typed {
    pub(super) operand: Operand,
    pub(super) kind: Kind,
}

/// Returns the type of the original values of a column.
pub(super) fn kind_of(schema: &Schema, index: usize) -> Option<Kind> {
    if let Some(feature) = schema.features().get(index) {
        return Some(match feature.value {
            Extract::Ip(_) => Kind::Address,
            _ => kind(feature.ty, feature.unit),
        });
    }
    let udp = schema.udps().get(index - schema.features().len())?;
    Some(kind(udp.ty(), ""))
}

fn kind(ty: Type, unit: &str) -> Kind {
    let unit = match unit {
        "ns" => Some(1),
        "us" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        _ => None,
    };
    match ty {
        Type::Boolean => Kind::Boolean,
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I64 => Kind::Number {
            is_float: false,
            unit,
        },
        Type::Float => Kind::Number {
            is_float: true,
            unit,
        },
        Type::Time | Type::Text => Kind::Text,
        Type::Bytes => Kind::Bytes,
        Type::Integers | Type::Floats | Type::Texts => Kind::List,
        Type::Json => Kind::Json,
    }
}

pub(super) fn number_of(number: Number, unit: Option<i64>) -> Typed {
    match number {
        Number::Integer(value) => Typed {
            operand: Operand::Integer(value),
            kind: Kind::Number {
                is_float: false,
                unit,
            },
        },
        Number::Float(value) => Typed {
            operand: Operand::Float(value),
            kind: Kind::Number {
                is_float: true,
                unit,
            },
        },
    }
}

pub(super) fn is_constant(operand: &Operand) -> bool {
    matches!(operand, Operand::Integer(_) | Operand::Float(_))
}

pub(super) fn float(number: Number) -> f64 {
    match number {
        Number::Integer(number) => number as f64,
        Number::Float(number) => number,
    }
}

/// Returns an example of a condition on a column.
pub(super) fn example(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Number { .. } => format!("compare it, as in {name} > 0"),
        Kind::Text => format!("compare it, as in {name} = \"text\""),
        Kind::Bytes => format!("compare it, as in {name} = x\"16\""),
        Kind::Address => format!("compare it, as in {name} in 10.0.0.0/8"),
        Kind::Boolean | Kind::List | Kind::Json => format!("write {name} is not null"),
    }
}
