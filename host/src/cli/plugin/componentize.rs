//! `flowloom plugin componentize`

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::super::exit::{Exit, Failure};

#[derive(Args)]
pub(in crate::cli) struct Componentize {
    /// The core module, as a compiler for wasm32-unknown-unknown writes it.
    module: PathBuf,
    /// Where the component goes.
    #[arg(short, long)]
    output: PathBuf,
}

impl Componentize {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let module = self.module.display();
        let bytes = fs::read(&self.module)
            .map_err(|error| Failure::failed(format_args!("cannot read {module}: {error}")))?;
        let component = flowloom::plugin::component(bytes).map_err(|reason| {
            Failure::failed(format_args!(
                "{module} does not become a component: {reason}"
            ))
        })?;
        fs::write(&self.output, component).map_err(|error| {
            Failure::failed(format_args!(
                "cannot write {}: {error}",
                self.output.display()
            ))
        })?;
        Ok(Exit::Done)
    }
}
