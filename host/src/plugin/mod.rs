//! Plugins: features that users add, run in a sandbox.
//!
//! A plugin is a WebAssembly component of the contract in `wit/`. It is loaded into a [`Registry`],
//! which compiles it, opens it once and checks its manifest against what the operator granted. Every
//! meter has instances of its own, and calls them with the events of its flows.

mod batch;
mod bindings;
mod column;
mod compile;
mod cpu_budget;
mod digest;
mod dispatcher;
mod engine;
mod error;
mod escape;
mod file;
mod folder;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grant;
mod health;
mod instance;
mod json;
mod limits;
mod load_share;
mod loaded;
mod log;
mod manifest;
mod outputs;
mod packet_fields;
mod policy;
mod pseudonym;
mod record;
mod registry;
mod report;
mod run_context;
mod runner;
mod spec;
mod wasi;

pub use compile::{
    ChildCompiler, CompileCache, CompileError, CompiledModule, Compiler, component,
    serve as serve_compiler,
};
pub use digest::{DigestError, Sha256};
pub(crate) use dispatcher::PluginDispatcher;
pub use error::{LoadErrorKind, PluginError, Trap};
pub use escape::{escaped, escaped_path, shown};
pub use folder::{FollowError, PluginFolder};
pub(crate) use folder::{Following, UpdateError, tell};
pub use grant::{Grant, GrantError, Grants};
pub use health::PluginState;
pub use limits::{EventTime, Limits};
pub use loaded::Plugin;
pub use manifest::Manifest;
pub use packet_fields::{PACKET_FIELDS, PacketField};
pub use policy::{Policy, PolicyError};
pub use registry::{PluginSet, Registry, RegistryConfig, RegistryError};
pub use report::PluginReport;
pub use run_context::{RunContext, SchemaMode};
pub use spec::{CallMode, PluginSpec, SpecError};

/// The version of the contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";
