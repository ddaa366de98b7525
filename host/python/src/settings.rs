//! The arguments of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use flowloom::dissect::Ndpi;
use flowloom::plugin::{ChildCompiler, CompileCache, PluginSource};
use flowloom::{AnonymizationKey, FlowObserver, PluginConfig, RunConfig, StreamerBuilder};
use pyo3::prelude::*;

use crate::callbacks::{self, ClassArgument, Classes, Raised};
use crate::error::{Class, exception};

/// A plugin, from a dictionary that the package makes.
#[derive(FromPyObject)]
pub(crate) struct PluginArgument {
    #[pyo3(item)]
    file: Option<PathBuf>,
    #[pyo3(item)]
    bytes: Option<Vec<u8>>,
    #[pyo3(item)]
    name: Option<String>,
    #[pyo3(item)]
    options: BTreeMap<String, String>,
    #[pyo3(item)]
    grants: String,
    #[pyo3(item)]
    sha256: Option<String>,
}

/// Everything that a run needs, from a dictionary that the package makes.
#[derive(FromPyObject)]
pub(crate) struct Arguments {
    /// The parameters of [`RunConfig`] as JSON, without sources and plugins.
    #[pyo3(item)]
    config: String,
    #[pyo3(item)]
    sources: Vec<PathBuf>,
    #[pyo3(item)]
    plugins: Vec<PluginArgument>,
    /// Plugins that are Python classes.
    #[pyo3(item)]
    classes: Vec<ClassArgument>,
    /// 128 hexadecimal digits.
    #[pyo3(item)]
    anonymization_key: Option<String>,
    /// The folders of Python packages in which NFStream may be, whose nDPI is then used.
    #[pyo3(item)]
    package_folders: Vec<PathBuf>,
    /// The command `flowloom`, which compiles plugins in a process of its own.
    #[pyo3(item)]
    command: Option<PathBuf>,
    /// The folder of compiled plugins.
    #[pyo3(item)]
    cache: Option<PathBuf>,
}

impl PluginArgument {
    fn config(self, py: Python<'_>) -> PyResult<PluginConfig> {
        let source = match (self.file, self.bytes) {
            (Some(file), _) => PluginSource::File(file),
            (None, bytes) => PluginSource::Bytes(bytes.unwrap_or_default().into()),
        };
        let mut config = PluginConfig::new(source);
        config.name = self.name;
        config.options = self.options;
        config.grants = self.grants;
        config.sha256 = match self.sha256 {
            None => None,
            Some(digest) => Some(
                digest
                    .parse()
                    .map_err(|error| exception(py, Class::Parameter, error))?,
            ),
        };
        Ok(config)
    }
}

impl Arguments {
    /// Returns the builder of the run, and the place of an exception of a plugin if there are Python classes.
    pub(crate) fn builder(self, py: Python<'_>) -> PyResult<(StreamerBuilder, Option<Raised>)> {
        let parameter = |error: &dyn std::fmt::Display| exception(py, Class::Parameter, error);
        let mut config: RunConfig =
            serde_json::from_str(&self.config).map_err(|error| parameter(&error))?;
        config.sources = self.sources;
        let plugins = self.plugins.into_iter().map(|plugin| plugin.config(py));
        config.plugins = plugins.collect::<PyResult<_>>()?;
        let ndpi = match config.settings.n_dissections {
            0 => None,
            _ => {
                let ndpi = Ndpi::load_from(&config.ndpi, &self.package_folders);
                Some(ndpi.map_err(|error| parameter(&error))?)
            }
        };
        let has_plugins = !config.plugins.is_empty() || config.plugin_folder.is_some();
        let mut builder = config.builder().map_err(|error| parameter(&error))?;
        if let Some(key) = self.anonymization_key {
            let key: AnonymizationKey = key.parse().map_err(|error| parameter(&error))?;
            builder = builder.anonymization_key(key);
        }
        if let Some(ndpi) = ndpi {
            builder = builder.loaded_ndpi(ndpi);
        }
        if has_plugins && let Some(command) = self.command {
            builder = compiled_by(builder, command, self.cache);
        }
        if self.classes.is_empty() {
            return Ok((builder, None));
        }
        let raised = Raised::default();
        let columns = callbacks::columns(&self.classes)?;
        let classes = Classes::new(py, &self.classes, raised.clone())?;
        // The builder is used once.
        let classes = Mutex::new(Some(classes));
        let create = move || -> Box<dyn FlowObserver> {
            let mut classes = classes.lock().unwrap_or_else(PoisonError::into_inner);
            match classes.take() {
                Some(classes) => Box::new(classes),
                None => unreachable!("a run has one observer"),
            }
        };
        Ok((builder.observer(columns, create), Some(raised)))
    }
}

/// Lets the command compile plugins, and keeps what it has compiled.
fn compiled_by(
    builder: StreamerBuilder,
    command: PathBuf,
    cache: Option<PathBuf>,
) -> StreamerBuilder {
    #[allow(unsafe_code, reason = "the program is run with the user's rights")]
    // SAFETY: the package has installed the command beside this module. Its subcommand calls `serve_compiler`.
    let compiler = unsafe { ChildCompiler::new(command, ["plugin", "compile"]) };
    let Some(folder) = cache else {
        return builder.compiler(compiler);
    };
    match CompileCache::open(&folder, compiler) {
        Ok(cached) => builder.compiler(cached),
        Err((reason, compiler)) => {
            tracing::warn!(
                "cannot keep compiled plugins in {}: {reason}",
                folder.display()
            );
            builder.compiler(compiler)
        }
    }
}
