//! Numbers and their units.

use super::Lexer;
use crate::ast::{Literal, Number};
use crate::diagnostic::Diagnostic;

/// Units of counts. Those of bytes and packets are the same.
const MULTIPLES: [(&str, i64); 8] = [
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
];

/// Units of time, in nanoseconds.
const TIMES: [(&str, i64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Result<Literal, Diagnostic> {
        let start = self.at;
        if self.rest().starts_with("0x") {
            self.at += 2;
            let digits = self.take(|c| c.is_ascii_hexdigit());
            return match i64::from_str_radix(digits, 16) {
                Ok(value) => Ok(Literal::Number(Number::Integer(value))),
                Err(_) => Err(self.bad_number(start)),
            };
        }
        self.take(|c| c.is_ascii_digit() || c == '_');
        let mut is_float = false;
        let mut after = self.rest().chars();
        if after.next() == Some('.') && after.next().is_some_and(|c| c.is_ascii_digit()) {
            is_float = true;
            self.at += 1;
            self.take(|c| c.is_ascii_digit() || c == '_');
        }
        // An exponent needs digits; otherwise `e` begins a unit.
        if let Some(exponent) = self.rest().strip_prefix(['e', 'E']) {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.starts_with(|c: char| c.is_ascii_digit()) {
                is_float = true;
                self.at += 1 + exponent.len() - digits.len();
                self.take(|c| c.is_ascii_digit());
            }
        }
        let digits = self.text[start..self.at].replace('_', "");
        let number = match is_float {
            true => digits.parse().map(Number::Float).ok(),
            false => digits.parse().map(Number::Integer).ok(),
        };
        let number = number.ok_or_else(|| self.bad_number(start))?;
        let unit_start = self.at;
        let unit = self.take(|c| c.is_ascii_alphanumeric() || c == '_');
        if unit.is_empty() {
            return Ok(Literal::Number(number));
        }
        if let Some((_, ns)) = TIMES.into_iter().find(|(name, _)| *name == unit) {
            return Ok(Literal::Time(number, ns));
        }
        if let Some((_, factor)) = MULTIPLES.into_iter().find(|(name, _)| *name == unit) {
            let product = match number {
                Number::Integer(number) => number.checked_mul(factor).map(Number::Integer),
                Number::Float(number) => Some(Number::Float(number * factor as f64)),
            };
            return product
                .map(Literal::Number)
                .ok_or_else(|| self.bad_number(start));
        }
        Err(Diagnostic::new(
            unit_start..self.at,
            format!("'{unit}' is no unit"),
            match unit {
                "m" => "write min for minutes, M for millions",
                _ => "k, M, G, T, Ki, Mi, Gi, Ti for counts; ns, us, ms, s, min, h, d for times",
            },
        ))
    }

    fn bad_number(&self, start: usize) -> Diagnostic {
        Diagnostic::new(
            start..self.at,
            "the number cannot be represented",
            "whole numbers from 0 to 9223372036854775807 are accepted",
        )
    }
}
