//! `flowloom plugin compile`

use std::path::{Path, PathBuf};

use clap::Args;
use flowloom::BoundedRead;
use flowloom::features::{Limits, Program};
use flowloom::plugin::{CompileError, Compiler, FeatureText, escaped_path};
use flowloom::sink::OutputFiles;

use super::super::compile::CompileBounds;
use super::super::exit::{Exit, Failure};
use super::super::number::within;
use super::super::overlap::Inputs;
use super::super::standard;
use super::component_file;

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

    /// Limit of the state of a flow, in bytes.
    ///
    /// The state of all live flows must fit into the memory of the plugin, which is 256 MiB by default.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().state_bytes, value_parser = within(1..=MAX_STATE_BYTES), allow_negative_numbers = true)]
    state_bytes: u32,

    #[command(flatten)]
    bounds: CompileBounds,
}

/// The largest limit of the state of a flow.
const MAX_STATE_BYTES: u32 = 4_096;

impl Compile {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut inputs = Inputs::default();
        inputs.add("the file of features", [&self.source]);
        inputs.check(&[("the component", OutputFiles::new(&self.output))])?;
        standard::check_path(&self.output)?;
        let features = read(&self.source)?.state_bytes(self.state_bytes);
        let component = component(&features, &self.bounds)?;
        component_file::write(&self.output, &component)?;
        let program = program(&features)?;
        let columns: Vec<_> = program
            .outputs()
            .iter()
            .map(|output| &*output.name)
            .collect();
        let mut text = format!(
            "{}: {} bytes, {} bytes of state per live flow\nadds         {}\n",
            escaped_path(&self.output),
            component.len(),
            program.state_bytes(),
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

/// Reads a file of features.
pub(super) fn read(file: &Path) -> Result<FeatureText, Failure> {
    let source = escaped_path(file);
    let text = BoundedRead::new(FeatureText::MAX_BYTES)
        .text(file)
        .map_err(|error| Failure::failed(format_args!("cannot read {source}: {error}")))?;
    Ok(FeatureText::new(source, text))
}

/// Compiles features to a component, in a process with limits.
pub(super) fn component(
    features: &FeatureText,
    bounds: &CompileBounds,
) -> Result<Vec<u8>, Failure> {
    let component = bounds.compiler().component_of(features);
    component.map_err(|error| match error {
        CompileError::BadFeatures(reason) => Failure::failed(reason),
        error => Failure::failed(format_args!(
            "cannot compile {}: {}",
            features.origin,
            error.reason()
        )),
    })
}

/// Returns the program of features that were compiled.
fn program(features: &FeatureText) -> Result<Program, Failure> {
    let mut limits = Limits::default();
    limits.state_bytes = features.state_bytes;
    Program::parse(&features.origin, &features.text, &limits)
        .map_err(|error| Failure::failed(error.to_string().trim_start_matches("error: ")))
}
