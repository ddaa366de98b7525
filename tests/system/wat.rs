//! Hand-written components, for content that no compiler generates.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wit_component::StringEncoding;
use wit_parser::Resolve;

use crate::command::HOST;
use crate::guests::file;

/// The parts of a minimal core module that follows the contract. The memory that it returns as its manifest is
/// all zeros, which is an empty manifest.
pub(crate) struct Module {
    /// Imports, which a module must declare first.
    pub(crate) before: &'static str,
    /// Further content of the module.
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
            // Returns the same address each time.
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
              (func (export "flowloom:plugin/feature@0.1.0#open") (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                {open})
              (func (export "flowloom:plugin/feature@0.1.0#init")
                (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {init})
              (func (export "flowloom:plugin/feature@0.1.0#update")
                (param i64 i64 i64 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                i32.const 0)
              (func (export "flowloom:plugin/feature@0.1.0#expire") (param i64 i32 i32 i32) (result i32)
                {expire})
              (func (export "flowloom:plugin/feature@0.1.0#finish") {finish})
              {more})"#
        )
    }

    /// Writes the module as the file of a plugin, with the component type of the contract's world `plugin`.
    pub(crate) fn file(&self) -> (TempDir, PathBuf) {
        file("hand.wasm", typed(&self.text(), |contract| contract))
    }

    /// Like [`file`](Self::file), but the world has these additional imports from these packages.
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

/// Returns a core module with the component type of the world `plugin`. `edit` changes each file of the contract
/// before.
pub(crate) fn typed(module: &str, edit: impl Fn(String) -> String) -> Vec<u8> {
    let mut bytes = wat::parse_str(module).expect("the module is valid");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wit = Path::new(HOST).join("../../wit");
    for entry in std::fs::read_dir(wit).expect("wit/ can be read") {
        let path = entry.expect("wit/ can be read").path();
        let contract = std::fs::read_to_string(&path).expect("the contract is text");
        let copy = folder.path().join(path.file_name().unwrap_or_default());
        std::fs::write(copy, edit(contract)).expect("a temporary file");
    }
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(folder.path())
        .expect("the contract is valid");
    let world = resolve
        .select_world(&[package], Some("plugin"))
        .expect("the contract has the world `plugin`");
    wit_component::embed_component_metadata(&mut bytes, &resolve, world, StringEncoding::UTF8)
        .expect("the component type can be embedded");
    bytes
}

/// Writes a component in the text format to a file.
pub(crate) fn component(text: &str) -> (TempDir, PathBuf) {
    let bytes = wat::parse_str(text).expect("the component is valid");
    file("hand.wasm", bytes)
}
