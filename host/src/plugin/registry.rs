//! The plugins of a run, by name.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::engine::{CompileError, Compiled, PluginEngine};
use super::error::{PluginError, Problem};
use super::file;
use super::instance::Instance;
use super::manifest::{Manifest, Terms};
use super::spec::{PluginSpec, World};
use crate::flow::Schema;

/// Compiles plugins, and knows the loaded ones.
pub struct Registry {
    engine: PluginEngine,
    entries: DashMap<String, Loaded>,
}

struct Loaded {
    plugin: Arc<Plugin>,
    /// Its place among the plugins: events and columns come in the order of loading.
    place: usize,
}

/// A plugin that was compiled, opened once, and whose manifest was accepted.
pub struct Plugin {
    spec: PluginSpec,
    manifest: Manifest,
    compiled: Compiled,
    engine: PluginEngine,
    by_event: bool,
}

impl Registry {
    /// A registry with nothing in it.
    pub fn new() -> Result<Self, wasmtime::Error> {
        Ok(Self {
            engine: PluginEngine::new()?,
            entries: DashMap::new(),
        })
    }

    /// Loads a plugin for flows of this schema.
    pub fn load(&self, spec: PluginSpec, schema: &Schema) -> Result<Arc<Plugin>, PluginError> {
        let name = spec.name.clone();
        let fail = |problem| PluginError {
            name: name.clone(),
            problem: Box::new(problem),
        };
        if !is_name(&name) {
            return Err(fail(Problem::BadName { name: name.clone() }));
        }
        if self.entries.contains_key(&name) {
            return Err(fail(Problem::NameTaken));
        }
        let plugin = Plugin::new(spec, &self.engine, schema).map_err(fail)?;
        let plugin = Arc::new(plugin);
        let place = self.entries.len();
        match self.entries.entry(name.clone()) {
            Entry::Occupied(_) => Err(fail(Problem::NameTaken)),
            Entry::Vacant(entry) => {
                entry.insert(Loaded {
                    plugin: plugin.clone(),
                    place,
                });
                Ok(plugin)
            }
        }
    }

    /// The loaded plugins, in the order in which they were loaded.
    pub fn plugins(&self) -> Vec<Arc<Plugin>> {
        let mut loaded: Vec<_> = self
            .entries
            .iter()
            .map(|entry| (entry.place, entry.plugin.clone()))
            .collect();
        loaded.sort_by_key(|(place, _)| *place);
        loaded.into_iter().map(|(_, plugin)| plugin).collect()
    }
}

impl Plugin {
    fn new(spec: PluginSpec, engine: &PluginEngine, schema: &Schema) -> Result<Self, Problem> {
        let bytes = file::read(&spec.file)?;
        let compiled = engine.compile(&bytes).map_err(|error| match error {
            CompileError::Broken(reason) => Problem::DoesNotCompile {
                path: spec.file.clone(),
                reason,
            },
            CompileError::Unfit(problem) => problem,
        })?;
        let has_feature = compiled.exports.feature.is_some();
        let terms = Terms {
            name: &spec.name,
            grants: spec.grants,
            schema,
            has_feature,
        };
        let (_, manifest) = open(&spec, engine, &compiled, &terms)?;
        let by_event = manifest.cuts_flows
            || compiled.exports.batch.is_none()
            || spec.world == World::Events && has_feature;
        Ok(Self {
            spec,
            manifest,
            compiled,
            engine: engine.clone(),
            by_event,
        })
    }

    /// A new instance, opened.
    pub(super) fn open(&self, schema: &Schema) -> Result<Instance, PluginError> {
        let terms = Terms {
            name: &self.spec.name,
            grants: self.spec.grants,
            schema,
            has_feature: self.compiled.exports.feature.is_some(),
        };
        let fail = |problem| PluginError {
            name: self.spec.name.clone(),
            problem: Box::new(problem),
        };
        let (instance, manifest) =
            open(&self.spec, &self.engine, &self.compiled, &terms).map_err(fail)?;
        if manifest != self.manifest {
            return Err(fail(Problem::OtherManifest));
        }
        Ok(instance)
    }

    /// The operator's name for it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// How it was asked for.
    pub fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// What it adds and what it is shown.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether it is called one event at a time.
    pub fn by_event(&self) -> bool {
        self.by_event
    }
}

fn open(
    spec: &PluginSpec,
    engine: &PluginEngine,
    compiled: &Compiled,
    terms: &Terms<'_>,
) -> Result<(Instance, Manifest), Problem> {
    let mut instance = Instance::new(
        engine.engine(),
        &compiled.component,
        &compiled.exports,
        &spec.name,
        spec.limits,
    )?;
    let declared = instance
        .open(&spec.options)
        .map_err(Problem::OpenTrapped)?
        .map_err(Problem::Refused)?;
    Ok((instance, Manifest::accept(declared, terms)?))
}

/// `[A-Za-z0-9_-]{1,64}`: it becomes part of column names and of the command line's words.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}
