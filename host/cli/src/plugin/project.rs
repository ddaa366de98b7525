//! A plugin's folder, as its `flowloom-plugin.toml` describes it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use flowloom::BoundedRead;
use flowloom::plugin::{Grants, PluginSpec};
use serde::Deserialize;

use super::super::exit::Failure;
use super::language::Language;

/// The file that makes a folder a plugin's.
pub(super) const FILE: &str = "flowloom-plugin.toml";

/// Larger descriptions are refused.
const MOST_BYTES: u64 = 1 << 20;

/// A plugin's folder.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) plugin: Described,
    pub(super) tests: Vec<Golden>,
}

/// What it is, and how it is built.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    /// The component is called after it.
    pub(super) name: String,
    pub(super) language: Language,
    /// What the language's SDK builds: a file or a folder.
    pub(super) source: PathBuf,
    /// Where the folders `sdk` and `wit` of Flowloom's sources are.
    #[serde(default = "Described::sdk")]
    pub(super) sdk: PathBuf,
}

impl Described {
    fn sdk() -> PathBuf {
        super::sdk::FOLDER.into()
    }
}

/// A capture, and what the plugin is to add to its flows.
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
struct Contents {
    plugin: Described,
    #[serde(default)]
    test: Vec<Golden>,
}

impl Project {
    pub(super) fn open(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join(FILE);
        let read = BoundedRead::new(MOST_BYTES).text(&file);
        let text = read.map_err(io::Error::from).map_err(|error| {
            let way_out = match error.kind() {
                io::ErrorKind::NotFound => {
                    "; `flowloom plugin new NAME --lang LANGUAGE` makes a folder that has it"
                }
                _ => "",
            };
            Failure::failed(format_args!(
                "cannot read {}: {error}{way_out}",
                file.display()
            ))
        })?;
        let contents: Contents = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text[..span.start.min(text.len())].lines().count().max(1)
            });
            Failure::failed(format_args!(
                "{}, line {line}: {}",
                file.display(),
                error.message().replace('\n', ", ")
            ))
        })?;
        check_name(&contents.plugin.name).map_err(|error| {
            Failure::failed(format_args!("{}: {}", file.display(), error.message))
        })?;
        Ok(Self {
            folder: folder.to_owned(),
            plugin: contents.plugin,
            tests: contents.test,
        })
    }

    /// What is built.
    pub(super) fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.wasm", self.plugin.name))
    }

    /// The plugin as a test wants it.
    pub(super) fn spec(&self, test: &Golden) -> Result<PluginSpec, Failure> {
        let mut spec = PluginSpec::new(self.component()).name(&self.plugin.name);
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
                            "{FILE}, option `{key}`: {} cannot be read as text: {error}",
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

/// A name that all languages and tools take, and that columns can be called after.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let mut bytes = name.bytes();
    let fits = name.len() <= 64
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    match fits {
        true => Ok(()),
        false => Err(Failure::usage(format_args!(
            "`{}` is not a name for a plugin's folder: give lower-case letters, digits and _, a letter first, at most 64",
            name.escape_debug()
        ))),
    }
}
