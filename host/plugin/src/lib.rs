//! Hosts plugins: WebAssembly components that add values to flows.
//!
//! A plugin is a component of the contract in `wit/`. A [`Registry`] loads it: it compiles the component,
//! opens an instance, and checks the manifest against the grants. Every meter has its own instances, which a
//! [`PluginDispatcher`] calls with the events of its flows.
//!
//! Imports run downwards only:
//!
//! | module | what it holds |
//! |---|---|
//! | `dispatch` | events to plugins, and their values back |
//! | `load` | from files to plugins that can be opened |
//! | `supervise` | the health of plugins, their CPU time, and reports |
//! | `sandbox` | instances, their limits, and what they can reach |
//! | `config` | what the operator says: options, grants, limits, policy |
//! | `contract`, `error` | the bindings to `wit/`, and errors of loading and running |
//! | `digest`, `escape`, `bounded_file`, `supervised`, `thread_time` | helpers |

mod bounded_file;
mod config;
mod contract;
mod digest;
mod dispatch;
mod error;
mod escape;
#[cfg(fuzzing)]
pub mod fuzzing;
mod load;
mod sandbox;
mod supervise;
mod supervised;
mod thread_time;

pub use bounded_file::{BoundedRead, BoundedReadError};
pub use config::anonymization_key::{AnonymizationKey, KeyError};
pub use config::grants::{GrantError, Grants};
pub use config::limits::{EventTime, Limits};
pub use config::policy::{Policy, PolicyError};
pub use config::run_context::{RunContext, SchemaMode};
pub use config::spec::{CallMode, PluginSpec, SpecError};
pub use contract::CONTRACT_VERSION;
pub use digest::{DigestError, Sha256};
pub use dispatch::dispatcher::PluginDispatcher;
pub use error::{LoadErrorKind, PluginError, Trap};
pub use escape::{escaped, escaped_path, shown};
pub use load::compile::{
    ChildCompiler, CompileCache, CompileError, CompiledModule, Compiler, componentize,
    serve as serve_compiler,
};
pub use load::folder::{FollowError, Following, PluginFolder, UpdateError, tell};
pub use load::loaded::Plugin;
pub use load::manifest::Manifest;
pub use load::registry::{PluginSet, Registry, RegistryConfig, RegistryError};
pub use supervise::health::PluginState;
pub use supervise::report::PluginReport;
pub use supervised::{ThreadPanics, spawn_supervised};
pub use thread_time::thread_time;
