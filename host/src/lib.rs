//! Flowloom turns packets into flows, and lets people add their own flow features as sandboxed
//! WebAssembly components.
//!
//! Data flows one way, and each station is a module: packets are read ([`capture`]), decoded
//! ([`decode`]), metered into flows ([`flow`], driven by [`Meter`]), dissected ([`dissect`]), shown to plugins ([`plugin`])
//! and written ([`sink`]). [`Streamer`] is all of it in one iterator.

mod anonymizer;
mod bounded_file;
pub mod capture;
pub mod decode;
pub mod dissect;
mod fanout;
pub mod flow;
mod ingress;
mod meter;
mod overload;
mod parallel;
pub mod plugin;
mod plugin_updates;
mod private;
mod reload;
pub mod sink;
mod streamer;
mod supervised;
mod time;
mod value;
mod worker;

pub use anonymizer::{AnonymizationKey, Anonymizer, KeyError, UnknownColumn};
pub use bounded_file::{BoundedRead, BoundedReadError};
pub use flow::Flow;
pub use meter::{AccountingMode, Counters, Meter, MeterError, Settings};
pub use overload::OverloadLevel;
pub use streamer::{CpuTime, Report, Step, Stopper, Streamer, StreamerBuilder, StreamerError};
pub use supervised::{ThreadPanics, spawn_supervised};
pub use time::Time;
pub use value::{Type, UdpValue, Value};
