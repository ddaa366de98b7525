//! The values of a Python class in the author's Python, before its component is built.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use flowloom::plugin::PluginSpec;

use super::builder::search_path;
use super::flows::{self, Row};
use super::language::Language;
use super::project::Project;

const SCRIPT: &str = include_str!("in_process.py");

/// The exit code of the script if Python has no Flowloom that meters.
const ABSENT: i32 = 69;

/// What the author's Python printed.
pub(super) enum InProcess {
    /// The first flows.
    Flows(Vec<Row>),
    /// The text of an exception.
    Failed(String),
}

/// Meters a capture with a plugin that is a Python class, in a process of Python. Returns `None` if the plugin is not
/// in Python, or Python has no package `flowloom` that meters.
pub(super) fn meter(
    project: &Project,
    capture: &Path,
    spec: &PluginSpec,
    max: usize,
) -> Option<InProcess> {
    if project.plugin.language != Language::Python {
        return None;
    }
    let options: serde_json::Map<_, _> = spec
        .options
        .iter()
        .map(|(key, value)| (key.clone(), value.clone().into()))
        .collect();
    let ended = Command::new(python())
        .args(["-c", SCRIPT])
        .arg(project.folder.join(&project.plugin.source))
        .arg(capture)
        .args([&spec.name, &max.to_string()])
        .arg(serde_json::Value::from(options).to_string())
        .env("PATH", search_path(project).ok()?)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match ended.status.code() {
        Some(0) => flows::rows(&text(&ended.stdout)).ok().map(InProcess::Flows),
        Some(ABSENT) => None,
        _ => Some(InProcess::Failed(text(&ended.stderr))),
    }
}

/// Returns the Python that has this command installed, or else the one in PATH.
fn python() -> OsString {
    let beside = env::current_exe().ok().and_then(|command| {
        let python = command.parent()?.join("python3");
        python.exists().then_some(python)
    });
    beside.map_or_else(|| "python3".into(), Into::into)
}
