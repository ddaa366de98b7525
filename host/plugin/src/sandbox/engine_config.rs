//! The settings of the WebAssembly engine.

use wasmtime::{Config, Engine};

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
