//! The arguments of a run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use flowloom::dissect::Ndpi;
use flowloom::fields::{PACKET_FIELDS, PacketExtract};
use flowloom::plan::{Plan, PlanError, PlanOptions, Task};
use flowloom::plugin::{
    ChildCompiler, CompileCache, FunctionUse, Grants, PluginSource, PluginSpec,
};
use flowloom::{AnonymizationKey, FlowObserver, PluginConfig, RunConfig, StreamerBuilder};
use pyo3::prelude::*;

use crate::callbacks::{self, ClassArgument, Classes, Raised};
use crate::error::{Class, exception};
use crate::nfstream::{self, EndedFlows};

/// A plugin, from a dictionary that the package makes.
#[derive(FromPyObject)]
pub(crate) struct PluginArgument {
    #[pyo3(item)]
    file: Option<PathBuf>,
    #[pyo3(item)]
    bytes: Option<Vec<u8>>,
    /// The text of features. They are a plugin with the grants that they need.
    #[pyo3(item)]
    features: Option<String>,
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
    /// What a run with NFStream's interface needs.
    #[pyo3(item)]
    nfstream: Option<nfstream::Argument>,
    /// The task to do, as JSON, in place of configuration, sources and plugins.
    #[pyo3(item)]
    task: Option<String>,
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
        if let Some(text) = self.features {
            let spec = PluginSpec::features("features", text);
            return spec
                .map(Into::into)
                .map_err(|error| exception(py, Class::Parameter, error));
        }
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

/// A run that can be built.
pub(crate) struct Prepared {
    pub(crate) builder: StreamerBuilder,
    /// The place of an exception of a plugin, if Python code sees packets.
    pub(crate) raised: Option<Raised>,
    /// The flows of a run with NFStream's interface.
    pub(crate) nfstream: Option<Arc<EndedFlows>>,
}

impl Arguments {
    /// Prepares the run.
    pub(crate) fn prepare(self, py: Python<'_>) -> PyResult<Prepared> {
        let parameter = |error: &dyn std::fmt::Display| exception(py, Class::Parameter, error);
        let task: Option<Task> = self.task.as_deref().map(task_of).transpose()?;
        let config = match &task {
            Some(task) => task.config.clone(),
            None => run_config(py, &self.config, self.sources, self.plugins)?,
        };
        let ndpi = ndpi_of(py, &config, &self.package_folders)?;
        let has_plugins = !config.plugins.is_empty() || config.plugin_folder.is_some();
        let mut builder = match &task {
            Some(task) => task.builder().map_err(|error| parameter(&error))?,
            None => config.builder().map_err(|error| parameter(&error))?,
        };
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
        let raised = Raised::default();
        if let Some(argument) = self.nfstream {
            let has_plugins = argument.has_plugins();
            let flows = EndedFlows::new(argument, raised.clone());
            let plugins = nfstream::Plugins::new(flows.clone());
            return Ok(Prepared {
                builder: builder.observer(Vec::new(), once(plugins)),
                raised: has_plugins.then_some(raised),
                nfstream: Some(flows),
            });
        }
        if self.classes.is_empty() {
            return Ok(Prepared {
                builder,
                raised: None,
                nfstream: None,
            });
        }
        let columns = callbacks::columns(&self.classes)?;
        let classes = Classes::new(py, &self.classes, raised.clone())?;
        Ok(Prepared {
            builder: builder.observer(columns, once(classes)),
            raised: Some(raised),
            nfstream: None,
        })
    }
}

/// Returns a function that returns an observer. The builder calls it once.
fn once(observer: impl FlowObserver + 'static) -> impl Fn() -> Box<dyn FlowObserver> + Send + Sync {
    let observer = Mutex::new(Some(observer));
    move || {
        let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
        match observer.take() {
            Some(observer) => Box::new(observer),
            None => unreachable!("a run has one observer"),
        }
    }
}

/// Loads nDPI, unless the run dissects no packets.
fn ndpi_of(
    py: Python<'_>,
    config: &RunConfig,
    package_folders: &[PathBuf],
) -> PyResult<Option<Ndpi>> {
    if config.settings.n_dissections == 0 {
        return Ok(None);
    }
    let ndpi = Ndpi::load_from(&config.ndpi, package_folders);
    let ndpi = ndpi.map_err(|error| exception(py, Class::Parameter, error))?;
    Ok(Some(ndpi))
}

/// Returns what plugins that are Python classes can read in a run: the names of packet fields and of flow fields, and the
/// maximum number of bytes of a packet.
///
/// The field `capture` is not among them: whether flows have it is known when the sources are opened.
#[pyfunction]
pub(crate) fn available(
    py: Python<'_>,
    config: &str,
    package_folders: Vec<PathBuf>,
) -> PyResult<(Vec<&'static str>, Vec<&'static str>, u32)> {
    let mut config = run_config(py, config, Vec::new(), Vec::new())?;
    let ndpi = ndpi_of(py, &config, &package_folders)?;
    if ndpi.is_none_or(|ndpi| ndpi.version().is_none()) {
        config.settings.n_dissections = 0;
    }
    // Packets in this process have no pseudonyms.
    let packet = PACKET_FIELDS
        .iter()
        .filter(|field| !matches!(field.value, PacketExtract::Pseudonym(_)));
    let schema = config.settings.schema();
    let flow = schema
        .features()
        .iter()
        .filter(|field| !field.group.follows_end());
    Ok((
        packet.map(|field| field.name).collect(),
        flow.map(|field| field.name).collect(),
        Grants::MAX_BYTES,
    ))
}

/// Returns the configuration of a run from its parts.
fn run_config(
    py: Python<'_>,
    json: &str,
    sources: Vec<PathBuf>,
    plugins: Vec<PluginArgument>,
) -> PyResult<RunConfig> {
    let mut config: RunConfig =
        serde_json::from_str(json).map_err(|error| exception(py, Class::Parameter, error))?;
    config.sources = sources;
    let plugins = plugins.into_iter().map(|plugin| plugin.config(py));
    config.plugins = plugins.collect::<PyResult<_>>()?;
    Ok(config)
}

fn task_of(text: &str) -> PyResult<Task> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("this is no task of a plan: {error}");
        Python::attach(|py| exception(py, Class::Parameter, message))
    })
}

/// How a run is divided.
#[derive(FromPyObject)]
pub(crate) struct Division {
    #[pyo3(item)]
    task_bytes: u64,
    #[pyo3(item)]
    max_shards: u32,
    #[pyo3(item)]
    scan: bool,
    /// The folder of what is known of files.
    #[pyo3(item)]
    cache: Option<PathBuf>,
}

/// Returns a plan as JSON.
#[pyfunction]
pub(crate) fn plan(
    py: Python<'_>,
    config: &str,
    sources: Vec<PathBuf>,
    plugins: Vec<PluginArgument>,
    division: Division,
) -> PyResult<String> {
    let config = run_config(py, config, sources, plugins)?;
    let mut options = PlanOptions::default();
    options.task_bytes = division.task_bytes;
    options.max_shards = division.max_shards;
    options.scans = division.scan;
    options.cache = division.cache;
    let plan = py.detach(|| Plan::new(config, &options));
    crate::log::drain(py)?;
    let plan = plan.map_err(|error| {
        let class = match &error {
            PlanError::Capture(_) => Class::Capture,
            PlanError::Plugin { .. } => Class::Plugin,
            _ => Class::Parameter,
        };
        exception(py, class, error)
    })?;
    serde_json::to_string(&plan).map_err(|error| exception(py, Class::Other, error))
}

/// Lets the command compile plugins, and keeps what it has compiled.
fn compiled_by(
    builder: StreamerBuilder,
    command: PathBuf,
    cache: Option<PathBuf>,
) -> StreamerBuilder {
    #[allow(unsafe_code, reason = "the program is run with the user's rights")]
    // SAFETY: the package has installed the command beside this module. Its subcommand calls `serve_compiler`.
    let compiler = unsafe { ChildCompiler::new(command, ["plugin", "compile-process"]) };
    let Some(folder) = cache else {
        return builder.compiler(compiler);
    };
    let compiler = compiler.functions(&folder, FunctionUse::Read);
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
