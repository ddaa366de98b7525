//! The operator's configuration of plugins: options, grants, limits and policy.

pub(crate) mod anonymization_key;
pub(crate) mod limits;
pub(crate) mod policy;
pub(crate) mod run_context;
pub(crate) mod spec;
