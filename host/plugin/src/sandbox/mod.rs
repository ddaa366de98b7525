//! Instances of plugins, their limits, and the functions that they can call.

pub(crate) mod call_stack;
pub(crate) mod deadline;
pub(crate) mod engine_config;
pub(crate) mod host_cost;
pub(crate) mod host_state;
pub(crate) mod instance;
pub(crate) mod log;
pub(crate) mod memory_limiter;
pub(crate) mod pseudonyms;
pub(crate) mod wasi;
