//! Detection of outputs that would overwrite inputs.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use flowloom::public_name;
use flowloom::sink::{FileId, OutputFiles};

use super::exit::Failure;

/// The files that a command reads, each with its role.
#[derive(Default)]
pub(super) struct Inputs(Vec<Input>);

struct Input {
    role: &'static str,
    path: PathBuf,
    /// The identity of the file, which does not depend on names and links.
    id: Option<FileId>,
}

impl Inputs {
    /// Adds files, and the files of folders. `-` is standard input.
    pub(super) fn add<P: Into<PathBuf>>(
        &mut self,
        role: &'static str,
        paths: impl IntoIterator<Item = P>,
    ) {
        for path in paths {
            let path = path.into();
            if let Ok(entries) = fs::read_dir(&path) {
                self.add_files(role, entries.flatten().map(|entry| entry.path()));
            }
            self.add_files(role, [path]);
        }
    }

    /// Adds files that are not folders.
    pub(super) fn add_files<P: Into<PathBuf>>(
        &mut self,
        role: &'static str,
        paths: impl IntoIterator<Item = P>,
    ) {
        for path in paths {
            let path = match path.into() {
                path if path == Path::new("-") => "/dev/stdin".into(),
                path => path,
            };
            let id = FileId::at(&path);
            self.0.push(Input { role, path, id });
        }
    }

    /// Returns the identities of the files.
    pub(super) fn ids(&self) -> impl Iterator<Item = FileId> {
        self.0.iter().filter_map(|input| input.id)
    }

    /// Fails if an output is the same file as an input or another output.
    pub(super) fn check(&self, outputs: &[(&'static str, OutputFiles)]) -> Result<(), Failure> {
        for (n, (role, files)) in outputs.iter().enumerate() {
            let written: HashMap<_, _> = files
                .there()
                .into_iter()
                .filter_map(|path| Some((FileId::at(&path)?, path)))
                .collect();
            for input in &self.0 {
                if input.id.is_some_and(|id| written.contains_key(&id)) {
                    return Err(both(&input.path, input.role, role));
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
