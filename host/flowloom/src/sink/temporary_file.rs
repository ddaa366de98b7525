//! Files that appear under their names when they are complete.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use flowloom_plugin::escaped_path;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use tempfile::NamedTempFile;

use super::atomic_file::AtomicFile;
use super::identity::FileId;
use super::output::Output;

/// A file with a temporary name in the folder of its target, until it is complete.
///
/// A temporary name of `flows.parquet` is `.flows.parquet.flowloom-a1b2c3.tmp`. Six characters of it are random. The
/// process holds a lock on the file, so that other runs know that it is in use. If the file is dropped before its end,
/// it is removed.
pub(super) struct TemporaryFile {
    output: AtomicFile,
    /// `None` after the end.
    name: Option<NamedTempFile>,
    target: PathBuf,
    on_existing: OnExisting,
}

/// What happens if the target exists when the file is complete.
pub(super) enum OnExisting {
    /// The target is replaced.
    Replace,
    /// The end of the file fails.
    Fail,
    /// The file gets another target, by the number of tries from 1.
    Next(Box<dyn Fn(u64) -> PathBuf + Send>),
}

/// What follows the name of the target in a temporary name, before the random part.
const MARK: &str = ".flowloom-";
const SUFFIX: &str = ".tmp";

impl TemporaryFile {
    /// Creates the file. It fails if the target exists and must not be replaced, or is one of the `inputs`.
    ///
    /// A target that is a symbolic link is followed, as the kernel follows links when it opens a file.
    pub(super) fn create(
        target: &Path,
        on_existing: OnExisting,
        inputs: &[FileId],
    ) -> io::Result<Self> {
        let target = followed(target)?;
        match fs::metadata(&target) {
            Ok(is) if is.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(is) if inputs.contains(&FileId::of(&is)) => {
                return Err(io::Error::other("the run reads this file"));
            }
            Ok(_) if !matches!(on_existing, OnExisting::Replace) => {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            _ => {}
        }
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(MARK);
        // Another run that cleans up can lock or remove the file before it is locked here.
        for _ in 0..100 {
            let file = tempfile::Builder::new()
                .prefix(&prefix)
                .suffix(SUFFIX)
                .append(true)
                .permissions(fs::Permissions::from_mode(0o666))
                .tempfile_in(folder_of(&target))?;
            let is_locked = flock(file.as_file(), FlockOperation::NonBlockingLockExclusive).is_ok();
            let id = FileId::of(&file.as_file().metadata()?);
            if is_locked && FileId::at(file.path()) == Some(id) {
                return Ok(Self {
                    output: AtomicFile::of(file.as_file().try_clone()?)?,
                    name: Some(file),
                    target,
                    on_existing,
                });
            }
        }
        Err(io::Error::other("other runs remove the temporary file"))
    }

    pub(super) fn id(&self) -> io::Result<FileId> {
        self.output.id()
    }
}

impl Write for TemporaryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Output for TemporaryFile {
    /// Gives the file its name. After an error, the file keeps its temporary name, and the call can be repeated.
    fn end(&mut self) -> io::Result<()> {
        self.flush()?;
        let Some(mut file) = self.name.take() else {
            return Ok(());
        };
        let mut tries = 0;
        loop {
            let renamed = match self.on_existing {
                OnExisting::Replace => file.persist(&self.target),
                _ => file.persist_noclobber(&self.target),
            };
            let error = match renamed {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            match &self.on_existing {
                OnExisting::Next(next) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    tries += 1;
                    (self.target, file) = (next(tries), error.file);
                }
                _ => {
                    self.name = Some(error.file);
                    return Err(error.error);
                }
            }
        }
    }
}

/// Follows symbolic links at the end of a path.
///
/// As the kernel does with `protected_symlinks`, it does not follow a link of another user in a folder in which all
/// users can create files. Such a link could lead to any file.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    // Linux follows at most 40 links.
    for _ in 0..40 {
        let link = match fs::symlink_metadata(&path) {
            Ok(is) if is.is_symlink() => is,
            _ => return Ok(path),
        };
        let folder = fs::metadata(folder_of(&path))?;
        let is_shared = folder.mode() & 0o1002 == 0o1002;
        let is_own = link.uid() == rustix::process::geteuid().as_raw();
        if is_shared && !is_own && link.uid() != folder.uid() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is a symbolic link of another user in a folder that all users share",
            ));
        }
        path = folder_of(&path).join(fs::read_link(&path)?);
    }
    Err(io::Error::other("it leads through too many symbolic links"))
}

/// Returns the folder of a file.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Removes the temporary files that a killed run has left in a folder. `is_ours` says whether the target of a file is
/// an output of this run.
pub(super) fn remove_left_behind(folder: &Path, is_ours: impl Fn(&OsStr) -> bool) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if target_of(&name).is_some_and(&is_ours) && remove_if_unused(&entry.path()).is_ok() {
            tracing::warn!(
                "removed the incomplete file '{}' of an earlier run",
                escaped_path(entry.path())
            );
        }
    }
}

/// Returns the name of the target of a temporary file.
fn target_of(name: &OsStr) -> Option<&OsStr> {
    let name = name.to_str()?.strip_prefix('.')?.strip_suffix(SUFFIX)?;
    let (target, random) = name.rsplit_once(MARK)?;
    let is_random = random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_random.then_some(OsStr::new(target))
}

/// Removes a file of this user that no run has locked.
fn remove_if_unused(path: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    if FileId::at(path) != Some(FileId::of(&file.metadata()?)) {
        return Err(io::ErrorKind::NotFound.into());
    }
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> = entries.map(|entry| name(entry).unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("flows.parquet");
        let mut file = TemporaryFile::create(&target, OnExisting::Replace, &[]).unwrap();
        file.write_all(b"one").unwrap();
        let [name] = &names(folder.path())[..] else {
            panic!("one file");
        };
        assert_eq!(
            target_of(OsStr::new(name)),
            Some(OsStr::new("flows.parquet"))
        );
        file.end().unwrap();
        drop(file);
        assert_eq!(names(folder.path()), ["flows.parquet"]);
        assert_eq!(fs::read(&target).unwrap(), b"one");
        // The old file stays until the new one is complete.
        let mut file = TemporaryFile::create(&target, OnExisting::Replace, &[]).unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"one");
        drop(file);
        assert_eq!(names(folder.path()), ["flows.parquet"]);
        assert_eq!(fs::read(&target).unwrap(), b"one");
    }

    #[test]
    fn a_file_that_another_process_has_created_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("flows.parquet");
        let mut file = TemporaryFile::create(&target, OnExisting::Fail, &[]).unwrap();
        fs::write(&target, b"theirs").unwrap();
        let error = file.end().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        drop(file);
        let error = TemporaryFile::create(&target, OnExisting::Fail, &[]).map(drop);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&target).unwrap(), b"theirs");
        assert_eq!(names(folder.path()), ["flows.parquet"]);
    }

    #[test]
    fn a_file_that_cannot_be_named_is_kept_and_named_later() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("flows.csv");
        let mut file = TemporaryFile::create(&target, OnExisting::Replace, &[]).unwrap();
        file.write_all(b"flows").unwrap();
        // A file cannot replace a folder.
        fs::create_dir(&target).unwrap();
        file.end().unwrap_err();
        file.end().unwrap_err();
        fs::remove_dir(&target).unwrap();
        file.end().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"flows");
    }

    #[test]
    fn links_are_followed_unless_another_user_made_them_in_a_shared_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("real"), b"old").unwrap();
        std::os::unix::fs::symlink("real", path("link")).unwrap();
        std::os::unix::fs::symlink("link", path("link2")).unwrap();
        std::os::unix::fs::symlink("loop", path("loop")).unwrap();
        assert_eq!(followed(&path("link2")).unwrap(), path("real"));
        assert_eq!(followed(&path("new")).unwrap(), path("new"));
        assert!(followed(&path("loop")).is_err());
        let mut file = TemporaryFile::create(&path("link"), OnExisting::Replace, &[]).unwrap();
        file.end().unwrap();
        assert_eq!(fs::read(path("real")).unwrap(), b"");
        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        // Only root can make a link of another user.
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o1777)).unwrap();
            assert!(followed(&path("link")).is_ok());
            std::os::unix::fs::lchown(path("link"), Some(12_345), None).unwrap();
            let error = followed(&path("link2")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn only_unused_temporary_files_of_the_same_output_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let used = TemporaryFile::create(&path("flows.parquet"), OnExisting::Replace, &[]).unwrap();
        let kept = [
            ".flows.parquet.flowloom-abc.tmp",
            ".flows.parquet.flowloom-abc/ef.tmp",
            ".other.parquet.flowloom-abcdef.tmp",
            "flows.parquet.flowloom-abcdef.tmp",
            ".flows.parquet.tmp",
            ".flows.parquet.flowloom-abcde\u{e9}.tmp",
        ];
        for name in kept.iter().filter(|name| !name.contains('/')) {
            fs::write(path(name), b"").unwrap();
        }
        fs::write(path(".flows.parquet.flowloom-abcdef.tmp"), b"").unwrap();
        let victim = path("victim");
        fs::write(&victim, b"").unwrap();
        let link = path(".flows.parquet.flowloom-linked.tmp");
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        fs::create_dir(path(".flows.parquet.flowloom-folder.tmp")).unwrap();
        remove_left_behind(folder.path(), |name| name == "flows.parquet");
        let left = names(folder.path());
        assert!(!left.contains(&".flows.parquet.flowloom-abcdef.tmp".to_owned()));
        // Five other files, the victim, its link, the folder, and the file in use.
        assert_eq!(left.len(), 9, "{left:?}");
        drop(used);
    }
}
