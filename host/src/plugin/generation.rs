//! One generation of a plugin: a version of it with its options, grants and limits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::digest::Sha256;
use super::engine::{CompileError, Compiled, PluginEngine};
use super::error::{PluginError, Problem};
use super::file;
use super::instance::Instance;
use super::manifest::{Manifest, Terms};
use super::pseudonym::Pseudonyms;
use super::spec::{PluginSpec, World};
use crate::flow::Schema;

/// A plugin that was compiled, opened once, and whose manifest was accepted.
pub struct Plugin {
    spec: PluginSpec,
    sha256: Sha256,
    generation: u64,
    manifest: Manifest,
    compiled: Compiled,
    engine: PluginEngine,
    schema: Schema,
    by_event: bool,
    /// Opened instances that no meter has yet.
    spare: Mutex<Vec<Instance>>,
}

/// What was read of a plugin's file, which may be another one by now.
pub(super) struct PluginFile {
    bytes: Vec<u8>,
    pub(super) sha256: Sha256,
}

impl PluginFile {
    /// Reads the file that is asked for.
    pub(super) fn read(spec: &PluginSpec) -> Result<Self, Problem> {
        let bytes = file::read(&spec.file)?;
        let sha256 = Sha256::of(&bytes);
        match spec.sha256 {
            Some(wanted) if wanted != sha256 => Err(Problem::OtherFile {
                path: spec.file.clone(),
                is: sha256,
                wanted,
            }),
            _ => Ok(Self { bytes, sha256 }),
        }
    }
}

impl Plugin {
    /// Compiles, opens and checks it.
    pub(super) fn load(
        spec: PluginSpec,
        file: PluginFile,
        generation: u64,
        engine: &PluginEngine,
        schema: &Schema,
    ) -> Result<Self, Problem> {
        let PluginFile { bytes, sha256 } = file;
        if spec.grants.unveil() {
            return Err(Problem::Unveiled);
        }
        let bytes = file::component(bytes).map_err(|reason| Problem::NotAComponent {
            path: spec.file.clone(),
            reason,
        })?;
        let compiled = engine.compile(&bytes).map_err(|error| match error {
            CompileError::Broken(reason) => Problem::DoesNotCompile {
                path: spec.file.clone(),
                reason,
            },
            CompileError::Unfit(problem) => problem,
        })?;
        let has_feature = compiled.exports.feature.is_some();
        let (instance, manifest) = open(&spec, engine, &compiled, schema)?;
        let by_event = manifest.cuts_flows
            || compiled.exports.batch.is_none()
            || spec.world == World::Events && has_feature;
        Ok(Self {
            spec,
            sha256,
            generation,
            manifest,
            compiled,
            engine: engine.clone(),
            schema: schema.clone(),
            by_event,
            spare: Mutex::new(vec![instance]),
        })
    }

    /// An opened instance: a spare one, else a new one.
    pub(super) fn instance(&self) -> Result<Instance, PluginError> {
        let spare = self.spare().pop();
        spare.map_or_else(|| self.open(), Ok)
    }

    /// Opens instances until so many are to spare.
    pub(super) fn fill(&self, count: usize) -> Result<(), PluginError> {
        while self.spare().len() < count {
            let instance = self.open()?;
            self.spare().push(instance);
        }
        Ok(())
    }

    /// What addresses are called.
    pub(super) fn pseudonyms(&self) -> Pseudonyms {
        self.engine.pseudonyms()
    }

    /// Has an instance opened aside: one will be wanted soon.
    pub(super) fn prepare(self: &Arc<Self>) {
        self.engine.prepare(self);
    }

    fn open(&self) -> Result<Instance, PluginError> {
        let fail = |problem| PluginError::new(&self.spec.name, problem);
        let (instance, manifest) =
            open(&self.spec, &self.engine, &self.compiled, &self.schema).map_err(fail)?;
        if manifest != self.manifest {
            return Err(fail(Problem::OtherManifest));
        }
        Ok(instance)
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator's name for it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// How it was asked for.
    pub fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// The digest of its file.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Its number among all generations of all plugins of its registry, in the order of loading.
    pub fn generation(&self) -> u64 {
        self.generation
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
    schema: &Schema,
) -> Result<(Instance, Manifest), Problem> {
    let terms = Terms {
        name: &spec.name,
        grants: spec.grants,
        schema,
        has_feature: compiled.exports.feature.is_some(),
    };
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
    Ok((instance, Manifest::accept(declared, &terms)?))
}
