//! Which plugin to load, and how, as an operator says it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::grants::Grants;
use super::limits::Limits;
use crate::bounded_file::BoundedRead;
use crate::digest::Sha256;

/// One plugin to load: `[NAME=]FILE[,key=value…]` on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSpec {
    /// The operator's name for it: its values stand under `udps.<name>`.
    pub name: String,
    /// The component.
    pub file: PathBuf,
    /// What its `open` is given, in this order.
    pub options: Vec<(String, String)>,
    /// The files that options were read from.
    pub option_files: Vec<PathBuf>,
    /// What it may see beyond the default.
    pub grants: Grants,
    /// What it may use.
    pub limits: Limits,
    /// Which file it must be; any by default.
    pub sha256: Option<Sha256>,
    /// Through which of the contract's worlds it is called.
    pub calls: CallMode,
    /// Whether the path may be a symbolic link; it may, unless it was found in a folder that is followed.
    pub follows_links: bool,
}

/// Through which of the contract's worlds a plugin is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallMode {
    /// Columns of events where the plugin has them and does not cut flows, else one event a call.
    #[default]
    Auto,
    /// One event a call where the plugin has that form: to compare both.
    PerEvent,
}

impl PluginSpec {
    /// A plugin in a file, called by the file's stem.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        let name = stem(&file);
        Self {
            name,
            file,
            options: Vec::new(),
            option_files: Vec::new(),
            grants: Grants::default(),
            limits: Limits::default(),
            sha256: None,
            calls: CallMode::default(),
            follows_links: true,
        }
    }

    /// The plugins of a folder: its files `*.wasm`, in the order of their names.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or has more plugins than [`MOST_IN_FOLDER`](Self::MOST_IN_FOLDER).
    pub fn folder(folder: impl AsRef<Path>) -> Result<Vec<Self>, SpecError> {
        let folder = folder.as_ref();
        let unreadable = |error| SpecError::Folder {
            folder: crate::escape::escaped_path(folder),
            error,
        };
        let (mut files, mut count) = (Vec::new(), 0);
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "wasm")
            {
                count += 1;
                if count <= Self::MOST_IN_FOLDER {
                    files.push(file);
                }
            }
        }
        if count > Self::MOST_IN_FOLDER {
            return Err(SpecError::TooMany {
                folder: crate::escape::escaped_path(folder),
                count,
            });
        }
        files.sort_unstable();
        Ok(files.into_iter().map(Self::new).collect())
    }

    /// How a file that holds the text of an option is read: at most 16 MiB, for trained models are given
    /// as options.
    pub const OPTION_FILE: BoundedRead = BoundedRead::new(16 << 20);

    /// Plugins that a folder may have: each costs memory in every meter, and time for every packet.
    pub const MOST_IN_FOLDER: usize = 64;

    /// Gives it a name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// Adds an option.
    #[must_use]
    pub fn option(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((key.into(), value.into()));
        self
    }

    /// Grants it more than it has been granted.
    #[must_use]
    pub fn grant(self, grants: Grants) -> Self {
        Self {
            grants: self.grants.and(grants),
            ..self
        }
    }

    /// Chooses the world.
    #[must_use]
    pub fn calls(self, calls: CallMode) -> Self {
        Self { calls, ..self }
    }
}

/// The file's name up to its first dot.
fn stem(file: &Path) -> String {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// A text, or a folder, that names no plugins.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what each is")]
pub enum SpecError {
    #[error("no file: give [NAME=]FILE[,key=value…]")]
    NoFile,
    #[error("`{0}` is not an option: give key=value, or key=@file for the text of a file")]
    BadOption(String),
    #[error("the folder of plugins {folder} cannot be read: {error}")]
    Folder {
        folder: String,
        error: std::io::Error,
    },
    #[error("the folder {folder} has {count} plugins; at most {most} are loaded", most = PluginSpec::MOST_IN_FOLDER)]
    TooMany { folder: String, count: usize },
    #[error("option `{key}`: {file} cannot be read as text: {error}")]
    Unreadable {
        key: String,
        file: String,
        error: std::io::Error,
    },
}

impl FromStr for PluginSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = text.split(',');
        let first = parts.next().unwrap_or_default();
        let (name, file) = match first.split_once('=') {
            Some((name, file)) => (Some(name), file),
            None => (None, first),
        };
        if file.is_empty() {
            return Err(SpecError::NoFile);
        }
        let spec = Self::new(file);
        let spec = match name {
            Some(name) => spec.name(name),
            None => spec,
        };
        parts.try_fold(spec, |spec, part| {
            let (key, value) = part
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| SpecError::BadOption(part.to_owned()))?;
            Ok(match value.strip_prefix('@') {
                None => spec.option(key, value),
                Some(file) => {
                    let value =
                        Self::OPTION_FILE
                            .text(file)
                            .map_err(|error| SpecError::Unreadable {
                                key: key.to_owned(),
                                file: file.to_owned(),
                                error: error.into(),
                            })?;
                    let mut spec = spec.option(key, value);
                    spec.option_files.push(file.into());
                    spec
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_name_file_and_options() {
        let spec: PluginSpec = "mine=dir/slicer.v2.wasm,limit=20,mode=a=b".parse().unwrap();
        assert_eq!(spec.name, "mine");
        assert_eq!(spec.file, Path::new("dir/slicer.v2.wasm"));
        assert_eq!(
            spec.options,
            [("limit".into(), "20".into()), ("mode".into(), "a=b".into())]
        );
        assert_eq!(
            "dir/slicer.v2.wasm".parse::<PluginSpec>().unwrap().name,
            "slicer"
        );
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<PluginSpec>().unwrap_err().to_string();
        assert_eq!(error(""), "no file: give [NAME=]FILE[,key=value…]");
        assert_eq!(error("x="), "no file: give [NAME=]FILE[,key=value…]");
        assert_eq!(
            error("x.wasm,limit"),
            "`limit` is not an option: give key=value, or key=@file for the text of a file"
        );
        assert!(
            error("x.wasm,model=@/nowhere")
                .starts_with("option `model`: /nowhere cannot be read as text: ")
        );
    }
}
