//! Detection of sources that changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::language::Language;
use super::project::{FILE, Project};

/// Folders without sources: those of tools, and tests.
const NO_SOURCES: [&str; 4] = ["target", "node_modules", "__pycache__", "tests"];

/// The state of a plugin's sources and tests.
#[derive(PartialEq, Eq)]
pub(super) struct Sources(Vec<(PathBuf, Option<SystemTime>, u64)>);

/// The maximum number of files that are watched.
const MAX_FILES: usize = 10_000;

impl Sources {
    /// Returns the present state. A plugin that cannot be read has its description only.
    pub(super) fn of(folder: &Path) -> Self {
        let mut files = vec![folder.join(FILE)];
        if let Ok(project) = Project::open(folder) {
            let extensions = extensions(project.plugin.language);
            let source = project.folder.join(&project.plugin.source);
            for root in [project.folder.clone(), source] {
                visit(&root, extensions, &mut |path| {
                    if files.len() < MAX_FILES {
                        files.push(path.to_owned());
                    }
                });
            }
            for test in &project.tests {
                files.push(folder.join(&test.capture));
                files.push(folder.join(&test.expected));
            }
        }
        files.sort();
        files.dedup();
        let state = files.into_iter().map(|path| {
            let data = fs::metadata(&path).ok();
            let len = data.as_ref().map_or(0, fs::Metadata::len);
            (path, data.and_then(|data| data.modified().ok()), len)
        });
        Self(state.collect())
    }
}

/// Returns the newest source that changed after the component was built.
pub(super) fn newer(project: &Project) -> Option<PathBuf> {
    let built = modified(&project.component())?;
    let extensions = extensions(project.plugin.language);
    let mut newest = (built, None);
    // The description may name a source in another folder.
    let source = project.folder.join(&project.plugin.source);
    for root in [project.folder.clone(), source] {
        visit(&root, extensions, &mut |path| {
            if let Some(modified) = modified(path)
                && modified > newest.0
            {
                newest = (modified, Some(path.to_owned()));
            }
        });
    }
    newest.1
}

/// Returns the extensions of a language's sources.
fn extensions(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => &["rs", "toml"],
        Language::C => &["c", "h"],
        Language::Zig => &["zig"],
        Language::JavaScript | Language::TypeScript => &["js", "mjs", "ts", "json"],
        Language::Python => &["py"],
        Language::Go => &["go", "mod"],
        Language::Features => &["features"],
    }
}

/// Calls `found` with each source in this folder, or at this path.
fn visit(path: &Path, extensions: &[&str], found: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(path) else {
        return visit_file(path, extensions, found);
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || NO_SOURCES.contains(&&*name) || name == FILE {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => visit(&entry.path(), extensions, found),
            Ok(kind) if kind.is_file() => visit_file(&entry.path(), extensions, found),
            _ => {}
        }
    }
}

fn visit_file(path: &Path, extensions: &[&str], found: &mut dyn FnMut(&Path)) {
    let extension = path.extension().and_then(|extension| extension.to_str());
    if extension.is_some_and(|extension| extensions.contains(&extension)) {
        found(path);
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
