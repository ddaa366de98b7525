//! `flowloom plugin source`

use std::path::PathBuf;

use clap::Args;
use flowloom::BoundedRead;
use flowloom::plugin::{FeatureSource, escaped, escaped_path};

use super::super::exit::{Exit, Failure};
use super::super::standard;

const EXAMPLES: &str = "\
Examples:
  Read what a component computes:
    flowloom plugin source sizes.wasm
  See whether the component is exactly what its text says:
    flowloom plugin check sizes.wasm

Documentation: docs/features.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Source {
    /// Component that `flowloom plugin compile` made.
    #[arg(value_name = "FILE")]
    component: PathBuf,
}

/// The maximum size of a component in bytes.
const MAX_BYTES: u64 = 64 << 20;

impl Source {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let file = escaped_path(&self.component);
        let component = BoundedRead::new(MAX_BYTES)
            .bytes(&self.component)
            .map_err(|error| Failure::failed(format_args!("cannot read {file}: {error}")))?;
        let source = FeatureSource::of(&component).ok_or_else(|| {
            Failure::failed(format_args!("{file} has no text of features"))
                .hint("only components that `flowloom plugin compile` made have one")
        })?;
        // A stranger may have written the text.
        let lines = source.text.lines().map(|line| escaped(line) + "\n");
        standard::print(lines.collect::<String>())?;
        Ok(Exit::Done)
    }
}
