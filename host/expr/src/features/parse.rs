//! From text to syntax trees.
//!
//! ```text
//! statement = "language" INT | "about" STRING | "nulls" NUMBER | let | runs | feature
//! let       = "let" NAME "=" expr [ "," scope ] [ "where" expr ]
//! runs      = "runs" NAME "=" [ scope ] [ "where" expr ] "break" "when" expr [ "drop" ( "first" | "last" ) ]
//! feature   = NAME "=" expr [ "in" UNIT ]
//! scope     = "src2dst" | "dst2src"
//! ```

mod call;
mod expression;

use super::ast::{
    Direction, Drop, Expr, File, Name, Selection, Statement, StatementKind, UNITS, Unit,
};
use super::foreign::foreign_word;
use super::lines::{Line, lines};
use crate::ast::{Literal, Number};
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::{self, Token};

/// The maximum number of levels of a tree, and of open brackets.
pub(super) const MAX_DEPTH: usize = 64;

/// Words that are not names.
pub(super) const RESERVED: [&str; 20] = [
    "about", "and", "break", "contains", "drop", "dst2src", "false", "first", "in", "language",
    "let", "not", "nulls", "or", "per", "runs", "src2dst", "true", "when", "where",
];

/// Parses all statements. A statement with an error is left out.
pub(super) fn parse(text: &str) -> (File, Vec<Diagnostic>) {
    let (tokens, mut errors) = lexer::feature_tokens(text);
    let mut statements = Vec::new();
    for line in lines(tokens) {
        // The lexer has reported what is no token.
        if line
            .tokens
            .iter()
            .any(|(token, _)| *token == Token::Invalid)
        {
            continue;
        }
        match statement(line) {
            Ok(statement) => statements.push(statement),
            Err(error) => errors.push(error),
        }
    }
    (File { statements }, errors)
}

fn statement(line: Line) -> Result<Statement, Diagnostic> {
    let Line { tokens, comment } = line;
    let span = tokens[0].1.start..tokens[tokens.len() - 1].1.end;
    let mut parser = Parser {
        tokens,
        at: 0,
        nesting: 0,
    };
    let kind = parser.statement()?;
    parser.end(&kind)?;
    Ok(Statement {
        kind,
        span,
        comment,
    })
}

/// Reads the tokens of one statement.
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

    /// Returns the token after the next one.
    fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1).map(|(token, _)| token)
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

    fn is_next(&self, wanted: &[&str]) -> bool {
        match self.peek() {
            Token::Symbol(symbol) => wanted.contains(symbol),
            Token::Name(name) => wanted.contains(&name.as_str()),
            _ => false,
        }
    }

    /// Takes the next token if it is one of these symbols or words.
    fn take(&mut self, wanted: &[&str]) -> Option<Span> {
        self.is_next(wanted).then(|| self.next().1)
    }

    fn expect(&mut self, wanted: &str, message: &str) -> Result<Span, Diagnostic> {
        self.take(&[wanted])
            .ok_or_else(|| self.unexpected(message, format!("expected {wanted}")))
    }

    fn unexpected(&self, message: impl Into<String>, label: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.span(), message, label)
    }

    fn statement(&mut self) -> Result<StatementKind, Diagnostic> {
        let (first, span) = self.next();
        let Token::Name(word) = first else {
            return Err(Diagnostic::new(
                span,
                "a statement begins with a name",
                "write a feature as in big = count(where ip_size > 1000)",
            ));
        };
        let is_assignment = self.is_next(&["="]);
        match word.as_str() {
            "language" if !is_assignment => match self.next() {
                (Token::Literal(Literal::Number(Number::Integer(number))), _) => {
                    Ok(StatementKind::Language(number))
                }
                (_, span) => Err(Diagnostic::new(
                    span,
                    "the version of the language is a number",
                    "expected language 1",
                )),
            },
            "about" if !is_assignment => match self.next() {
                (Token::Literal(Literal::Text(text)), _) => Ok(StatementKind::About(text)),
                (_, span) => Err(Diagnostic::new(
                    span,
                    "the description is a text",
                    "expected text in quotation marks",
                )),
            },
            "nulls" if !is_assignment => {
                let is_negative = self.take(&["-"]).is_some();
                match self.next() {
                    (Token::Literal(Literal::Number(number)), span) => {
                        let number = finite(number, &span)?;
                        Ok(StatementKind::Nulls(match is_negative {
                            true => expression::negated(number),
                            false => number,
                        }))
                    }
                    (_, span) => Err(Diagnostic::new(
                        span,
                        "nulls are replaced by a number",
                        "expected a number, as in nulls 0",
                    )),
                }
            }
            "let" if !is_assignment => self.binding(),
            "runs" if !is_assignment => self.runs(),
            _ => self.feature(Name { text: word, span }),
        }
    }

    /// Reads the name of a `let` or of `runs`, and the equals sign.
    fn name(&mut self) -> Result<Name, Diagnostic> {
        let (token, span) = self.next();
        let Token::Name(text) = token else {
            return Err(Diagnostic::new(
                span,
                "a name should follow",
                "expected a name",
            ));
        };
        let name = Name { text, span };
        check_name(&name)?;
        self.expect("=", "the name has no value")?;
        Ok(name)
    }

    fn binding(&mut self) -> Result<StatementKind, Diagnostic> {
        let name = self.name()?;
        let value = self.expr()?;
        let mut selection = Selection::default();
        if self.take(&[","]).is_some() {
            selection.scope = self.scope();
            if selection.scope.is_none() {
                return Err(
                    self.unexpected("a direction should follow", "expected src2dst or dst2src")
                );
            }
        }
        selection.filter = self.filter()?;
        Ok(StatementKind::Let {
            name,
            value,
            selection,
        })
    }

    fn runs(&mut self) -> Result<StatementKind, Diagnostic> {
        let name = self.name()?;
        let selection = Selection {
            scope: self.scope(),
            filter: self.filter()?,
        };
        let message = "the runs do not say where one ends";
        if self.take(&["break"]).is_none() || self.take(&["when"]).is_none() {
            return Err(self.unexpected(message, "expected break when, as in break when iat > 1s"));
        }
        let break_when = self.expr()?;
        let mut drop = None;
        if self.take(&["drop"]).is_some() {
            drop = match (self.take(&["first"]), self.take(&["last"])) {
                (Some(_), None) => Some(Drop::First),
                (None, Some(_)) => Some(Drop::Last),
                _ => {
                    return Err(self.unexpected(
                        "which run is left out is missing",
                        "expected drop first or drop last",
                    ));
                }
            };
        }
        Ok(StatementKind::Runs {
            name,
            selection,
            break_when,
            drop,
        })
    }

    fn feature(&mut self, name: Name) -> Result<StatementKind, Diagnostic> {
        if !self.is_next(&["="]) {
            return Err(Diagnostic::new(
                name.span,
                "this is no statement",
                "a feature is written as NAME = EXPRESSION; other statements begin with let, runs, language, about \
                 or nulls",
            ));
        }
        check_name(&name)?;
        self.next();
        let value = self.expr()?;
        let mut unit = None;
        if self.take(&["in"]).is_some() {
            let known = match self.peek() {
                Token::Name(name) => Unit::by_name(name),
                _ => None,
            };
            let Some(known) = known else {
                let units = UNITS.map(Unit::name).join(", ");
                return Err(self.unexpected(
                    "this is no unit of time",
                    format!("expected one of {units}"),
                ));
            };
            self.next();
            unit = Some(known);
        }
        Ok(StatementKind::Feature { name, value, unit })
    }

    fn scope(&mut self) -> Option<Direction> {
        let scope = match self.peek() {
            Token::Name(name) => Direction::by_name(name),
            _ => None,
        }?;
        self.next();
        Some(scope)
    }

    fn filter(&mut self) -> Result<Option<Expr>, Diagnostic> {
        match self.take(&["where"]) {
            Some(_) => self.expr().map(Some),
            None => Ok(None),
        }
    }

    /// Checks that the statement ends.
    fn end(&self, kind: &StatementKind) -> Result<(), Diagnostic> {
        if *self.peek() == Token::End {
            return Ok(());
        }
        if self.is_next(&expression::COMPARISONS) {
            return Err(self.compared_twice());
        }
        if self.is_next(&["where", "first", "per", ","])
            && matches!(kind, StatementKind::Feature { .. })
        {
            return Err(self.unexpected(
                "this belongs to an aggregate",
                "write it inside the brackets, as in mean(ip_size, src2dst where index <= 10)",
            ));
        }
        if self.is_next(&[")", "]", "}"]) {
            return Err(self.unexpected("no bracket is open", "remove it"));
        }
        if let Token::Name(word) = self.peek()
            && let Some(label) = foreign_word(word)
        {
            return Err(self.unexpected(format!("'{word}' is not expected here"), label));
        }
        Err(self.unexpected(
            "the statement should end here",
            "expected an operator or the end of the line",
        ))
    }
}

fn check_name(name: &Name) -> Result<(), Diagnostic> {
    let text = name.text.as_str();
    if RESERVED.contains(&text) {
        return Err(Diagnostic::new(
            name.span.clone(),
            format!("'{text}' is a word of the language"),
            "use another name",
        ));
    }
    let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(is_valid) {
        return Err(Diagnostic::new(
            name.span.clone(),
            format!("'{text}' cannot be a name"),
            "a name has lower-case letters, digits and _, and begins with a letter",
        ));
    }
    match text.len() <= 32 {
        true => Ok(()),
        false => Err(Diagnostic::new(
            name.span.clone(),
            format!("the name has {} characters", text.len()),
            "at most 32 are accepted",
        )),
    }
}

/// Returns a number that is not infinite.
fn finite(number: Number, span: &Span) -> Result<Number, Diagnostic> {
    match number {
        Number::Float(value) if !value.is_finite() => Err(Diagnostic::new(
            span.clone(),
            "the number cannot be represented",
            "numbers below 1.7e308 are accepted",
        )),
        number => Ok(number),
    }
}
