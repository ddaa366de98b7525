//! The plugins of a run, by name: loaded, replaced and removed while packets flow.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use dashmap::DashMap;
use flowloom_core::fields::{Feature, Group};
use flowloom_core::schema::{Schema, UdpColumn};

use super::compile::Compiler;
use super::engine::PluginEngine;
use super::loaded::{Plugin, PluginFile};
use crate::config::anonymization_key::{AnonymizationKey, KeyError};
use crate::config::run_context::{RunContext, SchemaMode};
use crate::config::spec::PluginSpec;
use crate::error::{LoadErrorKind, PluginError};
use crate::supervised::ThreadPanics;

/// The plugins of a run, by name.
///
/// Plugins can be loaded, replaced and removed at any time, from any thread. A plugin is compiled,
/// opened and checked aside, while packets flow; if anything is wrong with it, all stays as it was.
/// Then meters go over to the new [`set`](Self::set) at their next batch boundary: it is shown the
/// flows that begin from there on, and flows that began before finish with the plugins that they began
/// with.
///
/// Clones are handles of one registry.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    engine: PluginEngine,
    /// The columns of flows without plugins.
    schema: Schema,
    run: Arc<OnceLock<RunContext>>,
    entries: DashMap<String, Entry>,
    /// One change at a time, so that no more than one plugin is compiled at once.
    changing: Mutex<()>,
    set: RwLock<Arc<PluginSet>>,
    /// Of the set.
    number: AtomicU64,
    /// Generations so far.
    generations: AtomicU64,
    /// Changes since packets flow that were refused.
    refused: AtomicU64,
}

struct Entry {
    plugin: Arc<Plugin>,
    /// Its place among the plugins: events and columns come in the order of loading.
    place: u64,
}

/// What a registry needs of the house that it stands in.
#[derive(Clone, Default)]
pub struct RegistryConfig {
    /// What compiles plugins. None, the default, compiles them in this process, and is for plugins that
    /// are trusted only: one made for it can end this process, or take as much time and memory as it
    /// likes. [`ChildCompiler`](super::ChildCompiler) is for all others.
    pub compiler: Option<Arc<dyn Compiler>>,
    /// The key of the numbers that plugins are shown in place of addresses; none is a random one.
    pub key: Option<AnonymizationKey>,
    /// Counts the panics of the threads behind the registry.
    pub thread_panics: ThreadPanics,
}

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The WebAssembly engine does not start.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(String),
    /// There is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The plugins that flows which begin now are shown to. It never changes: another one takes its place.
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

    /// A set of plugins for flows that have these columns without them.
    pub fn new(schema: &Schema, plugins: &[Arc<Plugin>]) -> Self {
        Self {
            plugins: plugins.to_vec(),
            schema: Arc::new(schema.with_udps(columns(plugins))),
        }
    }

    /// The plugins, in the order in which they were loaded.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The columns of flows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }
}

/// What these plugins add.
fn columns(plugins: &[Arc<Plugin>]) -> Vec<UdpColumn> {
    let outputs = plugins.iter().flat_map(|plugin| &plugin.manifest().outputs);
    outputs.cloned().collect()
}

impl Registry {
    /// A registry with nothing in it, for flows that have these columns without plugins.
    ///
    /// # Errors
    ///
    /// The WebAssembly engine does not start, or there are no random bytes for a key.
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
            key,
            thread_panics,
        } = config;
        let key = key.map_or_else(AnonymizationKey::random, Ok)?;
        let engine = PluginEngine::new(compiler, &key, &thread_panics)
            .map_err(|error| RegistryError::Engine(format!("{error:#}")))?;
        let set = Arc::new(PluginSet::new(&schema, &[]));
        Ok(Self(Arc::new(Inner {
            engine,
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
    /// What is wrong with it, or that there is one of its name.
    pub fn load(&self, spec: PluginSpec) -> Result<Arc<Plugin>, PluginError> {
        self.change(spec, |entry| match entry {
            Some(_) => Err(LoadErrorKind::NameTaken),
            None => Ok(()),
        })
    }

    /// Puts a plugin in the place of the one that has its name: another file, other options or grants,
    /// or the same again for a fresh start.
    ///
    /// # Errors
    ///
    /// What is wrong with it, or that there is none of its name: then nothing has changed.
    pub fn replace(&self, spec: PluginSpec) -> Result<Arc<Plugin>, PluginError> {
        self.change(spec, |entry| match entry {
            Some(_) => Ok(()),
            None => Err(LoadErrorKind::NotLoaded),
        })
    }

    /// Says that packets flow from now on, in such a run. An instance of every plugin is made ready for
    /// each of its meters, and every change from now on has to suit it. Only the first call counts.
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

    /// Takes a plugin away: it is shown no flow that begins from now on.
    ///
    /// # Errors
    ///
    /// There is none of this name.
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

    /// The plugin of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Plugin>> {
        Some(self.0.entries.get(name)?.plugin.clone())
    }

    /// How many changes were refused since packets flow.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// The current set.
    pub fn set(&self) -> Arc<PluginSet> {
        let set = self.0.set.read().unwrap_or_else(PoisonError::into_inner);
        set.clone()
    }

    /// The number of the current set: another one with every change.
    pub fn number(&self) -> u64 {
        self.0.number.load(Ordering::Acquire)
    }

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
            let file = PluginFile::read(&spec)?;
            self.put(spec, file)
        };
        self.told(load().map_err(|problem| PluginError::new(&name, problem)))
    }

    /// Loads a plugin, or puts it in the place of the one that has its name, if anything of it is not
    /// the same; says whether there was anything to do.
    ///
    /// `spec` is called when no other change is under way, so that it reads the policy as it is then: of
    /// two updates the one that comes last has the newer policy.
    pub fn update<E: From<PluginError>>(
        &self,
        name: &str,
        spec: impl FnOnce() -> Result<PluginSpec, E>,
    ) -> Result<bool, E> {
        let _changing = self.changing();
        let spec = self.told(spec())?;
        let load = || {
            if !is_name(name) {
                return Err(LoadErrorKind::BadName {
                    name: name.to_owned(),
                });
            }
            let file = PluginFile::read(&spec)?;
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
            self.put(spec.clone(), file).map(|_| true)
        };
        Ok(self.told(load().map_err(|problem| PluginError::new(name, problem)))?)
    }

    /// Counts a change that was refused.
    fn told<T, E>(&self, done: Result<T, E>) -> Result<T, E> {
        if done.is_err() && self.0.run.get().is_some() {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    fn changing(&self) -> MutexGuard<'_, ()> {
        self.0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, spec: PluginSpec, file: PluginFile) -> Result<Arc<Plugin>, LoadErrorKind> {
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
        // Before any meter is to have one, so that going over takes no time.
        plugin
            .fill(inner.run.get().map_or(1, |run| run.meters))
            .map_err(|error| *error.problem)?;
        let place = match inner.entries.get(&name) {
            Some(entry) => entry.place,
            None => number,
        };
        let entry = Entry {
            plugin: plugin.clone(),
            place,
        };
        inner.entries.insert(name, entry);
        self.publish();
        Ok(plugin)
    }

    /// Whether a plugin can join a run that is under way.
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
        let same = columns
            .filter(|column| column.plugin() == plugin.name())
            .map(|column| (column.name(), column.ty()));
        let declared = manifest.outputs.iter();
        match same.eq(declared.map(|column| (column.name(), column.ty()))) {
            true => Ok(()),
            false => Err(LoadErrorKind::OtherColumns),
        }
    }

    /// Makes the entries the current set.
    fn publish(&self) {
        let inner = &*self.0;
        let mut entries: Vec<_> = inner
            .entries
            .iter()
            .map(|entry| (entry.place, entry.plugin.clone()))
            .collect();
        entries.sort_by_key(|(place, _)| *place);
        let plugins: Vec<_> = entries.into_iter().map(|(_, plugin)| plugin).collect();
        let mut set = inner.set.write().unwrap_or_else(PoisonError::into_inner);
        let schema = match inner.run.get() {
            Some(run) if run.columns == SchemaMode::Fixed => set.schema.clone(),
            _ => Arc::new(inner.schema.with_udps(columns(&plugins))),
        };
        *set = Arc::new(PluginSet { plugins, schema });
        inner.number.fetch_add(1, Ordering::Release);
    }
}

/// `[A-Za-z0-9_-]{1,64}`: it becomes part of column names and of the command line's words.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use flowloom_core::meter::Settings;

    use super::*;
    use crate::load::compile::{CompileError, CompiledModule};

    /// Says that it compiles, and goes on when it is told to.
    struct Waits(Mutex<(Sender<()>, Receiver<()>)>);

    impl Compiler for Waits {
        fn compile(&self, _: &[u8]) -> Result<CompiledModule, CompileError> {
            let both = self.0.lock().unwrap();
            both.0.send(()).unwrap();
            both.1.recv().unwrap();
            Err(CompileError::DoesNotCompile("it is not wanted".into()))
        }
    }

    #[test]
    fn what_is_allowed_is_read_when_no_other_change_is_under_way() {
        let ((compiles, begun), (go_on, goes_on)) = (channel(), channel());
        let config = RegistryConfig {
            compiler: Some(Arc::new(Waits(Mutex::new((compiles, goes_on))))),
            ..RegistryConfig::default()
        };
        let registry = Registry::with(Settings::default().schema(), config).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let spec = || PluginSpec::new(file.path()).name("p");
        let policy = AtomicU64::new(0);
        let (starts, started) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| registry.update("p", || Ok::<_, PluginError>(spec())));
            begun.recv().unwrap();
            let registry = &registry;
            let policy = &policy;
            let second = scope.spawn(move || {
                let mut read = None;
                starts.send(()).unwrap();
                let refused = registry.update("p", || {
                    read = Some(policy.load(Ordering::SeqCst));
                    Err::<PluginSpec, _>(PluginError::new("p", LoadErrorKind::Unlisted))
                });
                assert!(refused.is_err());
                read
            });
            started.recv().unwrap();
            // Time to read too early.
            std::thread::sleep(Duration::from_millis(50));
            policy.store(1, Ordering::SeqCst);
            go_on.send(()).unwrap();
            assert_eq!(second.join().unwrap(), Some(1));
        });
    }
}
