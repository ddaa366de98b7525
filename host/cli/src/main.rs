//! The `flowloom` command: a thin layer over the library.

mod compile;
mod exit;
mod fields;
mod http;
mod interfaces;
mod live;
mod log;
mod meter;
mod metrics;
mod number;
mod output;
mod overlap;
mod performance;
mod plugin;
mod privileges;
mod sources;
mod standard;
mod summary;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use exit::Failure;
use tracing_subscriber::EnvFilter;

/// Turns packets into flows, and runs your own flow features in a sandbox.
#[derive(Parser)]
#[command(name = "flowloom", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done (or the reader of standard output went away), 1 failed, 2 wrong usage, 3 done but incomplete (a damaged capture, a stopped plugin).
FLOWLOOM_LOG chooses what is logged to standard error: error, warn, info (the default), debug.";

#[derive(Subcommand)]
enum Command {
    /// Meter captures, or an interface, into flows.
    Meter(Box<meter::Meter>),
    /// List the interfaces that can be metered.
    Interfaces(interfaces::Interfaces),
    /// List every field of flows and packets.
    Fields(fields::Fields),
    /// Write plugins: begin, build, test, check and measure them.
    #[command(subcommand)]
    Plugin(Box<plugin::Plugin>),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_standard_error();
    let done = match cli.command {
        Command::Meter(meter) => meter.run(),
        Command::Interfaces(interfaces) => interfaces.run(),
        Command::Fields(fields) => fields.run(),
        Command::Plugin(plugin) => plugin.run(),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            if message.is_empty() {
                return exit.into();
            }
            // Its parts are escaped; what was forgotten keeps to its line.
            let lines: Vec<_> = message.lines().map(flowloom::plugin::escaped).collect();
            log::end(
                format!(
                    "flowloom: {}
",
                    lines.join(
                        "
"
                    )
                )
                .as_bytes(),
            );
            exit.into()
        }
    }
}

fn log_to_standard_error() {
    let filter = EnvFilter::try_from_env("FLOWLOOM_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| log::StandardError)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        // It would panic where nobody reads standard error.
        .log_internal_errors(false)
        .init();
}
