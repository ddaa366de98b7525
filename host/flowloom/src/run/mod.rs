//! Runs, which turn the packets of sources into flows.

mod build;
mod builder;
mod config;
mod fanout;
mod flow_filter;
mod identity;
mod meter;
mod observer;
mod parallel;
mod planned;
mod plugin_updates;
#[cfg(feature = "arrow")]
mod record_batches;
mod reload;
mod single;
mod source_meter;
mod status;
mod streamer;
mod summary;

pub use builder::StreamerBuilder;
pub use config::{ConfigError, PluginConfig, RunConfig};
pub use meter::{FinishedMeter, Meter, MeterError};
pub use observer::FlowObserver;
pub(crate) use planned::PlannedPart;
#[cfg(feature = "arrow")]
pub use record_batches::{BatchStep, RecordBatches};
pub use status::CpuTime;
pub use streamer::{Step, Stopper, Streamer, StreamerError};
pub use summary::RunSummary;
