#![no_main]
//! Components with the exports of the contract's world `plugin` and arbitrary function bodies.

use std::path::Path;
use std::sync::LazyLock;

use arbitrary::Unstructured;
use flowloom::capture::{LinkType, RawPacket};
use flowloom::plugin::{PluginSpec, Registry};
use flowloom::{Meter, Settings, Time};
use wasm_smith::{Config, Module};
use wit_component::StringEncoding;
use wit_parser::{Resolve, WorldId};

/// The exports of a plugin with the contract's world `plugin`.
const EXPORTS: &str = r#"(module
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
  (func (export "flowloom:plugin/feature@0.1.0#open") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
  (func (export "flowloom:plugin/feature@0.1.0#init")
    (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
  (func (export "flowloom:plugin/feature@0.1.0#update")
    (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
  (func (export "flowloom:plugin/feature@0.1.0#expire") (param i64 i32 i32 i32) (result i32)
    i32.const 0)
  (func (export "flowloom:plugin/feature@0.1.0#finish")))"#;

/// The maximum number of instructions of a call. It prevents endless loops, which other tests cover.
const FUEL: u32 = 2_000;

static CONTRACT: LazyLock<(Resolve, WorldId)> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit).expect("the contract is valid");
    let world = resolve
        .select_world(&[package], Some("plugin"))
        .expect("the contract has the world `plugin`");
    (resolve, world)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| components(data));

/// Builds a component from `data`, and loads and runs it. The plugin must not change the flows.
fn components(data: &[u8]) {
    let Some(component) = component(data) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("smith.wasm");
    std::fs::write(&path, component).expect("the folder is writable");
    let mut settings = Settings::default();
    settings.n_dissections = 0;
    let registry = Registry::new(settings.schema()).expect("the engine starts");
    match registry.load(PluginSpec::new(&path)) {
        Ok(plugin) => match Meter::new(settings, &[plugin]) {
            Ok(meter) => assert_eq!(flows(meter), 3),
            // The meter opens a second instance, which may behave differently.
            Err(error) => shown(&error.to_string()),
        },
        Err(error) => shown(&error.to_string()),
    }
}

fn shown(text: &str) {
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{text:?}"
    );
}

fn component(data: &[u8]) -> Option<Vec<u8>> {
    let config = Config {
        exports: Some(wat::parse_str(EXPORTS).expect("a module")),
        max_imports: 0,
        max_memories: 1,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        custom_page_sizes_enabled: false,
        shared_everything_threads_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    };
    let mut module = Module::new(config, &mut Unstructured::new(data)).ok()?;
    module.ensure_termination(FUEL).ok()?;
    let mut bytes = module.to_bytes();
    let (resolve, world) = &*CONTRACT;
    wit_component::embed_component_metadata(&mut bytes, resolve, *world, StringEncoding::UTF8)
        .ok()?;
    flowloom::plugin::componentize(bytes).ok()
}

/// Meters three flows of two packets each. Checks that each flow has both packets, and returns the number of flows.
fn flows(mut meter: Meter) -> usize {
    let mut packet = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 0, 0, 53, 0, 8, 0,
        0,
    ];
    for n in 0..6_u8 {
        packet[21] = n % 3;
        meter.push([RawPacket {
            time: Time::from_ns(u64::from(n) * 1_000_000),
            link: LinkType(101),
            wire_len: 28,
            data: &packet,
        }]);
    }
    let mut count = 0;
    for flow in meter.finish() {
        assert_eq!(
            flow.get("bidirectional_packets"),
            Some(flowloom::Value::Integer(2))
        );
        count += 1;
    }
    count
}
