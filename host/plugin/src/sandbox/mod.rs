//! Instances of plugins, and what they can reach.

pub(crate) mod instance;
pub(crate) mod log;
pub(crate) mod pseudonyms;
pub(crate) mod wasi;
