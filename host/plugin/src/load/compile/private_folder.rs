//! A folder that belongs to the user and is not accessible to others.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, renameat, statat, unlinkat};

/// A folder that belongs to the user and is not accessible to others.
///
/// Every access uses one descriptor, whose owner and mode were checked. A folder that replaces it later is therefore not
/// used. Links, pipes and files of other users in it are not used either.
pub(crate) struct PrivateFolder {
    folder: File,
    /// The user id of its owner, who must also own the files that are read.
    owner: u32,
}

/// A regular file of the folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) modified: SystemTime,
    pub(crate) size: u64,
    pub(crate) name: String,
}

impl PrivateFolder {
    /// Opens a folder, and creates it if necessary.
    ///
    /// # Errors
    ///
    /// The folder cannot be used. The text is the reason.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let fail = |error: io::Error| error.to_string();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(fail)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(fail(error)),
            _ => {}
        }
        let folder = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| match error.raw_os_error() {
                Some(libc::ENOTDIR | libc::ELOOP) => "it is not a folder".to_owned(),
                _ => fail(error),
            })?;
        let data = folder.metadata().map_err(fail)?;
        let owner = rustix::process::geteuid().as_raw();
        if data.uid() != owner {
            return Err("it belongs to another user".to_owned());
        }
        if data.mode() & 0o077 != 0 {
            return Err(format!(
                "other users may open it (mode {:o}); use chmod 700",
                data.mode() & 0o777
            ));
        }
        check_parents(path).map_err(|error| error.unwrap_or_else(fail))?;
        Ok(Self { folder, owner })
    }

    /// Returns the names in the folder.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !matches!(&*name, "." | "..") {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Returns the metadata of a regular file; `None` for anything else.
    pub(crate) fn entry(&self, name: &str) -> Option<Entry> {
        let data = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let seconds = Duration::from_secs(u64::try_from(data.st_mtime).unwrap_or_default());
        let modified =
            SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(data.st_mtime_nsec as u64);
        (FileType::from_raw_mode(data.st_mode) == FileType::RegularFile).then(|| Entry {
            modified,
            size: u64::try_from(data.st_size).unwrap_or_default(),
            name: name.to_owned(),
        })
    }

    /// Reads the first bytes, at most `max`, of a file that belongs to the owner and that nobody else may write
    /// to.
    pub(crate) fn head(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name)?.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a complete file of at most `max` bytes, as [`head`](Self::head).
    pub(crate) fn read(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        let file = self.file(name)?;
        let size = file.metadata()?.len();
        if size > max {
            return Err(io::Error::other("it is too large"));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn file(&self, name: &str) -> io::Result<File> {
        // The flags prevent blocking on a pipe, and following a link.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.folder, name, flags, Mode::empty())?);
        let data = file.metadata()?;
        match data.is_file() && data.uid() == self.owner && data.mode() & 0o022 == 0 {
            true => Ok(file),
            false => Err(io::Error::other(
                "it is not a regular file that only its owner may write to",
            )),
        }
    }

    /// Writes a file atomically: it has the name `new` until it is complete, and then replaces the file `name`.
    pub(crate) fn write(&self, name: &str, new: &str, parts: &[&[u8]]) -> io::Result<()> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(openat(&self.folder, new, flags, mode)?);
        let written = parts
            .iter()
            .try_for_each(|part| file.write_all(part))
            .and_then(|()| Ok(renameat(&self.folder, new, &self.folder, name)?));
        if written.is_err() {
            let _ = self.remove(new);
        }
        written
    }

    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, AtFlags::empty())?)
    }
}

/// Checks that only its owner can move the folder away.
///
/// Groups may write to its parents, because a group often belongs to the user. Another folder in its place
/// would have another owner.
fn check_parents(path: &Path) -> Result<(), Result<String, io::Error>> {
    let path = fs::canonicalize(path).map_err(Err)?;
    for parent in path.ancestors().skip(1) {
        let mode = fs::metadata(parent).map_err(Err)?.mode();
        // In a sticky folder such as /tmp, users can move only their own files.
        if mode & 0o002 != 0 && mode & libc::S_ISVTX == 0 {
            return Err(Ok(format!(
                "other users may write to its parent folder {}",
                parent.display()
            )));
        }
    }
    Ok(())
}
