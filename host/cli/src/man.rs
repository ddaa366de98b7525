//! `flowloom man`, which is hidden: only those who make packages need it.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command};

use super::exit::{Exit, Failure};

#[derive(Args)]
pub(super) struct Man {
    /// Folder of the pages. It is created if it does not exist.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    /// Writes a page for the command and each subcommand: flowloom.1, flowloom-meter.1 and so on. `cli` is the
    /// whole command.
    pub(super) fn run(&self, cli: Command) -> Result<Exit, Failure> {
        let written = fs::create_dir_all(&self.folder)
            .and_then(|()| clap_mangen::generate_to(cli, &self.folder));
        match written {
            Ok(()) => Ok(Exit::Done),
            Err(error) => Err(Failure::failed(format_args!(
                "cannot write man pages to {}: {error}",
                self.folder.display()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let man = Man {
            folder: folder.path().join("man1"),
        };
        man.run(Cli::command()).unwrap();
        for page in ["flowloom", "flowloom-meter", "flowloom-plugin-check"] {
            let text = fs::read_to_string(man.folder.join(format!("{page}.1"))).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{page}: {text}");
        }
        assert!(!man.folder.join("flowloom-man.1").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let man = Man {
            folder: file.path().join("man1"),
        };
        let failure = man.run(Cli::command()).unwrap_err();
        let begin = format!("cannot write man pages to {}: ", man.folder.display());
        assert!(failure.message.starts_with(&begin), "{}", failure.message);
    }
}
