//! Plugins: features that users add, run in a sandbox.
//!
//! A plugin is a WebAssembly component of the contract in `wit/`. It is loaded into a [`Registry`],
//! which compiles it, opens it once and checks its manifest against what the operator granted. Every
//! meter has instances of its own, and calls them with the events of its flows.

mod batch;
mod bindings;
mod budget;
mod column;
mod engine;
mod error;
mod escape;
mod file;
mod grant;
mod health;
mod instance;
mod limits;
mod manifest;
mod outputs;
mod packet_fields;
mod record;
mod registry;
mod spec;
mod station;

pub use error::{PluginError, Problem, Trap};
pub use escape::escaped;
pub use file::component;
pub use grant::{Grant, GrantError, Grants};
pub use health::PluginState;
pub use limits::Limits;
pub use manifest::Manifest;
pub use packet_fields::{PACKET_FIELDS, PacketField};
pub use registry::{Plugin, Registry};
pub use spec::{PluginSpec, SpecError, World};
pub use station::PluginReport;
pub(crate) use station::Station;

/// The version of the contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";
