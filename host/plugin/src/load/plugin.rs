//! One generation of a plugin: a file with its options, grants and limits.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use flowloom_core::schema::Schema;

use super::engine::PluginEngine;
use super::file::PluginFile;
use super::linker::LinkedPlugin;
use super::manifest::{Manifest, ManifestRules};
use crate::config::run_context::RunContext;
use crate::config::spec::{CallMode, PluginSpec};
use crate::contract::manifest as wit;
use crate::digest::Sha256;
use crate::error::{LoadErrorKind, PluginError};
use crate::sandbox::instance::Instance;
use crate::sandbox::pseudonyms::Pseudonyms;
use crate::supervise::cpu_budget::CpuBudget;

/// A plugin that was compiled and opened once, and whose manifest was accepted. It is one generation.
pub struct Plugin {
    spec: PluginSpec,
    sha256: Sha256,
    component_bytes: usize,
    generation: u64,
    manifest: Manifest,
    compiled: LinkedPlugin,
    engine: PluginEngine,
    schema: Schema,
    by_event: bool,
    /// The memory of an instance that holds no flow.
    opened_bytes: usize,
    /// The run, once packets flow.
    run: Arc<OnceLock<RunContext>>,
    /// Open instances that no meter uses yet.
    ///
    /// Loading, the thread `flowloom-loader` and meters share them. The lock is held only to add or take one.
    spare: Mutex<Vec<Instance>>,
}

impl Plugin {
    /// Compiles the file, opens an instance, and checks the manifest.
    pub(crate) fn load(
        spec: PluginSpec,
        file: PluginFile,
        generation: u64,
        engine: &PluginEngine,
        schema: &Schema,
        run: &Arc<OnceLock<RunContext>>,
    ) -> Result<Self, LoadErrorKind> {
        let PluginFile { code, sha256 } = file;
        if spec.grants.reveal_pseudonyms() {
            return Err(LoadErrorKind::RevealedPseudonyms);
        }
        let features = code.features().cloned();
        let bytes = engine.component(code)?;
        let component_bytes = bytes.len();
        let compiled = engine.compile(bytes, &spec.source)?;
        let has_feature = compiled.exports.feature.is_some();
        let (instance, manifest) = open(&spec, engine, &compiled, schema)
            .map_err(|problem| problem.with_payload_place(|| features?.payload_place()))?;
        let by_event = manifest.cuts_flows
            || compiled.exports.batch.is_none()
            || spec.calls == CallMode::PerEvent && has_feature;
        Ok(Self {
            spec,
            sha256,
            component_bytes,
            generation,
            manifest,
            compiled,
            engine: engine.clone(),
            schema: schema.clone(),
            by_event,
            opened_bytes: instance.memory(),
            run: run.clone(),
            spare: Mutex::new(vec![instance]),
        })
    }

    /// Returns a spare instance, or opens one.
    pub(crate) fn instance(&self) -> Result<Instance, PluginError> {
        let spare = self.spare().pop();
        spare.map_or_else(|| self.open(), Ok)
    }

    /// Opens instances until there are `count` spare ones.
    pub(crate) fn fill(&self, count: usize) -> Result<(), PluginError> {
        while self.spare().len() < count {
            let instance = self.open()?;
            self.spare().push(instance);
        }
        Ok(())
    }

    /// Opens one more spare instance, unless there is one for each meter.
    pub(crate) fn open_spare(&self) -> Result<(), PluginError> {
        let wanted = self.spare().len() + 1;
        self.fill(wanted.min(self.run().meters.max(1)))
    }

    /// Returns how many flows an instance may hold.
    pub(crate) fn max_flows(&self) -> usize {
        let (meters, flow_bytes) = (self.run().meters, self.manifest.flow_bytes);
        let limits = &self.spec.limits;
        limits.flows_of_instance(meters, flow_bytes, self.opened_bytes)
    }

    /// Returns a CPU budget for one meter, if the time per event is limited.
    pub(crate) fn budget(&self) -> Option<CpuBudget> {
        CpuBudget::new(self.spec.limits.event_time, self.run())
    }

    fn run(&self) -> RunContext {
        self.run.get().copied().unwrap_or_default()
    }

    /// Returns the mapping from addresses to pseudonyms.
    pub(crate) fn pseudonyms(&self) -> Pseudonyms {
        self.engine.pseudonyms()
    }

    /// Has the loader thread open a spare instance, which will be necessary soon.
    pub(crate) fn prepare_spare(self: &Arc<Self>) {
        let plugin = Arc::downgrade(self);
        self.engine.run_in_loader(move || {
            if let Some(plugin) = plugin.upgrade() {
                // If this fails, the meter opens one itself, and reports the error.
                let _ = plugin.open_spare();
            }
        });
    }

    fn open(&self) -> Result<Instance, PluginError> {
        let fail = |problem| PluginError::new(&self.spec.name, problem);
        let (instance, manifest) =
            open(&self.spec, &self.engine, &self.compiled, &self.schema).map_err(fail)?;
        if manifest != self.manifest {
            return Err(fail(LoadErrorKind::OtherManifest));
        }
        Ok(instance)
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Instance>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the operator's name for the plugin.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Returns the bytes of its machine code and data, which all instances share.
    pub fn image_bytes(&self) -> usize {
        self.compiled.cost.image
    }

    /// Returns the spec that it was loaded with.
    pub fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// Returns the size of its component in bytes.
    pub fn component_bytes(&self) -> usize {
        self.component_bytes
    }

    /// Returns the digest of its component.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Returns its number among all generations of all plugins of its registry, in the order of loading.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns what it adds and what it receives.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns whether it is called once per event.
    pub fn by_event(&self) -> bool {
        self.by_event
    }
}

fn open(
    spec: &PluginSpec,
    engine: &PluginEngine,
    compiled: &LinkedPlugin,
    schema: &Schema,
) -> Result<(Instance, Manifest), LoadErrorKind> {
    let rules = ManifestRules::new(spec, schema, compiled);
    let (instance, declared) = open_instance(spec, engine, compiled, &rules)?;
    Ok((instance, Manifest::accept(declared, &rules)?))
}

/// Opens an instance. Returns what it declares, which is not checked yet.
pub(super) fn open_instance(
    spec: &PluginSpec,
    engine: &PluginEngine,
    compiled: &LinkedPlugin,
    rules: &ManifestRules<'_>,
) -> Result<(Instance, wit::Manifest), LoadErrorKind> {
    let mut instance = Instance::new(
        engine.engine(),
        &compiled.component,
        &compiled.exports,
        compiled.cost,
        &spec.name,
        spec.limits,
    )?;
    let declared = instance
        .open(&spec.options, rules.available().as_param())
        .map_err(LoadErrorKind::OpenTrapped)?
        .map_err(|reason| rejected(reason, &spec.options))?;
    Ok((instance, declared))
}

/// Returns the error of a plugin that did not open. Names an option that is the path of a file.
fn rejected(reason: String, options: &[(String, String)]) -> LoadErrorKind {
    let is_file = |value: &str| value.len() < 4_096 && Path::new(value).is_file();
    let file = options.iter().find(|(_, value)| is_file(value));
    LoadErrorKind::RejectedOptions(match file {
        None => reason,
        Some((key, file)) => format!(
            "{reason}; `{key}` is the name of a file: write {key}=@{file} to pass the text of the file"
        ),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use flowloom_core::meter::Settings;
    use wit_component::{StringEncoding, embed_component_metadata};
    use wit_parser::Resolve;

    use super::super::file::PluginCode;
    use super::*;
    use crate::config::anonymization_key::AnonymizationKey;
    use crate::supervised::ThreadPanics;

    /// A module for the world `plugin` with an empty manifest: an empty record is all zeros. It traps at the
    /// first packet.
    pub(crate) const MODULE: &str = r#"(module
        (memory (export "memory") 4)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
        (func (export "flowloom:plugin/feature@0.1.0#open")
          (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 1024)
        (func (export "flowloom:plugin/feature@0.1.0#init")
          (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable)
        (func (export "flowloom:plugin/feature@0.1.0#update")
          (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
        (func (export "flowloom:plugin/feature@0.1.0#expire") (param i64 i32 i32 i32) (result i32)
          i32.const 1024)
        (func (export "flowloom:plugin/feature@0.1.0#finish")))"#;

    /// Loads `MODULE` for one meter.
    pub(crate) fn load() -> Plugin {
        let plugin = load_module(MODULE, "plugin", 0, |_| ());
        Arc::into_inner(plugin).expect("nobody else has it")
    }

    /// Returns an engine that compiles in this process.
    fn engine() -> PluginEngine {
        let key = AnonymizationKey::from([7; 64]);
        PluginEngine::new(None, &key, &ThreadPanics::default()).unwrap()
    }

    /// Returns a module with its component type for a world of the contract.
    pub(crate) fn embedded(module: &str, world: &str) -> Vec<u8> {
        let mut bytes = wat::parse_str(module).unwrap();
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("wit");
        let (package, _) = resolve.push_dir(wit).unwrap();
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8).unwrap();
        bytes
    }

    /// Loads a module for a world of the contract, as one generation of the plugin `x`.
    pub(crate) fn load_module(
        module: &str,
        world: &str,
        generation: u64,
        change: impl FnOnce(&mut PluginSpec),
    ) -> Arc<Plugin> {
        let bytes = embedded(module, world);
        let engine = engine();
        let sha256 = Sha256::of(&bytes);
        let file = PluginFile {
            code: PluginCode::Wasm(bytes),
            sha256,
        };
        let schema = Settings::default().schema();
        let (mut spec, run) = (PluginSpec::new("x.wasm"), Arc::default());
        change(&mut spec);
        let loaded = Plugin::load(spec, file, generation, &engine, &schema, &run);
        Arc::new(loaded.map_err(|problem| problem.to_string()).unwrap())
    }

    impl Plugin {
        /// Changes the memory limit of further instances.
        pub(crate) fn set_memory(&mut self, bytes: usize) {
            self.spec.limits.memory = bytes;
        }

        /// Returns the number of instances that no meter uses yet.
        pub(crate) fn spares(&self) -> usize {
            self.spare().len()
        }
    }

    /// A component cannot return different manifests: bytes, options, limits, clock and random numbers are the
    /// same for every instance. The test therefore changes the stored manifest of the first instance.
    #[test]
    fn an_instance_with_another_manifest_is_rejected() {
        let mut plugin = load();
        assert!(plugin.fill(2).is_ok());
        let Manifest {
            packets_per_flow, ..
        } = plugin.manifest;
        plugin.manifest.packets_per_flow = packets_per_flow - 1;
        let error = plugin.fill(3).unwrap_err().to_string();
        assert_eq!(
            error,
            "plugin 'x': returned another manifest when it was opened again with the same options"
        );
        // Instances that were opened before remain usable.
        assert!(plugin.instance().is_ok());
        assert!(plugin.instance().is_ok());
        assert_eq!(plugin.instance().err().unwrap().to_string(), error);
    }

    #[test]
    fn an_option_that_is_the_name_of_a_file_is_explained() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let option =
            |value: &str| vec![("a".to_owned(), "1".into()), ("model".into(), value.into())];
        let text = |value: &str| rejected("no JSON".into(), &option(value)).to_string();
        assert_eq!(text("none"), "cannot be opened: no JSON");
        assert_eq!(
            text(path),
            format!(
                "cannot be opened: no JSON; `model` is the name of a file: write model=@{path} to pass the \
                 text of the file"
            )
        );
    }

    #[test]
    fn there_is_a_spare_instance_for_every_meter() {
        let plugin = load();
        let run = RunContext {
            meters: 3,
            ..RunContext::default()
        };
        assert!(plugin.run.set(run).is_ok());
        // This takes the instance that loading opened.
        assert!(plugin.instance().is_ok());
        for spare in [1, 2, 3, 3] {
            plugin.open_spare().unwrap();
            assert_eq!(plugin.spare().len(), spare);
        }
    }

    #[test]
    fn an_instance_beyond_the_memory_limit_is_rejected() {
        let mut plugin = load();
        // The module starts with four pages.
        plugin.spec.limits.memory = 3 << 16;
        let error = plugin.fill(2).unwrap_err().to_string();
        // The number includes host memory.
        let start = "plugin 'x': cannot be opened: it requested 26";
        assert!(error.starts_with(start), "{error}");
        let end = " bytes of memory; 196608 are allowed";
        assert!(error.ends_with(end), "{error}");
        let mut instance = plugin.instance().unwrap();
        assert!(matches!(instance.finish(true), Ok(())));
        assert!(plugin.instance().is_err());
    }

    #[test]
    fn a_plugin_knows_its_component() {
        let bytes = embedded(MODULE, "plugin");
        let plugin = load_module(MODULE, "plugin", 7, |spec| spec.name = "y".to_owned());
        assert_eq!((plugin.name(), &*plugin.spec().name), ("y", "y"));
        assert_eq!(plugin.component_bytes(), bytes.len());
        assert_eq!(
            (plugin.sha256(), plugin.generation()),
            (Sha256::of(&bytes), 7)
        );
        assert!(plugin.image_bytes() > 1_000);
        assert!(plugin.manifest().outputs.is_empty() && plugin.by_event());
    }

    #[test]
    fn pseudonyms_are_not_granted_with_the_addresses_behind_them() {
        let (mut spec, engine) = (PluginSpec::new("x.wasm"), engine());
        spec.grants = "pseudonyms,addresses".parse().unwrap();
        let bytes = embedded(MODULE, "plugin");
        let sha256 = Sha256::of(&bytes);
        let file = PluginFile {
            code: PluginCode::Wasm(bytes),
            sha256,
        };
        let schema = Settings::default().schema();
        let loaded = Plugin::load(spec, file, 0, &engine, &schema, &Arc::default());
        assert!(matches!(loaded, Err(LoadErrorKind::RevealedPseudonyms)));
    }
}
