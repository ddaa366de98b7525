//! Health of plugins, their CPU time, and reports.

pub(crate) mod call_clock;
pub(crate) mod cpu_budget;
pub(crate) mod health;
pub(crate) mod load_share;
pub(crate) mod report;
