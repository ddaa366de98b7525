//! Detection of outputs that would overwrite inputs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use flowloom::public_name;
use flowloom::sink::{FileId, OutputFiles};

use super::exit::Failure;

/// The files that a command reads, each with its role.
#[derive(Default)]
pub(super) struct Inputs(Vec<(&'static str, PathBuf)>);

impl Inputs {
    /// Adds files, and the files of folders. `-` is standard input.
    pub(super) fn add<P: Into<PathBuf>>(
        &mut self,
        what: &'static str,
        paths: impl IntoIterator<Item = P>,
    ) {
        for path in paths {
            let path = path.into();
            if path == Path::new("-") {
                self.0.push((what, "/dev/stdin".into()));
                continue;
            }
            if let Ok(entries) = fs::read_dir(&path) {
                let files = entries.flatten().map(|entry| (what, entry.path()));
                self.0.extend(files);
            }
            self.0.push((what, path));
        }
    }

    /// Returns the identities of the files, which do not depend on names and links.
    pub(super) fn ids(&self) -> impl Iterator<Item = FileId> {
        self.0.iter().filter_map(|(_, path)| FileId::at(path))
    }

    /// Fails if an output is the same file as an input or another output.
    pub(super) fn check(&self, outputs: &[(&'static str, OutputFiles)]) -> Result<(), Failure> {
        for (n, (role, files)) in outputs.iter().enumerate() {
            let written: HashMap<_, _> = files
                .there()
                .into_iter()
                .filter_map(|path| Some((FileId::at(&path)?, path)))
                .collect();
            for (what, path) in &self.0 {
                if FileId::at(path).is_some_and(|id| written.contains_key(&id)) {
                    return Err(both(path, what, role));
                }
            }
            for (other, others) in &outputs[n + 1..] {
                if files.includes(others.path()) || others.includes(files.path()) {
                    return Err(both(files.path(), role, other));
                }
            }
        }
        Ok(())
    }
}

fn both(path: &Path, one: &str, other: &str) -> Failure {
    Failure::usage(format_args!(
        "{} is both {one} and {other}",
        public_name(path).display()
    ))
}
