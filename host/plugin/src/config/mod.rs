//! What the operator says of plugins.

pub(crate) mod anonymization_key;
pub(crate) mod grants;
pub(crate) mod limits;
pub(crate) mod policy;
pub(crate) mod run_context;
pub(crate) mod spec;
