//! Components written by hand, for what no compiler would make.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wit_component::StringEncoding;
use wit_parser::Resolve;

use crate::command::HOST;
use crate::guests::file;

/// The parts of a core module that does what the contract says, and nothing else: its manifest is
/// empty, for an empty record is all zeros.
pub(crate) struct Module {
    /// Imports, which come first.
    pub(crate) before: &'static str,
    /// Anything else that stands in the module.
    pub(crate) more: &'static str,
    pub(crate) memory: &'static str,
    pub(crate) realloc: &'static str,
    pub(crate) open: &'static str,
    pub(crate) init: &'static str,
    pub(crate) expire: &'static str,
    pub(crate) finish: &'static str,
}

impl Default for Module {
    fn default() -> Self {
        Self {
            before: "",
            more: "",
            memory: "16",
            // Gives the same page each time.
            realloc: "i32.const 65536",
            open: "i32.const 1024",
            init: "i32.const 0",
            expire: "i32.const 1024",
            finish: "",
        }
    }
}

impl Module {
    pub(crate) fn text(&self) -> String {
        let Self {
            before,
            more,
            memory,
            realloc,
            open,
            init,
            expire,
            finish,
        } = self;
        format!(
            r#"(module
              {before}
              (memory (export "memory") {memory})
              (func $deeper (result i32) (i32.add (i32.const 1) (call $deeper)))
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {realloc})
              (func (export "flowloom:plugin/feature@0.1.0#open") (param i32 i32) (result i32)
                {open})
              (func (export "flowloom:plugin/feature@0.1.0#init") (param i32) (result i32) {init})
              (func (export "flowloom:plugin/feature@0.1.0#update") (param i32) (result i32)
                i32.const 0)
              (func (export "flowloom:plugin/feature@0.1.0#expire") (param i64 i32 i32) (result i32)
                {expire})
              (func (export "flowloom:plugin/feature@0.1.0#finish") {finish})
              {more})"#
        )
    }

    /// It as a plugin's file, with the component type of the contract's world `plugin`.
    pub(crate) fn file(&self) -> (TempDir, PathBuf) {
        file("hand.wasm", typed(&self.text(), |contract| contract))
    }

    /// As [`file`](Self::file), in a world that also has these imports, of these packages.
    pub(crate) fn file_importing(&self, imports: &str, packages: &str) -> (TempDir, PathBuf) {
        let bytes = typed(&self.text(), |contract| {
            match contract.contains("world plugin {") {
                true => {
                    let world = format!("world plugin {{\n{imports}");
                    contract.replace("world plugin {", &world) + packages
                }
                false => contract,
            }
        });
        file("hand.wasm", bytes)
    }
}

/// A core module that carries the component type of the contract's world `plugin`, after `edit`.
pub(crate) fn typed(module: &str, edit: impl Fn(String) -> String) -> Vec<u8> {
    let mut bytes = wat::parse_str(module).expect("the module is one");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wit = Path::new(HOST).join("../../wit");
    for entry in std::fs::read_dir(wit).expect("wit/ can be read") {
        let path = entry.expect("wit/ can be read").path();
        let contract = std::fs::read_to_string(&path).expect("it is text");
        let copy = folder.path().join(path.file_name().unwrap_or_default());
        std::fs::write(copy, edit(contract)).expect("a temporary file");
    }
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(folder.path())
        .expect("the contract is one");
    let world = resolve
        .select_world(&[package], Some("plugin"))
        .expect("the contract has the world `plugin`");
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)
        .expect("the module takes its type");
    bytes
}

/// A component in the text format.
pub(crate) fn component(text: &str) -> (TempDir, PathBuf) {
    let bytes = wat::parse_str(text).expect("the component is one");
    file("hand.wasm", bytes)
}
