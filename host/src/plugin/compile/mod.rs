//! From a component to machine code: in this process, in one that can be killed, or from a cache.

mod cache;
mod child;
mod cost;

use wasmtime::Engine;

pub use cache::CompileCache;
pub use child::ChildCompiler;
pub(crate) use cost::HostCost;

/// Compiles components, apart from the run that wants them.
pub trait Compiler: Send + Sync {
    /// Compiles a component.
    ///
    /// # Errors
    ///
    /// Why there is no code of it, as a person reads it.
    fn compile(&self, component: &[u8]) -> Result<Image, String>;
}

/// Machine code of a component, for this host on this processor. It is run as it is: only this library
/// makes it.
pub struct Image(Vec<u8>);

impl Image {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Compiles a component for [`ChildCompiler`], whose child calls it.
///
/// # Errors
///
/// What is wrong with it.
pub fn compile(component: &[u8]) -> Result<Vec<u8>, String> {
    let engine = super::engine::engine().map_err(|error| format!("{error:#}"))?;
    let image = engine
        .precompile_component(component)
        .map_err(|error| format!("{error:#}"))?;
    HostCost::of(&image).map(|_| image)
}

/// Compiles a component in this process.
pub(super) fn in_process(component: &[u8]) -> Result<Image, String> {
    compile(component).map(Image)
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
