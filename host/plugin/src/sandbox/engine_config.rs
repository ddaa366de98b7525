//! Settings of the WebAssembly engine.

use std::sync::Arc;

use wasmtime::{CacheStore, Config, Engine};

/// Creates an engine. Machine code is compiled for exactly these settings.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// Creates an engine that compiles only functions that are not in a store. The machine code is the same.
pub(crate) fn engine_with(functions: Arc<dyn CacheStore>) -> wasmtime::Result<Engine> {
    let mut config = config();
    config.enable_incremental_compilation(functions)?;
    Engine::new(&config)
}

fn config() -> Config {
    let mut config = Config::new();
    config
        // This disables the newest code of the engine, and saves 270 ns per call.
        .concurrency_support(false)
        .epoch_interruption(true)
        // Proposals that no plugin needs are disabled, to reduce the attack surface.
        .wasm_gc(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_exceptions(false)
        .max_wasm_stack(512 << 10);
    config
}
