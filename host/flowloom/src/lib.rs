//! Turns packets into flows, and lets people add their own flow features as sandboxed WebAssembly
//! components.
//!
//! [`Streamer`] does all of it in one iterator: it reads packets ([`capture`]), decodes and meters them, finds
//! the applications of flows ([`dissect`]) and calls plugins ([`plugin`]). A [`sink`] writes flows. [`Meter`] is
//! for packets that a program has already.

mod anonymize;
pub mod capture;
mod concurrency;
pub mod decode;
pub mod dissect;
pub mod fields;
pub mod plugin;
mod run;
pub mod sink;

pub use anonymize::{Anonymizer, UnknownColumn};
pub use flowloom_core::flow::{Flow, Udps};
pub use flowloom_core::meter::{AccountingMode, Counters, OverloadLevel, Settings};
pub use flowloom_core::schema::{Column, Origin, Schema};
pub use flowloom_core::time::Time;
pub use flowloom_core::value::{Type, UdpValue, Value};
pub use flowloom_plugin::{
    AnonymizationKey, BoundedRead, BoundedReadError, KeyError, ThreadPanics, spawn_supervised,
};
pub use run::{
    ConfigError, CpuTime, FinishedMeter, Meter, MeterError, PluginConfig, RunConfig, RunSummary,
    Step, Stopper, Streamer, StreamerBuilder, StreamerError,
};
