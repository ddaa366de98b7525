//! Plugins: features that users add, run in a sandbox.
//!
//! A plugin is a WebAssembly component of the contract in `wit/`. It is loaded into a [`Registry`],
//! which compiles it, opens it once and checks its manifest against what the operator granted. Every
//! meter has instances of its own, and calls them with the events of its flows.

mod batch;
mod bindings;
mod budget;
mod column;
mod compile;
mod digest;
mod engine;
mod error;
mod escape;
mod file;
mod folder;
#[cfg(fuzzing)]
pub mod fuzzing;
mod generation;
mod grant;
mod health;
mod hosted;
mod instance;
mod json;
mod limits;
mod log;
mod manifest;
mod outputs;
mod packet_fields;
mod policy;
mod pseudonym;
mod record;
mod registry;
mod report;
mod run;
mod share;
mod spec;
mod station;
mod wasi;

pub use compile::{
    ChildCompiler, CompileCache, CompileError, Compiler, Image, component, serve as serve_compiler,
};
pub use digest::{DigestError, Sha256};
pub use error::{PluginError, Problem, Trap};
pub use escape::{escaped, escaped_path, shown};
pub use folder::{FollowError, PluginFolder};
pub(crate) use folder::{Following, UpdateError, tell};
pub use generation::Plugin;
pub use grant::{Grant, GrantError, Grants};
pub use health::PluginState;
pub use limits::{EventTime, Limits};
pub use manifest::Manifest;
pub use packet_fields::{PACKET_FIELDS, PacketField};
pub use policy::{Policy, PolicyError};
pub use registry::{PluginSet, Registry, RegistryError, Surroundings};
pub use report::PluginReport;
pub use run::{Columns, Run};
pub use spec::{PluginSpec, SpecError, World};
pub(crate) use station::Station;

/// The version of the contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";
