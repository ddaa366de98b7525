//! The WebAssembly engine that all plugins of a process share.

use std::borrow::Cow;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine};

use super::compile::{self, CompileError, CompiledModule, Compiler, HostCost};
use super::loaded::Plugin;
use crate::config::anonymization_key::AnonymizationKey;
use crate::config::limits::EPOCH;
use crate::contract::log;
use crate::contract::{batch_feature, feature};
use crate::error::LoadErrorKind;
use crate::sandbox::instance::{Exports, HostState};
use crate::sandbox::log::Log;
use crate::sandbox::pseudonyms::Pseudonyms;
use crate::sandbox::wasi;
use crate::supervised::{ThreadPanics, spawn_supervised};

/// Compiles plugins and keeps the clock that their deadlines are judged by.
#[derive(Clone)]
pub(crate) struct PluginEngine {
    host: HostLinker,
    pseudonyms: Pseudonyms,
    /// None compiles in this process.
    compiler: Option<Arc<dyn Compiler>>,
    /// Plugins that an instance is to be opened of, aside.
    loader: Sender<Weak<Plugin>>,
}

/// The engine, and what plugins may import.
#[derive(Clone)]
pub(crate) struct HostLinker {
    engine: Engine,
    linker: Linker<HostState>,
}

/// A compiled component that fits the contract.
pub(crate) struct Compiled {
    pub(crate) component: InstancePre<HostState>,
    pub(crate) exports: Exports,
    /// What it costs the host.
    pub(crate) cost: HostCost,
}

impl PluginEngine {
    pub(crate) fn new(
        compiler: Option<Arc<dyn Compiler>>,
        key: &AnonymizationKey,
        panics: &ThreadPanics,
    ) -> wasmtime::Result<Self> {
        let host = HostLinker::new()?;
        keep_epochs(&host.engine, panics, || {})?;
        let loader = start_loader(panics)?;
        Ok(Self {
            host,
            pseudonyms: Pseudonyms::new(key),
            compiler,
            loader,
        })
    }

    /// Has one more instance of this plugin opened by the loader's thread.
    pub(crate) fn prepare(&self, plugin: &Arc<Plugin>) {
        // Without the thread it is opened when it is wanted.
        let _ = self.loader.send(Arc::downgrade(plugin));
    }

    pub(crate) fn pseudonyms(&self) -> Pseudonyms {
        self.pseudonyms.clone()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.host.engine
    }

    /// Compiles a plugin's file, and checks what it imports and exports.
    pub(crate) fn compile(&self, file: Vec<u8>, path: &Path) -> Result<Compiled, LoadErrorKind> {
        let compiled = match &self.compiler {
            Some(compiler) => compiler.compile(&file),
            None => compile::in_process(file),
        };
        let opened = compiled.and_then(|image| self.host.open(&image));
        let (component, cost) = opened.map_err(|error| match error {
            CompileError::NotAComponent(reason) => LoadErrorKind::NotAComponent {
                path: path.to_owned(),
                reason,
            },
            CompileError::DoesNotCompile(reason) => LoadErrorKind::DoesNotCompile {
                path: path.to_owned(),
                reason,
            },
        })?;
        Compiled::new(&component, cost, &self.host)
    }
}

impl HostLinker {
    pub(crate) fn new() -> wasmtime::Result<Self> {
        let engine = engine()?;
        let mut linker = Linker::new(&engine);
        log::add_to_linker::<_, HasLog>(&mut linker, HostState::log)?;
        Ok(Self { engine, linker })
    }

    /// Opens an image.
    pub(crate) fn open(
        &self,
        image: &CompiledModule,
    ) -> Result<(Component, HostCost), CompileError> {
        // Whoever compiled it has looked at that as well; opening it costs memory.
        let cost = HostCost::of(image.bytes()).map_err(CompileError::DoesNotCompile)?;
        // SAFETY: an image is what an engine of this library has made of a component, in a process of
        // the same user or in a file that only this user can write.
        #[allow(
            unsafe_code,
            reason = "code that was compiled elsewhere is taken on trust"
        )]
        let component = unsafe { Component::deserialize(&self.engine, image.bytes()) };
        match component {
            Ok(component) => Ok((component, cost)),
            Err(error) => Err(CompileError::DoesNotCompile(format!("{error:#}"))),
        }
    }
}

impl Compiled {
    /// Checks what a component imports and exports, and links it.
    pub(crate) fn new(
        component: &Component,
        cost: HostCost,
        host: &HostLinker,
    ) -> Result<Self, LoadErrorKind> {
        let engine = &host.engine;
        let ty = component.component_type();
        let mut linker = Cow::Borrowed(&host.linker);
        let mut functions = 0;
        let other_types = |error: wasmtime::Error| LoadErrorKind::OtherTypes {
            reason: format!("{error:#}"),
        };
        for (import, is) in ty.imports(engine) {
            check_import(import)?;
            if let ComponentItem::ComponentInstance(interface) = &is.ty
                && wasi::is_wasi(import)
            {
                functions += interface.exports(engine).len();
                if functions > wasi::MOST_FUNCTIONS {
                    return Err(LoadErrorKind::OtherTypes {
                        reason: format!(
                            "it imports more than {} functions and types of wasi",
                            wasi::MOST_FUNCTIONS
                        ),
                    });
                }
                wasi::define(linker.to_mut(), engine, import, interface).map_err(other_types)?;
            }
        }
        let exports: Vec<_> = ty
            .exports(engine)
            .map(|(name, _)| name.to_owned())
            .collect();
        check_exports(&exports)?;
        let component = linker.instantiate_pre(component).map_err(other_types)?;
        let exports = |name| {
            exports
                .iter()
                .any(|export| interface(export).is_some_and(|(short, _)| short == name))
        };
        let exports = Exports {
            feature: exports("feature")
                .then(|| feature::GuestIndices::new(&component))
                .transpose()
                .map_err(other_types)?,
            batch: exports("batch-feature")
                .then(|| batch_feature::GuestIndices::new(&component))
                .transpose()
                .map_err(other_types)?,
        };
        Ok(Self {
            component,
            exports,
            cost,
        })
    }
}

/// The engine that code is compiled for.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        // Off goes the newest code, and 270 ns from every call.
        .concurrency_support(false)
        .epoch_interruption(true)
        // What no plugin needs is not offered to hostile ones.
        .wasm_gc(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_exceptions(false)
        .max_wasm_stack(512 << 10);
    Engine::new(&config)
}

/// `feature` and `0.1.0` of `flowloom:plugin/feature@0.1.0`.
fn interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("flowloom:plugin/")?.split_once('@')
}

/// Versions 0.1.x are the host's own.
fn is_ours(version: &str) -> bool {
    version
        .strip_prefix("0.1.")
        .is_some_and(|patch| patch.bytes().all(|b| b.is_ascii_digit()))
}

fn check_import(name: &str) -> Result<(), LoadErrorKind> {
    match interface(name) {
        Some((_, version)) if !is_ours(version) => Err(LoadErrorKind::OtherVersion {
            wanted: version.to_owned(),
        }),
        // `manifest` holds types only; a component that uses them imports it.
        Some(("log" | "manifest", _)) => Ok(()),
        None if wasi::is_wasi(name) => Ok(()),
        _ => Err(LoadErrorKind::UnknownImport {
            import: name
                .chars()
                .take(200)
                .flat_map(char::escape_debug)
                .collect(),
        }),
    }
}

/// Other exports than ours are left alone: some languages' tools add their own.
fn check_exports(names: &[String]) -> Result<(), LoadErrorKind> {
    let features = || {
        names
            .iter()
            .filter_map(|name| interface(name))
            .filter(|(name, _)| matches!(*name, "feature" | "batch-feature"))
    };
    if features().any(|(_, version)| is_ours(version)) {
        return Ok(());
    }
    Err(match features().next() {
        Some((_, version)) => LoadErrorKind::OtherVersion {
            wanted: version.to_owned(),
        },
        None => LoadErrorKind::NoExports,
    })
}

struct HasLog;

impl wasmtime::component::HasData for HasLog {
    type Data<'a> = &'a mut Log;
}

/// Opens instances until there is nobody left to ask for one.
fn start_loader(panics: &ThreadPanics) -> wasmtime::Result<Sender<Weak<Plugin>>> {
    let (loader, wanted) = channel::<Weak<Plugin>>();
    let open = move || {
        for plugin in &wanted {
            if let Some(plugin) = plugin.upgrade() {
                // What is wrong is said when it is wanted.
                let _ = plugin.open_spare();
            }
        }
    };
    spawn_supervised("flowloom-loader", panics, open)?;
    Ok(loader)
}

/// Moves the epoch on for as long as the engine is in use. `each` is called with every step.
fn keep_epochs(
    engine: &Engine,
    panics: &ThreadPanics,
    mut each: impl FnMut() + Send + 'static,
) -> wasmtime::Result<()> {
    let engine = engine.weak();
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            each();
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(EPOCH);
        }
    };
    spawn_supervised("flowloom-epochs", panics, tick)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, Module, Store, Trap};

    use super::*;

    #[test]
    fn deadlines_outlive_a_panic_of_the_thread_that_keeps_them() {
        let (engine, panics) = (engine().unwrap(), ThreadPanics::default());
        let mut steps = 0;
        let each = move || {
            steps += 1;
            assert!(steps != 1, "the first step");
        };
        keep_epochs(&engine, &panics, each).unwrap();
        let text = r#"(module (func (export "f") (loop (br 0))))"#;
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(2);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let forever = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        // Without the thread this would never return.
        let error = forever.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
        assert_eq!(panics.count(), 1);
    }
}
