//! A cache of machine code in a private folder.

use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::cache_folder::{CacheFolder, IMAGE, IMAGE_MAGIC};
use super::{CompileError, CompiledModule, Compiler, FeatureText};
use crate::sandbox::engine_config::engine;
use crate::source::PluginSource;

/// A compiler that keeps the machine code of another compiler in a [`CacheFolder`].
///
/// The name of a file is a digest of the plugin's file, the engine's version and settings, and the processor. A
/// file starts with a header and the digest of the rest.
pub struct CompileCache<C> {
    folder: CacheFolder,
    compiler: C,
    fingerprint: Vec<u8>,
}

const DIGEST: usize = 32;

impl<C: Compiler> CompileCache<C> {
    /// Opens a cache in a folder, and creates the folder if necessary.
    ///
    /// # Errors
    ///
    /// The folder cannot be used. The result is the reason as text, and the compiler.
    pub fn open(folder: impl AsRef<Path>, compiler: C) -> Result<Self, (String, C)> {
        let fingerprint = engine()
            .map(|engine| super::fingerprint(&engine))
            .map_err(|error| format!("{error:#}"));
        let opened =
            fingerprint.and_then(|fingerprint| Ok((CacheFolder::open(folder)?, fingerprint)));
        match opened {
            Ok((folder, fingerprint)) => Ok(Self {
                folder,
                compiler,
                fingerprint,
            }),
            Err(reason) => Err((reason, compiler)),
        }
    }

    /// Returns whether the cache has a file for this plugin. The file may be damaged.
    pub fn contains(&self, plugin: &[u8]) -> bool {
        self.folder.folder.entry(&self.name_of(plugin)).is_some()
    }

    /// Returns the name of the file for a plugin.
    fn name_of(&self, plugin: &[u8]) -> String {
        let key = Sha256::new()
            .chain_update((self.fingerprint.len() as u64).to_le_bytes())
            .chain_update(&self.fingerprint)
            .chain_update(plugin)
            .finalize();
        hex::encode(key) + IMAGE
    }

    /// Returns the machine code in a file, if the file is complete.
    fn find(&self, name: &str) -> Option<CompiledModule> {
        let head = IMAGE_MAGIC.len() + DIGEST;
        let max = (CompiledModule::MAX_BYTES + head) as u64;
        let (head, image) = self.folder.folder.read_split(name, head as u64, max).ok()?;
        let digest = head.strip_prefix(IMAGE_MAGIC)?;
        let is_whole = Sha256::digest(&image)[..] == *digest;
        if !is_whole {
            return None;
        }
        self.folder.record_use(name);
        Some(CompiledModule(image))
    }

    /// Writes a file. After an error, the plugin is compiled again the next time.
    fn store(&self, name: &str, image: &[u8]) -> io::Result<()> {
        let digest = Sha256::digest(image);
        self.folder.store(name, &[IMAGE_MAGIC, &digest, image])
    }
}

impl<C: Compiler> Compiler for CompileCache<C> {
    fn compile(
        &self,
        source: &PluginSource,
        plugin: &[u8],
    ) -> Result<CompiledModule, CompileError> {
        let name = self.name_of(plugin);
        if let Some(image) = self.find(&name) {
            return Ok(image);
        }
        let image = self.compiler.compile(source, plugin)?;
        if let Err(error) = self.store(&name, image.bytes()) {
            tracing::debug!("cannot keep compiled plugin {name}: {error}");
        }
        Ok(image)
    }

    fn component_of(&self, features: &FeatureText) -> Result<Vec<u8>, CompileError> {
        self.compiler.component_of(features)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Returns the plugin's bytes as machine code, and counts calls.
    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Compiler for Counting {
        fn compile(&self, _: &PluginSource, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match plugin {
                b"bad" => Err(CompileError::DoesNotCompile("on purpose".into())),
                _ => Ok(CompiledModule(plugin.to_vec())),
            }
        }

        fn component_of(&self, features: &FeatureText) -> Result<Vec<u8>, CompileError> {
            features.component()
        }
    }

    fn open(folder: &Path) -> Result<CompileCache<Counting>, String> {
        CompileCache::open(folder, Counting::default()).map_err(|(reason, _)| reason)
    }

    #[test]
    fn a_plugin_is_compiled_once() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("cache");
        let cache = open(&folder).unwrap();
        let source = PluginSource::File("x.wasm".into());
        let compile = |cache: &CompileCache<Counting>, plugin: &[u8]| {
            let image = cache
                .compile(&source, plugin)
                .map(|image| image.bytes().to_vec());
            (image.ok(), cache.compiler.0.load(Ordering::Relaxed))
        };
        assert_eq!(compile(&cache, b"one"), (Some(b"one".to_vec()), 1));
        assert_eq!(compile(&cache, b"one"), (Some(b"one".to_vec()), 1));
        assert_eq!(compile(&cache, b"two"), (Some(b"two".to_vec()), 2));
        // A failure is not kept.
        assert_eq!(compile(&cache, b"bad"), (None, 3));
        assert_eq!(compile(&cache, b"bad"), (None, 4));
        // Another run finds the same files.
        let mut again = open(&folder).unwrap();
        assert_eq!(compile(&again, b"two"), (Some(b"two".to_vec()), 0));
        // A damaged file is compiled again, and replaced.
        let file = folder.join(again.name_of(b"two"));
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert_eq!(compile(&again, b"two"), (Some(b"two".to_vec()), 1));
        assert_eq!(compile(&again, b"two"), (Some(b"two".to_vec()), 1));
        // So is one for another engine.
        again.fingerprint.push(0);
        assert_eq!(compile(&again, b"two"), (Some(b"two".to_vec()), 2));
    }
}
