//! The language of features.

mod ast;
mod check;
mod graph;
mod interpret;
mod lines;
mod names;
mod parse;
mod print;
mod program;
#[cfg(test)]
mod tests;
mod types;
mod value;

pub use ast::Unit;
pub use interpret::Packet;
pub use program::{Limits, Output, Program};

use crate::diagnostic::ExprError;

/// The maximum number of errors that are reported.
const MAX_ERRORS: usize = 10;

impl Program {
    /// Parses and checks the text of features.
    ///
    /// `origin` is the name of the text in messages: a file or an option.
    ///
    /// # Errors
    ///
    /// The text has an error, or needs more than `limits` allow. The error shows each place, at most ten.
    pub fn parse(origin: &str, text: &str, limits: &Limits) -> Result<Self, ExprError> {
        let (file, mut errors) = parse::parse(text);
        match check::check(&file, limits, errors.is_empty()) {
            Ok(program) if errors.is_empty() => return Ok(program),
            Ok(_) => (),
            Err(more) => errors.extend(more),
        }
        errors.sort_by_key(|error| error.span.start);
        errors.truncate(MAX_ERRORS);
        Err(ExprError::new(origin, text, errors))
    }
}
