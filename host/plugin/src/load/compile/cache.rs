//! A cache of machine code in a private folder.

use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{CompileError, CompiledModule, Compiler};
use crate::private_folder::PrivateFolder;
use crate::sandbox::engine_config::engine;

/// A compiler that keeps the machine code of another compiler in a private folder.
///
/// Machine code is executed as it is found. The folder and its files must therefore belong to the user, and
/// must not be accessible to others. Flowloom does not use another folder, and ignores other files. The name of
/// a file is a digest of the plugin's file, the engine's version and settings, and the processor. A file starts
/// with a header and the digest of the rest.
///
/// The folder is marked with a `CACHEDIR.TAG` (<https://bford.info/cachedir/>). A folder that has other files
/// and no such tag is not used. Only files with machine code are ever deleted.
pub struct CompileCache<C> {
    folder: PrivateFolder,
    compiler: C,
    fingerprint: Vec<u8>,
}

/// The maximum number of bytes of the cache. The oldest files are deleted first.
const MAX_BYTES: u64 = 512 << 20;

/// The header of a file, before the digest.
const MAGIC: &[u8] = b"flowloom image 1\n";

const DIGEST: usize = 32;

const TAG: &str = "CACHEDIR.TAG";
const NEW_TAG: &str = "CACHEDIR.TAG.new";
/// The start of a `CACHEDIR.TAG`.
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
const TAG_REST: &[u8] = b"\n# Compiled plugins of flowloom, which can be made again.\n\
    # For cache directory tags see https://bford.info/cachedir/\n";

/// The end of a file's name. The start is a digest in hexadecimal digits.
const IMAGE: &str = ".image";
/// The end of the name of a file that is not complete.
const NEW: &str = ".new";

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
        let opened = fingerprint.and_then(|fingerprint| {
            let folder = PrivateFolder::open(folder.as_ref())?;
            tag(&folder)?;
            Ok((folder, fingerprint))
        });
        match opened {
            Ok((folder, fingerprint)) => Ok(Self {
                folder,
                compiler,
                fingerprint,
            }),
            Err(reason) => Err((reason, compiler)),
        }
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
        let head = MAGIC.len() + DIGEST;
        let max = (CompiledModule::MAX_BYTES + head) as u64;
        let (head, image) = self.folder.read_split(name, head as u64, max).ok()?;
        let digest = head.strip_prefix(MAGIC)?;
        let is_whole = Sha256::digest(&image)[..] == *digest;
        is_whole.then_some(CompiledModule(image))
    }

    /// Writes a file. After an error, the plugin is compiled again the next time.
    fn store(&self, name: &str, image: &[u8]) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let new = format!("{name}.{}{NEW}", hex::encode(random));
        let digest = Sha256::digest(image);
        self.folder.write(name, &new, &[MAGIC, &digest, image])?;
        self.evict()
    }

    /// Deletes the oldest files until the cache is small enough.
    fn evict(&self) -> io::Result<()> {
        let names = self.folder.names()?;
        let images = names.iter().filter(|name| self.is_own(name));
        let mut images: Vec<_> = images.filter_map(|name| self.folder.entry(name)).collect();
        images.sort();
        let mut size: u64 = images.iter().map(|image| image.size).sum();
        for image in images {
            if size <= MAX_BYTES {
                break;
            }
            self.folder.remove(&image.name)?;
            size -= image.size;
        }
        Ok(())
    }

    /// Returns whether a file has the name and the start of a cache file, perhaps of an earlier version.
    fn is_own(&self, name: &str) -> bool {
        let is_image = |head: Vec<u8>| {
            let short = &head[..head.len().min(MAGIC.len())];
            MAGIC.starts_with(short) || head.get(DIGEST..) == Some(b"\x7fELF")
        };
        is_image_name(name)
            && self
                .folder
                .head(name, DIGEST as u64 + 4)
                .is_ok_and(is_image)
    }
}

impl<C: Compiler> Compiler for CompileCache<C> {
    fn compile(&self, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
        let name = self.name_of(plugin);
        if let Some(image) = self.find(&name) {
            return Ok(image);
        }
        let image = self.compiler.compile(plugin)?;
        if let Err(error) = self.store(&name, image.bytes()) {
            tracing::debug!("cannot keep compiled plugin {name}: {error}");
        }
        Ok(image)
    }
}

/// Marks a folder as a cache, unless it has other files.
fn tag(folder: &PrivateFolder) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let names = folder.names().map_err(fail)?;
    if names.iter().any(|name| name == TAG) {
        let head = folder.head(TAG, SIGNATURE.len() as u64).map_err(fail)?;
        return match head == SIGNATURE {
            true => Ok(()),
            false => Err(format!("its {TAG} has no valid signature")),
        };
    }
    // Caches of earlier versions have no tag.
    let other = names
        .iter()
        .find(|name| !is_image_name(name) && !is_unfinished(name));
    match other {
        Some(other) => Err(format!(
            "it has other files, such as {}, and no {TAG}; use a folder that is empty or does not exist",
            other.escape_debug()
        )),
        None => folder
            .write(TAG, NEW_TAG, &[SIGNATURE, TAG_REST])
            .or_else(|error| match error.kind() {
                // Another run creates the tag at the same time.
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(fail(error)),
            }),
    }
}

/// Returns whether a name is that of a cache file, complete or not.
fn is_image_name(name: &str) -> bool {
    let hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let Some((key, rest)) = name.split_once(IMAGE) else {
        return false;
    };
    let random = rest
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(NEW));
    hex(key, 64) && (rest.is_empty() || random.is_some_and(|random| hex(random, 16)))
}

/// Returns whether a name is that of an incomplete tag, or of an incomplete file of an earlier version.
fn is_unfinished(name: &str) -> bool {
    name == NEW_TAG || name.len() == 10 && name.starts_with(".tmp")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Returns the plugin's bytes as machine code, and counts calls.
    #[derive(Default)]
    struct Counting(AtomicU32);

    impl Compiler for Counting {
        fn compile(&self, plugin: &[u8]) -> Result<CompiledModule, CompileError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match plugin {
                b"bad" => Err(CompileError::DoesNotCompile("on purpose".into())),
                _ => Ok(CompiledModule(plugin.to_vec())),
            }
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
        let compile = |cache: &CompileCache<Counting>, plugin: &[u8]| {
            let image = cache.compile(plugin).map(|image| image.bytes().to_vec());
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

    #[test]
    fn the_oldest_files_are_deleted_and_other_files_never() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("cache");
        let cache = open(&folder).unwrap();
        // `age` orders the files from the oldest to the newest.
        let sparse = |name: &str, start: &[u8], size: u64, age: u64| {
            let path = folder.join(name);
            fs::write(&path, start).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(size).unwrap();
            let time = UNIX_EPOCH + Duration::from_secs(age);
            file.set_modified(time).unwrap();
        };
        let name = |digit: &str| digit.repeat(64) + IMAGE;
        let old = [&[0; DIGEST][..], b"\x7fELF"].concat();
        sparse(&name("b"), MAGIC, MAX_BYTES / 2, 3);
        // Of an earlier version.
        sparse(&name("a"), &old, MAX_BYTES / 2, 4);
        let other = b"something else altogether, which is longer";
        sparse(&name("c"), other, MAX_BYTES, 1);
        sparse("unrelated", MAGIC, MAX_BYTES, 2);
        cache.evict().unwrap();
        let names = || {
            let mut names = cache.folder.names().unwrap();
            names.sort();
            names
        };
        let mut all = vec![
            TAG.to_owned(),
            name("a"),
            name("b"),
            name("c"),
            "unrelated".into(),
        ];
        all.sort();
        assert_eq!(names(), all);
        cache.compile(b"one").unwrap();
        all.retain(|other| *other != name("b"));
        all.push(cache.name_of(b"one"));
        all.sort();
        assert_eq!(names(), all);
    }

    #[test]
    fn a_folder_with_other_files_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let path = &parent.path().join("cache");
        drop(PrivateFolder::open(path).unwrap());
        let earlier = "0123456789abcdef".repeat(4) + IMAGE;
        for name in [
            &*earlier,
            &format!("{earlier}.0123456789abcdef{NEW}"),
            ".tmp123456",
        ] {
            fs::write(path.join(name), "").unwrap();
        }
        open(path).unwrap();
        assert!(fs::read(path.join(TAG)).unwrap().starts_with(SIGNATURE));
        // With the tag, other files do not matter.
        fs::write(path.join("notes"), "").unwrap();
        open(path).unwrap();
        fs::write(path.join(TAG), "Signature: other").unwrap();
        let error = open(path).err().unwrap();
        assert_eq!(error, "its CACHEDIR.TAG has no valid signature");
        fs::remove_file(path.join(TAG)).unwrap();
        let error = open(path).err().unwrap();
        assert!(
            error.starts_with("it has other files, such as notes, and no "),
            "{error}"
        );
        fs::remove_file(path.join("notes")).unwrap();
        for other in [
            &earlier[1..],
            &earlier.replace('f', "g"),
            ".tmp12345",
            &format!("{earlier}.new"),
        ] {
            fs::write(path.join(other), "").unwrap();
            assert!(open(path).is_err(), "{other}");
            fs::remove_file(path.join(other)).unwrap();
        }
        fs::write(path.join(NEW_TAG), "").unwrap();
        assert!(open(path).is_ok());
    }
}
