//! Delivery of events to plugins, and of their values to flows.

pub(crate) mod batch;
pub(crate) mod column;
pub(crate) mod dispatcher;
mod event;
mod held_flows;
pub(crate) mod json;
pub(crate) mod outputs;
pub(crate) mod record;
pub(crate) mod runner;
#[cfg(test)]
mod tests;
