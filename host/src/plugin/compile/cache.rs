//! Machine code of components that were compiled before.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::{Compiler, Image};

/// Keeps what another compiler made, in a folder that nobody else may open.
///
/// An image is run as it is found, so the folder and the files in it must be the user's own and closed
/// to others; a folder that is not is not used, and files that are not are ignored. A file is named
/// for the component, the engine's version and settings and the processor, and begins with the digest
/// of the rest.
pub struct CompileCache<C> {
    folder: PathBuf,
    compiler: C,
    fingerprint: Vec<u8>,
}

/// Bytes that the cache may have; beyond, what was made first goes first.
const MOST_BYTES: u64 = 512 << 20;

const DIGEST: usize = 32;

impl<C: Compiler> CompileCache<C> {
    /// A cache in this folder, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// Why the folder cannot be used, as a person reads it.
    pub fn open(folder: impl Into<PathBuf>, compiler: C) -> Result<Self, (String, C)> {
        let folder = folder.into();
        let fingerprint = super::super::engine::engine()
            .map(|engine| super::fingerprint(&engine))
            .map_err(|error| format!("{error:#}"));
        match fingerprint.and_then(|fingerprint| prepare(&folder).map(|()| fingerprint)) {
            Ok(fingerprint) => Ok(Self {
                folder,
                compiler,
                fingerprint,
            }),
            Err(reason) => Err((reason, compiler)),
        }
    }

    fn file_of(&self, component: &[u8]) -> PathBuf {
        let key = Sha256::new()
            .chain_update((self.fingerprint.len() as u64).to_le_bytes())
            .chain_update(&self.fingerprint)
            .chain_update(component)
            .finalize();
        self.folder.join(hex::encode(key)).with_extension("image")
    }

    /// Keeps an image; where that fails it is made again the next time.
    fn keep(&self, file: &Path, image: &[u8]) -> std::io::Result<()> {
        let mut new = tempfile::Builder::new().tempfile_in(&self.folder)?;
        new.write_all(&Sha256::digest(image))?;
        new.write_all(image)?;
        new.persist(file)?;
        self.tidy()
    }

    /// Deletes what was made first, until the rest is small enough.
    fn tidy(&self) -> std::io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let data = entry.metadata()?;
            if data.is_file() {
                files.push((data.modified()?, data.len(), entry.path()));
            }
        }
        files.sort();
        let mut size: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, its, path) in files {
            if size <= MOST_BYTES {
                break;
            }
            fs::remove_file(path)?;
            size -= its;
        }
        Ok(())
    }
}

impl<C: Compiler> Compiler for CompileCache<C> {
    fn compile(&self, component: &[u8]) -> Result<Image, String> {
        let file = self.file_of(component);
        if let Some(image) = find(&file) {
            return Ok(image);
        }
        let image = self.compiler.compile(component)?;
        if let Err(error) = self.keep(&file, image.bytes()) {
            tracing::debug!("{} cannot be written: {error}", file.display());
        }
        Ok(image)
    }
}

/// Makes the folder, and checks that it is the user's own.
fn prepare(folder: &Path) -> Result<(), String> {
    let fail = |error: std::io::Error| error.to_string();
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(fail)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(fail(error)),
        _ => {}
    }
    let data = fs::symlink_metadata(folder).map_err(fail)?;
    if !data.is_dir() {
        return Err("it is not a folder".to_owned());
    }
    if data.mode() & 0o077 != 0 {
        return Err(format!(
            "others may open it (mode {:o}); chmod 700 closes it",
            data.mode() & 0o777
        ));
    }
    // What we make is ours.
    let own = tempfile::tempfile_in(folder).and_then(|file| file.metadata());
    match own.map_err(fail)?.uid() == data.uid() {
        true => Ok(()),
        false => Err("it belongs to another user".to_owned()),
    }
}

/// A whole image, in a file that nobody else may write.
fn find(path: &Path) -> Option<Image> {
    let mut file = OpenOptions::new()
        .read(true)
        // Neither a link nor a pipe is one of ours.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let data = file.metadata().ok()?;
    let folder = fs::symlink_metadata(path.parent()?).ok()?;
    if !data.is_file() || data.uid() != folder.uid() || data.mode() & 0o022 != 0 {
        return None;
    }
    let mut bytes = Vec::with_capacity(data.len() as usize);
    file.read_to_end(&mut bytes).ok()?;
    if bytes.len() < DIGEST {
        return None;
    }
    let image = bytes.split_off(DIGEST);
    (Sha256::digest(&image)[..] == bytes[..]).then_some(Image(image))
}
