//! Instances of plugins, their limits, and what they can reach.

pub(crate) mod deadline;
pub(crate) mod engine_config;
pub(crate) mod host_cost;
pub(crate) mod host_state;
pub(crate) mod instance;
pub(crate) mod log;
pub(crate) mod memory_limiter;
pub(crate) mod pseudonyms;
pub(crate) mod wasi;
