//! Which file a path leads to.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// What tells a file from all others: symbolic and hard links lead to the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// Returns that of the file that a path leads to; `None` if it leads to none, or to a character device:
    /// what is written to that is not what is read from it.
    pub fn at(path: &Path) -> Option<Self> {
        let is = fs::metadata(path).ok()?;
        (!is.file_type().is_char_device()).then(|| Self::of(&is))
    }

    /// Returns that of an open file.
    pub fn of(is: &Metadata) -> Self {
        Self {
            device: is.dev(),
            inode: is.ino(),
        }
    }
}
