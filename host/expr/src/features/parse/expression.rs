//! Expressions.
//!
//! ```text
//! expr    = or { "??" or }
//! or      = and { ( "or" | "||" ) and }
//! and     = not { ( "and" | "&&" ) not }
//! not     = ( "not" | "!" ) not | compare
//! compare = bits [ ( "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "contains" ) bits
//!                | [ "not" ] "in" "{" range { "," range } "}" ]
//! range   = unary [ ".." unary ]
//! bits    = mask { "|" mask }
//! mask    = sum { "&" sum }
//! sum     = product { ( "+" | "-" ) product }
//! product = unary { ( "*" | "/" | "//" | "%" ) unary }
//! unary   = "-" unary | postfix
//! postfix = primary { "[" [ expr ] [ ":" [ expr ] ] "]" }
//! primary = literal | NAME | call | "(" expr ")" | "[" [ expr { "," expr } ] "]"
//! ```

use super::super::ast::{Expr, ExprKind, Member, Operator};
use super::{MAX_DEPTH, Parser, RESERVED, finite};
use crate::ast::{Comparison, Literal, Number};
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::Token;

/// The symbols of comparisons.
pub(super) const COMPARISONS: [&str; 7] = ["=", "==", "!=", "<", "<=", ">", ">="];

/// Operators of one rank, from the loosest rank to the tightest.
type Level = &'static [(&'static str, Operator)];

const COALESCE: Level = &[("??", Operator::Coalesce)];
const OR: Level = &[("or", Operator::Or), ("||", Operator::Or)];
const AND: Level = &[("and", Operator::And), ("&&", Operator::And)];
const BITS: Level = &[("|", Operator::BitOr)];
const MASK: Level = &[("&", Operator::BitAnd)];
const SUM: Level = &[("+", Operator::Add), ("-", Operator::Subtract)];
const PRODUCT: Level = &[
    ("*", Operator::Multiply),
    ("/", Operator::Divide),
    ("//", Operator::FloorDivide),
    ("%", Operator::Remainder),
];

impl Parser {
    pub(super) fn expr(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(COALESCE, Self::or)
    }

    fn or(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(OR, Self::and)
    }

    fn and(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(AND, Self::not)
    }

    fn not(&mut self) -> Result<Expr, Diagnostic> {
        let Some(start) = self.take(&["not", "!"]) else {
            return self.compare();
        };
        let inner = self.nested(&start, Self::not)?;
        let span = start.start..inner.span.end;
        node(ExprKind::Not(Box::new(inner)), span)
    }

    fn compare(&mut self) -> Result<Expr, Diagnostic> {
        let left = self.bits()?;
        let start = left.span.start;
        if let Some(operator) = self.comparison() {
            self.next();
            if operator == Operator::Compare(Comparison::Less) && self.is_next(&[">"]) {
                return Err(self.unexpected("'<>' is not expected here", "write !="));
            }
            let right = self.bits()?;
            if self.is_next(&COMPARISONS) {
                return Err(self.chained(operator, &left, &right));
            }
            let span = start..right.span.end;
            let kind = ExprKind::Binary(operator, Box::new(left), Box::new(right));
            return node(kind, span);
        }
        let set_follows = |second: Option<&Token>| second == Some(&Token::Symbol("{"));
        let in_word = || Token::Name("in".into());
        let is_not = self.is_next(&["not"]) && self.peek_second() == Some(&in_word());
        if is_not {
            self.next();
        }
        let is_other_set = |second: Option<&Token>| {
            matches!(second, Some(Token::Symbol("[" | "(") | Token::Literal(_)))
        };
        if self.is_next(&["in"]) && is_other_set(self.peek_second()) {
            self.next();
            return Err(self.unexpected(
                "a set should follow",
                "a set is written in braces, as in {80, 443, 8000..8080}",
            ));
        }
        // Otherwise the unit of a feature follows.
        if self.is_next(&["in"]) && (is_not || set_follows(self.peek_second())) {
            self.next();
            let (members, end) = self.set()?;
            let test = node(ExprKind::In(Box::new(left), members), start..end)?;
            return match is_not {
                true => node(ExprKind::Not(Box::new(test)), start..end),
                false => Ok(test),
            };
        }
        Ok(left)
    }

    /// Returns the comparison that follows.
    fn comparison(&self) -> Option<Operator> {
        Some(Operator::Compare(match self.peek() {
            Token::Symbol("=" | "==") => Comparison::Equal,
            Token::Symbol("!=") => Comparison::NotEqual,
            Token::Symbol("<") => Comparison::Less,
            Token::Symbol("<=") => Comparison::LessOrEqual,
            Token::Symbol(">") => Comparison::Greater,
            Token::Symbol(">=") => Comparison::GreaterOrEqual,
            Token::Name(name) if name == "contains" => return Some(Operator::Contains),
            _ => return None,
        }))
    }

    /// Returns the error of `low < value < high`, with the range if both ends are whole numbers.
    fn chained(&mut self, first: Operator, left: &Expr, middle: &Expr) -> Diagnostic {
        let mut error = self.compared_twice();
        let second = self.comparison();
        self.next();
        let low = match (&left.kind, first) {
            (ExprKind::Number(Number::Integer(low)), Operator::Compare(Comparison::Less)) => {
                low.checked_add(1)
            }
            (
                ExprKind::Number(Number::Integer(low)),
                Operator::Compare(Comparison::LessOrEqual),
            ) => Some(*low),
            _ => None,
        };
        let high = match (self.peek(), second) {
            (
                Token::Literal(Literal::Number(Number::Integer(high))),
                Some(Operator::Compare(Comparison::Less)),
            ) => high.checked_sub(1),
            (
                Token::Literal(Literal::Number(Number::Integer(high))),
                Some(Operator::Compare(Comparison::LessOrEqual)),
            ) => Some(*high),
            _ => None,
        };
        if let (ExprKind::Name(name), Some(low), Some(high)) = (&middle.kind, low, high) {
            error.label = format!("write {name} in {{{low}..{high}}}");
        }
        error
    }

    pub(super) fn compared_twice(&self) -> Diagnostic {
        self.unexpected(
            "this compares a comparison",
            "join two comparisons with and, or give a range, as in ip_size in {1..99}",
        )
    }

    /// Parses the set behind `in`. Returns its members, and the place of its end.
    fn set(&mut self) -> Result<(Vec<Member>, usize), Diagnostic> {
        self.expect("{", "a set should follow")?;
        let mut members = Vec::new();
        loop {
            let low = self.unary()?;
            let high = match self.take(&[".."]) {
                Some(_) => Some(self.unary()?),
                None => None,
            };
            members.push((low, high));
            if let Some(end) = self.take(&["}"]) {
                return Ok((members, end.end));
            }
            if self.take(&[","]).is_none() {
                return Err(self.unexpected(
                    "the set should go on or end here",
                    "expected , or }; a range is written as 80..443",
                ));
            }
        }
    }

    fn bits(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(BITS, Self::mask)
    }

    fn mask(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(MASK, Self::sum)
    }

    fn sum(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(SUM, Self::product)
    }

    fn product(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(PRODUCT, Self::unary)
    }

    /// Parses operands of operators of one rank, from left to right.
    fn chain(
        &mut self,
        level: Level,
        operand: fn(&mut Self) -> Result<Expr, Diagnostic>,
    ) -> Result<Expr, Diagnostic> {
        let mut left = operand(self)?;
        while let Some((_, operator)) = level
            .iter()
            .find(|(symbol, _)| self.take(&[symbol]).is_some())
        {
            let right = operand(self)?;
            let span = left.span.start..right.span.end;
            let kind = ExprKind::Binary(*operator, Box::new(left), Box::new(right));
            left = node(kind, span)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Diagnostic> {
        let Some(start) = self.take(&["-"]) else {
            return self.postfix();
        };
        let inner = self.nested(&start, Self::unary)?;
        let span = start.start..inner.span.end;
        let kind = match inner.kind {
            ExprKind::Number(number) => ExprKind::Number(negated(number)),
            ExprKind::Time(number, ns) => ExprKind::Time(negated(number), ns),
            _ => ExprKind::Negate(Box::new(inner)),
        };
        node(kind, span)
    }

    fn postfix(&mut self) -> Result<Expr, Diagnostic> {
        let mut value = self.primary()?;
        while let Some(open) = self.take(&["["]) {
            let part = |parser: &mut Self| match parser.is_next(&[":", "]"]) {
                true => Ok(None),
                false => parser
                    .nested(&open, Self::expr)
                    .map(|part| Some(Box::new(part))),
            };
            let from = part(self)?;
            let is_slice = self.take(&[":"]).is_some();
            let to = match is_slice {
                true => part(self)?,
                false => None,
            };
            let start = value.span.start;
            let end = self.expect("]", "a bracket is open")?.end;
            let kind = match (is_slice, from) {
                (true, from) => ExprKind::Slice(Box::new(value), from, to),
                (false, Some(index)) => ExprKind::Element(Box::new(value), index),
                (false, None) => {
                    return Err(Diagnostic::new(
                        open.start..end,
                        "the brackets are empty",
                        "expected the number of a byte, as in [0], or a range, as in [0:4]",
                    ));
                }
            };
            value = node(kind, start..end)?;
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expr, Diagnostic> {
        let (token, span) = self.next();
        let expected = "expected a name, a number or an aggregate such as count()";
        match token {
            Token::Symbol("(") => {
                let mut inner = self.nested(&span, Self::expr)?;
                let end = self.expect(")", "a bracket is open")?.end;
                inner.span = span.start..end;
                Ok(inner)
            }
            Token::Symbol("[") => {
                let mut items = Vec::new();
                while !self.is_next(&["]"]) {
                    items.push(self.nested(&span, Self::expr)?);
                    if self.take(&[","]).is_none() {
                        break;
                    }
                }
                let end = self.expect("]", "the list should go on or end here")?.end;
                node(ExprKind::List(items), span.start..end)
            }
            Token::Literal(literal) => {
                let kind = match literal {
                    Literal::Number(number) => ExprKind::Number(finite(number, &span)?),
                    Literal::Time(number, ns) => ExprKind::Time(finite(number, &span)?, ns),
                    Literal::Text(text) => ExprKind::Text(text),
                    Literal::Bytes(bytes) => ExprKind::Bytes(bytes),
                    Literal::Null
                    | Literal::Boolean(_)
                    | Literal::Address(_)
                    | Literal::Network(_) => {
                        return Err(Diagnostic::new(span, "this is no value here", expected));
                    }
                };
                node(kind, span)
            }
            Token::Name(name) => match name.as_str() {
                _ if self.is_next(&["("]) => self.call(name, span),
                "true" | "false" => node(ExprKind::Boolean(name == "true"), span),
                "src2dst" | "dst2src" => node(ExprKind::Name(name), span),
                word if RESERVED.contains(&word) => Err(Diagnostic::new(
                    span,
                    format!("'{word}' is not expected here"),
                    expected,
                )),
                _ => node(ExprKind::Name(name), span),
            },
            Token::End => Err(Diagnostic::new(
                span,
                "the statement is incomplete",
                expected,
            )),
            Token::Symbol(symbol) => Err(Diagnostic::new(
                span,
                format!("'{symbol}' is not expected here"),
                match symbol {
                    "*" => "write count() for all packets, and X * X for a square",
                    _ => expected,
                },
            )),
            Token::Shorthand { .. } | Token::Comment(_) | Token::Newline | Token::Invalid => {
                Err(Diagnostic::new(span, "this is not expected here", expected))
            }
        }
    }

    /// Parses with one more level of nesting.
    pub(super) fn nested(
        &mut self,
        span: &Span,
        parse: impl FnOnce(&mut Self) -> Result<Expr, Diagnostic>,
    ) -> Result<Expr, Diagnostic> {
        if self.nesting == MAX_DEPTH {
            return Err(too_deep(span.clone()));
        }
        self.nesting += 1;
        let parsed = parse(self);
        self.nesting -= 1;
        parsed
    }
}

pub(super) fn negated(number: Number) -> Number {
    match number {
        // Literals are above the smallest integer, so that this cannot overflow.
        Number::Integer(number) => Number::Integer(-number),
        Number::Float(number) => Number::Float(-number),
    }
}

/// Returns an expression, unless the tree has too many levels.
pub(super) fn node(kind: ExprKind, span: Span) -> Result<Expr, Diagnostic> {
    let deepest = |all: &[Expr]| all.iter().map(|expr| expr.depth).max().unwrap_or(0);
    let optional = |part: &Option<Box<Expr>>| part.as_ref().map_or(0, |part| part.depth);
    let below = match &kind {
        ExprKind::Name(_)
        | ExprKind::Boolean(_)
        | ExprKind::Number(_)
        | ExprKind::Time(..)
        | ExprKind::Text(_)
        | ExprKind::Bytes(_) => 0,
        ExprKind::List(items) => deepest(items),
        ExprKind::Negate(inner) | ExprKind::Not(inner) => inner.depth,
        ExprKind::Binary(_, left, right) | ExprKind::Element(left, right) => {
            left.depth.max(right.depth)
        }
        ExprKind::In(value, members) => {
            let of =
                |(low, high): &Member| low.depth.max(high.as_ref().map_or(0, |high| high.depth));
            let deepest = members.iter().map(of).max().unwrap_or(0);
            value.depth.max(deepest)
        }
        ExprKind::Slice(value, from, to) => value.depth.max(optional(from)).max(optional(to)),
        ExprKind::Call(call) => {
            let filter = call.filter.as_ref().map_or(0, |filter| filter.depth);
            deepest(&call.arguments).max(filter)
        }
    };
    match below < MAX_DEPTH {
        true => Ok(Expr {
            kind,
            span,
            depth: below + 1,
        }),
        false => Err(too_deep(span)),
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(
        span,
        "the expression has too many levels",
        format!("at most {MAX_DEPTH} levels are accepted; name a part of it with let"),
    )
}
