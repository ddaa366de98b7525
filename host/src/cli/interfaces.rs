//! `flowloom interfaces`

use std::io::{self, Write as _};

use clap::Args;
use flowloom::capture::Interface;

use super::exit::{Exit, Failure};

#[derive(Args)]
pub(super) struct Interfaces;

impl Interfaces {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut out = io::stdout().lock();
        for interface in Interface::all().map_err(Failure::failed)? {
            // Whoever reads this may have seen enough.
            if writeln!(out, "{interface}").is_err() {
                break;
            }
        }
        Ok(Exit::Done)
    }
}
