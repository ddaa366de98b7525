//! `flowloom plugin contract`

use std::path::PathBuf;

use clap::Args;
use flowloom::plugin::escaped_path;

use super::super::exit::{Exit, Failure};
use super::super::standard;
use super::sdk;

const EXAMPLES: &str = "\
Examples:
  Read the contract:
    flowloom plugin contract | less
  Write its files into wit/contract, and generate bindings for C:
    flowloom plugin contract -o wit/contract
    wit-bindgen c wit/contract --world plugin
  The same in Rust, with the crate wit-bindgen:
    wit_bindgen::generate!({ path: \"wit/contract\", world: \"plugin\" });
  Use it in a world of your own, which is in wit/mine.wit:
    flowloom plugin contract -o wit/deps/flowloom-plugin

Documentation: docs/plugins.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Contract {
    /// Write the files of the contract into FOLDER instead.
    ///
    /// The command creates the folder. It replaces files of the same names.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl Contract {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let Some(folder) = self.output else {
            standard::print(sdk::contract_document())?;
            return Ok(Exit::Done);
        };
        let mut text = String::new();
        for (name, contents) in sdk::contract() {
            let path = folder.join(name);
            sdk::write(&path, contents)?;
            text += &format!("{}: {} bytes\n", escaped_path(&path), contents.len());
        }
        standard::print(text)?;
        Ok(Exit::Done)
    }
}
