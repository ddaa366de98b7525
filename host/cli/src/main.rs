//! The `flowloom` command, a thin layer over the library.

mod applications;
mod compile;
mod completions;
mod config;
mod exit;
mod fields;
mod http;
mod interfaces;
mod live;
mod log;
mod man;
mod metadata;
mod meter;
mod metering;
mod metrics;
mod number;
mod output;
mod overlap;
mod performance;
mod plan;
mod plugin;
mod plugin_options;
mod privileges;
mod progress;
mod quantity;
mod sources;
mod standard;
mod status_line;
mod summary;
mod task;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::LazyLock;

use clap::{Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use flowloom::dissect::{Ndpi, NdpiConfig};
use flowloom::versions;

/// Turns network packets into flows, and adds your own features in a sandbox.
#[derive(Parser)]
#[command(
    name = "flowloom",
    version = VERSION,
    max_term_width = 100,
    after_help = EXIT_CODES,
    after_long_help = AFTER_LONG_HELP
)]
struct Cli {
    #[command(flatten)]
    log: log::LogOptions,

    #[command(subcommand)]
    command: Subcommands,
}

/// Version and commit.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), env!("FLOWLOOM_COMMIT"));

/// Version and commit, with the versions of libraries. The first use loads nDPI.
static LONG_VERSION: LazyLock<String> = LazyLock::new(|| {
    let ndpi = match Ndpi::load(&NdpiConfig::default()) {
        Ok(ndpi) => match ndpi.missing() {
            Some(reason) => format!("none: {reason}"),
            None => summary::described(&ndpi),
        },
        Err(error) => format!("none: {error}"),
    };
    format!(
        "{VERSION}\nwasmtime {}\nlibpcap {}\nnDPI {ndpi}",
        versions::WASMTIME,
        versions::libpcap(),
    )
});

/// Returns the command. Only `--version` needs the versions of libraries.
fn command(arguments: &[OsString]) -> Command {
    let command = Cli::command();
    match arguments.iter().any(|argument| argument == "--version") {
        true => command.long_version(&**LONG_VERSION),
        false => command,
    }
}

macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done, also if the reader of standard output went away
  1  failed
  2  wrong usage
  3  done, but incomplete: a capture was damaged, a file was skipped, a plugin was stopped,
     or flows or values were lost"
    };
}

const EXIT_CODES: &str = exit_codes!();

const AFTER_LONG_HELP: &str = concat!(
    "\
Examples:
  Meter a capture file:
    flowloom meter capture.pcap -o flows.csv
  Meter an interface until SIGINT or SIGTERM:
    flowloom meter eth0 -o flows.csv
  Add the features of a plugin:
    flowloom meter capture.pcap --plugin packet_stats.wasm
  Create a plugin:
    flowloom plugin new mine --lang python

Environment:
  FLOWLOOM_LOG   log level on standard error: error, warn, info (default), debug or trace
  FLOWLOOM_NDPI  the nDPI library, as --ndpi of meter

",
    exit_codes!(),
    "

Documentation: docs/usage.md"
);

#[derive(Subcommand)]
enum Subcommands {
    /// Meter capture files or an interface.
    Meter(Box<meter::Meter>),
    /// Divide a run into tasks for several machines.
    Plan(Box<plan::Plan>),
    /// Do a task of a plan.
    RunTask(task::RunTask),
    /// List the network interfaces that can be metered.
    Interfaces(interfaces::Interfaces),
    /// List all fields of flows and packets.
    Fields(fields::Fields),
    /// List the applications that nDPI can find.
    Applications(applications::Applications),
    /// Create, build, test, check and measure plugins.
    #[command(subcommand, after_long_help = plugin::EXAMPLES)]
    Plugin(Box<plugin::Plugin>),
    /// Print the completion script of a shell.
    Completions(completions::Completions),
    /// Write the man pages of all commands. Packages contain them.
    #[command(hide = true)]
    Man(man::Man),
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let command = command(&arguments);
    let cli = match config::expand(&command, arguments) {
        Ok(arguments) => Cli::from_arg_matches(&command.get_matches_from(arguments)),
        Err(failure) => {
            log::end(failure.text().as_bytes());
            return failure.exit.into();
        }
    };
    let cli = cli.unwrap_or_else(|error| error.exit());
    let done = cli.log.start().and_then(|()| match cli.command {
        Subcommands::Meter(meter) => meter.run(),
        Subcommands::Plan(plan) => plan.run(),
        Subcommands::RunTask(task) => task.run(),
        Subcommands::Interfaces(interfaces) => interfaces.run(),
        Subcommands::Fields(fields) => fields.run(),
        Subcommands::Applications(applications) => applications.run(),
        Subcommands::Plugin(plugin) => plugin.run(),
        Subcommands::Completions(completions) => completions.run(Cli::command()),
        Subcommands::Man(man) => man.run(Cli::command()),
    });
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // After all log lines.
            log::end(failure.text().as_bytes());
            failure.exit.into()
        }
    }
}
