//! `flowloom interfaces`

use clap::Args;
use flowloom::capture::Interface;

use super::exit::{Exit, Failure};
use super::standard;

const EXAMPLES: &str = "\
Examples:
  List the interfaces, and meter one of them:
    flowloom interfaces
    flowloom meter eth0 -o flows.csv

Documentation: docs/live-capture.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Interfaces;

impl Interfaces {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let interfaces = Interface::all().map_err(Failure::failed)?;
        let lines = interfaces.iter().map(|interface| format!("{interface}\n"));
        standard::print(lines.collect::<String>())?;
        Ok(Exit::Done)
    }
}
