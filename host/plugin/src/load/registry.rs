//! The plugins of a run, by name. They can be loaded, replaced and removed while packets flow.
//!
//! # Threads
//!
//! | who | does | through |
//! |---|---|---|
//! | the thread of a change: the caller, `flowloom-folder` or `flowloom-reload` | writes `entries` and `set` | the lock `changing`, for the whole change |
//! | `flowloom-folder` and any caller of `get` | read `entries` | the map alone |
//! | meters and reports | read the set | `number` without a lock; `set` after a change |
//!
//! A change may take seconds, because it compiles a plugin. Readers must not wait for it. `entries` is therefore a
//! concurrent map, whose reads take only the lock of one shard for the time of a look-up. Only one thread at a time
//! writes to it, the one that has the lock `changing`.
//!
//! A change first writes `entries`, then `set`, then `number`. A reader may see a new entry before meters use it. A
//! meter that sees a new `number` sees the set that belongs to it, or a newer one.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use dashmap::DashMap;
use flowloom_core::fields::{Feature, Group};
use flowloom_core::schema::Schema;

use super::compile::Compiler;
use super::engine::PluginEngine;
use super::file::PluginFile;
use super::inspection::Inspection;
use super::plugin::Plugin;
use crate::config::anonymization_key::{AnonymizationKey, KeyError};
use crate::config::run_context::{RunContext, SchemaMode};
use crate::config::spec::PluginSpec;
use crate::error::{LoadErrorKind, PluginError};
use crate::supervised::ThreadPanics;

/// The plugins of a run, by name.
///
/// Plugins can be loaded, replaced and removed at any time, from any thread. Flowloom compiles, opens and checks a
/// plugin in the calling thread, while packets flow. If this fails, nothing changes. Otherwise meters switch to the
/// new [`set`](Self::set) at their next batch boundary: flows that begin afterwards use it, and earlier flows finish
/// with the plugins that they began with.
///
/// Clones are handles of the same registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    engine: PluginEngine,
    store: Option<PathBuf>,
    /// The columns of flows without plugins.
    schema: Schema,
    run: Arc<OnceLock<RunContext>>,
    /// Read without `changing`, written only with it.
    entries: DashMap<String, Entry>,
    /// Held during a change. There is one change at a time, so that at most one plugin is compiled at a time.
    changing: Mutex<()>,
    set: RwLock<Arc<PluginSet>>,
    /// The number of the set. It increases with each change.
    number: AtomicU64,
    /// The number of generations so far.
    generations: AtomicU64,
    /// The number of changes that were rejected while packets flow.
    refused: AtomicU64,
}

struct Entry {
    plugin: Arc<Plugin>,
    /// Its position in the order of loading, which is the order of events and columns. A replacement keeps it.
    position: u64,
}

/// Settings of a registry.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// The compiler of plugins.
    ///
    /// `None`, the default, compiles in this process. This is for trusted plugins only: a malicious plugin can
    /// end the process, or use any amount of time and memory. Use a [`ChildCompiler`](crate::ChildCompiler) for
    /// all others.
    pub compiler: Option<Arc<dyn Compiler>>,
    /// The folder of components that are named by their digests: `<SHA-256>.wasm`. `None` if there is none.
    pub store: Option<PathBuf>,
    /// The key of pseudonyms; `None` creates a random one.
    pub key: Option<AnonymizationKey>,
    /// The counter for panics of the registry's threads.
    pub thread_panics: ThreadPanics,
}

/// The reason why there is no registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The WebAssembly engine cannot be started.
    #[error("cannot start the WebAssembly engine: {0}")]
    Engine(String),
    /// There is no key for pseudonyms.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The plugins of newly started flows, and the columns of these flows. A set never changes; a change creates
/// another one.
pub struct PluginSet {
    plugins: Vec<Arc<Plugin>>,
    schema: Arc<Schema>,
}

impl PluginSet {
    /// Returns whether any of the plugins reads the application of a flow before the flow ends.
    pub fn show_live_application(&self) -> bool {
        let is_application = |field: &&'static Feature| field.group == Group::Application;
        self.plugins.iter().any(|plugin| {
            let manifest = plugin.manifest();
            let mut fields = manifest.at_init.iter().chain(&manifest.at_update);
            fields.any(is_application)
        })
    }

    /// Creates a set. `schema` has the columns of flows without plugins, and columns that the program adds itself, which
    /// come first.
    pub fn new(schema: &Schema, plugins: &[Arc<Plugin>]) -> Self {
        Self {
            plugins: plugins.to_vec(),
            schema: Arc::new(with_outputs(schema, plugins)),
        }
    }

    /// Returns the plugins, in the order in which they were loaded.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// Returns the columns of flows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

/// Returns a schema with the columns that these plugins add, after its own.
fn with_outputs(schema: &Schema, plugins: &[Arc<Plugin>]) -> Schema {
    let own = schema.udps().iter();
    let outputs = plugins.iter().flat_map(|plugin| &plugin.manifest().outputs);
    schema.with_udps(own.chain(outputs).cloned().collect())
}

impl Registry {
    /// Creates an empty registry. `schema` has the columns of flows without plugins.
    ///
    /// # Errors
    ///
    /// The WebAssembly engine cannot be started, or the system has no random bytes for a key.
    pub fn new(schema: Schema) -> Result<Self, RegistryError> {
        Self::with(schema, RegistryConfig::default())
    }

    /// Creates an empty registry with this configuration.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with(schema: Schema, config: RegistryConfig) -> Result<Self, RegistryError> {
        let RegistryConfig {
            compiler,
            store,
            key,
            thread_panics,
        } = config;
        let key = key.map_or_else(AnonymizationKey::random, Ok)?;
        let engine = PluginEngine::new(compiler, &key, &thread_panics)
            .map_err(|error| RegistryError::Engine(format!("{error:#}")))?;
        let set = Arc::new(PluginSet::new(&schema, &[]));
        Ok(Self(Arc::new(Inner {
            engine,
            store,
            schema,
            run: Arc::default(),
            entries: DashMap::new(),
            changing: Mutex::new(()),
            set: RwLock::new(set),
            number: AtomicU64::new(0),
            generations: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })))
    }

    /// Loads a plugin.
    ///
    /// # Errors
    ///
    /// The plugin is not valid, or its name is taken.
    pub fn load(&self, spec: PluginSpec) -> Result<Arc<Plugin>, PluginError> {
        self.change(spec, |entry| match entry {
            Some(_) => Err(LoadErrorKind::NameTaken),
            None => Ok(()),
        })
    }

    /// Returns what a plugin requests and adds, whether or not it would be loaded. The plugin is not loaded.
    ///
    /// # Errors
    ///
    /// The file cannot be read or compiled.
    pub fn inspect(&self, spec: &PluginSpec) -> Result<Inspection, PluginError> {
        let inspect = || {
            if !is_name(&spec.name) {
                let name = spec.name.clone();
                return Err(LoadErrorKind::BadName { name });
            }
            let file = PluginFile::read(spec, self.0.store.as_deref())?;
            Inspection::of(spec, file, &self.0.engine, &self.0.schema)
        };
        inspect().map_err(|problem| PluginError::new(&spec.name, problem))
    }

    /// Replaces the plugin of the same name: with another file, other options or grants, or unchanged for a new
    /// start.
    ///
    /// # Errors
    ///
    /// The plugin is not valid, or there is none of its name. Nothing has changed then.
    pub fn replace(&self, spec: PluginSpec) -> Result<Arc<Plugin>, PluginError> {
        self.change(spec, |entry| match entry {
            Some(_) => Ok(()),
            None => Err(LoadErrorKind::NotLoaded),
        })
    }

    /// Begins the run: packets flow from now on.
    ///
    /// Opens an instance of every plugin for each meter. Every later change must be compatible with `run`. Only
    /// the first call has an effect on `run`.
    ///
    /// # Errors
    ///
    /// A plugin cannot be opened.
    pub fn begin(&self, run: RunContext) -> Result<(), PluginError> {
        let _changing = self
            .0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let meters = self.0.run.get_or_init(|| run).meters;
        let set = self.set();
        set.plugins()
            .iter()
            .try_for_each(|plugin| plugin.fill(meters))
    }

    /// Removes a plugin. Newly started flows no longer use it.
    ///
    /// # Errors
    ///
    /// There is no plugin of this name.
    pub fn remove(&self, name: &str) -> Result<(), PluginError> {
        let _changing = self
            .0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match self.0.entries.remove(name) {
            Some(_) => {
                self.publish();
                Ok(())
            }
            None => Err(PluginError::new(name, LoadErrorKind::NotLoaded)),
        }
    }

    /// Returns the plugin of this name. Does not wait for a change.
    pub fn get(&self, name: &str) -> Option<Arc<Plugin>> {
        Some(self.0.entries.get(name)?.plugin.clone())
    }

    /// Returns how many changes were rejected while packets flow.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Returns the current set.
    pub fn set(&self) -> Arc<PluginSet> {
        let set = self.0.set.read().unwrap_or_else(PoisonError::into_inner);
        set.clone()
    }

    /// Returns the number of the current set. It increases with each change.
    pub fn number(&self) -> u64 {
        self.0.number.load(Ordering::Acquire)
    }

    /// Loads a plugin if `fits` accepts the present plugin of its name.
    fn change(
        &self,
        spec: PluginSpec,
        fits: impl Fn(Option<&Entry>) -> Result<(), LoadErrorKind>,
    ) -> Result<Arc<Plugin>, PluginError> {
        let _changing = self.changing();
        let name = spec.name.clone();
        let load = || {
            if !is_name(&name) {
                return Err(LoadErrorKind::BadName { name: name.clone() });
            }
            fits(self.0.entries.get(&name).as_deref())?;
            let file = PluginFile::read(&spec, self.0.store.as_deref())?;
            self.install(spec, file)
        };
        self.count_rejection(load().map_err(|problem| PluginError::new(&name, problem)))
    }

    /// Loads a plugin, or replaces the one of its name if the file, options, grants or limits differ. Returns
    /// whether anything changed.
    ///
    /// `spec` is called when no other change is in progress, so that it reads the policy as it is then. Of two
    /// updates, the later one therefore has the newer policy.
    ///
    /// # Errors
    ///
    /// `spec` returns an error, or the plugin is not valid. Nothing has changed then.
    pub fn update<E: From<PluginError>>(
        &self,
        name: &str,
        spec: impl FnOnce() -> Result<PluginSpec, E>,
    ) -> Result<bool, E> {
        let _changing = self.changing();
        let spec = self.count_rejection(spec())?;
        let load = || {
            if !is_name(name) {
                return Err(LoadErrorKind::BadName {
                    name: name.to_owned(),
                });
            }
            let file = PluginFile::read(&spec, self.0.store.as_deref())?;
            let is_same = |plugin: &Plugin| {
                plugin.sha256() == file.sha256
                    && PluginSpec {
                        sha256: None,
                        ..plugin.spec().clone()
                    } == PluginSpec {
                        sha256: None,
                        ..spec.clone()
                    }
            };
            if self.get(name).is_some_and(|plugin| is_same(&plugin)) {
                return Ok(false);
            }
            self.install(spec.clone(), file).map(|_| true)
        };
        Ok(self.count_rejection(load().map_err(|problem| PluginError::new(name, problem)))?)
    }

    /// Counts a change that was rejected while packets flow.
    fn count_rejection<T, E>(&self, result: Result<T, E>) -> Result<T, E> {
        if result.is_err() && self.0.run.get().is_some() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Waits until no other change is in progress.
    fn changing(&self) -> MutexGuard<'_, ()> {
        self.0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads a plugin and publishes it. The caller has the lock `changing`.
    fn install(&self, spec: PluginSpec, file: PluginFile) -> Result<Arc<Plugin>, LoadErrorKind> {
        let inner = &*self.0;
        let name = spec.name.clone();
        let number = inner.generations.fetch_add(1, Ordering::Relaxed);
        let plugin = Arc::new(Plugin::load(
            spec,
            file,
            number,
            &inner.engine,
            &inner.schema,
            &inner.run,
        )?);
        self.check(&plugin)?;
        // All instances are opened before any meter needs one, so that the switch takes no time.
        plugin
            .fill(inner.run.get().map_or(1, |run| run.meters))
            .map_err(|error| *error.problem)?;
        let position = match inner.entries.get(&name) {
            Some(entry) => entry.position,
            None => number,
        };
        let entry = Entry {
            plugin: plugin.clone(),
            position,
        };
        inner.entries.insert(name, entry);
        self.publish();
        Ok(plugin)
    }

    /// Checks that a plugin is compatible with the run, if there is one.
    fn check(&self, plugin: &Plugin) -> Result<(), LoadErrorKind> {
        let Some(run) = self.0.run.get() else {
            return Ok(());
        };
        let manifest = plugin.manifest();
        if manifest.needs_one_meter && run.meters > 1 {
            return Err(LoadErrorKind::NeedsOneMeter { meters: run.meters });
        }
        if run.columns == SchemaMode::PerFlow {
            return Ok(());
        }
        let set = self.set();
        let columns = set.schema().udps().iter();
        let present = columns
            .filter(|column| column.plugin() == plugin.name())
            .map(|column| (column.name(), column.ty()));
        let declared = manifest.outputs.iter();
        match present.eq(declared.map(|column| (column.name(), column.ty()))) {
            true => Ok(()),
            false => Err(LoadErrorKind::OtherColumns),
        }
    }

    /// Creates the current set from the entries. The caller has the lock `changing`.
    fn publish(&self) {
        let inner = &*self.0;
        let mut entries: Vec<_> = inner
            .entries
            .iter()
            .map(|entry| (entry.position, entry.plugin.clone()))
            .collect();
        entries.sort_by_key(|(position, _)| *position);
        let plugins: Vec<_> = entries.into_iter().map(|(_, plugin)| plugin).collect();
        let mut set = inner.set.write().unwrap_or_else(PoisonError::into_inner);
        let schema = match inner.run.get() {
            Some(run) if run.columns == SchemaMode::Fixed => set.schema.clone(),
            _ => Arc::new(with_outputs(&inner.schema, &plugins)),
        };
        *set = Arc::new(PluginSet { plugins, schema });
        inner.number.fetch_add(1, Ordering::Release);
    }
}

/// Returns whether a name matches `[A-Za-z0-9_-]{1,64}`. It becomes a part of column names and command-line
/// arguments.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
