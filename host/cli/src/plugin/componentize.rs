//! `flowloom plugin componentize`

use std::path::PathBuf;

use clap::Args;
use flowloom::BoundedRead;
use flowloom::sink::OutputFiles;

use super::super::compile::CompileBounds;
use super::super::exit::{Exit, Failure};
use super::super::overlap::Inputs;
use super::super::standard;
use super::component_file;

const EXAMPLES: &str = "\
Examples:
  Convert the output of a compiler:
    flowloom plugin componentize mine.core.wasm -o mine.wasm

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Componentize {
    /// Core module from a compiler for wasm32-unknown-unknown.
    ///
    /// The module must contain its component type.
    module: PathBuf,

    /// Write the component to FILE.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    compile: CompileBounds,
}

/// Maximum size of a module. Python's interpreter has a fourth of it.
const MAX_BYTES: u64 = 64 << 20;

impl Componentize {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let module = self.module.display();
        let mut inputs = Inputs::default();
        inputs.add("the module", [&self.module]);
        inputs.check(&[("the component", OutputFiles::new(&self.output))])?;
        standard::check_path(&self.output)?;
        let bytes = BoundedRead::new(MAX_BYTES)
            .bytes(&self.module)
            .map_err(|error| Failure::failed(format_args!("cannot read {module}: {error}")))?;
        let component = self.compile.compiler().componentize(&bytes);
        let component = component.map_err(|error| {
            let reason = error.reason();
            Failure::failed(format_args!(
                "cannot convert {module} into a component: {reason}"
            ))
        })?;
        component_file::write(&self.output, &component)?;
        Ok(Exit::Done)
    }
}
