//! From a plugin's file to machine code: in this process, in one that is bounded, or from a cache.

pub(crate) mod answer;
mod cache;
mod child;
mod private_folder;
pub(crate) mod structure;
mod work;

use wasmtime::Engine;

pub use cache::CompileCache;
pub use child::ChildCompiler;
pub(crate) use work::in_process;
pub use work::{componentize, serve};

/// Compiles plugins, apart from the run that wants them.
pub trait Compiler: Send + Sync {
    /// Compiles a plugin's file: a component, or a core module that carries its component type.
    ///
    /// # Errors
    ///
    /// Why there is no code of it.
    fn compile(&self, plugin: &[u8]) -> Result<CompiledModule, CompileError>;
}

/// Why there is no machine code of a plugin's file. The text does not name the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The file is neither a component nor a core module that becomes one.
    #[error("it is not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The component is not valid, or takes more than the compiler may use.
    #[error("it does not compile: {0}")]
    DoesNotCompile(String),
}

impl CompileError {
    /// What is wrong with the file.
    pub fn reason(&self) -> &str {
        match self {
            Self::NotAComponent(reason) | Self::DoesNotCompile(reason) => reason,
        }
    }
}

/// Machine code of a component, for this host on this processor. It is run as it is: only this library
/// makes it.
pub struct CompiledModule(Vec<u8>);

impl CompiledModule {
    /// Bytes of the largest image that is accepted: Python's interpreter has a quarter of it.
    pub const MOST_BYTES: usize = 256 << 20;

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What an image depends on besides its component: the engine's version and settings, and the
/// processor.
fn fingerprint(engine: &Engine) -> Vec<u8> {
    use std::hash::{Hash as _, Hasher};

    /// Keeps what is hashed.
    struct Kept(Vec<u8>);

    impl Hasher for Kept {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    let mut kept = Kept(env!("CARGO_PKG_VERSION").into());
    engine.precompile_compatibility_hash().hash(&mut kept);
    kept.0
}
