//! From syntax trees to text, in one form for each tree.

use std::fmt::{self, Display, Formatter};

use super::ast::{
    COMPARE_RANK, Call, Drop, Expr, ExprKind, File, NOT_RANK, PRIMARY_RANK, Selection, Statement,
    StatementKind, UNARY_RANK,
};
use crate::ast::Number;

/// The units of literals, in nanoseconds.
const LITERAL_UNITS: [(&str, i64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl Display for File {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.statements
            .iter()
            .try_for_each(|statement| writeln!(f, "{statement}"))
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StatementKind::Language(number) => write!(f, "language {number}")?,
            StatementKind::About(text) => {
                f.write_str("about ")?;
                quoted(f, text)?;
            }
            StatementKind::Nulls(value) => {
                f.write_str("nulls ")?;
                number(f, *value)?;
            }
            StatementKind::Let {
                name,
                value,
                selection,
            } => {
                write!(f, "let {} = {value}", name.text)?;
                if selection.scope.is_some() {
                    f.write_str(",")?;
                }
                write!(f, "{selection}")?;
            }
            StatementKind::Runs {
                name,
                selection,
                break_when,
                drop,
            } => {
                write!(f, "runs {} ={selection} break when {break_when}", name.text)?;
                match drop {
                    Some(Drop::First) => f.write_str(" drop first")?,
                    Some(Drop::Last) => f.write_str(" drop last")?,
                    None => (),
                }
            }
            StatementKind::Feature { name, value, unit } => {
                write!(f, "{} = {value}", name.text)?;
                if let Some(unit) = unit {
                    write!(f, " in {}", unit.name())?;
                }
            }
        }
        match self.comment.is_empty() {
            true => Ok(()),
            false => write!(f, "  # {}", self.comment),
        }
    }
}

impl Display for Selection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(scope) = self.scope {
            write!(f, " {}", scope.name())?;
        }
        match &self.filter {
            Some(filter) => write!(f, " where {filter}"),
            None => Ok(()),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Name(name) => f.write_str(name),
            ExprKind::Boolean(value) => write!(f, "{value}"),
            ExprKind::Number(value) => number(f, *value),
            ExprKind::Time(value, ns) => {
                number(f, *value)?;
                let unit = LITERAL_UNITS.iter().find(|(_, unit)| unit == ns);
                f.write_str(unit.map_or("ns", |(name, _)| name))
            }
            ExprKind::Text(text) => quoted(f, text),
            ExprKind::Bytes(bytes) => {
                f.write_str("x\"")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("\"")
            }
            ExprKind::List(items) => {
                f.write_str("[")?;
                separated(f, items)?;
                f.write_str("]")
            }
            ExprKind::Negate(inner) => {
                f.write_str("-")?;
                // Two signs of a number would become none. Others have no brackets, which count as levels of the text.
                let is_sign = matches!(inner.kind, ExprKind::Negate(_));
                let rank = match starts_with_minus(inner) && !is_sign {
                    true => PRIMARY_RANK + 1,
                    false => UNARY_RANK,
                };
                bracketed(f, inner, rank)
            }
            ExprKind::Not(inner) => {
                f.write_str("not ")?;
                bracketed(f, inner, NOT_RANK)
            }
            ExprKind::Binary(operator, left, right) => {
                let rank = operator.rank();
                // Comparisons cannot be chained.
                let left_rank = rank + u8::from(rank == COMPARE_RANK);
                bracketed(f, left, left_rank)?;
                write!(f, " {} ", operator.symbol())?;
                bracketed(f, right, rank + 1)
            }
            ExprKind::In(value, members) => {
                bracketed(f, value, COMPARE_RANK + 1)?;
                f.write_str(" in {")?;
                for (index, (low, high)) in members.iter().enumerate() {
                    f.write_str(if index > 0 { ", " } else { "" })?;
                    bracketed(f, low, UNARY_RANK)?;
                    if let Some(high) = high {
                        f.write_str("..")?;
                        bracketed(f, high, UNARY_RANK)?;
                    }
                }
                f.write_str("}")
            }
            ExprKind::Element(value, index) => {
                bracketed(f, value, PRIMARY_RANK)?;
                write!(f, "[{index}]")
            }
            ExprKind::Slice(value, from, to) => {
                bracketed(f, value, PRIMARY_RANK)?;
                f.write_str("[")?;
                from.iter().try_for_each(|from| write!(f, "{from}"))?;
                f.write_str(":")?;
                to.iter().try_for_each(|to| write!(f, "{to}"))?;
                f.write_str("]")
            }
            ExprKind::Call(call) => write!(f, "{call}"),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.name.text)?;
        let (first, others) = self.arguments.split_at(self.arguments.len().min(1));
        separated(f, first)?;
        let mut has_before = !first.is_empty();
        let mut clause = |f: &mut Formatter<'_>| {
            let gap = if has_before { " " } else { "" };
            has_before = true;
            f.write_str(gap)
        };
        if let Some(per) = &self.per {
            clause(f)?;
            write!(f, "per {}", per.text)?;
        }
        others.iter().try_for_each(|other| write!(f, ", {other}"))?;
        if let Some(filter) = &self.filter {
            clause(f)?;
            write!(f, "where {filter}")?;
        }
        if let Some(first) = self.first {
            clause(f)?;
            write!(f, "first {first}")?;
        }
        f.write_str(")")
    }
}

fn rank(expr: &Expr) -> u8 {
    match &expr.kind {
        ExprKind::Binary(operator, ..) => operator.rank(),
        ExprKind::In(..) => COMPARE_RANK,
        ExprKind::Not(_) => NOT_RANK,
        ExprKind::Negate(_) => UNARY_RANK,
        _ if starts_with_minus(expr) => UNARY_RANK,
        _ => PRIMARY_RANK,
    }
}

fn starts_with_minus(expr: &Expr) -> bool {
    match expr.kind {
        ExprKind::Number(Number::Integer(number)) | ExprKind::Time(Number::Integer(number), _) => {
            number < 0
        }
        ExprKind::Number(Number::Float(number)) | ExprKind::Time(Number::Float(number), _) => {
            number.is_sign_negative()
        }
        ExprKind::Negate(_) => true,
        _ => false,
    }
}

/// Writes an expression, in brackets if its rank is below `least`.
fn bracketed(f: &mut Formatter<'_>, expr: &Expr, least: u8) -> fmt::Result {
    match rank(expr) < least {
        true => write!(f, "({expr})"),
        false => write!(f, "{expr}"),
    }
}

fn separated(f: &mut Formatter<'_>, items: &[Expr]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        f.write_str(if index > 0 { ", " } else { "" })?;
        write!(f, "{item}")?;
    }
    Ok(())
}

fn number(f: &mut Formatter<'_>, number: Number) -> fmt::Result {
    match number {
        Number::Integer(number) => write!(f, "{number}"),
        // It has a point or an exponent, so that it is read as a float again.
        Number::Float(number) => write!(f, "{number:?}"),
    }
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\0' => f.write_str("\\0")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}
