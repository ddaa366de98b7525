//! `flowloom applications`

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use flowloom::dissect::{Ndpi, NdpiConfig, NdpiLibrary};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::standard;
use super::summary::described;

const EXAMPLES: &str = "\
Examples:
  Read the list in a terminal:
    flowloom applications | less
  Print the names of all applications:
    flowloom applications --format json | jq -r '.applications[].name'

Documentation: docs/applications.md";

/// Lists the applications, with their categories, and the risks that nDPI can find.
#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Applications {
    /// The nDPI library: auto, none or a file, as for `flowloom meter`.
    #[arg(long, value_name = "auto|none|FILE")]
    ndpi: Option<PathBuf>,

    /// Format of the list.
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: ListFormat,
}

#[derive(Clone, Copy, ValueEnum)]
enum ListFormat {
    /// Plain text for a terminal.
    Text,
    /// One JSON object.
    Json,
}

impl Applications {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let mut config = NdpiConfig::default();
        config.library = self.ndpi.map(NdpiLibrary::from);
        let ndpi = Ndpi::load(&config).map_err(Failure::failed)?;
        if let Some(reason) = ndpi.missing() {
            return Err(Failure::failed(reason));
        }
        let applications = ndpi.applications().map_err(Failure::failed)?;
        let text = match self.format {
            ListFormat::Text => {
                let mut text = format!("nDPI {}\n\nApplications\n\n", described(&ndpi));
                for application in &applications {
                    let _ = writeln!(text, "  {:<24}{}", application.name, application.category);
                }
                text += "\nRisks\n\n";
                for risk in ndpi.risks() {
                    let _ = writeln!(text, "  {risk}");
                }
                text
            }
            ListFormat::Json => {
                let list = json!({
                    "ndpi": {"version": ndpi.version(), "library": ndpi.path()},
                    "applications": applications,
                    "risks": ndpi.risks(),
                });
                format!("{list:#}\n")
            }
        };
        standard::print(text)?;
        Ok(Exit::Done)
    }
}
