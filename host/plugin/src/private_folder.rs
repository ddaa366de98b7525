//! A folder that belongs to the user and is not accessible to others.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, futimens, openat,
    renameat, statat, unlinkat,
};

use crate::privilege::{check_owned_by_root, has_more_privileges};

/// A folder that belongs to the user and is not accessible to others.
///
/// Every access uses one descriptor, whose owner and mode were checked. A folder that replaces it later is therefore not
/// used. Links, pipes and files of other users in it are not used either.
pub struct PrivateFolder {
    folder: File,
    /// The user id of its owner, who must also own the files that are read.
    owner: u32,
}

/// A regular file of the folder.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrivateEntry {
    /// The time of the last change.
    pub modified: SystemTime,
    /// The size in bytes.
    pub size: u64,
    /// The name in the folder.
    pub name: String,
}

impl PrivateFolder {
    /// Opens a folder, and creates it if necessary.
    ///
    /// # Errors
    ///
    /// The folder cannot be used. The text is the reason.
    pub fn open(path: &Path) -> Result<Self, String> {
        let fail = |error: io::Error| error.to_string();
        if has_more_privileges() {
            // The caller must not decide what native code this program runs.
            let existing = path.ancestors().find(|part| part.exists());
            check_owned_by_root(existing.unwrap_or(Path::new("/")))?;
        }
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
    ///
    /// # Errors
    ///
    /// The error of the operating system.
    pub fn names(&self) -> io::Result<Vec<String>> {
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
    pub fn entry(&self, name: &str) -> Option<PrivateEntry> {
        let data = statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let seconds = Duration::from_secs(u64::try_from(data.st_mtime).unwrap_or_default());
        let modified =
            SystemTime::UNIX_EPOCH + seconds + Duration::from_nanos(data.st_mtime_nsec as u64);
        (FileType::from_raw_mode(data.st_mode) == FileType::RegularFile).then(|| PrivateEntry {
            modified,
            size: u64::try_from(data.st_size).unwrap_or_default(),
            name: name.to_owned(),
        })
    }

    /// Reads the first bytes, at most `max`, of a file that belongs to the owner and that nobody else may write
    /// to.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be read.
    pub fn head(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name)?.take(max).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a complete file of at most `max` bytes, as [`head`](Self::head).
    ///
    /// # Errors
    ///
    /// There is no such file, it is larger, or it cannot be read.
    pub fn read(&self, name: &str, max: u64) -> io::Result<Vec<u8>> {
        Ok(self.read_split(name, 0, max)?.1)
    }

    /// Reads a complete file as [`read`](Self::read). Returns the first `head` bytes, or fewer if the file is shorter, and the
    /// rest.
    ///
    /// # Errors
    ///
    /// There is no such file, it is larger, or it cannot be read.
    pub fn read_split(&self, name: &str, head: u64, max: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let file = self.file(name)?;
        let size = file.metadata()?.len();
        if size > max {
            return Err(io::Error::other("it is too large"));
        }
        let mut first = Vec::with_capacity(head.min(size) as usize);
        (&file).take(head).read_to_end(&mut first)?;
        let mut rest = Vec::with_capacity(size.saturating_sub(head) as usize);
        file.take(max.saturating_sub(head)).read_to_end(&mut rest)?;
        Ok((first, rest))
    }

    /// Opens a file for reading, as [`head`](Self::head).
    pub(crate) fn file(&self, name: &str) -> io::Result<File> {
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
    ///
    /// # Errors
    ///
    /// The file cannot be written. There is none named `new` then, unless it existed before.
    pub fn write(&self, name: &str, new: &str, parts: &[&[u8]]) -> io::Result<()> {
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

    /// Sets the time of the last change of a file to now.
    ///
    /// # Errors
    ///
    /// There is no such file, or it is not one that [`head`](Self::head) reads.
    pub fn touch(&self, name: &str) -> io::Result<()> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        Ok(futimens(self.file(name)?, &times)?)
    }

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// There is no such file, or it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A folder that does not exist yet, in one that does.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("between/private");
        (parent, path)
    }

    #[test]
    fn files_are_written_read_and_removed() {
        let (_parent, path) = place();
        let folder = PrivateFolder::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        folder.write("a", "a.new", &[b"one ", b"two"]).unwrap();
        assert_eq!(folder.names().unwrap(), ["a"]);
        assert_eq!(fs::metadata(path.join("a")).unwrap().mode() & 0o777, 0o600);
        assert_eq!(folder.head("a", 3).unwrap(), b"one");
        assert_eq!(folder.read("a", 7).unwrap(), b"one two");
        assert_eq!(
            folder.read("a", 6).unwrap_err().to_string(),
            "it is too large"
        );
        for (head, first, rest) in [(0, "", "one two"), (4, "one ", "two"), (8, "one two", "")] {
            let read = folder.read_split("a", head, 7).unwrap();
            assert_eq!(read, (first.into(), rest.into()), "{head}");
        }
        assert!(folder.read_split("a", 4, 6).is_err());
        let entry = folder.entry("a").unwrap();
        assert_eq!((entry.size, &*entry.name), (7, "a"));
        let modified = fs::metadata(path.join("a")).unwrap().modified().unwrap();
        assert_eq!(entry.modified, modified);
        folder.write("a", "a.new", &[b"three"]).unwrap();
        assert_eq!(folder.read("a", 7).unwrap(), b"three");
        // A file with the name of an incomplete one is not replaced.
        fs::write(path.join("b.new"), "").unwrap();
        assert!(folder.write("b", "b.new", &[b"x"]).is_err());
        assert!(path.join("b.new").exists());
        // A file that cannot get its name is removed.
        fs::create_dir(path.join("c")).unwrap();
        assert!(folder.write("c", "c.new", &[b"x"]).is_err());
        assert!(!path.join("c.new").exists());
        folder.remove("a").unwrap();
        assert!(folder.entry("a").is_none() && folder.remove("a").is_err());
        // The folder is opened again with its files.
        let again = PrivateFolder::open(&path).unwrap();
        assert_eq!(again.names().unwrap().len(), 2);
    }

    #[test]
    fn only_private_regular_files_are_read() {
        let (_parent, path) = place();
        let folder = PrivateFolder::open(&path).unwrap();
        folder.write("a", "a.new", &[b"a"]).unwrap();
        symlink(path.join("a"), path.join("link")).unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        for name in ["link", "folder"] {
            assert!(folder.read(name, 9).is_err(), "{name}");
            assert!(folder.head(name, 9).is_err(), "{name}");
            assert!(folder.entry(name).is_none(), "{name}");
        }
        for (bits, is_read) in [(0o644, true), (0o620, false), (0o602, false), (0o600, true)] {
            mode(&path.join("a"), bits);
            assert_eq!(folder.read("a", 9).is_ok(), is_read, "{bits:o}");
        }
    }

    #[test]
    fn a_folder_that_others_can_change_is_not_used() {
        let (parent, path) = place();
        let open = || PrivateFolder::open(&path).err().unwrap_or_default();
        assert_eq!(open(), "");
        for (bits, error) in [
            (0o750, "other users may open it (mode 750); use chmod 700"),
            (0o701, "other users may open it (mode 701); use chmod 700"),
            (0o700, ""),
        ] {
            mode(&path, bits);
            assert_eq!(open(), error);
        }
        let between = parent.path().join("between");
        // A group may belong to the user. In a sticky folder nobody moves the files of others.
        for (bits, is_used) in [
            (0o777, false),
            (0o702, false),
            (0o1777, true),
            (0o770, true),
        ] {
            mode(&between, bits);
            let error = open();
            assert_eq!(error.is_empty(), is_used, "{bits:o}: {error}");
            assert!(is_used || error.starts_with("other users may write to its parent folder "));
        }
        let file = between.join("file");
        fs::write(&file, "").unwrap();
        let link = between.join("link");
        symlink(&path, &link).unwrap();
        for other in [file, link] {
            let error = PrivateFolder::open(&other).err().unwrap();
            assert_eq!(error, "it is not a folder");
        }
    }
}
