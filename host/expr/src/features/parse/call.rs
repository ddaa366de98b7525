//! Calls of functions.
//!
//! ```text
//! call   = FUNCTION "(" [ clause { [ "," ] clause } ] ")"
//! clause = expr | scope | "where" expr | "first" INT | expr "per" NAME [ "where" expr ]
//! ```

use super::super::ast::{Call, Expr, ExprKind, Name};
use super::Parser;
use super::expression::node;
use crate::ast::{Literal, Number};
use crate::diagnostic::{Diagnostic, Span};
use crate::lexer::Token;

impl Parser {
    /// Parses a call behind its name.
    pub(super) fn call(&mut self, name: String, span: Span) -> Result<Expr, Diagnostic> {
        let start = span.start;
        let mut call = Call {
            name: Name { text: name, span },
            arguments: Vec::new(),
            filter: None,
            first: None,
            per: None,
        };
        self.next();
        let end = loop {
            if let Some(end) = self.take(&[")"]) {
                break end.end;
            }
            self.clause(&mut call)?;
            if self.take(&[","]).is_some() && self.is_next(&[")"]) {
                return Err(self.unexpected("a value should follow the comma", "remove the comma"));
            }
        };
        node(ExprKind::Call(Box::new(call)), start..end)
    }

    fn clause(&mut self, call: &mut Call) -> Result<(), Diagnostic> {
        let span = self.span();
        let twice = |what: &str| {
            Diagnostic::new(
                span.clone(),
                format!("'{what}' is given twice"),
                "give it once; join conditions with and",
            )
        };
        let is_call = self.peek_second() == Some(&Token::Symbol("("));
        if self.take(&["where"]).is_some() {
            if call.filter.is_some() {
                return Err(twice("where"));
            }
            call.filter = Some(self.nested(&span, Self::expr)?);
        } else if self.is_next(&["first"]) && !is_call {
            self.next();
            let (token, number) = self.next();
            let Token::Literal(Literal::Number(Number::Integer(first @ 1..))) = token else {
                return Err(Diagnostic::new(
                    number,
                    "the number of values is missing",
                    "expected a number from 1 on, as in first 64",
                ));
            };
            if call.first.replace(first).is_some() {
                return Err(twice("first"));
            }
        } else if self.take(&["per"]).is_some() {
            let (token, place) = self.next();
            let Token::Name(text) = token else {
                return Err(Diagnostic::new(
                    place,
                    "the name of runs should follow",
                    "expected the name of a statement runs",
                ));
            };
            if call.arguments.is_empty() {
                return Err(Diagnostic::new(
                    span,
                    "a value of each run is missing",
                    format!("write what is computed for each run, as in count() per {text}"),
                ));
            }
            if call.per.replace(Name { text, span: place }).is_some() {
                return Err(twice("per"));
            }
        } else {
            if matches!(self.peek(), Token::End) {
                return Err(self.unexpected("a bracket is open", "expected )"));
            }
            let value = self.nested(&span, Self::expr)?;
            if self.is_next(&[":", "..", "]", "}", "in", "drop", "break", "when"]) {
                return Err(self.unexpected("a bracket is open", "expected a comma or )"));
            }
            call.arguments.push(value);
        }
        Ok(())
    }
}
