//! How plugins are doing, and what they cost.

pub(crate) mod cpu_budget;
pub(crate) mod health;
pub(crate) mod load_share;
pub(crate) mod report;
