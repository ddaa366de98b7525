//! The privileges that a live capture drops before it reads packets.
//!
//! Capabilities and Landlock rules belong to a thread. A new thread inherits those of its parent. Therefore the
//! process drops its privileges while it has one thread. If it cannot drop one, the run ends.
//!
//! One thread is exempt: the one that reads the processes of `--system-visibility`. Landlock would deny it all access to
//! the files of other processes, whatever its rules are. It drops the capabilities that it does not need by itself.

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

/// The privileges that `--keep-privileges` keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeptPrivileges {
    /// The user, all capabilities, and access to all files.
    All,
    /// Access to all files of the user, for kernels without Landlock.
    Files,
}

/// The files that a run needs.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Files and folders to read: plugins and their folders, the policy, keys, lists for nDPI.
    pub(super) read: Vec<PathBuf>,
    /// Folder of compiled plugins. It is created if it does not exist.
    pub(super) cache: Option<PathBuf>,
    /// Whether the run compiles plugins. It then runs this command again.
    pub(super) compiles: bool,
    /// The output file.
    pub(super) output: Option<PathBuf>,
    /// Whether the run creates and removes folders beside the output.
    pub(super) makes_folders: bool,
}

impl Files {
    /// Returns the path that must be writable for an output: the folder of a file, or the device or pipe itself.
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

    /// Returns a path that the process must write to, but may not.
    fn denied_write(&self) -> Option<&Path> {
        let file = self.output.as_deref().filter(|output| output.is_file());
        let mut written = self.writable().into_iter().chain(file);
        written.find(|path| is_denied(path, Access::WRITE_OK))
    }

    /// Returns a path that the process must read, but may not.
    fn denied_read(&self) -> Option<PathBuf> {
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
            .find(|path| is_denied(path, Access::READ_OK))
    }
}

fn is_denied(path: &Path, access: Access) -> bool {
    let result = accessat(CWD, path, access, AtFlags::EACCESS);
    matches!(result, Err(rustix::io::Errno::ACCESS))
}

/// The files that a run may read again, with their identities at the time when Landlock was enabled.
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

    /// Warns once of each file that another file has replaced. Landlock allows access to a file, not to its
    /// name.
    pub(super) fn warn_of_replaced(&mut self) {
        self.0.retain(|(path, was)| {
            let is_same = identity(path).is_none_or(|is| is == *was);
            if !is_same {
                tracing::warn!(
                    "{} was replaced by another file, which this run may not open; write to the file in \
                     place (cp, not mv), keep it in the folder of --plugins, or restart the run",
                    path.display()
                );
            }
            is_same
        });
    }
}

/// Returns device and inode.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino()))
}

/// Becomes another user, drops all capabilities except the one to capture, and denies access to all files except
/// these. Logs what it drops.
///
/// `start_exempt` starts the threads that need more. It is called as the other user, before the permitted capabilities
/// are dropped and before Landlock applies. Each of these threads must drop the capabilities that it does not need.
///
/// # Errors
///
/// A privilege cannot be dropped, the run could not read or write one of the files, or a thread cannot be started.
pub(super) fn drop_privileges(
    files: &Files,
    account: Option<&Account>,
    keep: Option<KeptPrivileges>,
    start_exempt: impl FnOnce() -> Result<(), Failure>,
) -> Result<ReadableFiles, Failure> {
    let fail = |why| {
        Failure::failed(format_args!("cannot drop privileges: {why}"))
            .hint("--keep-privileges keeps all of them")
    };
    let had = rights::drop(account).map_err(fail)?;
    match account {
        Some(account) if account.is_root() => tracing::info!(
            "running as root without its capabilities ({}); --user NAME runs as another user",
            account.why
        ),
        Some(account) => tracing::info!("running as user {}: {}", account.name, account.why),
        None => {}
    }
    let name = account.map_or_else(
        || "this user".into(),
        |account| format!("user {}", account.name),
    );
    if let Some(path) = files.denied_write() {
        return Err(Failure::failed(format_args!(
            "cannot write to {} as {name}: permission denied",
            path.display()
        ))
        .hint("write to a folder of that user, or give --user"));
    }
    if let Some(path) = files.denied_read() {
        // Landlock limits this capability to the files of the run.
        if !had.contains(&Capability::CAP_DAC_READ_SEARCH) || keep == Some(KeptPrivileges::Files) {
            return Err(Failure::failed(format_args!(
                "cannot read {} as {name}: permission denied",
                path.display()
            ))
            .hint("let that user read it, or give --user"));
        }
        rights::raise(Capability::CAP_DAC_READ_SEARCH).map_err(fail)?;
        tracing::info!(
            "{name} may not read {}; keeping the capability to read it",
            path.display()
        );
    }
    start_exempt()?;
    let kept = rights::seal(account).map_err(fail)?;
    if !had.is_empty() {
        let mut names: Vec<_> = kept.iter().map(ToString::to_string).collect();
        names.sort();
        let names = match names.is_empty() {
            true => "none".into(),
            false => names.join(", "),
        };
        tracing::info!("kept capabilities: {names}");
    }
    if let Some(folder) = &files.cache {
        // The compiler reports errors when it uses the folder.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    if keep == Some(KeptPrivileges::Files) {
        return Ok(ReadableFiles::default());
    }
    let status = landlock::restrict(files).map_err(|error| fail(error.to_string()))?;
    match status {
        RulesetStatus::FullyEnforced => {
            tracing::info!(
                "Landlock denies access to TCP and to all files except the output and the plugins"
            );
        }
        RulesetStatus::PartiallyEnforced => tracing::info!(
            "Landlock denies access to files except the output and the plugins, as far as this kernel \
             supports it"
        ),
        RulesetStatus::NotEnforced => {
            return Err(Failure::failed(
                "cannot deny access to files: this kernel has no Landlock",
            )
            .hint(
                "--keep-privileges=files keeps access to files, and drops all other privileges",
            ));
        }
    }
    Ok(ReadableFiles::new(files))
}
