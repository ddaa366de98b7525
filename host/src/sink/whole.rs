//! Files that end where a line ends, whatever happens.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// A file to whose end is written, and in which what is written at once is there whole or not at all:
/// a disk may be full in the middle of it, and flows may be written behind it when it is not any more.
pub(super) struct Whole {
    file: File,
    /// Not a pipe or a device, of which nothing can be taken back.
    is_file: bool,
}

impl Whole {
    /// Creates a file, or empties it.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let whole = Self::open(path)?;
        if whole.is_file {
            whole.file.set_len(0)?;
        }
        Ok(whole)
    }

    /// Opens a file, or creates it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        let is_file = file.metadata()?.is_file();
        Ok(Self { file, is_file })
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() == 0)
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_file {
            return self.file.write(bytes);
        }
        // Others may have cut it meanwhile.
        let end = self.file.metadata()?.len();
        if let Err(error) = self.file.write_all(bytes) {
            self.file.set_len(end)?;
            return Err(error);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
