//! Identity of files.

use std::fs::{self, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use crate::storage::{Place, public};

/// The identity of a file or object. Symbolic and hard links to a file have the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

/// The device of objects in stores. Linux has 32 bits for the number of a device.
const STORES: u64 = u64::MAX;

impl FileId {
    /// Returns the identity of the file at a path. It follows symbolic links. The identity of an object is its URL.
    ///
    /// The result is `None` if there is no file, or if it is a character device. Data that is
    /// written to such a device is not the data that is read from it.
    pub fn at(path: &Path) -> Option<Self> {
        if let Ok(Place::Object(_)) = Place::of(path) {
            let mut hasher = DefaultHasher::new();
            public(path).hash(&mut hasher);
            return Some(Self {
                device: STORES,
                inode: hasher.finish(),
            });
        }
        let metadata = fs::metadata(path).ok()?;
        (!metadata.file_type().is_char_device()).then(|| Self::of(&metadata))
    }

    /// Returns the identity of an open file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}
