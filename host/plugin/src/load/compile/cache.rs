//! Machine code of components that were compiled before.

use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::private_folder::PrivateFolder;
use super::{CompileError, CompiledModule, Compiler};
use crate::sandbox::engine_config::engine;

/// Keeps what another compiler made, in a folder that nobody else may open.
///
/// An image is run as it is found, so the folder and the files in it must be the user's own and closed
/// to others; a folder that is not is not used, and files that are not are ignored. A file is named
/// for the plugin's file, the engine's version and settings and the processor. It begins with
/// what it is, and the digest of the rest.
///
/// The folder is marked with a `CACHEDIR.TAG` (<https://bford.info/cachedir/>). One that has other files
/// and no such mark is not used, and only files that are images are ever deleted.
pub struct CompileCache<C> {
    folder: PrivateFolder,
    compiler: C,
    fingerprint: Vec<u8>,
}

/// Bytes that the cache may have; beyond, what was made first goes first.
const MOST_BYTES: u64 = 512 << 20;

/// How an image's file begins, before its digest.
const MAGIC: &[u8] = b"flowloom image 1\n";

const DIGEST: usize = 32;

const TAG: &str = "CACHEDIR.TAG";
const NEW_TAG: &str = "CACHEDIR.TAG.new";
/// How a `CACHEDIR.TAG` begins.
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
const TAG_REST: &[u8] = b"\n# Compiled plugins of flowloom, which can be made again.\n\
    # For cache directory tags see https://bford.info/cachedir/\n";

/// What the name of an image's file ends with; the rest is a digest in hexadecimal digits.
const IMAGE: &str = ".image";
/// The same of one that is not written to its end.
const NEW: &str = ".new";

impl<C: Compiler> CompileCache<C> {
    /// A cache in this folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// Why the folder cannot be used, as a person reads it.
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

    /// The name of a plugin's image.
    fn name_of(&self, plugin: &[u8]) -> String {
        let key = Sha256::new()
            .chain_update((self.fingerprint.len() as u64).to_le_bytes())
            .chain_update(&self.fingerprint)
            .chain_update(plugin)
            .finalize();
        hex::encode(key) + IMAGE
    }

    /// Finds a whole image.
    fn find(&self, name: &str) -> Option<CompiledModule> {
        let most = CompiledModule::MOST_BYTES + MAGIC.len() + DIGEST;
        let mut bytes = self.folder.read(name, most as u64).ok()?;
        let (digest, image) = bytes.strip_prefix(MAGIC)?.split_at_checked(DIGEST)?;
        let is_whole = Sha256::digest(image)[..] == *digest;
        is_whole.then(|| CompiledModule(bytes.split_off(MAGIC.len() + DIGEST)))
    }

    /// Keeps an image; where that fails it is made again the next time.
    fn keep(&self, name: &str, image: &[u8]) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let new = format!("{name}.{}{NEW}", hex::encode(random));
        let digest = Sha256::digest(image);
        self.folder.write(name, &new, &[MAGIC, &digest, image])?;
        self.tidy()
    }

    /// Deletes the images that were made first, until the rest is small enough.
    fn tidy(&self) -> io::Result<()> {
        let names = self.folder.names()?;
        let images = names.iter().filter(|name| self.is_own(name));
        let mut images: Vec<_> = images.filter_map(|name| self.folder.entry(name)).collect();
        images.sort();
        let mut size: u64 = images.iter().map(|image| image.size).sum();
        for image in images {
            if size <= MOST_BYTES {
                break;
            }
            self.folder.remove(&image.name)?;
            size -= image.size;
        }
        Ok(())
    }

    /// Whether a file has the name of an image, and begins as one, be it of an earlier version.
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
        if let Err(error) = self.keep(&name, image.bytes()) {
            tracing::debug!("the compiled plugin {name} is not kept: {error}");
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
            false => Err(format!("its {TAG} is not that of a cache")),
        };
    }
    // Caches of before had no tag.
    let other = names
        .iter()
        .find(|name| !is_image_name(name) && !is_unfinished(name));
    match other {
        Some(other) => Err(format!(
            "it has other files, such as {}, and no {TAG}; give a folder that is empty or not there",
            other.escape_debug()
        )),
        None => folder
            .write(TAG, NEW_TAG, &[SIGNATURE, TAG_REST])
            .or_else(|error| match error.kind() {
                // Another run does the same.
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(fail(error)),
            }),
    }
}

/// Whether a name is that of an image, whole or not.
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

/// Whether a name is that of a tag, or of an image of an earlier version, which was not written to its end.
fn is_unfinished(name: &str) -> bool {
    name == NEW_TAG || name.len() == 10 && name.starts_with(".tmp")
}
