//! Files in which a failed write leaves nothing behind.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::identity::FileId;
use super::output::Output;

/// A file that is opened for appending. A write appends all its bytes or none.
///
/// A disk may become full during a write. The file then still ends at the end of a line, so that
/// flows can be appended when the disk has space again.
pub(super) struct AtomicFile {
    file: File,
    /// Whether it is a regular file. A write to a pipe or device cannot be undone.
    is_file: bool,
}

impl AtomicFile {
    /// Creates a file, or truncates an existing one. It fails if the file is one of the `inputs`.
    pub(super) fn create(path: &Path, inputs: &[FileId]) -> io::Result<Self> {
        let opened = Self::of(File::options().append(true).create(true).open(path)?)?;
        if opened.is_file {
            if inputs.contains(&opened.id()?) {
                return Err(io::Error::other("the run reads this file"));
            }
            opened.file.set_len(0)?;
        }
        Ok(opened)
    }

    /// Creates a file. It fails if the file exists.
    pub(super) fn create_new(path: &Path) -> io::Result<Self> {
        Self::of(File::options().append(true).create_new(true).open(path)?)
    }

    /// Replaces a file that may exist by a new one. A process that reads the old file is not
    /// affected. A link is removed, not followed.
    pub(super) fn replace(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Self::create_new(path),
        }
    }

    /// Opens an existing file, pipe or device. A regular file is opened for reading too.
    pub(super) fn existing(path: &Path) -> io::Result<Self> {
        let is_file = fs::metadata(path)?.is_file();
        // A pipe is not opened for reading. Otherwise this process would be a reader of the pipe,
        // and writes would not fail when the other readers are gone.
        Self::of(File::options().append(true).read(is_file).open(path)?)
    }

    /// Uses a file that is open for appending.
    pub(super) fn of(file: File) -> io::Result<Self> {
        let is_file = file.metadata()?.is_file();
        Ok(Self { file, is_file })
    }

    pub(super) fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&self.file.metadata()?))
    }

    /// Returns the file, or `None` if it is a pipe or a device.
    pub(super) fn as_file(&self) -> Option<&File> {
        self.is_file.then_some(&self.file)
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_file {
            return self.file.write(bytes);
        }
        // Another process may have truncated the file.
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

impl Output for AtomicFile {
    fn end(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
