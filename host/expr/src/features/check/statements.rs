//! Statements, and the limits of a program.

use flowloom_core::value::Type as ColumnType;

use super::super::ast::{Drop, Expr, File, Name, Selection, Statement, StatementKind, Unit};
use super::super::compile::MAX_OUTPUTS;
use super::super::graph::{Level, Node, RunId, Runs, Stream, StreamId, ValueId};
use super::super::names::{PACKET_NAMES, packet_field};
use super::super::program::{Limits, Output};
use super::super::types::Kind;
use super::{Checker, Context, MAX_VALUES, Place};
use crate::ast::Number;
use crate::diagnostic::Span;

impl Checker {
    /// Checks all statements. The text is not complete if some of its statements could not be parsed.
    pub(super) fn statements(&mut self, file: &File, limits: &Limits, is_complete: bool) {
        for statement in &file.statements {
            // Errors are reported as far as possible.
            let _ = self.statement(statement);
            if self.graph.values.len() > MAX_VALUES {
                let label = format!("at most {MAX_VALUES} values are accepted");
                let _: Option<()> = self.fail(&statement.span, "the features are too large", label);
                return;
            }
        }
        if !self.errors.is_empty() || !is_complete {
            return;
        }
        if self.outputs.is_empty() {
            let label = "write a feature as in big = count(where ip_size > 1000)";
            let _: Option<()> = self.fail(&(0..0), "the text has no feature", label);
            return;
        }
        let most = limits.features.min(MAX_OUTPUTS);
        if self.outputs.len() > most
            && let Some(statement) = features(file).nth(most)
        {
            let message = format!("there are {} features", self.outputs.len());
            let label = format!("at most {most} are accepted");
            let _: Option<()> = self.fail(&statement.span, message, label);
        }
    }

    fn statement(&mut self, statement: &Statement) -> Option<()> {
        let span = &statement.span;
        match &statement.kind {
            StatementKind::Language(1) => Some(()),
            StatementKind::Language(number) => self.fail(
                span,
                format!("version {number} of the language is not known"),
                "this Flowloom knows version 1",
            ),
            StatementKind::About(text) => match self.about.replace(text.clone()) {
                None => Some(()),
                Some(_) => self.fail(span, "about is given twice", "remove one"),
            },
            StatementKind::Nulls(number) => {
                if !self.outputs.is_empty() {
                    let label = "write nulls before the first feature";
                    return self.fail(span, "nulls stands behind a feature", label);
                }
                match self.nulls.replace(*number) {
                    None => Some(()),
                    Some(_) => self.fail(span, "nulls is given twice", "remove one"),
                }
            }
            StatementKind::Let {
                name,
                value,
                selection,
            } => {
                let is_free = self.is_free(name);
                let value = self.binding(value, selection);
                is_free?;
                self.lets.insert(name.text.clone(), value);
                value.map(|_| ())
            }
            StatementKind::Runs {
                name,
                selection,
                break_when,
                drop,
            } => {
                let is_free = self.is_free(name);
                let runs = self.define_runs(selection, break_when, *drop);
                is_free?;
                self.runs.insert(name.text.clone(), runs);
                runs.map(|_| ())
            }
            StatementKind::Feature { name, value, unit } => {
                self.feature(statement, name, value, *unit)
            }
        }
    }

    /// Checks that a name of a `let` or of `runs` has no other meaning.
    fn is_free(&mut self, name: &Name) -> Option<()> {
        let text = name.text.as_str();
        if PACKET_NAMES.contains(&text) || packet_field(text).is_some() {
            let message = format!("'{text}' is a packet field");
            return self.fail(&name.span, message, "use another name");
        }
        match self.lets.contains_key(text) || self.runs.contains_key(text) {
            true => {
                let message = format!("the name '{text}' is given twice");
                self.fail(&name.span, message, "use another name")
            }
            false => Some(()),
        }
    }

    /// Checks the value of a `let`.
    fn binding(&mut self, value: &Expr, selection: &Selection) -> Option<ValueId> {
        if self.is_of_flow(value) {
            if selection.scope.is_some() || selection.filter.is_some() {
                let label = "write the direction and where inside the brackets of its aggregates";
                return self.fail(
                    &value.span,
                    "a value of a flow has no packets to select",
                    label,
                );
            }
            let cx = Context {
                place: Place::Flow,
                relative: None,
            };
            return self.expr(value, cx);
        }
        let stream = self.selected(selection)?;
        let cx = Context {
            place: Place::Packet,
            relative: Some(stream),
        };
        let of = self.expr(value, cx)?;
        if stream == super::super::graph::ALL_PACKETS {
            return Some(of);
        }
        let ty = self.ty(of).nullable(true);
        Some(
            self.graph
                .value(Node::Within { of, stream }, ty, Level::Packet),
        )
    }

    /// Returns the stream of a selection.
    fn selected(&mut self, selection: &Selection) -> Option<StreamId> {
        let cx = Context {
            place: Place::Packet,
            relative: None,
        };
        let filter = match &selection.filter {
            Some(filter) => Some(self.condition(filter, cx)?),
            None => None,
        };
        let scope = selection.scope;
        Some(self.graph.stream(Stream::Packets { scope, filter }))
    }

    fn define_runs(
        &mut self,
        selection: &Selection,
        break_when: &Expr,
        drop: Option<Drop>,
    ) -> Option<RunId> {
        let stream = self.selected(selection)?;
        let cx = Context {
            place: Place::Packet,
            relative: Some(stream),
        };
        let break_when = self.condition(break_when, cx)?;
        self.graph.runs.push(Runs {
            stream,
            break_when,
            drop,
        });
        Some(RunId(self.graph.runs.len() - 1))
    }

    fn feature(
        &mut self,
        statement: &Statement,
        name: &Name,
        expr: &Expr,
        unit: Option<Unit>,
    ) -> Option<()> {
        if self.outputs.iter().any(|output| output.name == name.text) {
            let message = format!("there are two features '{}'", name.text);
            return self.fail(&name.span, message, "use another name");
        }
        let cx = Context {
            place: Place::Flow,
            relative: None,
        };
        let value = self.expr(expr, cx)?;
        let ty = self.column(value, expr, unit)?;
        let is_nullable = self.ty(value).is_nullable;
        let null = self.null(ty, is_nullable, &expr.span)?;
        self.outputs.push(Output {
            name: name.text.clone(),
            ty,
            unit,
            description: match statement.comment.is_empty() {
                true => expr.to_string(),
                false => statement.comment.clone(),
            },
            is_nullable: is_nullable && null.is_none(),
            value,
            null,
        });
        Some(())
    }

    /// Returns the type of the column of a value.
    fn column(&mut self, value: ValueId, expr: &Expr, unit: Option<Unit>) -> Option<ColumnType> {
        let kind = self.kind(value);
        let is_time = kind.is_time() || matches!(kind, Kind::Times | Kind::FloatTimes);
        if is_time && unit.is_none() {
            return self.fail(
                &expr.span,
                format!("this is {}, and its unit is missing", kind.name()),
                format!(
                    "say in which unit it is written, as in {} in ms",
                    super::shown(expr)
                ),
            );
        }
        if !is_time && unit.is_some() {
            let label = "remove in and the unit";
            return self.fail(
                &expr.span,
                format!("this is {}, not a time", kind.name()),
                label,
            );
        }
        Some(match kind {
            Kind::Boolean => ColumnType::Boolean,
            Kind::Integer => ColumnType::I64,
            Kind::Float | Kind::Time | Kind::FloatTime => ColumnType::Float,
            Kind::Bytes => ColumnType::Bytes,
            Kind::Integers => ColumnType::Integers,
            Kind::Floats | Kind::Times | Kind::FloatTimes => ColumnType::Floats,
            Kind::Instant => {
                return self.fail(
                    &expr.span,
                    "a feature cannot be a point in time",
                    "subtract another one, as in last(time) - first(time)",
                );
            }
            Kind::Internal => {
                return self.fail(&expr.span, "this is no value", "use an aggregate");
            }
        })
    }

    /// Returns what replaces null in a column.
    fn null(&mut self, ty: ColumnType, is_nullable: bool, span: &Span) -> Option<Option<Number>> {
        let Some(number) = self.nulls.filter(|_| is_nullable) else {
            return Some(None);
        };
        match (ty, number) {
            (ColumnType::I64, Number::Float(_)) => self.fail(
                span,
                "nulls is a float, and this is a whole number",
                "write a whole number behind nulls",
            ),
            (ColumnType::I64, _) => Some(Some(number)),
            (ColumnType::Float, Number::Integer(number)) => {
                Some(Some(Number::Float(number as f64)))
            }
            (ColumnType::Float, _) => Some(Some(number)),
            // Only numbers are replaced.
            _ => Some(None),
        }
    }
}

/// Returns the statements that are features.
fn features(file: &File) -> impl Iterator<Item = &Statement> {
    let is_feature =
        |statement: &&Statement| matches!(statement.kind, StatementKind::Feature { .. });
    file.statements.iter().filter(is_feature)
}
