//! The folder of a plugin, with its `flowloom-plugin.toml`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use flowloom::BoundedRead;
use flowloom::plugin::{Grants, PluginSpec};
use serde::Deserialize;

use super::super::exit::Failure;
use super::language::Language;

/// The file that describes a plugin.
pub(super) const FILE: &str = "flowloom-plugin.toml";

/// Maximum size of a description.
const MAX_BYTES: u64 = 1 << 20;

/// The folder of a plugin.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) plugin: Description,
    pub(super) tests: Vec<Golden>,
}

/// The section `[plugin]` of the description.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// Name of the plugin and of its component.
    pub(super) name: String,
    pub(super) language: Language,
    /// File or folder that the SDK of the language builds.
    pub(super) source: PathBuf,
    /// Folder with the folders `sdk` and `wit` of Flowloom's sources.
    #[serde(default = "Description::sdk")]
    pub(super) sdk: PathBuf,
}

impl Description {
    fn sdk() -> PathBuf {
        super::sdk::FOLDER.into()
    }
}

/// A section `[[test]]`: a capture, and the expected values of the plugin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Golden {
    pub(super) capture: PathBuf,
    pub(super) expected: PathBuf,
    #[serde(default)]
    options: BTreeMap<String, toml::Value>,
    grant: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    plugin: Description,
    #[serde(default)]
    test: Vec<Golden>,
}

impl Project {
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join(FILE);
        let read = BoundedRead::new(MAX_BYTES).text(&file);
        let text = read.map_err(io::Error::from).map_err(|error| {
            let failure = Failure::failed(format_args!("cannot read {}: {error}", file.display()));
            match error.kind() {
                io::ErrorKind::NotFound => failure
                    .hint("`flowloom plugin new NAME --lang LANG` creates a folder with this file"),
                _ => failure,
            }
        })?;
        let document: Document = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text[..span.start.min(text.len())].lines().count().max(1)
            });
            Failure::failed(format_args!(
                "{}, line {line}: {}",
                file.display(),
                error.message().replace('\n', ", ")
            ))
        })?;
        check_name(&document.plugin.name).map_err(|failure| failure.in_file(&file))?;
        Ok(Self {
            folder: folder.to_owned(),
            plugin: document.plugin,
            tests: document.test,
        })
    }

    /// Returns the path of the component.
    pub(super) fn component(&self) -> PathBuf {
        let file = format!("{}.wasm", self.plugin.name);
        // Messages name it without `./`.
        match self.folder == Path::new(".") {
            true => file.into(),
            false => self.folder.join(file),
        }
    }

    /// Returns the plugin that was built.
    ///
    /// # Errors
    ///
    /// There is no component.
    pub(super) fn built(&self) -> Result<PluginSpec, Failure> {
        let component = self.component();
        match component.exists() {
            true => Ok(PluginSpec::new(component).name(&self.plugin.name)),
            false => Err(
                Failure::failed(format_args!("{} does not exist", component.display())).hint(
                    format_args!("flowloom plugin build {}", self.folder.display()),
                ),
            ),
        }
    }

    /// Returns the plugin with the options and grants of a test.
    pub(super) fn spec(&self, test: &Golden) -> Result<PluginSpec, Failure> {
        self.spec_of(self.component(), test)
    }

    /// Returns the plugin in this file, with the options and grants of a test.
    pub(super) fn spec_of(&self, component: PathBuf, test: &Golden) -> Result<PluginSpec, Failure> {
        let mut spec = PluginSpec::new(component).name(&self.plugin.name);
        for (key, value) in &test.options {
            let value = match value {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let value = match value.strip_prefix('@') {
                Some(file) => {
                    let file = self.folder.join(file);
                    PluginSpec::OPTION_FILE.text(&file).map_err(|error| {
                        Failure::failed(format_args!(
                            "{FILE}, option `{key}`: cannot read {} as text: {error}",
                            file.display()
                        ))
                    })?
                }
                None => value,
            };
            spec = spec.option(key, value);
        }
        match &test.grant {
            None => Ok(spec),
            Some(what) => match what.parse::<Grants>() {
                Ok(grants) => Ok(spec.grant(grants)),
                Err(error) => Err(Failure::failed(format_args!("{FILE}, grant: {error}"))),
            },
        }
    }
}

/// Checks that all languages and tools accept a name, and that it can be part of a column's name.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let mut bytes = name.bytes();
    let fits = name.len() <= 64
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match fits {
        true => Ok(()),
        false => Err(Failure::usage(format_args!(
            "`{}` is not the name of a plugin",
            name.escape_debug()
        ))
        .hint("use at most 64 lower-case letters, digits and _, and begin with a letter")),
    }
}
