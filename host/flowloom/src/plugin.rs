//! Plugins: sandboxed WebAssembly components that add features to flows.

pub use flowloom_plugin::{
    CONTRACT_VERSION, CacheFolder, CachedFile, CachedKind, CallMode, ChildCompiler, Cleaned,
    CompileCache, CompileError, CompiledModule, Compiler, DigestError, EventTime, FeatureSource,
    FeatureText, FollowError, FunctionUse, GrantError, Grants, InspectedFeatures, Inspection,
    Limits, LoadErrorKind, Manifest, OptionDescription, OptionType, Plugin, PluginError,
    PluginFolder, PluginReport, PluginSet, PluginSource, PluginSpec, PluginState, Policy,
    PolicyError, Registry, RegistryConfig, RegistryError, RequestedData, RunContext, SchemaMode,
    Sha256, SpecError, Trap, checked_json, componentize, escaped, escaped_path, serve_compiler,
    shown,
};
