//! The WebAssembly engine that all plugins of a process share.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use wasmtime::Engine;

use super::compile::{self, CompileError, Compiler};
use super::linker::{Compiled, HostLinker};
use crate::config::anonymization_key::AnonymizationKey;
use crate::config::limits::EPOCH_INTERVAL;
use crate::error::LoadErrorKind;
use crate::sandbox::pseudonyms::Pseudonyms;
use crate::supervised::{ThreadPanics, spawn_supervised};

/// Work for the thread that works aside.
type Task = Box<dyn FnOnce() + Send>;

/// Compiles plugins and keeps the clock that their deadlines are judged by.
#[derive(Clone)]
pub(crate) struct PluginEngine {
    host: HostLinker,
    pseudonyms: Pseudonyms,
    /// None compiles in this process.
    compiler: Option<Arc<dyn Compiler>>,
    /// To the thread that works aside.
    aside: Sender<Task>,
}

impl PluginEngine {
    pub(crate) fn new(
        compiler: Option<Arc<dyn Compiler>>,
        key: &AnonymizationKey,
        panics: &ThreadPanics,
    ) -> wasmtime::Result<Self> {
        let host = HostLinker::new()?;
        keep_epochs(&host.engine, panics, || {})?;
        let aside = start_aside(panics)?;
        Ok(Self {
            host,
            pseudonyms: Pseudonyms::new(key),
            compiler,
            aside,
        })
    }

    /// Does some work in another thread, later. Nothing is done if that thread has ended.
    pub(crate) fn run_aside(&self, task: impl FnOnce() + Send + 'static) {
        let _ = self.aside.send(Box::new(task));
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

/// Starts a thread that does tasks until nobody can give it another.
fn start_aside(panics: &ThreadPanics) -> wasmtime::Result<Sender<Task>> {
    let (aside, tasks) = channel::<Task>();
    let work = move || {
        for task in &tasks {
            task();
        }
    };
    spawn_supervised("flowloom-loader", panics, work)?;
    Ok(aside)
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
