//! Whether a plugin was built from its sources as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::language::Language;
use super::project::{FILE, Project};

/// Folders that sources are not in: what tools put there, and tests.
const OTHERS: [&str; 4] = ["target", "node_modules", "__pycache__", "tests"];

/// A source that was changed after the component was built: the newest.
pub(super) fn newer(project: &Project) -> Option<PathBuf> {
    let built = modified(&project.component())?;
    let extensions = extensions(project.plugin.language);
    let mut newest = (built, None);
    // It may name a source somewhere else.
    let source = project.folder.join(&project.plugin.source);
    for root in [project.folder.clone(), source] {
        look(&root, extensions, &mut newest);
    }
    newest.1
}

/// What a language's sources end with.
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

fn look(path: &Path, extensions: &[&str], newest: &mut (SystemTime, Option<PathBuf>)) {
    let Ok(entries) = fs::read_dir(path) else {
        return look_at(path, extensions, newest);
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || OTHERS.contains(&&*name) || name == FILE {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => look(&entry.path(), extensions, newest),
            Ok(kind) if kind.is_file() => look_at(&entry.path(), extensions, newest),
            _ => {}
        }
    }
}

fn look_at(path: &Path, extensions: &[&str], newest: &mut (SystemTime, Option<PathBuf>)) {
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
