//! Detection of sources that changed after the plugin was built.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::language::Language;
use super::project::{FILE, Project};

/// Folders without sources: those of tools, and tests.
const NO_SOURCES: [&str; 4] = ["target", "node_modules", "__pycache__", "tests"];

/// Returns the newest source that changed after the component was built.
pub(super) fn newer(project: &Project) -> Option<PathBuf> {
    let built = modified(&project.component())?;
    let extensions = extensions(project.plugin.language);
    let mut newest = (built, None);
    // The description may name a source in another folder.
    let source = project.folder.join(&project.plugin.source);
    for root in [project.folder.clone(), source] {
        find_newest(&root, extensions, &mut newest);
    }
    newest.1
}

/// Returns the extensions of a language's sources.
fn extensions(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => &["rs", "toml"],
        Language::C => &["c", "h"],
        Language::Zig => &["zig"],
        Language::JavaScript => &["js", "mjs", "json"],
        Language::Python => &["py"],
        Language::Go => &["go", "mod"],
    }
}

/// Replaces `newest` if a source in this folder, or at this path, is newer.
fn find_newest(path: &Path, extensions: &[&str], newest: &mut (SystemTime, Option<PathBuf>)) {
    let Ok(entries) = fs::read_dir(path) else {
        return compare(path, extensions, newest);
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || NO_SOURCES.contains(&&*name) || name == FILE {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => find_newest(&entry.path(), extensions, newest),
            Ok(kind) if kind.is_file() => compare(&entry.path(), extensions, newest),
            _ => {}
        }
    }
}

fn compare(path: &Path, extensions: &[&str], newest: &mut (SystemTime, Option<PathBuf>)) {
    let is_source = path
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| extensions.contains(&extension));
    if let Some(modified) = modified(path).filter(|_| is_source)
        && modified > newest.0
    {
        *newest = (modified, Some(path.to_owned()));
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
