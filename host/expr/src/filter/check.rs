//! From syntax trees to checked conditions.

use flowloom_core::schema::Schema;

use super::glob::Glob;
use super::kind::{Kind, Typed, example, float, is_constant, kind_of, number_of};
use super::node::{CompareAs, Condition, Operand, Range};
use crate::ast::{Arithmetic, Comparison, Expr, ExprKind, Literal, Member, Network, Number};
use crate::diagnostic::{Diagnostic, Span};

/// The maximum number of errors that are reported.
const MAX_ERRORS: usize = 10;

/// Words with a pattern: the word and the column.
const SHORTHANDS: [(&str, &str); 4] = [
    ("app", "application_name"),
    ("category", "application_category_name"),
    ("sni", "requested_server_name"),
    ("ua", "user_agent"),
];

/// Checks a condition on the columns of `schema`. Returns all errors, at most [`MAX_ERRORS`].
pub(crate) fn condition(tree: &Expr, schema: &Schema) -> Result<Condition, Vec<Diagnostic>> {
    let mut checker = Checker {
        schema,
        errors: Vec::new(),
    };
    let condition = checker.condition(tree);
    let mut errors = checker.errors;
    errors.sort_by_key(|error| error.span.start);
    errors.truncate(MAX_ERRORS);
    match condition {
        Some(condition) if errors.is_empty() => Ok(condition),
        _ => Err(errors),
    }
}

/// Reports its errors in `errors`. Methods return `None` after an error.
struct Checker<'a> {
    schema: &'a Schema,
    errors: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn fail<T>(
        &mut self,
        span: &Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Option<T> {
        self.errors
            .push(Diagnostic::new(span.clone(), message, label));
        None
    }

    fn condition(&mut self, expr: &Expr) -> Option<Condition> {
        match &expr.kind {
            ExprKind::Not(inner) => Some(Condition::Not(Box::new(self.condition(inner)?))),
            ExprKind::And(all) => self.conditions(all).map(Condition::And),
            ExprKind::Or(all) => self.conditions(all).map(Condition::Or),
            ExprKind::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            ExprKind::Matches(value, pattern) => self.matches(value, pattern),
            ExprKind::In(value, members) => self.is_in(value, members),
            ExprKind::IsNull(value) => Some(Condition::IsNull(self.value(value)?.operand)),
            ExprKind::Literal(literal) => self.bare(literal, &expr.span),
            ExprKind::Shorthand { key, pattern } => self.shorthand(key, pattern, &expr.span),
            ExprKind::Name(name) => {
                let column = self.value(expr)?;
                match (column.operand, column.kind) {
                    (Operand::Column(column), Kind::Boolean) => Some(Condition::Column(column)),
                    (_, kind) => self.fail(
                        &expr.span,
                        format!("'{name}' is {}, not a condition", kind.name()),
                        example(name, kind),
                    ),
                }
            }
            ExprKind::Arithmetic(..) | ExprKind::Negate(_) => self.fail(
                &expr.span,
                "this is a number, not a condition",
                "compare it with another number",
            ),
        }
    }

    /// Checks all conditions, so that the errors of all are reported.
    fn conditions(&mut self, all: &[Expr]) -> Option<Vec<Condition>> {
        let checked: Vec<_> = all.iter().map(|expr| self.condition(expr)).collect();
        checked.into_iter().collect()
    }

    /// Checks a value that stands alone: a port, an address or a network of either side.
    fn bare(&mut self, literal: &Literal, span: &Span) -> Option<Condition> {
        let network = match literal {
            Literal::Boolean(value) => return Some(Condition::Constant(*value)),
            Literal::Number(Number::Integer(port @ 0..=65_535)) => {
                let ports = Range::Integers(*port, *port);
                return self.either("port", |column| {
                    Condition::InRanges(Operand::Column(column), vec![ports])
                });
            }
            Literal::Address(address) => Network::of_one(*address),
            Literal::Network(network) => *network,
            _ => {
                return self.fail(
                    span,
                    "a value alone is not a condition",
                    "compare a column with it; only a port, an address or a network can stand alone",
                );
            }
        };
        self.either("ip", |column| {
            Condition::InNetworks(Operand::Column(column), vec![network])
        })
    }

    /// Returns the condition that a column of the source or of the destination satisfies.
    fn either(&mut self, column: &str, is: impl Fn(usize) -> Condition) -> Option<Condition> {
        let columns = ["src", "dst"].map(|side| self.schema.position(&format!("{side}_{column}")));
        Some(Condition::Or(
            columns.into_iter().flatten().map(is).collect(),
        ))
    }

    fn shorthand(&mut self, key: &str, pattern: &str, span: &Span) -> Option<Condition> {
        let Some((_, name)) = SHORTHANDS.into_iter().find(|(word, _)| *word == key) else {
            let words = SHORTHANDS.map(|(word, column)| format!("{word}: ({column})"));
            return self.fail(
                span,
                format!("'{key}:' has no meaning"),
                format!("expected one of {}", words.join(", ")),
            );
        };
        match self.schema.position(name) {
            Some(column) => Some(Condition::Matches(
                Operand::Column(column),
                Glob::new(pattern),
            )),
            None => self.unknown(name, span),
        }
    }

    fn compare(&mut self, comparison: Comparison, left: &Expr, right: &Expr) -> Option<Condition> {
        for side in [left, right] {
            if side.kind == ExprKind::Literal(Literal::Null) {
                return self.fail(
                    &side.span,
                    "a comparison with null is never true",
                    "write is null or is not null",
                );
            }
        }
        // Both sides are checked, so that the errors of both are reported.
        let (first, second) = (self.value(left), self.value(right));
        let (mut first, mut second) = (first?, second?);
        // A text in quotation marks is an address beside an address.
        let kinds = [first.kind, second.kind];
        for (one, other, expr) in [(&mut first, kinds[1], left), (&mut second, kinds[0], right)] {
            if other == Kind::Address
                && let Operand::Text(text) = &one.operand
            {
                match text.parse() {
                    Ok(address) => {
                        *one = Typed {
                            operand: Operand::Address(address),
                            kind: Kind::Address,
                        };
                    }
                    Err(_) => {
                        return self.fail(
                            &expr.span,
                            "this is not an address",
                            "addresses are written as 10.1.2.3 or 2001:db8::1",
                        );
                    }
                }
            }
        }
        let span = left.span.start..right.span.end;
        let by = self.comparable(&mut first, &mut second, &span)?;
        let has_order = !matches!(by, CompareAs::Boolean | CompareAs::Address);
        if comparison.is_order() && !has_order {
            let (message, label) = match by {
                CompareAs::Address => (
                    "addresses have no order here",
                    "use in, for example src_ip in 10.0.0.0/8",
                ),
                _ => ("booleans have no order", "compare them with = or !="),
            };
            return self.fail(&span, message, label);
        }
        Some(Condition::Compare(
            comparison,
            by,
            first.operand,
            second.operand,
        ))
    }

    /// Returns the type in which two values are compared. Converts times to one unit.
    fn comparable(
        &mut self,
        first: &mut Typed,
        second: &mut Typed,
        span: &Span,
    ) -> Option<CompareAs> {
        Some(match (first.kind, second.kind) {
            (Kind::Boolean, Kind::Boolean) => CompareAs::Boolean,
            (Kind::Text, Kind::Text) => CompareAs::Text,
            (Kind::Bytes, Kind::Bytes) => CompareAs::Bytes,
            (Kind::Address, Kind::Address) => CompareAs::Address,
            (Kind::Number { .. }, Kind::Number { .. }) => {
                self.same_unit(first, second, span)?;
                match (first.kind, second.kind) {
                    (
                        Kind::Number {
                            is_float: false, ..
                        },
                        Kind::Number {
                            is_float: false, ..
                        },
                    ) => CompareAs::Integer,
                    _ => CompareAs::Float,
                }
            }
            (left, right) => {
                return self.fail(
                    span,
                    format!("{} cannot be compared with {}", left.name(), right.name()),
                    match (left, right) {
                        (Kind::Boolean, _) | (_, Kind::Boolean) => {
                            "a boolean is compared with true or false, or stands alone"
                        }
                        (Kind::Text, _) | (_, Kind::Text) => "put text into quotation marks",
                        (Kind::Bytes, _) | (_, Kind::Bytes) => "bytes are written as x\"160301\"",
                        (Kind::List | Kind::Json, _) | (_, Kind::List | Kind::Json) => {
                            "only is null and is not null are accepted here"
                        }
                        _ => "both sides need the same type",
                    },
                );
            }
        })
    }

    /// Converts a literal time to the unit of the other number.
    fn same_unit(&mut self, first: &mut Typed, second: &mut Typed, span: &Span) -> Option<()> {
        let unit = |typed: &Typed| match typed.kind {
            Kind::Number { unit, .. } => unit,
            _ => None,
        };
        match (unit(first), unit(second)) {
            (Some(one), Some(other)) if one != other => {
                // Only literals are converted, which have nanoseconds. Columns of two units are not.
                for (typed, from, to) in [(&mut *first, one, other), (&mut *second, other, one)] {
                    if from == 1 && is_constant(&typed.operand) {
                        let number = match typed.operand {
                            Operand::Integer(ns) if ns % to == 0 => Number::Integer(ns / to),
                            Operand::Integer(ns) => Number::Float(ns as f64 / to as f64),
                            Operand::Float(ns) => Number::Float(ns / to as f64),
                            _ => continue,
                        };
                        *typed = number_of(number, Some(to));
                        return Some(());
                    }
                }
                self.fail(
                    span,
                    "these times have different units",
                    "multiply one of them, as in 1000 * seconds",
                )
            }
            (Some(_), None) if is_constant(&first.operand) => self.no_time(span),
            (None, Some(_)) if is_constant(&second.operand) => self.no_time(span),
            _ => Some(()),
        }
    }

    fn no_time<T>(&mut self, span: &Span) -> Option<T> {
        self.fail(
            span,
            "a time is compared with a number that is no time",
            "leave out the unit, or compare a column with a unit of time",
        )
    }

    fn matches(&mut self, value: &Expr, pattern: &Expr) -> Option<Condition> {
        let typed = self.value(value)?;
        if typed.kind != Kind::Text {
            let label = match typed.kind {
                Kind::Address => "use in, for example src_ip in 10.0.0.0/8",
                _ => "compare it with = or <",
            };
            return self.fail(
                &value.span,
                format!("this is {}, and only text has patterns", typed.kind.name()),
                label,
            );
        }
        match &pattern.kind {
            ExprKind::Literal(Literal::Text(pattern)) => {
                Some(Condition::Matches(typed.operand, Glob::new(pattern)))
            }
            _ => self.fail(
                &pattern.span,
                "the pattern is not text",
                "put it into quotation marks, as in \"*.example.com\"",
            ),
        }
    }

    fn is_in(&mut self, value: &Expr, members: &[Member]) -> Option<Condition> {
        let typed = self.value(value)?;
        match typed.kind {
            Kind::Address => {
                let networks: Vec<_> = members.iter().map(|member| self.network(member)).collect();
                let networks = networks.into_iter().collect::<Option<_>>()?;
                Some(Condition::InNetworks(typed.operand, networks))
            }
            Kind::Text => {
                let texts: Vec<_> = members.iter().map(|member| self.text(member)).collect();
                let texts = texts.into_iter().collect::<Option<_>>()?;
                Some(Condition::InTexts(typed.operand, texts))
            }
            Kind::Number { .. } => {
                let ranges: Vec<_> = members
                    .iter()
                    .map(|member| self.range(&typed, member))
                    .collect();
                let ranges = ranges.into_iter().collect::<Option<_>>()?;
                Some(Condition::InRanges(typed.operand, ranges))
            }
            kind => self.fail(
                &value.span,
                format!(
                    "this is {}, and in is for numbers, text and addresses",
                    kind.name()
                ),
                "compare it with =",
            ),
        }
    }

    fn network(&mut self, member: &Member) -> Option<Network> {
        let expr = match member {
            Member::One(expr) => expr,
            Member::Range(low, high) => {
                return self.fail(
                    &(low.span.start..high.span.end),
                    "a range of addresses is not accepted",
                    "write a network, as in 10.0.0.0/8",
                );
            }
        };
        let network = match &expr.kind {
            ExprKind::Literal(Literal::Address(address)) => Some(Network::of_one(*address)),
            ExprKind::Literal(Literal::Network(network)) => Some(*network),
            ExprKind::Literal(Literal::Text(text)) => text.parse().ok().map(Network::of_one),
            _ => None,
        };
        network.or_else(|| {
            self.fail(
                &expr.span,
                "this is not a network",
                "networks are written as 10.0.0.0/8 or 2001:db8::/32",
            )
        })
    }

    fn text(&mut self, member: &Member) -> Option<Box<str>> {
        match member {
            Member::One(Expr {
                kind: ExprKind::Literal(Literal::Text(text)),
                ..
            }) => Some(text.as_str().into()),
            Member::One(expr) => self.fail(
                &expr.span,
                "this is not text",
                "put it into quotation marks",
            ),
            Member::Range(low, high) => self.fail(
                &(low.span.start..high.span.end),
                "a range of texts is not accepted",
                "list the texts, or compare with < and >",
            ),
        }
    }

    fn range(&mut self, of: &Typed, member: &Member) -> Option<Range> {
        let (low, high) = match member {
            Member::One(expr) => (expr, expr),
            Member::Range(low, high) => (low, high),
        };
        let (first, last) = (self.member(of, low)?, self.member(of, high)?);
        let range = match (first, last) {
            (Number::Integer(low), Number::Integer(high)) => Range::Integers(low, high),
            (low, high) => Range::Floats(float(low), float(high)),
        };
        let is_empty = match range {
            Range::Integers(low, high) => low > high,
            Range::Floats(low, high) => low > high,
        };
        match is_empty {
            true => self.fail(
                &(low.span.start..high.span.end),
                "the range is empty",
                "write the smaller number first",
            ),
            false => Some(range),
        }
    }

    /// Returns a number of a set for values of the type `of`.
    fn member(&mut self, of: &Typed, expr: &Expr) -> Option<Number> {
        let mut typed = self.value(expr)?;
        if !matches!(typed.kind, Kind::Number { .. }) || !is_constant(&typed.operand) {
            return self.fail(
                &expr.span,
                "this is not a number",
                "a set of numbers is written as {80, 443, 8000..8080}",
            );
        }
        let mut of = Typed {
            operand: of.operand.clone(),
            kind: of.kind,
        };
        self.same_unit(&mut of, &mut typed, &expr.span)?;
        match typed.operand {
            Operand::Integer(value) => Some(Number::Integer(value)),
            Operand::Float(value) => Some(Number::Float(value)),
            _ => None,
        }
    }

    /// Checks a value.
    fn value(&mut self, expr: &Expr) -> Option<Typed> {
        match &expr.kind {
            ExprKind::Name(name) => self.column(name, &expr.span),
            ExprKind::Literal(literal) => self.literal(literal, &expr.span),
            ExprKind::Negate(inner) => {
                let typed = self.number(inner)?;
                Some(Typed {
                    operand: Operand::Negate(Box::new(typed.operand)),
                    kind: typed.kind,
                })
            }
            ExprKind::Arithmetic(operator, left, right) => {
                let (left, right) = (self.number(left), self.number(right));
                self.arithmetic(*operator, left?, right?, &expr.span)
            }
            _ => self.fail(
                &expr.span,
                "this is a condition, not a value",
                "join conditions with and, or, not",
            ),
        }
    }

    fn number(&mut self, expr: &Expr) -> Option<Typed> {
        let typed = self.value(expr)?;
        match typed.kind {
            Kind::Number { .. } => Some(typed),
            kind => self.fail(
                &expr.span,
                format!(
                    "this is {}, and only numbers can be added or multiplied",
                    kind.name()
                ),
                "use a column of numbers",
            ),
        }
    }

    fn arithmetic(
        &mut self,
        operator: Arithmetic,
        mut left: Typed,
        mut right: Typed,
        span: &Span,
    ) -> Option<Typed> {
        let is_sum = matches!(operator, Arithmetic::Add | Arithmetic::Subtract);
        if is_sum {
            self.same_unit(&mut left, &mut right, span)?;
        }
        let parts = |typed: &Typed| match typed.kind {
            Kind::Number { is_float, unit } => (is_float, unit),
            _ => (false, None),
        };
        let ((first_float, first_unit), (second_float, second_unit)) =
            (parts(&left), parts(&right));
        let unit = match operator {
            Arithmetic::Add | Arithmetic::Subtract => first_unit.or(second_unit),
            Arithmetic::Multiply => match (first_unit, second_unit) {
                (Some(_), Some(_)) => None,
                (one, other) => one.or(other),
            },
            Arithmetic::Divide => match second_unit {
                None => first_unit,
                Some(_) => None,
            },
        };
        let kind = Kind::Number {
            is_float: first_float || second_float || operator == Arithmetic::Divide,
            unit,
        };
        Some(Typed {
            operand: Operand::Arithmetic(operator, Box::new(left.operand), Box::new(right.operand)),
            kind,
        })
    }

    fn literal(&mut self, literal: &Literal, span: &Span) -> Option<Typed> {
        let (operand, kind) = match literal {
            Literal::Boolean(value) => (Operand::Boolean(*value), Kind::Boolean),
            Literal::Text(text) => (Operand::Text(text.as_str().into()), Kind::Text),
            Literal::Bytes(bytes) => (Operand::Bytes(bytes.as_slice().into()), Kind::Bytes),
            Literal::Address(address) => (Operand::Address(*address), Kind::Address),
            Literal::Number(number) => return Some(number_of(*number, None)),
            // Times are nanoseconds until they meet a column.
            Literal::Time(number, ns) => {
                let number = match number {
                    Number::Integer(number) => match number.checked_mul(*ns) {
                        Some(number) => Number::Integer(number),
                        None => Number::Float(*number as f64 * *ns as f64),
                    },
                    Number::Float(number) => Number::Float(number * *ns as f64),
                };
                return Some(number_of(number, Some(1)));
            }
            Literal::Null => {
                return self.fail(
                    span,
                    "null is not a value here",
                    "write is null or is not null",
                );
            }
            Literal::Network(_) => {
                return self.fail(
                    span,
                    "a network is not compared",
                    "write in before it, as in src_ip in 10.0.0.0/8",
                );
            }
        };
        Some(Typed { operand, kind })
    }

    fn column(&mut self, name: &str, span: &Span) -> Option<Typed> {
        let Some(index) = self.schema.position(name) else {
            return self.unknown(name, span);
        };
        let kind = kind_of(self.schema, index)?;
        Some(Typed {
            operand: Operand::Column(index),
            kind,
        })
    }

    fn unknown<T>(&mut self, name: &str, span: &Span) -> Option<T> {
        let exists = flowloom_core::fields::Feature::by_name(name);
        let label = match exists {
            Some(feature) => format!("it is present {}", feature.group.when()),
            None => match nearest(name, self.schema) {
                Some(nearest) => format!("did you mean '{nearest}'?"),
                None => {
                    "`flowloom fields` lists the columns; put text into quotation marks".to_owned()
                }
            },
        };
        let message = match exists {
            Some(_) => format!("the flows of this run have no column '{name}'"),
            None => format!("there is no column '{name}'"),
        };
        self.fail(span, message, label)
    }
}

/// Returns the column whose name is nearest to an unknown name.
fn nearest<'a>(name: &str, schema: &'a Schema) -> Option<&'a str> {
    let similar = schema
        .names()
        .map(|column| (strsim::jaro_winkler(name, column), column));
    let (similarity, nearest) = similar.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (similarity > 0.8).then_some(nearest)
}
