//! Compilation of a plugin's file to machine code: in this process, in a process with limits, or from a cache.

pub(crate) mod answer;
mod cache;
mod cache_folder;
mod child;
mod features;
mod functions;
pub(crate) mod structure;
mod work;

use wasmtime::Engine;

use crate::source::PluginSource;

pub use cache::CompileCache;
pub use cache_folder::{CacheFolder, CachedFile, CachedKind, Cleaned};
pub use child::{ChildCompiler, FunctionUse};
pub use features::FeatureText;
pub(crate) use work::in_process;
pub use work::{componentize, serve};

/// Compiles plugins.
pub trait Compiler: Send + Sync {
    /// Compiles a plugin's file: a component, or a core module with its component type. `source` is where the file
    /// comes from, for messages.
    ///
    /// # Errors
    ///
    /// The file cannot be compiled.
    fn compile(&self, source: &PluginSource, plugin: &[u8])
    -> Result<CompiledModule, CompileError>;

    /// Compiles features to a component.
    ///
    /// # Errors
    ///
    /// The text has errors.
    fn component_of(&self, features: &FeatureText) -> Result<Vec<u8>, CompileError>;
}

/// The reason why a plugin's file cannot be compiled. The text does not name the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The file is neither a component nor a core module that becomes one.
    #[error("it is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The component is not valid, or exceeds a limit of the compiler.
    #[error("it does not compile: {0}")]
    DoesNotCompile(String),
    /// The text of features has errors. The reason has several lines, which show the places.
    #[error("{0}")]
    BadFeatures(String),
}

impl CompileError {
    /// Returns the reason without the kind of error.
    pub fn reason(&self) -> &str {
        match self {
            Self::NotAComponent(reason)
            | Self::DoesNotCompile(reason)
            | Self::BadFeatures(reason) => reason,
        }
    }
}

/// Machine code of a component, for this version of the engine and this processor.
///
/// It is executed without validation. Only this library creates it.
pub struct CompiledModule(Vec<u8>);

impl CompiledModule {
    /// The maximum number of bytes. Python's interpreter has a quarter of it.
    pub const MAX_BYTES: usize = 256 << 20;

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Returns what machine code depends on besides its component: the engine's version and settings, and the
/// processor.
fn fingerprint(engine: &Engine) -> Vec<u8> {
    use std::hash::{Hash as _, Hasher};

    /// Records the bytes that are hashed.
    struct Recorder(Vec<u8>);

    impl Hasher for Recorder {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    let mut recorder = Recorder(env!("CARGO_PKG_VERSION").into());
    engine.precompile_compatibility_hash().hash(&mut recorder);
    recorder.0
}
