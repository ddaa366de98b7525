//! `flowloom plugin build`

use std::path::PathBuf;

use clap::Args;

use super::super::compile::CompileOptions;
use super::super::exit::{Exit, Failure};
use super::super::standard;
use super::builder::build;
use super::open;
use super::project::Project;

const EXAMPLES: &str = "\
Examples:
  Build the plugin of this folder:
    flowloom plugin build
  Build mine/mine.wasm:
    flowloom plugin build mine

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Build {
    /// Folder of the plugin, with its flowloom-plugin.toml.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,

    #[command(flatten)]
    compile: CompileOptions,
}

impl Build {
    /// Builds the component, and opens it, so that the author learns at once what can never be loaded. The other
    /// commands then find its machine code in the cache.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let project = Project::open(&self.folder)?;
        let built = build(&project, self.compile.bounds())?;
        let opened = open::open(&project, built.file(), self.compile.compiler_of_build())?;
        let (time, bytes) = (built.time, built.bytes);
        let component = built.publish()?;
        standard::print(format_args!(
            "{}: {bytes} bytes, built in {time:.1?}{opened}\n",
            component.display()
        ))?;
        Ok(Exit::Done)
    }
}
