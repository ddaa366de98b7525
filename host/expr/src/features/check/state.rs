//! The state of a flow, and its limit.

use super::super::compile::{self, MAX_COLUMN_BYTES, MAX_STATE_BYTES};
use super::super::program::{Limits, Program};
use crate::diagnostic::{Diagnostic, Span};

/// The label of the last statement.
const LAST: &str = "this is the last statement";

/// Sets the state that a program needs. `spans` are the places of the calls that added each accumulator.
pub(super) fn check(
    program: &mut Program,
    spans: &[Span],
    limits: &Limits,
) -> Result<(), Diagnostic> {
    let most = limits.state_bytes.min(MAX_STATE_BYTES);
    let statements = &program.file.statements;
    let last = statements.last().map(|statement| statement.span.clone());
    let state = compile::state(program).map_err(|error| {
        let message = format!("the features cannot be compiled: {error}");
        Diagnostic::new(last.clone().unwrap_or(0..0), message, LAST)
    })?;
    program.state_bytes = state.bytes;
    if state.bytes <= most && state.columns <= MAX_COLUMN_BYTES {
        return Ok(());
    }
    if state.bytes <= most {
        let message = format!(
            "the columns of 1024 flows need {} bytes, and at most {MAX_COLUMN_BYTES} are allowed",
            state.columns
        );
        return Err(Diagnostic::new(last.unwrap_or(0..0), message, LAST));
    }
    let span = { state.largest }.and_then(|(id, _)| spans.get(id.0).cloned());
    let label = match state.largest {
        Some((_, bytes)) => format!("takes {bytes} of them"),
        None => LAST.to_owned(),
    };
    let mut message = format!(
        "the features need {} bytes of each flow, and at most {most} are allowed",
        state.bytes
    );
    if state.bytes <= MAX_STATE_BYTES {
        message += &format!(
            "; flowloom plugin compile --state-bytes {} allows them",
            state.bytes
        );
    }
    Err(Diagnostic::new(
        span.or(last).unwrap_or(0..0),
        message,
        label,
    ))
}
