//! Events to plugins, and their values back.

pub(crate) mod batch;
pub(crate) mod column;
pub(crate) mod dispatcher;
pub(crate) mod json;
pub(crate) mod outputs;
pub(crate) mod record;
pub(crate) mod runner;
