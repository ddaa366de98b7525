//! Turns packets into network flows. Sandboxed WebAssembly plugins can add features to flows.
//!
//! - [`Streamer`] is an iterator over the flows of captures or an interface. It reads packets ([`capture`]),
//!   decodes and meters them, determines the applications of flows ([`dissect`]) and calls plugins
//!   ([`plugin`]).
//! - A [`sink`] writes flows as CSV, JSON lines, Arrow or Parquet. [`columns`] are Arrow record batches.
//! - [`Meter`] is for packets that a program already has.
//!
//! # Examples
//!
//! ```
//! use flowloom::Streamer;
//!
//! # fn main() -> Result<(), flowloom::StreamerError> {
//! # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
//! for flow in Streamer::builder([capture]).build()? {
//!     println!("flow {} of capture {}", flow.id(), flow.capture());
//! }
//! # Ok(())
//! # }
//! ```

mod anonymize;
pub mod capture;
pub mod columns;
mod concurrency;
pub mod decode;
pub mod dissect;
pub mod fields;
pub mod plan;
pub mod plugin;
pub mod processes;
mod run;
pub mod sink;
mod storage;
pub mod versions;

pub use anonymize::Anonymizer;
pub use flowloom_core::flow::{Flow, Udps};
pub use flowloom_core::meter::{AccountingMode, Counters, OverloadLevel, Part, Settings, Shard};
pub use flowloom_core::record::{DecodedPacket, Expiration, FlowPacket, FlowSnapshot, FlowView};
pub use flowloom_core::schema::{Column, Origin, Schema, UdpColumn};
pub use flowloom_core::time::Time;
pub use flowloom_core::value::{Type, UdpValue, Value};
pub use flowloom_expr::{Diagnostic, ExprError, Filter, features};
pub use flowloom_plugin::{
    AnonymizationKey, BoundedRead, BoundedReadError, KeyError, ThreadPanics, has_more_privileges,
    spawn_supervised, trusted_variable,
};
#[cfg(feature = "arrow")]
pub use run::{BatchStep, RecordBatches};
pub use run::{
    ConfigError, CpuTime, FinishedMeter, FlowObserver, Meter, MeterError, PluginConfig, RunConfig,
    RunSummary, Step, Stopper, Streamer, StreamerBuilder, StreamerError,
};
pub use storage::public as public_name;

// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
