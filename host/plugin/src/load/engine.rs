//! The WebAssembly engine of a registry, and its helper threads.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use wasmtime::Engine;
use wasmtime::component::Component;

use super::compile::{self, CompileError, Compiler};
use super::file::PluginCode;
use super::linker::{HostLinker, LinkedPlugin};
use crate::config::anonymization_key::AnonymizationKey;
use crate::config::limits::EPOCH_INTERVAL;
use crate::error::LoadErrorKind;
use crate::sandbox::host_cost::HostCost;
use crate::sandbox::pseudonyms::Pseudonyms;
use crate::source::PluginSource;
use crate::supervised::{ThreadPanics, spawn_supervised};

/// Work for the loader thread.
type Task = Box<dyn FnOnce() + Send>;

/// Compiles plugins, advances the epoch of their deadlines, and runs tasks in the loader thread.
#[derive(Clone)]
pub(crate) struct PluginEngine {
    host: HostLinker,
    pseudonyms: Pseudonyms,
    /// `None` compiles in this process.
    compiler: Option<Arc<dyn Compiler>>,
    /// Tasks for the thread `flowloom-loader`.
    loader: Sender<Task>,
}

impl PluginEngine {
    pub(crate) fn new(
        compiler: Option<Arc<dyn Compiler>>,
        key: &AnonymizationKey,
        panics: &ThreadPanics,
    ) -> wasmtime::Result<Self> {
        let host = HostLinker::new()?;
        start_epochs(&host.engine, panics, || {})?;
        let loader = start_loader(panics)?;
        Ok(Self {
            host,
            pseudonyms: Pseudonyms::new(key),
            compiler,
            loader,
        })
    }

    /// Runs a task in the loader thread, after earlier tasks. The task is dropped if that thread has ended.
    pub(crate) fn run_in_loader(&self, task: impl FnOnce() + Send + 'static) {
        let _ = self.loader.send(Box::new(task));
    }

    pub(crate) fn pseudonyms(&self) -> Pseudonyms {
        self.pseudonyms.clone()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.host.engine
    }

    pub(crate) fn host(&self) -> &HostLinker {
        &self.host
    }

    /// Returns the component of a plugin's file. Features are compiled; anything else is returned unchanged.
    pub(crate) fn component(&self, code: PluginCode) -> Result<Vec<u8>, LoadErrorKind> {
        let features = match code {
            PluginCode::Wasm(bytes) => return Ok(bytes),
            PluginCode::Features(features) => features,
        };
        let component = match &self.compiler {
            Some(compiler) => compiler.component_of(&features),
            None => features.component(),
        };
        component.map_err(|error| LoadErrorKind::BadFeatures {
            reason: error.reason().to_owned(),
        })
    }

    /// Compiles a plugin's file, and checks its imports and exports.
    pub(crate) fn compile(
        &self,
        file: Vec<u8>,
        component: &PluginSource,
    ) -> Result<LinkedPlugin, LoadErrorKind> {
        let (component, cost) = self.compile_only(file, component)?;
        LinkedPlugin::new(&component, cost, &self.host)
    }

    /// Compiles a plugin's file, whatever it imports and exports.
    pub(crate) fn compile_only(
        &self,
        file: Vec<u8>,
        component: &PluginSource,
    ) -> Result<(Component, HostCost), LoadErrorKind> {
        let compiled = match &self.compiler {
            Some(compiler) => compiler.compile(component, &file),
            None => compile::in_process(file),
        };
        let opened = compiled.and_then(|image| self.host.open(&image));
        opened.map_err(|error| match error {
            CompileError::NotAComponent(reason) => LoadErrorKind::NotAComponent {
                component: component.clone(),
                reason,
            },
            CompileError::DoesNotCompile(reason) => LoadErrorKind::DoesNotCompile {
                component: component.clone(),
                reason,
            },
            CompileError::BadFeatures(reason) => LoadErrorKind::BadFeatures { reason },
        })
    }
}

/// Starts the loader thread. It ends when all senders are dropped.
fn start_loader(panics: &ThreadPanics) -> wasmtime::Result<Sender<Task>> {
    let (sender, tasks) = channel::<Task>();
    let work = move || {
        for task in &tasks {
            task();
        }
    };
    spawn_supervised("flowloom-loader", panics, work)?;
    Ok(sender)
}

/// Starts the thread that advances the epoch while the engine exists. `each` is called before each step.
fn start_epochs(
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
            std::thread::sleep(EPOCH_INTERVAL);
        }
    };
    spawn_supervised("flowloom-epochs", panics, tick)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use wasmtime::{Instance, Module, Store, Trap};

    use super::*;
    use crate::sandbox::engine_config::engine;

    #[test]
    fn deadlines_work_after_a_panic_of_the_epoch_thread() {
        let (engine, panics) = (engine().unwrap(), ThreadPanics::default());
        let mut steps = 0;
        let each = move || {
            steps += 1;
            assert!(steps != 1, "the first step");
        };
        start_epochs(&engine, &panics, each).unwrap();
        let text = r#"(module (func (export "f") (loop (br 0))))"#;
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(2);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let forever = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        // Without the thread, this call would not return.
        let error = forever.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt));
        assert_eq!(panics.count(), 1);
    }

    #[test]
    fn tasks_of_the_loader_run_in_order() {
        let key = AnonymizationKey::from([7; 64]);
        let engine = PluginEngine::new(None, &key, &ThreadPanics::default()).unwrap();
        let (sender, done) = channel();
        for n in 0..3 {
            let sender = sender.clone();
            engine.run_in_loader(move || sender.send(n).unwrap());
        }
        drop(sender);
        assert_eq!(done.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }
}
