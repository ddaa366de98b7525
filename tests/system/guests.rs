//! The components of plugins and guests that `make plugins guests languages` builds.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::command::{Command, HOST};
use crate::flows::Flow;

/// Returns the path of the component of a plugin or guest.
#[track_caller]
pub(crate) fn plugin(name: &str) -> PathBuf {
    let folder = match std::env::var_os("FLOWLOOM_PLUGINS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(HOST).join("../../target/plugins"),
    };
    let path = folder.join(name).with_extension("wasm");
    assert!(
        path.exists(),
        "{} is missing: run make plugins guests languages",
        path.display()
    );
    path
}

/// Returns `NAME=FILE`, a value of `--plugin`.
#[track_caller]
pub(crate) fn named(name: &str, plugin_name: &str) -> String {
    format!("{name}={}", plugin(plugin_name).display())
}

impl Command {
    /// Adds a plugin by its name and options, for example `slicer,limit=4`.
    #[track_caller]
    pub(crate) fn plugin(self, what: &str) -> Self {
        let (name, options) = what.split_at(what.find(',').unwrap_or(what.len()));
        self.arg("--plugin")
            .arg(format!("{}{options}", plugin(name).display()))
    }

    pub(crate) fn grant(self, what: &str) -> Self {
        self.args(["--grant", what])
    }

    /// The options of both call modes.
    pub(crate) const CALLS: [&[&str]; 2] = [
        &["--plugin-calls", "auto"],
        &["--plugin-calls", "per-event"],
    ];
}

/// Returns the values that a plugin added to a flow.
#[track_caller]
pub(crate) fn udps<'a>(flow: &'a Flow, plugin: &str) -> &'a Flow {
    flow["udps"][plugin]
        .as_object()
        .unwrap_or_else(|| panic!("no udps.{plugin} in {flow:?}"))
}

/// Creates a temporary folder with one file. Returns the folder and the path of the file.
pub(crate) fn file(name: &str, bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    (folder, path)
}

/// Creates a FIFO without a writer: a process that reads from it waits forever.
pub(crate) fn fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo failed");
}
