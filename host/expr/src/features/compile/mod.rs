//! The compiler: from programs to WebAssembly components of the contract's world `batch-plugin`.
//!
//! Imports run downwards only:
//!
//! | module | contents |
//! |---|---|
//! | `lower`, `twins` | from checked features to programs |
//! | `component` | the component around the core module |
//! | `module` | the core module |
//! | `process`, `row`, `outputs`, `runs` | the functions that depend on the program |
//! | `update`, `previous` | instructions that change the state of a flow |
//! | `merge` | instructions that merge accumulators of both directions |
//! | `functions`, `wide`, `saturating`, `moments` | the other functions |
//! | `memory`, `manifest`, `data` | addresses and the data segment |
//! | `expression`, `logic`, `payload` | instructions of expressions |
//! | `layout` | the state of a flow |
//! | `check` | what the compiler requires of a program |
//! | `program` | programs |
//! | `code` | function bodies |

mod check;
mod code;
mod component;
mod data;
mod expression;
mod functions;
mod layout;
mod logic;
mod lower;
mod manifest;
mod memory;
mod merge;
mod module;
mod moments;
mod outputs;
mod payload;
mod previous;
mod process;
mod program;
mod row;
mod runs;
mod saturating;
#[cfg(test)]
mod tests;
mod twins;
mod update;
mod wide;

pub use check::CompileError;
pub use component::SECTION;

use self::layout::Layout;
use self::program::Program;

/// Compiles a program to a component. The same program always gives the same bytes.
///
/// # Errors
///
/// The program is too large, or its expressions do not fit together.
fn compile(program: &Program) -> Result<Vec<u8>, CompileError> {
    let program = check::checked(program)?;
    let layout = Layout::new(&program);
    if layout.stride > check::MAX_STATE_BYTES {
        return Err(CompileError::StateTooLarge(layout.stride));
    }
    component::component(&program, &module::module(&program, &layout))
}

impl super::Program {
    /// Compiles the features to a component of the contract's world `batch-plugin`. The same text always gives the same
    /// bytes.
    ///
    /// # Errors
    ///
    /// The features have a part that the compiler does not support yet, or are too large.
    pub fn compile(&self) -> Result<Vec<u8>, CompileError> {
        compile(&lower::lower(self)?)
    }
}
