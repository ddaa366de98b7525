//! The build of a plugin's component.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

use flowloom::sink::OutputFiles;

use super::super::compile::CompileBounds;
use super::super::exit::Failure;
use super::super::overlap::Inputs;
use super::super::standard;
use super::language::Language;
use super::project::{FILE, Project};
use super::{compile, component_file, sdk};

/// Exit code of the build scripts if a compiler is missing.
const COMPILER_MISSING: i32 = 69;

/// Environment variable with the folder of compilers that sdk/tools/install.sh fills.
const TOOLS: &str = "FLOWLOOM_TOOLS";

/// A component that was built, and does not replace the older one yet. It is deleted if it never does.
pub(super) struct Built {
    /// The file of the component. `None` if it has replaced the older one.
    new: Option<PathBuf>,
    /// The name that the component gets.
    component: PathBuf,
    /// The size in bytes.
    pub(super) bytes: u64,
    /// The time of the build.
    pub(super) time: Duration,
}

impl Built {
    /// Returns the file of the component.
    pub(super) fn file(&self) -> &Path {
        self.new.as_deref().unwrap_or(&self.component)
    }

    /// Replaces the older component in one step, because a run may use it. Returns the file.
    pub(super) fn publish(mut self) -> Result<PathBuf, Failure> {
        if let Some(new) = &self.new {
            fs::rename(new, &self.component).map_err(|error| {
                Failure::failed(format_args!(
                    "cannot write {}: {error}",
                    self.component.display()
                ))
            })?;
            self.new = None;
        }
        Ok(self.component.clone())
    }
}

impl Drop for Built {
    fn drop(&mut self) {
        if let Some(new) = &self.new {
            let _ = fs::remove_file(new);
        }
    }
}

/// Builds the component: runs the build script of the language's SDK, which calls the compiler, or compiles features.
pub(super) fn build(project: &Project, bounds: &CompileBounds) -> Result<Built, Failure> {
    let (plugin, language) = (&project.plugin, project.plugin.language);
    let cannot = |what: &dyn std::fmt::Display| {
        Failure::failed(format_args!("cannot build {}: {what}", plugin.name))
    };
    let source = project.folder.join(&plugin.source);
    if !source.exists() {
        return Err(cannot(&format_args!(
            "{}, which flowloom-plugin.toml names, does not exist",
            source.display()
        )));
    }
    if language == Language::Features {
        return build_features(project, &source, bounds);
    }
    let copy = project.folder.join(&plugin.sdk);
    if plugin.sdk == *sdk::FOLDER && !copy.exists() {
        sdk::write_copy(&copy, language)?;
    }
    let script = format!("{}/sdk/{language}/build.sh", plugin.sdk.display());
    if !project.folder.join(&script).exists() {
        return Err(cannot(&format_args!(
                "{} does not exist",
                project.folder.join(&script).display()
            ))
            .hint(
                "`sdk` in flowloom-plugin.toml names a folder with Flowloom's sdk and wit; remove it to \
                 use a copy of them",
            ));
    }
    // Replaces the component in one step, because a run may follow it.
    let new = format!("{}.new.wasm", plugin.name);
    let component = format!("{}.wasm", plugin.name);
    let mut inputs = Inputs::default();
    // A source that is a folder may contain the component.
    inputs.add(
        "the plugin's source",
        Some(&source).filter(|it| it.is_file()),
    );
    inputs.add("the description of the plugin", [project.folder.join(FILE)]);
    for name in [&new, &component] {
        let file = OutputFiles::new(project.folder.join(name));
        inputs.check(&[("the component", file)])?;
    }
    let start = Instant::now();
    let mut command = Command::new("sh");
    command
        .args([&script, &new])
        .arg(&plugin.source)
        .current_dir(&project.folder)
        .env("PATH", search_path(project)?)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    if let Ok(flowloom) = env::current_exe() {
        command.env("FLOWLOOM", flowloom);
    }
    // The script runs in another folder than this command.
    if let Some(tools) =
        flowloom::trusted_variable(TOOLS).and_then(|tools| path::absolute(tools).ok())
    {
        command.env(TOOLS, tools);
    }
    let mut child = command
        .spawn()
        .map_err(|error| cannot(&format_args!("cannot start sh: {error}")))?;
    let messages = child.stderr.take().map(|stderr| pass_on(stderr, &script));
    let status = child
        .wait()
        .map_err(|error| cannot(&format_args!("cannot wait for sh: {error}")))?;
    let messages = messages.unwrap_or_default();
    if !status.success() {
        let _ = fs::remove_file(project.folder.join(&new));
        return Err(match status.code() {
            Some(COMPILER_MISSING) => cannot(&messages.join("; ")),
            _ if messages.is_empty() => cannot(&"the compiler failed; its messages are above"),
            _ => cannot(&messages.join("; ")),
        });
    }
    let bytes = fs::metadata(project.folder.join(&new)).map_err(|error| {
        cannot(&format_args!(
            "its build script wrote no component: {error}"
        ))
    })?;
    Ok(Built {
        new: Some(project.component().with_file_name(new)),
        component: project.component(),
        bytes: bytes.len(),
        time: start.elapsed(),
    })
}

/// Compiles features.
fn build_features(
    project: &Project,
    source: &Path,
    bounds: &CompileBounds,
) -> Result<Built, Failure> {
    let start = Instant::now();
    let component = compile::component(&compile::read(source)?, bounds)?;
    let file = project.component();
    let new = file.with_file_name(format!("{}.new.wasm", project.plugin.name));
    component_file::write(&new, &component)?;
    Ok(Built {
        new: Some(new),
        component: file,
        bytes: component.len() as u64,
        time: start.elapsed(),
    })
}

/// Prints the lines of compilers as they arrive. Returns the messages of the script itself, which become part
/// of the failure.
fn pass_on(stderr: impl std::io::Read, script: &str) -> Vec<String> {
    let own = format!("{script}: ");
    let mut messages = Vec::new();
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        match line.strip_prefix(&own) {
            Some(line) => messages.push(line.to_owned()),
            None => standard::print_error(line),
        }
    }
    messages
}

/// Returns the PATH for the build script: first the compilers that are installed in the plugin's folder, then
/// the PATH of the user.
pub(super) fn search_path(project: &Project) -> Result<OsString, Failure> {
    let mut folders = Vec::new();
    for own in [".venv/bin", "node_modules/.bin"] {
        folders.extend(fs::canonicalize(project.folder.join(own)).ok());
    }
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    env::join_paths(folders)
        .map_err(|error| Failure::failed(format_args!("PATH is not valid: {error}")))
}
