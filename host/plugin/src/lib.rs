//! Hosts plugins: WebAssembly components that add features to flows.
//!
//! A plugin is a component that implements the contract in `wit/`. A [`Registry`] loads it: it compiles the
//! component, opens an instance, and checks the manifest against the grants. Every meter has its own instances.
//! A [`PluginDispatcher`] calls them with the events of the meter's flows.
//!
//! Imports run downwards only:
//!
//! | module | contents |
//! |---|---|
//! | `dispatch` | delivery of events to plugins, and of their values to flows |
//! | `load` | loading: from files to plugins that can be opened |
//! | `sandbox` | instances, their limits, and the functions that they can call |
//! | `supervise` | health of plugins, their CPU time, and reports |
//! | `config` | the operator's configuration: options, limits, policy |
//! | `error` | errors of loading and running plugins |
//! | `grants`, `contract` | the data that a plugin may read, and the bindings to `wit/` |
//! | `digest`, `source`, `escape`, `bounded_file`, `privilege`, `supervised`, `thread_time` | helpers |

mod bounded_file;
mod config;
mod contract;
mod digest;
mod dispatch;
mod error;
mod escape;
#[cfg(fuzzing)]
pub mod fuzzing;
mod grants;
mod load;
mod private_folder;
mod privilege;
mod sandbox;
mod source;
mod supervise;
mod supervised;
mod thread_time;

pub use bounded_file::{BoundedRead, BoundedReadError};
pub use config::anonymization_key::{AnonymizationKey, KeyError};
pub use config::limits::{EventTime, Limits};
pub use config::policy::{Policy, PolicyError};
pub use config::run_context::{RunContext, SchemaMode};
pub use config::spec::{CallMode, PluginSpec, SpecError};
pub use contract::CONTRACT_VERSION;
pub use digest::{DigestError, Sha256};
pub use dispatch::dispatcher::PluginDispatcher;
pub use dispatch::json::json as checked_json;
pub use error::{CallStack, LoadErrorKind, PluginError, RequestedData, Trap};
pub use escape::{escaped, escaped_path, shown};
pub use grants::{GrantError, Grants};
pub use load::compile::{
    CacheFolder, CachedFile, CachedKind, ChildCompiler, Cleaned, CompileCache, CompileError,
    CompiledModule, Compiler, FeatureText, FunctionUse, componentize, serve as serve_compiler,
};
pub use load::feature_source::FeatureSource;
pub use load::folder::{FolderWatch, FollowError, PluginFolder, UpdateError, log_update};
pub use load::inspection::{InspectedFeatures, Inspection};
pub use load::manifest::Manifest;
pub use load::option::{OptionDescription, OptionType};
pub use load::plugin::Plugin;
pub use load::registry::{PluginSet, Registry, RegistryConfig, RegistryError};
pub use private_folder::{PrivateEntry, PrivateFolder};
pub use privilege::{check_owned_by_root, has_more_privileges, trusted_variable};
pub use source::PluginSource;
pub use supervise::health::PluginState;
pub use supervise::report::PluginReport;
pub use supervised::{ThreadPanics, spawn_supervised};
pub use thread_time::thread_time;
/// The version of wasmtime that runs plugins.
pub use wasmtime_environ::VERSION as WASMTIME_VERSION;

// Compiles and runs the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
