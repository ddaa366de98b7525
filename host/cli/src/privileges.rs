//! What a live capture gives up before it reads what strangers send.
//!
//! Capabilities and Landlock belong to threads, which inherit them from the one that starts them. They
//! are given up before there is a second thread. What cannot be given up ends the run.

mod account;
mod landlock;
mod rights;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ::landlock::RulesetStatus;
use caps::Capability;
use clap::ValueEnum;
use rustix::fs::{Access, AtFlags, CWD, accessat};

pub(super) use account::Account;

use super::exit::Failure;

/// What `--keep-privileges` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeptPrivileges {
    /// The user, all capabilities, and all files.
    All,
    /// All files that the user may open: for kernels without Landlock.
    Files,
}

/// The files that the run is about.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Files and folders that are read: plugins and their folders, lists for the dissector.
    pub(super) read: Vec<PathBuf>,
    /// A folder of the run's own, which is made if it is not there: compiled plugins are kept in it.
    pub(super) own: Option<PathBuf>,
    /// Whether plugins are compiled, by this very command.
    pub(super) compiles: bool,
    /// Where flows go.
    pub(super) output: Option<PathBuf>,
}

impl Files {
    /// What has to be open for an output to be written: the folder in which files are begun anew, or a
    /// device or pipe itself.
    fn written(output: &Path) -> &Path {
        match output.exists() && !output.is_file() {
            true => output,
            false => match output.parent() {
                Some(folder) if folder != Path::new("") => folder,
                _ => Path::new("."),
            },
        }
    }

    fn writable(&self) -> Option<&Path> {
        self.output.as_deref().map(Self::written)
    }

    /// Returns what the process may not write to and would have to.
    fn closed_to_writing(&self) -> Option<&Path> {
        let file = self.output.as_deref().filter(|output| output.is_file());
        let mut written = self.writable().into_iter().chain(file);
        written.find(|path| is_refused(path, Access::WRITE_OK))
    }

    /// Returns what the process may not read and would have to.
    fn closed_to_reading(&self) -> Option<PathBuf> {
        let files = self.read.iter().flat_map(|path| {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let plugins = entries.map(|entry| entry.path()).filter(|file| {
                file.extension()
                    .is_some_and(|extension| extension == "wasm")
            });
            [path.clone()].into_iter().chain(plugins)
        });
        let command = std::env::current_exe().ok().filter(|_| self.compiles);
        files
            .chain(command)
            .find(|path| is_refused(path, Access::READ_OK))
    }
}

fn is_refused(path: &Path, access: Access) -> bool {
    let answer = accessat(CWD, path, access, AtFlags::EACCESS);
    matches!(answer, Err(rustix::io::Errno::ACCESS))
}

/// The files that a run may read again, as they were when all others were closed.
#[derive(Debug, Default)]
pub(super) struct ReadableFiles(Vec<(PathBuf, (u64, u64))>);

impl ReadableFiles {
    fn new(files: &Files) -> Self {
        let files = files.read.iter().filter(|path| path.is_file());
        Self(
            files
                .filter_map(|path| Some((path.clone(), identity(path)?)))
                .collect(),
        )
    }

    /// Warns, once each, of files in whose place there is another one: Landlock opens the file that was
    /// there, not its name.
    pub(super) fn warn_of_replaced(&mut self) {
        self.0.retain(|(path, was)| {
            let is_same = identity(path).is_none_or(|is| is == *was);
            if !is_same {
                tracing::warn!(
                    "{} was replaced by another file, which this run may not open: write into the file \
                     (cp, not mv), or keep it in the folder of --plugins; or start the run again",
                    path.display()
                );
            }
            is_same
        });
    }
}

/// Device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino()))
}

/// Becomes another user, gives up all capabilities but those to capture, and closes all files but these,
/// and says so in the log.
///
/// # Errors
///
/// What cannot be given up, or what could not be read or written any more.
pub(super) fn give_up(
    files: &Files,
    account: Option<&Account>,
    keep: Option<KeptPrivileges>,
) -> Result<ReadableFiles, Failure> {
    let fail = |why| {
        Failure::failed(format_args!(
            "privileges cannot be given up: {why}; --keep-privileges runs with all of them"
        ))
    };
    let had = rights::give_up(account).map_err(fail)?;
    match account {
        Some(account) if account.is_root() => tracing::info!(
            "running as root without its capabilities ({}); --user NAME runs as another user",
            account.why
        ),
        Some(account) => tracing::info!("running as user {}, {}", account.name, account.why),
        None => {}
    }
    let name = account.map_or_else(
        || "this user".into(),
        |account| format!("user {}", account.name),
    );
    if let Some(path) = files.closed_to_writing() {
        return Err(Failure::failed(format_args!(
            "cannot write to {} as {name}: permission denied; write to a folder of that user, or give \
             --user",
            path.display()
        )));
    }
    if let Some(path) = files.closed_to_reading() {
        // It is good for the files of the run only: Landlock closes all others.
        if !had.contains(&Capability::CAP_DAC_READ_SEARCH) || keep == Some(KeptPrivileges::Files) {
            return Err(Failure::failed(format_args!(
                "cannot read {} as {name}: permission denied; let that user read it, or give --user",
                path.display()
            )));
        }
        rights::take(Capability::CAP_DAC_READ_SEARCH).map_err(fail)?;
        tracing::info!(
            "{} is closed to {name}: the capability to read it is kept",
            path.display()
        );
    }
    let kept = rights::close(account).map_err(fail)?;
    if !had.is_empty() {
        let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
        names.sort();
        let names = match names.is_empty() {
            true => "none".into(),
            false => names.join(", "),
        };
        tracing::info!("kept of all capabilities: {names}");
    }
    if let Some(folder) = &files.own {
        // What is wrong with it, who uses it says.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    if keep == Some(KeptPrivileges::Files) {
        return Ok(ReadableFiles::default());
    }
    let closed = landlock::close_files(files).map_err(|error| fail(error.to_string()))?;
    match closed {
        RulesetStatus::FullyEnforced => {
            tracing::info!("closed by Landlock: all files but the output's and the plugins', TCP");
        }
        RulesetStatus::PartiallyEnforced => tracing::info!(
            "closed by Landlock, as far as this kernel knows it: all files but the output's and the \
             plugins'"
        ),
        RulesetStatus::NotEnforced => {
            return Err(Failure::failed(
                "files cannot be closed: this kernel has no Landlock; --keep-privileges=files leaves them \
                 open, and gives up the rest",
            ));
        }
    }
    Ok(ReadableFiles::new(files))
}
