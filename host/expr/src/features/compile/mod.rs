//! The compiler: from programs to WebAssembly components of the contract's world `batch-plugin`.
//!
//! Imports run downwards only:
//!
//! | module | contents |
//! |---|---|
//! | `lower`, `twins` | from checked features to programs |
//! | `component` | the component around the core module |
//! | `module` | the core module |
//! | `process`, `row`, `outputs`, `results`, `runs` | the functions that depend on the program |
//! | `touch` | instructions that read states ahead |
//! | `update`, `previous` | instructions that change the state of a flow |
//! | `merge` | instructions that merge accumulators of both directions |
//! | `lists`, `quantile` | instructions of lists |
//! | `functions`, `wide`, `saturating`, `moments`, `logarithm`, `search` | the other functions |
//! | `memory`, `manifest`, `data` | addresses and the data segment |
//! | `expression`, `logic`, `payload`, `bytes` | instructions of expressions |
//! | `layout`, `element` | the state of a flow |
//! | `check` | what the compiler requires of a program |
//! | `program` | programs |
//! | `code` | function bodies |

mod bytes;
mod check;
mod code;
mod component;
mod data;
mod element;
mod expression;
mod functions;
mod layout;
mod lists;
mod logarithm;
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
mod quantile;
mod results;
mod row;
mod runs;
mod saturating;
mod search;
#[cfg(test)]
mod tests;
mod touch;
mod twins;
mod update;
mod wide;

pub use check::CompileError;
pub(super) use check::{MAX_OUTPUTS, MAX_STATE_BYTES};
pub use component::SECTION;

use self::layout::Layout;
use super::graph::AccumulatorId;

/// The memory that a component needs for each flow.
pub(super) struct State {
    pub(super) bytes: u32,
    /// The accumulator that needs the largest part, and its bytes.
    pub(super) largest: Option<(AccumulatorId, u32)>,
    /// The bytes of the columns of a batch of flows.
    pub(super) columns: u64,
}

/// The maximum number of bytes of the columns of a batch of flows.
pub(super) const MAX_COLUMN_BYTES: u64 = 32 << 20;

/// Returns the memory that a component of the features needs for each flow.
///
/// # Errors
///
/// The features cannot be compiled.
pub(super) fn state(features: &super::Program) -> Result<State, CompileError> {
    let program = check::checked(&lower::lower(features)?)?;
    let layout = Layout::new(&program);
    let sizes = layout
        .blocks
        .iter()
        .map(|block| (block.accumulator.origin, block.bytes()));
    let largest = sizes.max_by_key(|(id, bytes)| (*bytes, usize::MAX - id.0));
    let columns = { program.outputs.iter() }
        .map(|output| memory::output_bytes(program.ty(&output.value), output.most));
    Ok(State {
        bytes: layout.stride,
        largest,
        columns: columns.sum(),
    })
}

impl super::Program {
    /// Compiles the features to a component of the contract's world `batch-plugin`. The same text always gives the same
    /// bytes.
    ///
    /// # Errors
    ///
    /// The compiler has an error: it compiles all features that are accepted.
    pub fn compile(&self) -> Result<Vec<u8>, CompileError> {
        let program = check::checked(&lower::lower(self)?)?;
        let layout = Layout::new(&program);
        component::component(&program, &module::module(&program, &layout))
    }
}
