//! The state of a flow, and its limit.

use super::super::compile::{self, MAX_STATE_BYTES};
use super::super::program::{Limits, Program};
use crate::diagnostic::{Diagnostic, Span};

/// Sets the state that a program needs. `spans` are the places of the calls that added each accumulator.
pub(super) fn check(
    program: &mut Program,
    spans: &[Span],
    limits: &Limits,
) -> Result<(), Diagnostic> {
    let most = limits.state_bytes.min(MAX_STATE_BYTES);
    let state = compile::state(program);
    program.state_bytes = state.bytes;
    if state.bytes <= most {
        return Ok(());
    }
    let span = { state.largest }.and_then(|(id, _)| spans.get(id.0).cloned());
    let statements = &program.file.statements;
    let span = span.or_else(|| statements.last().map(|statement| statement.span.clone()));
    let label = match state.largest {
        Some((_, bytes)) => format!("takes {bytes} of them"),
        None => "this is the last statement".to_owned(),
    };
    Err(Diagnostic::new(
        span.unwrap_or(0..0),
        format!(
            "the features need {} bytes of each flow, and at most {most} are allowed",
            state.bytes
        ),
        label,
    ))
}
