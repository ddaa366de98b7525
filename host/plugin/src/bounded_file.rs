//! Reads files of limited size, and only regular files.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The rules for reading a file.
#[derive(Clone, Copy, Debug)]
pub struct BoundedRead {
    max: u64,
    follows_links: bool,
}

/// The reason why a file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoundedReadError {
    /// The system cannot open or read it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a directory, a FIFO, a socket or a device.
    #[error("it is {0}, not a regular file")]
    NotAFile(&'static str),
    /// It is a symbolic link, and links are not followed.
    #[error("it is a symbolic link, which is not accepted here")]
    Link,
    /// It is larger than accepted.
    #[error("it has {size} bytes; at most {max} are accepted")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The accepted size in bytes.
        max: u64,
    },
}

impl From<BoundedReadError> for io::Error {
    fn from(error: BoundedReadError) -> Self {
        match error {
            BoundedReadError::Io(error) => error,
            other => Self::other(other.to_string()),
        }
    }
}

impl BoundedRead {
    /// Creates rules for regular files of at most `max` bytes.
    pub const fn new(max: u64) -> Self {
        Self {
            max,
            follows_links: true,
        }
    }

    /// Sets whether a path that is a symbolic link is followed; it is by default.
    #[must_use]
    pub const fn follows_links(self, follows_links: bool) -> Self {
        Self {
            follows_links,
            ..self
        }
    }

    /// Reads a file as bytes.
    ///
    /// The call never blocks on a FIFO and never reads a device, even if one replaces the file during the call.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not a regular file, is a link that is not followed, or is too large.
    pub fn bytes(self, path: impl AsRef<Path>) -> Result<Vec<u8>, BoundedReadError> {
        let (file, size) = self.open(path.as_ref())?;
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        // Some files are longer than their metadata says, and a file may grow during the call.
        file.take(self.max + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 {
            size if size > self.max => Err(BoundedReadError::TooLarge {
                size,
                max: self.max,
            }),
            _ => Ok(bytes),
        }
    }

    /// Reads a file as UTF-8 text.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes), or the file is not UTF-8.
    pub fn text(self, path: impl AsRef<Path>) -> Result<String, BoundedReadError> {
        String::from_utf8(self.bytes(path)?)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text").into())
    }

    /// Checks type and size of a file that another library reads by its path.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    pub fn check(self, path: impl AsRef<Path>) -> Result<(), BoundedReadError> {
        self.open(path.as_ref()).map(|_| ())
    }

    fn open(self, path: &Path) -> Result<(File, u64), BoundedReadError> {
        // Opening some devices has effects, so the type is checked before opening. It is checked again
        // afterwards, because the path may name another file by then.
        let before = match self.follows_links {
            true => std::fs::metadata(path)?,
            false => std::fs::symlink_metadata(path)?,
        };
        self.accept(&before)?;
        let link = match self.follows_links {
            true => 0,
            false => libc::O_NOFOLLOW,
        };
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | link)
            .open(path)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::ELOOP) if !self.follows_links => BoundedReadError::Link,
                _ => error.into(),
            })?;
        let size = self.accept(&file.metadata()?)?;
        Ok((file, size))
    }

    /// Returns the size of an accepted file.
    fn accept(self, data: &Metadata) -> Result<u64, BoundedReadError> {
        let (kind, size) = (data.file_type(), data.len());
        match () {
            () if kind.is_symlink() => Err(BoundedReadError::Link),
            () if kind.is_dir() => Err(BoundedReadError::NotAFile("a directory")),
            () if kind.is_fifo() => Err(BoundedReadError::NotAFile("a FIFO")),
            () if kind.is_socket() => Err(BoundedReadError::NotAFile("a socket")),
            () if !kind.is_file() => Err(BoundedReadError::NotAFile("a device")),
            () if size > self.max => Err(BoundedReadError::TooLarge {
                size,
                max: self.max,
            }),
            () => Ok(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const READ: BoundedRead = BoundedRead::new(4);

    #[track_caller]
    fn refused(read: BoundedRead, path: &Path, why: &str) {
        assert_eq!(read.bytes(path).unwrap_err().to_string(), why);
        assert_eq!(read.text(path).unwrap_err().to_string(), why);
        assert_eq!(read.check(path).unwrap_err().to_string(), why);
    }

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, fifo) = (
            folder.path().join("file"),
            folder.path().join("link"),
            folder.path().join("fifo"),
        );
        std::fs::write(&file, "four").unwrap();
        symlink(&file, &link).unwrap();
        assert_eq!(READ.bytes(&file).unwrap(), b"four");
        assert_eq!(READ.text(&link).unwrap(), "four");
        READ.check(&link).unwrap();
        refused(
            READ.follows_links(false),
            &link,
            "it is a symbolic link, which is not accepted here",
        );
        std::fs::write(&file, "fives").unwrap();
        refused(READ, &file, "it has 5 bytes; at most 4 are accepted");
        refused(READ, folder.path(), "it is a directory, not a regular file");
        refused(
            READ,
            Path::new("/dev/zero"),
            "it is a device, not a regular file",
        );
        // There is no writer, so reading would block.
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        refused(READ, &fifo, "it is a FIFO, not a regular file");
    }

    #[test]
    fn the_limit_also_holds_if_the_metadata_is_wrong() {
        // Files of /proc have the size 0.
        let error = READ.bytes("/proc/self/status").unwrap_err();
        assert_eq!(error.to_string(), "it has 5 bytes; at most 4 are accepted");
    }

    #[test]
    fn errors_do_not_contain_bytes_of_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [b'a', 0xff]).unwrap();
        let error = READ.text(file.path()).unwrap_err();
        assert_eq!(error.to_string(), "it is not UTF-8 text");
    }
}
