#![no_main]
//! Truncated or damaged files of plugins: core modules with component types, components, and arbitrary bytes.
//!
//! Third-party code parses the files and may end its process. Therefore a child process compiles them, as in the
//! command. The child process runs this program.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use flowloom::plugin::{ChildCompiler, PluginSpec, Registry, RegistryConfig};
use flowloom_plugin::fuzzing;
use flowloom::{Meter, Settings};
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// The argument that makes this program compile instead of fuzz.
const COMPILE: &str = "compile-plugin";

/// A core module of the contract's world `plugin`.
const MODULE: &str = r#"(module
  (memory (export "memory") 2)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
  (func (export "flowloom:plugin/feature@0.1.0#open") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 1024)
  (func (export "flowloom:plugin/feature@0.1.0#init")
    (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
  (func (export "flowloom:plugin/feature@0.1.0#update")
    (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) i32.const 0)
  (func (export "flowloom:plugin/feature@0.1.0#expire") (param i64 i32 i32 i32) (result i32)
    i32.const 1024)
  (func (export "flowloom:plugin/feature@0.1.0#finish")))"#;

/// The core module with its component type, and the component that it is converted to.
static WHOLE: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = resolve.push_dir(wit).expect("the contract is valid");
    let world = resolve
        .select_world(&[package], Some("plugin"))
        .expect("the contract has the world `plugin`");
    let mut module = wat::parse_str(MODULE).expect("a module");
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .expect("the component type can be embedded");
    let component = flowloom::plugin::componentize(module.clone()).expect("the module is complete");
    [module, component]
});

libfuzzer_sys::fuzz_target!(
    init: {
        if std::env::args().nth(1).is_some_and(|word| word == COMPILE) {
            let served = flowloom::plugin::serve_compiler(std::io::stdin(), std::io::stdout());
            std::process::exit(i32::from(served.is_err()));
        }
    },
    |data: &[u8]| modules(data)
);

fn modules(data: &[u8]) {
    let Ok(file) = file(&mut Unstructured::new(data)) else {
        return;
    };
    // The checks before the third-party parsers must neither panic nor recurse without end.
    fuzzing::structure(&file);
    // An arbitrary answer of the child process.
    fuzzing::answer(data);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("damaged.wasm");
    std::fs::write(&path, file).expect("the folder is writable");
    let mut settings = Settings::default();
    settings.n_dissections = 0;
    // SAFETY: with this argument the program calls `serve_compiler`, see above.
    let compiler = unsafe { ChildCompiler::new("/proc/self/exe", [COMPILE]) };
    let mut config = RegistryConfig::default();
    config.compiler = Some(Arc::new(
            compiler.limits(Duration::from_secs(10), 512 << 20),
        ));
    let registry = Registry::with(settings.schema(), config).expect("the engine starts");
    match registry.load(PluginSpec::new(&path)) {
        Ok(plugin) => match Meter::new(settings, &[plugin]) {
            Ok(meter) => drop(meter.finish()),
            // The meter opens a second instance, which may behave differently.
            Err(error) => shown(&error.to_string()),
        },
        Err(error) => shown(&error.to_string()),
    }
}

fn shown(text: &str) {
    assert!(text.chars().count() < 4_000, "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// Returns arbitrary bytes, or a valid file with up to four changed bytes that may be truncated.
fn file(from: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut file = match from.int_in_range(0..=4)? {
        0 => return Ok(from.bytes(from.len())?.to_vec()),
        1 | 2 => WHOLE[0].clone(),
        _ => WHOLE[1].clone(),
    };
    for _ in 0..from.int_in_range(0..=4)? {
        let place = from.choose_index(file.len())?;
        file[place] = from.arbitrary()?;
    }
    if from.ratio(1, 4)? {
        let len = from.choose_index(file.len())?;
        file.truncate(len);
    }
    Ok(file)
}
