//! `flowloom plugin compile`

use std::fs;
use std::path::PathBuf;

use clap::Args;
use flowloom::BoundedRead;
use flowloom::features::{Limits, Program};
use flowloom::plugin::escaped_path;
use flowloom::sink::OutputFiles;

use super::super::exit::{Exit, Failure};
use super::super::overlap::Inputs;
use super::super::standard;

const EXAMPLES: &str = "\
Examples:
  Compile features without another compiler, and use them:
    echo 'big = count(where ip_size > 1000)  # Packets of more than 1000 bytes.' > sizes.features
    flowloom plugin compile sizes.features -o sizes.wasm
    flowloom meter capture.pcap --plugin sizes.wasm

Documentation: docs/features.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Compile {
    /// File of features: one `NAME = EXPRESSION` a line.
    #[arg(value_name = "FILE")]
    source: PathBuf,

    /// Write the component to FILE.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// The maximum size of a file of features.
const MAX_BYTES: u64 = 64 << 10;

impl Compile {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let source = escaped_path(&self.source);
        let mut inputs = Inputs::default();
        inputs.add("the file of features", [&self.source]);
        inputs.check(&[("the component", OutputFiles::new(&self.output))])?;
        standard::check_path(&self.output)?;
        let text = BoundedRead::new(MAX_BYTES)
            .text(&self.source)
            .map_err(|error| Failure::failed(format_args!("cannot read {source}: {error}")))?;
        let program = Program::parse(&source, &text, &Limits::default())
            // The first line has a prefix of its own.
            .map_err(|error| Failure::failed(error.to_string().trim_start_matches("error: ")))?;
        let component = program
            .compile()
            .map_err(|error| Failure::failed(format_args!("cannot compile {source}: {error}")))?;
        let bytes = component.len();
        fs::write(&self.output, component).map_err(|error| {
            Failure::failed(format_args!(
                "cannot write {}: {error}",
                escaped_path(&self.output)
            ))
        })?;
        let columns: Vec<_> = program
            .outputs()
            .iter()
            .map(|output| &*output.name)
            .collect();
        let mut text = format!(
            "{}: {bytes} bytes\nadds         {}\n",
            escaped_path(&self.output),
            columns.join(", ")
        );
        let grants = program.grants();
        if !grants.is_empty() {
            text += &format!("needs        --grant NAME={}\n", grants.join(","));
        }
        standard::print(text)?;
        Ok(Exit::Done)
    }
}
