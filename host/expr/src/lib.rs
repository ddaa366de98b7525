//! The expressions of Flowloom: conditions that select flows, and features that are computed from packets.
//!
//! The feature `arrow` adds the evaluation for the rows of Arrow record batches, and `compile` the compiler from
//! features to WebAssembly components.
//!
//! Imports run downwards only:
//!
//! | module | contents |
//! |---|---|
//! | `features` | features of flows: their types, accumulators, and an interpreter |
//! | `filter` | conditions on flows: their types, and their evaluation |
//! | `parser` | from tokens to syntax trees |
//! | `lexer` | from text to tokens |
//! | `ast` | syntax trees |
//! | `diagnostic` | errors that show their place in the text |

mod ast;
mod diagnostic;
pub mod features;
mod filter;
mod lexer;
mod parser;

pub use diagnostic::{Diagnostic, ExprError};
#[cfg(feature = "arrow")]
pub use filter::BatchError;
pub use filter::Filter;

// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
