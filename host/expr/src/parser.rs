//! From tokens to syntax trees.
//!
//! ```text
//! or      = and { ( "or" | "||" ) and }
//! and     = not { ( "and" | "&&" ) not }
//! not     = ( "not" | "!" ) not | compare
//! compare = sum [ ( "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~" ) sum
//!               | [ "not" ] "in" set | "is" [ "not" ] "null" ]
//! set     = "{" member { "," member } "}" | member
//! member  = sum [ ".." sum ]
//! sum     = product { ( "+" | "-" ) product }
//! product = unary { ( "*" | "/" ) unary }
//! unary   = "-" unary | literal | NAME | "(" or ")"
//! ```

use crate::ast::{Arithmetic, Comparison, Expr, ExprKind, Literal, Member, Number};
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::{self, Token};

/// The maximum number of levels of a tree.
const MAX_DEPTH: usize = 100;

/// Words that are not names of columns.
const RESERVED: [&str; 8] = ["and", "or", "not", "in", "is", "null", "true", "false"];

/// Parses an expression.
pub(crate) fn parse(text: &str) -> Result<Expr, Diagnostic> {
    let mut parser = Parser {
        tokens: lexer::tokens(text)?,
        at: 0,
        nesting: 0,
    };
    let expr = parser.or()?;
    match parser.peek() {
        Token::End => Ok(expr),
        Token::Symbol("=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "~") => Err(parser.unexpected(
            "compares a comparison",
            "join two comparisons with and, or give a range, as in src_port in {1..1023}",
        )),
        _ => Err(parser.unexpected(
            "the expression should end here",
            "expected and, or, or the end",
        )),
    }
}

struct Parser {
    tokens: Vec<(Token, Span)>,
    /// The index of the next token.
    at: usize,
    /// The number of open brackets and prefix operators.
    nesting: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn span(&self) -> Span {
        self.tokens[self.at].1.clone()
    }

    fn next(&mut self) -> (Token, Span) {
        let token = self.tokens[self.at].clone();
        if token.0 != Token::End {
            self.at += 1;
        }
        token
    }

    /// Takes the next token if it is one of these symbols or words.
    fn take(&mut self, wanted: &[&str]) -> Option<Span> {
        let is_wanted = match self.peek() {
            Token::Symbol(symbol) => wanted.contains(symbol),
            Token::Name(name) => wanted.contains(&name.as_str()),
            _ => false,
        };
        is_wanted.then(|| self.next().1)
    }

    fn unexpected(&self, message: &str, label: &str) -> Diagnostic {
        Diagnostic::new(self.span(), message, label)
    }

    /// Returns an expression, unless the tree has too many levels.
    fn node(&self, kind: ExprKind, span: Span) -> Result<Expr, Diagnostic> {
        let member_depth = |member: &Member| match member {
            Member::One(one) => one.depth,
            Member::Range(low, high) => low.depth.max(high.depth),
        };
        let below = match &kind {
            ExprKind::Name(_) | ExprKind::Literal(_) | ExprKind::Shorthand { .. } => 0,
            ExprKind::Negate(inner) | ExprKind::Not(inner) | ExprKind::IsNull(inner) => inner.depth,
            ExprKind::And(all) | ExprKind::Or(all) => {
                all.iter().map(|expr| expr.depth).max().unwrap_or(0)
            }
            ExprKind::Arithmetic(_, left, right)
            | ExprKind::Compare(_, left, right)
            | ExprKind::Matches(left, right) => left.depth.max(right.depth),
            ExprKind::In(value, members) => {
                let deepest = members.iter().map(member_depth).max().unwrap_or(0);
                value.depth.max(deepest)
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

    /// Parses with one more level of nesting.
    fn nested(
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

    fn or(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(&["or", "||"], Self::and, ExprKind::Or)
    }

    fn and(&mut self) -> Result<Expr, Diagnostic> {
        self.chain(&["and", "&&"], Self::not, ExprKind::And)
    }

    /// Parses operands that are joined by one operator.
    fn chain(
        &mut self,
        operators: &[&str],
        operand: fn(&mut Self) -> Result<Expr, Diagnostic>,
        join: fn(Vec<Expr>) -> ExprKind,
    ) -> Result<Expr, Diagnostic> {
        let first = operand(self)?;
        let mut all = vec![first];
        while self.take(operators).is_some() {
            all.push(operand(self)?);
        }
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return Ok(only);
        }
        let span = all[0].span.start..all[all.len() - 1].span.end;
        self.node(join(all), span)
    }

    fn not(&mut self) -> Result<Expr, Diagnostic> {
        let Some(start) = self.take(&["not", "!"]) else {
            return self.compare();
        };
        let inner = self.nested(&start, Self::not)?;
        let span = start.start..inner.span.end;
        self.node(ExprKind::Not(Box::new(inner)), span)
    }

    fn compare(&mut self) -> Result<Expr, Diagnostic> {
        let left = self.sum()?;
        let start = left.span.start;
        let comparison = match self.peek() {
            Token::Symbol("=" | "==") => Some(Comparison::Equal),
            Token::Symbol("!=") => Some(Comparison::NotEqual),
            Token::Symbol("<") => Some(Comparison::Less),
            Token::Symbol("<=") => Some(Comparison::LessOrEqual),
            Token::Symbol(">") => Some(Comparison::Greater),
            Token::Symbol(">=") => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(comparison) = comparison {
            self.next();
            let right = self.sum()?;
            let span = start..right.span.end;
            let kind = ExprKind::Compare(comparison, Box::new(left), Box::new(right));
            return self.node(kind, span);
        }
        if self.take(&["~"]).is_some() {
            let right = self.sum()?;
            let span = start..right.span.end;
            return self.node(ExprKind::Matches(Box::new(left), Box::new(right)), span);
        }
        if self.take(&["is"]).is_some() {
            let is_not = self.take(&["not"]).is_some();
            let Some(end) = self.take(&["null"]) else {
                return Err(
                    self.unexpected("null should follow", "expected is null or is not null")
                );
            };
            let span = start..end.end;
            let test = self.node(ExprKind::IsNull(Box::new(left)), span.clone())?;
            return match is_not {
                true => self.node(ExprKind::Not(Box::new(test)), span),
                false => Ok(test),
            };
        }
        let is_not_in = self.peek() == &Token::Name("not".into())
            && self.tokens.get(self.at + 1).map(|(token, _)| token)
                == Some(&Token::Name("in".into()));
        if is_not_in {
            self.next();
        }
        if self.take(&["in"]).is_some() {
            let (members, end) = self.set()?;
            let span = start..end;
            let test = self.node(ExprKind::In(Box::new(left), members), span.clone())?;
            return match is_not_in {
                true => self.node(ExprKind::Not(Box::new(test)), span),
                false => Ok(test),
            };
        }
        Ok(left)
    }

    /// Parses the set behind `in`. Returns its members, and the place of its end.
    fn set(&mut self) -> Result<(Vec<Member>, usize), Diagnostic> {
        if self.take(&["{"]).is_none() {
            let (member, end) = self.member()?;
            return Ok((vec![member], end));
        }
        let mut members = Vec::new();
        loop {
            members.push(self.member()?.0);
            if let Some(end) = self.take(&["}"]) {
                return Ok((members, end.end));
            }
            if self.take(&[","]).is_none() {
                return Err(self.unexpected("the set should go on or end here", "expected , or }"));
            }
        }
    }

    fn member(&mut self) -> Result<(Member, usize), Diagnostic> {
        let low = self.sum()?;
        if self.take(&[".."]).is_none() {
            let end = low.span.end;
            return Ok((Member::One(low), end));
        }
        let high = self.sum()?;
        let end = high.span.end;
        Ok((Member::Range(low, high), end))
    }

    fn sum(&mut self) -> Result<Expr, Diagnostic> {
        let operators = [("+", Arithmetic::Add), ("-", Arithmetic::Subtract)];
        self.arithmetic(operators, Self::product)
    }

    fn product(&mut self) -> Result<Expr, Diagnostic> {
        let operators = [("*", Arithmetic::Multiply), ("/", Arithmetic::Divide)];
        self.arithmetic(operators, Self::unary)
    }

    fn arithmetic(
        &mut self,
        operators: [(&'static str, Arithmetic); 2],
        operand: fn(&mut Self) -> Result<Expr, Diagnostic>,
    ) -> Result<Expr, Diagnostic> {
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators
            .into_iter()
            .find(|(symbol, _)| self.take(&[symbol]).is_some())
        {
            let right = operand(self)?;
            let span = left.span.start..right.span.end;
            let kind = ExprKind::Arithmetic(operator, Box::new(left), Box::new(right));
            left = self.node(kind, span)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Diagnostic> {
        let (token, span) = self.next();
        match token {
            Token::Symbol("-") => {
                let inner = self.nested(&span, Self::unary)?;
                let whole = span.start..inner.span.end;
                let kind = match inner.kind {
                    ExprKind::Literal(Literal::Number(number)) => {
                        ExprKind::Literal(Literal::Number(negated(number)))
                    }
                    ExprKind::Literal(Literal::Time(number, ns)) => {
                        ExprKind::Literal(Literal::Time(negated(number), ns))
                    }
                    _ => ExprKind::Negate(Box::new(inner)),
                };
                self.node(kind, whole)
            }
            Token::Symbol("(") => {
                let mut inner = self.nested(&span, Self::or)?;
                match self.take(&[")"]) {
                    Some(end) => {
                        inner.span = span.start..end.end;
                        Ok(inner)
                    }
                    None => Err(self.unexpected("a bracket is open", "expected and, or, or )")),
                }
            }
            Token::Literal(literal) => self.node(ExprKind::Literal(literal), span),
            Token::Shorthand { key, pattern } => {
                self.node(ExprKind::Shorthand { key, pattern }, span)
            }
            Token::Name(name) => match name.as_str() {
                "true" => self.node(ExprKind::Literal(Literal::Boolean(true)), span),
                "false" => self.node(ExprKind::Literal(Literal::Boolean(false)), span),
                "null" => self.node(ExprKind::Literal(Literal::Null), span),
                name if RESERVED.contains(&name) => Err(Diagnostic::new(
                    span,
                    format!("'{name}' needs something before it"),
                    "expected a column or a value",
                )),
                _ => self.node(ExprKind::Name(name), span),
            },
            Token::End => Err(Diagnostic::new(
                span,
                "the expression is incomplete",
                "expected a column or a value",
            )),
            // Filters have neither comments nor lines.
            Token::Comment(_) | Token::Newline | Token::Invalid => Err(Diagnostic::new(
                span,
                "this is not expected here",
                "expected a column or a value",
            )),
            Token::Symbol(symbol) => Err(Diagnostic::new(
                span,
                format!("'{symbol}' is not expected here"),
                "expected a column or a value",
            )),
        }
    }
}

fn negated(number: Number) -> Number {
    match number {
        // Literals are not negative, so that this cannot overflow.
        Number::Integer(number) => Number::Integer(-number),
        Number::Float(number) => Number::Float(-number),
    }
}

fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::new(
        span,
        "the expression has too many levels",
        format!("at most {MAX_DEPTH} levels are accepted; remove brackets"),
    )
}
