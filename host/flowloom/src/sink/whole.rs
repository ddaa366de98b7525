//! Files that end where a line ends, whatever happens.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::identity::FileId;
use super::output::Output;

/// A file to whose end is written, and in which what is written at once is there whole or not at all:
/// a disk may be full in the middle of it, and flows may be written behind it when it is not any more.
pub(super) struct Whole {
    file: File,
    /// Not a pipe or a device, of which nothing can be taken back.
    is_file: bool,
}

impl Whole {
    /// Creates a file, or empties it unless it is one of the `inputs`.
    pub(super) fn create(path: &Path, inputs: &[FileId]) -> io::Result<Self> {
        let whole = Self::of(File::options().append(true).create(true).open(path)?)?;
        if whole.is_file {
            if inputs.contains(&whole.id()?) {
                return Err(io::Error::other("the run reads this file"));
            }
            whole.file.set_len(0)?;
        }
        Ok(whole)
    }

    /// Creates a file that is not there yet.
    pub(super) fn create_new(path: &Path) -> io::Result<Self> {
        Self::of(File::options().append(true).create_new(true).open(path)?)
    }

    /// Puts a new file in the place of one that may be there. Who reads that one reads on in it, and a
    /// link is removed, not followed.
    pub(super) fn replace(path: &Path) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Self::create_new(path),
        }
    }

    /// Opens a file that is there, or a pipe or device. A file can be read as well.
    pub(super) fn existing(path: &Path) -> io::Result<Self> {
        let is_file = fs::metadata(path)?.is_file();
        // Whoever may read a pipe is a reader of it, and would not see that there is no other.
        Self::of(File::options().append(true).read(is_file).open(path)?)
    }

    fn of(file: File) -> io::Result<Self> {
        let is_file = file.metadata()?.is_file();
        Ok(Self { file, is_file })
    }

    pub(super) fn id(&self) -> io::Result<FileId> {
        Ok(FileId::of(&self.file.metadata()?))
    }

    /// The file, if it is one and not a pipe or a device.
    pub(super) fn as_file(&self) -> Option<&File> {
        self.is_file.then_some(&self.file)
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

impl Output for Whole {
    fn end(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
