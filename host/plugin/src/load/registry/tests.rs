use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use flowloom_core::meter::Settings;

use super::*;
use crate::load::compile::{CompileError, CompiledModule, FeatureText};
use crate::load::plugin::tests::{MODULE, embedded};
use crate::source::PluginSource;

/// Sends a message when it is called, waits for another one, and then fails.
struct BlockingCompiler(Mutex<(Sender<()>, Receiver<()>)>);

impl Compiler for BlockingCompiler {
    fn compile(&self, _: &PluginSource, _: &[u8]) -> Result<CompiledModule, CompileError> {
        let both = self.0.lock().unwrap();
        both.0.send(()).unwrap();
        both.1.recv().unwrap();
        Err(CompileError::DoesNotCompile("on purpose".into()))
    }

    fn component_of(&self, features: &FeatureText) -> Result<Vec<u8>, CompileError> {
        features.component()
    }
}

#[test]
fn the_policy_is_read_when_no_other_change_is_in_progress() {
    let ((compiles, begun), (go_on, goes_on)) = (channel(), channel());
    let config = RegistryConfig {
        compiler: Some(Arc::new(BlockingCompiler(Mutex::new((compiles, goes_on))))),
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
        // Readers do not wait for the change.
        assert!(registry.get("p").is_none());
        assert_eq!(registry.number(), 0);
        assert!(registry.set().plugins().is_empty());
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
        // Enough time for the second update to read the policy too early.
        std::thread::sleep(Duration::from_millis(50));
        policy.store(1, Ordering::SeqCst);
        go_on.send(()).unwrap();
        assert_eq!(second.join().unwrap(), Some(1));
    });
}

/// An empty registry of a run, or before one.
fn registry(run: Option<RunContext>) -> Registry {
    let registry = Registry::new(Settings::default().schema()).unwrap();
    if let Some(run) = run {
        registry.begin(run).unwrap();
    }
    registry
}

/// A spec of a plugin without outputs.
fn plain(name: &str) -> PluginSpec {
    let bytes = embedded(MODULE, "plugin");
    PluginSpec::named(name, PluginSource::Bytes(bytes.into()))
}

/// A spec of a plugin with an output, for one meter only.
fn with_output(name: &str) -> PluginSpec {
    let manifest = r#"(memory (export "memory") 4)
        (data (i32.const 1044) "\b0\04\00\00\01\00\00\00")
        (data (i32.const 1114) "\01")
        (data (i32.const 1200) "\00\08\00\00\01\00\00\00\01")
        (data (i32.const 2048) "n")"#;
    let module = MODULE.replace(r#"(memory (export "memory") 4)"#, manifest);
    let bytes = embedded(&module, "plugin");
    PluginSpec::named(name, PluginSource::Bytes(bytes.into()))
}

fn problem<T>(result: Result<T, PluginError>) -> String {
    result
        .err()
        .map_or_else(String::new, |error| error.problem.to_string())
}

#[test]
fn plugins_are_loaded_replaced_and_removed_by_name() {
    let registry = registry(None);
    let taken = "another plugin has this name; give each plugin its own name with NAME=FILE";
    let none = "no plugin has this name";
    assert_eq!(problem(registry.replace(plain("a"))), none);
    assert_eq!(problem(registry.remove("a")), none);
    let first = registry.load(plain("a")).unwrap();
    registry.load(with_output("b")).unwrap();
    assert_eq!(problem(registry.load(plain("a"))), taken);
    assert!(Arc::ptr_eq(&registry.get("a").unwrap(), &first));
    let numbers = (registry.number(), first.generation());
    assert_eq!(numbers, (2, 0));
    assert!(registry.set().schema().position("udps.b.n").is_some());
    // A replacement keeps its place.
    let second = registry.replace(plain("a")).unwrap();
    assert!(second.generation() > first.generation());
    let set = registry.set();
    let names: Vec<_> = set.plugins().iter().map(|plugin| plugin.name()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(Arc::ptr_eq(&set.plugins()[0], &second));
    registry.remove("b").unwrap();
    assert!(registry.get("b").is_none());
    assert_eq!((registry.number(), registry.set().plugins().len()), (4, 1));
    assert!(registry.set().schema().udps().is_empty());
    for name in ["", "a b", "a.b", &"x".repeat(65)] {
        let error = problem(registry.load(plain(name)));
        assert!(error.contains("is not a valid plugin name"), "{error}");
    }
    registry.load(plain(&"x".repeat(64))).unwrap();
    assert_eq!(registry.refused(), 0, "no packets flow");
}

#[test]
fn an_update_loads_only_what_differs() {
    let registry = registry(Some(RunContext::default()));
    let update = |spec: PluginSpec| {
        let name = spec.name.clone();
        registry.update(&name, || Ok::<_, PluginError>(spec))
    };
    assert!(update(plain("a")).unwrap());
    assert!(!update(plain("a")).unwrap());
    let mut pinned = plain("a");
    pinned.sha256 = Some(registry.get("a").unwrap().sha256());
    assert!(!update(pinned).unwrap());
    assert!(update(plain("a").option("x", "1")).unwrap());
    assert!(!update(plain("a").option("x", "1")).unwrap());
    assert!(update(plain("a").grant("names".parse().unwrap())).unwrap());
    assert_eq!(registry.number(), 3);
    let mut other = plain("a");
    other.sha256 = Some(crate::digest::Sha256::of(b"other"));
    assert!(problem(update(other)).contains("but only"));
    assert!(problem(update(plain("a b"))).contains("is not a valid plugin name"));
    assert_eq!((registry.number(), registry.refused()), (3, 2));
}

#[test]
fn changes_must_fit_the_run() {
    let fixed = "declares outputs that differ from its columns in this run, which cannot change while \
                 packets flow; JSON lines accept any outputs";
    let one_meter = "requires one meter, but this run has 2";
    let run = |meters, columns| RunContext {
        meters,
        columns,
        is_live: false,
    };
    for (run, error) in [
        (run(1, SchemaMode::Fixed), fixed),
        (run(2, SchemaMode::Fixed), one_meter),
        (run(1, SchemaMode::PerFlow), ""),
        (run(2, SchemaMode::PerFlow), one_meter),
    ] {
        let registry = registry(None);
        registry.load(plain("a")).unwrap();
        registry.begin(run).unwrap();
        assert_eq!(problem(registry.replace(with_output("a"))), error);
        assert_eq!(problem(registry.load(with_output("b"))), error);
        assert_eq!(registry.refused(), if error.is_empty() { 0 } else { 2 });
        // A plugin without outputs always fits.
        registry.load(plain("c")).unwrap();
    }
    // The same outputs as before fit.
    let registry = registry(None);
    registry.load(with_output("a")).unwrap();
    registry.begin(run(1, SchemaMode::Fixed)).unwrap();
    registry.replace(with_output("a")).unwrap();
    assert_eq!(problem(registry.replace(plain("a"))), fixed);
}

#[test]
fn the_columns_of_a_run_change_only_if_each_flow_has_its_own() {
    for columns in [SchemaMode::Fixed, SchemaMode::PerFlow] {
        let registry = registry(None);
        registry.load(with_output("a")).unwrap();
        let run = RunContext {
            columns,
            ..RunContext::default()
        };
        registry.begin(run).unwrap();
        registry.remove("a").unwrap();
        let has_column = registry.set().schema().position("udps.a.n").is_some();
        assert_eq!(has_column, columns == SchemaMode::Fixed);
        assert!(registry.set().plugins().is_empty());
    }
}

#[test]
fn a_run_begins_with_an_instance_for_each_meter() {
    let registry = registry(None);
    let plugin = registry.load(plain("a")).unwrap();
    let run = RunContext {
        meters: 3,
        ..RunContext::default()
    };
    registry.begin(run).unwrap();
    assert_eq!(plugin.spares(), 3);
    assert_eq!(registry.load(plain("b")).unwrap().spares(), 3);
}

#[test]
fn plugins_that_read_the_application_of_live_flows_are_known() {
    let mut settings = Settings::default();
    settings.n_dissections = 1;
    // The offsets of the fields at init, update and expire.
    for (offset, is_live) in [(1076, true), (1084, true), (1092, false)] {
        let manifest = format!(
            r#"(memory (export "memory") 4)
            (data (i32.const {offset}) "\b0\04\00\00\01\00\00\00")
            (data (i32.const 1200) "\00\08\00\00\10\00\00\00")
            (data (i32.const 2048) "application_name")"#
        );
        let module = MODULE.replace(r#"(memory (export "memory") 4)"#, &manifest);
        let source = PluginSource::Bytes(embedded(&module, "plugin").into());
        let grants = "application".parse().unwrap();
        let registry = Registry::new(settings.schema()).unwrap();
        registry.load(plain("other")).unwrap();
        assert!(!registry.set().show_live_application());
        registry
            .load(PluginSpec::named("x", source).grant(grants))
            .unwrap();
        assert_eq!(registry.set().show_live_application(), is_live, "{offset}");
    }
}
