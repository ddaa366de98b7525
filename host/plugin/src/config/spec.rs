//! The operator's choice of a plugin: component, name, options, grants and limits.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use flowloom_expr::ExprError;
use flowloom_expr::features::{self, Program};

use super::limits::Limits;
use crate::bounded_file::BoundedRead;
use crate::digest::Sha256;
use crate::grants::Grants;
use crate::source::PluginSource;

/// The maximum size of a text of features in bytes.
pub(crate) const MAX_TEXT: u64 = 64 << 10;

/// One plugin to load: `[NAME=]FILE[,key=value…]` on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PluginSpec {
    /// The operator's name for the plugin. Its columns begin with `udps.<name>.`.
    pub name: String,
    /// The component.
    pub source: PluginSource,
    /// The options that `open` receives, in this order.
    pub options: Vec<(String, String)>,
    /// The files that options were read from.
    pub option_files: Vec<PathBuf>,
    /// Grants beyond the default.
    pub grants: Grants,
    /// Limits.
    pub limits: Limits,
    /// The digest that the component must have; any by default.
    pub sha256: Option<Sha256>,
    /// How it is called.
    pub calls: CallMode,
    /// Whether the path may be a symbolic link. It may, unless the file was found in a watched folder.
    pub follows_links: bool,
}

/// How a plugin is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallMode {
    /// In batches if the plugin exports `batch-feature` and does not cut flows, otherwise once per event.
    #[default]
    Auto,
    /// Once per event if the plugin exports `feature`. This is for comparison.
    PerEvent,
}

impl PluginSpec {
    /// Creates a spec for a file. The name is the file name up to its first dot.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        Self::named(stem(&file), PluginSource::File(file))
    }

    /// Creates a spec for a component from anywhere. `name` is the operator's name for it.
    pub fn named(name: impl Into<String>, source: PluginSource) -> Self {
        Self {
            name: name.into(),
            source,
            options: Vec::new(),
            option_files: Vec::new(),
            grants: Grants::default(),
            limits: Limits::default(),
            sha256: None,
            calls: CallMode::default(),
            follows_links: true,
        }
    }

    /// Creates a spec for features as text. Its name is `features`, and it gets the grants that the text needs: the
    /// author of the text is the operator. `origin` is the name of the text in messages.
    ///
    /// # Errors
    ///
    /// The text has errors, or is too long.
    pub fn features(origin: &str, text: String) -> Result<Self, SpecError> {
        let too_long = text.len() as u64 > MAX_TEXT;
        if too_long {
            return Err(SpecError::LongText {
                origin: origin.to_owned(),
                bytes: text.len(),
            });
        }
        let program = Program::parse(origin, &text, &features::Limits::default())?;
        let mut spec = Self::named("features", PluginSource::Features(text));
        for grant in program.grants() {
            // The names of grants are those of the tables of fields.
            let grant: Grants = grant.parse().expect("it is a grant");
            spec = spec.grant(grant);
        }
        Ok(spec)
    }

    /// Creates a spec for each file `*.wasm` and `*.features` of a folder, in the order of their names.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or has more plugins than [`MAX_IN_FOLDER`](Self::MAX_IN_FOLDER).
    pub fn folder(folder: impl AsRef<Path>) -> Result<Vec<Self>, SpecError> {
        let folder = folder.as_ref();
        let unreadable = |error| SpecError::Folder {
            folder: crate::escape::escaped_path(folder),
            error,
        };
        let (mut files, mut count) = (Vec::new(), 0);
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let file = entry.map_err(unreadable)?.path();
            let extension = file.extension().and_then(|extension| extension.to_str());
            if matches!(extension, Some("wasm" | "features")) {
                count += 1;
                if count <= Self::MAX_IN_FOLDER {
                    files.push(file);
                }
            }
        }
        if count > Self::MAX_IN_FOLDER {
            return Err(SpecError::TooMany {
                folder: crate::escape::escaped_path(folder),
                count,
            });
        }
        files.sort_unstable();
        Ok(files.into_iter().map(Self::new).collect())
    }

    /// The limit for a file that contains the text of an option: 16 MiB, because trained models are passed as
    /// options.
    pub const OPTION_FILE: BoundedRead = BoundedRead::new(16 << 20);

    /// The maximum number of plugins of a folder. Each takes memory in every meter, and time for every packet.
    pub const MAX_IN_FOLDER: usize = 64;

    /// Sets the name.
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

    /// Adds grants.
    #[must_use]
    pub fn grant(self, grants: Grants) -> Self {
        Self {
            grants: self.grants.and(grants),
            ..self
        }
    }

    /// Sets how it is called.
    #[must_use]
    pub fn calls(self, calls: CallMode) -> Self {
        Self { calls, ..self }
    }
}

/// Returns the file name up to its first dot.
fn stem(file: &Path) -> String {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// Returns the text of an error without its first word, because messages have their own prefix.
fn message(error: &ExprError) -> String {
    let text = error.to_string();
    match text.strip_prefix("error: ") {
        Some(text) => text.to_owned(),
        None => text,
    }
}

/// The reason why a text or a folder gives no plugin.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say what each is")]
pub enum SpecError {
    #[error("no file; give [NAME=]FILE[,key=value…]")]
    NoFile,
    #[error("'{0}' is not an option; give key=value, or key=@FILE for the text of a file")]
    BadOption(String),
    #[error("cannot read the plugin folder {folder}: {error}")]
    Folder {
        folder: String,
        error: std::io::Error,
    },
    /// The text of features has errors. Its text has several lines, which show the places.
    #[error("{}", message(.0))]
    Features(#[from] ExprError),
    #[error("{origin}: the text has {bytes} bytes; at most {MAX_TEXT} are accepted")]
    LongText { origin: String, bytes: usize },
    #[error("the plugin folder {folder} has {count} plugins; at most {max} are accepted", max = PluginSpec::MAX_IN_FOLDER)]
    TooMany { folder: String, count: usize },
    #[error("option '{key}': cannot read {file}: {error}")]
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
        assert_eq!(spec.source.file(), Some(Path::new("dir/slicer.v2.wasm")));
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
    fn errors_name_the_wrong_part() {
        let error = |text: &str| text.parse::<PluginSpec>().unwrap_err().to_string();
        assert_eq!(error(""), "no file; give [NAME=]FILE[,key=value…]");
        assert_eq!(error("x="), "no file; give [NAME=]FILE[,key=value…]");
        assert_eq!(
            error("x.wasm,limit"),
            "'limit' is not an option; give key=value, or key=@FILE for the text of a file"
        );
        assert!(
            error("x.wasm,model=@/nowhere").starts_with("option 'model': cannot read /nowhere: ")
        );
    }

    #[test]
    fn a_spec_is_built_step_by_step() {
        let source = PluginSource::Bytes(b"abc".to_vec().into());
        let spec = PluginSpec::named("x", source.clone())
            .option("a", "1")
            .name("y")
            .grant("names".parse().unwrap())
            .grant("payload:5".parse().unwrap())
            .calls(CallMode::PerEvent)
            .option("b", "2");
        assert_eq!((&*spec.name, &spec.source), ("y", &source));
        assert_eq!(spec.grants.to_string(), "names,payload:5");
        assert_eq!(spec.calls, CallMode::PerEvent);
        assert_eq!(
            spec.options,
            [("a", "1"), ("b", "2")].map(|(k, v)| (k.into(), v.into()))
        );
        assert!(spec.follows_links);
    }

    #[test]
    fn an_option_can_be_the_text_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model");
        std::fs::write(&file, "weights\n").unwrap();
        let text = format!("x.wasm,model=@{},mail=a@b", file.display());
        let spec: PluginSpec = text.parse().unwrap();
        let expected = [("model", "weights\n"), ("mail", "a@b")];
        assert_eq!(spec.options, expected.map(|(k, v)| (k.into(), v.into())));
        assert_eq!(spec.option_files, [file]);
        assert!("x.wasm,=1".parse::<PluginSpec>().is_err());
    }

    #[test]
    fn a_folder_has_a_limited_number_of_plugins() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        for name in ["b.features", "a.wasm", "a.toml", "wasm"] {
            write(name);
        }
        let specs = PluginSpec::folder(folder.path()).unwrap();
        let names: Vec<_> = specs.iter().map(|spec| &*spec.name).collect();
        assert_eq!(names, ["a", "b"]);
        for n in 2..PluginSpec::MAX_IN_FOLDER {
            write(&format!("{n}.wasm"));
        }
        assert_eq!(PluginSpec::folder(folder.path()).unwrap().len(), 64);
        write("c.wasm");
        let error = PluginSpec::folder(folder.path()).unwrap_err().to_string();
        assert!(
            error.ends_with("has 65 plugins; at most 64 are accepted"),
            "{error}"
        );
        let missing = PluginSpec::folder(folder.path().join("none")).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot read the plugin folder ")
        );
    }
}
