//! `flowloom completions`

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use super::exit::{Exit, Failure};
use super::standard;

const EXAMPLES: &str = "\
Examples:
  Complete commands and options in this bash:
    source <(flowloom completions bash)
  Complete them in every zsh and fish:
    flowloom completions zsh > ~/.zfunc/_flowloom
    flowloom completions fish > ~/.config/fish/completions/flowloom.fish

The packages for Debian and Fedora contain the scripts of bash, zsh and fish.

Documentation: docs/installation.md";

#[derive(Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Prints the script. `cli` is the whole command.
    pub(super) fn run(&self, mut cli: Command) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        generate(self.shell, &mut cli, "flowloom", &mut script);
        standard::print(String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::Cli;

    #[test]
    fn every_script_knows_an_option_of_a_subcommand() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            generate(*shell, &mut Cli::command(), "flowloom", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("idle-timeout"), "{shell}");
        }
    }
}
