//! The folder of compiled plugins: names, size limit, listing and cleaning.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::private_folder::{PrivateEntry, PrivateFolder};

/// A private folder of machine code: images of plugins, and packs of functions.
///
/// Machine code is executed as it is found. The folder and its files must therefore belong to the user, and
/// must not be accessible to others. Flowloom does not use another folder, and ignores other files.
///
/// The folder is marked with a `CACHEDIR.TAG` (<https://bford.info/cachedir/>). A folder that has other files
/// and no such tag is not used. Only files with machine code are ever deleted.
pub struct CacheFolder {
    pub(crate) folder: PrivateFolder,
}

/// A file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedFile {
    /// What the file contains.
    pub kind: CachedKind,
    /// The name in the folder.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last use. Flowloom updates it at most once an hour.
    pub used: SystemTime,
}

/// What a file of the cache contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CachedKind {
    /// Machine code of one plugin.
    Image,
    /// Machine code of functions that several plugins share, such as those of Python's interpreter.
    Functions,
    /// A file that was not written to its end.
    Unfinished,
}

/// Files that were deleted from the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cleaned {
    /// The number of files.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

const TAG: &str = "CACHEDIR.TAG";
const NEW_TAG: &str = "CACHEDIR.TAG.new";
/// The start of a `CACHEDIR.TAG`.
const SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";
const TAG_REST: &[u8] = b"\n# Compiled plugins of flowloom, which can be made again.\n\
    # For cache directory tags see https://bford.info/cachedir/\n";

/// The ends of the names of files. The start is a digest in hexadecimal digits.
pub(super) const IMAGE: &str = ".image";
pub(super) const FUNCTIONS: &str = ".functions";
/// The end of the name of a file that is not complete.
const NEW: &str = ".new";

/// The headers of files.
pub(super) const IMAGE_MAGIC: &[u8] = b"flowloom image 1\n";
pub(super) const FUNCTIONS_MAGIC: &[u8] = b"flowloom functions 1\n";

/// The number of bytes of the digest in the header of an image of an earlier version. Machine code followed.
const OLD_DIGEST: usize = 32;

/// The time after which the use of a file is recorded again.
const USE_INTERVAL: Duration = Duration::from_secs(3_600);

impl CacheFolder {
    /// The maximum number of bytes of the cache. Files that were not used for the longest time are deleted first.
    pub const MAX_BYTES: u64 = 512 << 20;
    /// The time without use after which a file is deleted.
    pub const MAX_AGE: Duration = Duration::from_secs(30 * 86_400);

    /// Opens the folder, and creates it if necessary.
    ///
    /// # Errors
    ///
    /// The folder cannot be used. The text is the reason.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, String> {
        let folder = PrivateFolder::open(folder.as_ref())?;
        tag(&folder)?;
        Ok(Self { folder })
    }

    /// Opens a folder that is marked as a cache already. Writes nothing.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, or has no tag. The text is the reason.
    pub(super) fn existing(folder: impl AsRef<Path>) -> Result<Self, String> {
        let folder = PrivateFolder::open(folder.as_ref())?;
        match folder.head(TAG, SIGNATURE.len() as u64) {
            Ok(head) if head == SIGNATURE => Ok(Self { folder }),
            _ => Err(format!("it has no valid {TAG}")),
        }
    }

    /// Returns the files with machine code, the last used file first.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn files(&self) -> io::Result<Vec<CachedFile>> {
        let names = self.folder.names()?;
        let files = names.into_iter().filter_map(|name| {
            let kind = self.kind(&name)?;
            let PrivateEntry {
                modified,
                size,
                name,
            } = self.folder.entry(&name)?;
            Some(CachedFile {
                kind,
                name,
                size,
                used: modified,
            })
        });
        let mut files: Vec<_> = files.collect();
        files.sort_by(|a, b| (b.used, &b.name).cmp(&(a.used, &a.name)));
        Ok(files)
    }

    /// Deletes files with machine code: those without use for `age`, and then those that were not used for the
    /// longest time until the rest has at most `max_bytes`.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or a file cannot be deleted.
    pub fn clean(&self, max_bytes: u64, age: Duration) -> io::Result<Cleaned> {
        let now = SystemTime::now();
        let (mut cleaned, mut kept) = (Cleaned::default(), 0);
        for file in self.files()? {
            // A time in the future counts as now.
            let unused = now.duration_since(file.used).unwrap_or_default();
            let fits = file.size <= max_bytes.saturating_sub(kept);
            // Another process may still write an unfinished file.
            if fits
                && (unused <= age || file.kind == CachedKind::Unfinished && unused <= USE_INTERVAL)
            {
                kept += file.size;
                continue;
            }
            match self.folder.remove(&file.name) {
                Ok(()) => {}
                // Another process has deleted it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            cleaned.files += 1;
            cleaned.bytes += file.size;
        }
        Ok(cleaned)
    }

    /// Records that a file is used now.
    pub(super) fn record_use(&self, name: &str) {
        let is_old = self.folder.entry(name).is_some_and(|entry| {
            let age = SystemTime::now().duration_since(entry.modified);
            age.is_ok_and(|age| age > USE_INTERVAL)
        });
        if is_old && let Err(error) = self.folder.touch(name) {
            tracing::debug!("cannot record the use of {name}: {error}");
        }
    }

    /// Writes a file atomically, and then limits the size of the cache.
    pub(super) fn store(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let new = format!("{name}.{}{NEW}", hex::encode(random));
        self.folder.write(name, &new, parts)?;
        self.clean(Self::MAX_BYTES, Self::MAX_AGE).map(|_| ())
    }

    /// Returns what a file contains, by its name and its start, perhaps one of an earlier version. `None` if it is
    /// not a file of the cache.
    fn kind(&self, name: &str) -> Option<CachedKind> {
        let (kind, magic, is_finished) = match parse(name)? {
            (IMAGE, is_finished) => (CachedKind::Image, IMAGE_MAGIC, is_finished),
            (_, is_finished) => (CachedKind::Functions, FUNCTIONS_MAGIC, is_finished),
        };
        let head = self.folder.head(name, OLD_DIGEST as u64 + 4).ok()?;
        let short = &head[..head.len().min(magic.len())];
        let is_old = kind == CachedKind::Image && head.get(OLD_DIGEST..) == Some(b"\x7fELF");
        if !magic.starts_with(short) && !is_old {
            return None;
        }
        match is_finished {
            true => Some(kind),
            false => Some(CachedKind::Unfinished),
        }
    }
}

/// Marks a folder as a cache, unless it has other files.
fn tag(folder: &PrivateFolder) -> Result<(), String> {
    let fail = |error: io::Error| error.to_string();
    let names = folder.names().map_err(fail)?;
    if names.iter().any(|name| name == TAG) {
        let head = folder.head(TAG, SIGNATURE.len() as u64).map_err(fail)?;
        return match head == SIGNATURE {
            true => Ok(()),
            false => Err(format!("its {TAG} has no valid signature")),
        };
    }
    // Caches of earlier versions have no tag.
    let other = names
        .iter()
        .find(|name| parse(name).is_none() && !is_unfinished(name));
    match other {
        Some(other) => Err(format!(
            "it has other files, such as {}, and no {TAG}; use a folder that is empty or does not exist",
            other.escape_debug()
        )),
        None => folder
            .write(TAG, NEW_TAG, &[SIGNATURE, TAG_REST])
            .or_else(|error| match error.kind() {
                // Another run creates the tag at the same time.
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(fail(error)),
            }),
    }
}

/// Returns the kind in the name of a cache file, and whether the file is complete.
fn parse(name: &str) -> Option<(&'static str, bool)> {
    let hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let (key, rest) = name.split_at_checked(64)?;
    let (kind, rest) = [IMAGE, FUNCTIONS]
        .into_iter()
        .find_map(|kind| Some((kind, rest.strip_prefix(kind)?)))?;
    let random = rest
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(NEW));
    let is_name = rest.is_empty() || random.is_some_and(|random| hex(random, 16));
    (hex(key, 64) && is_name).then_some((kind, rest.is_empty()))
}

/// Returns whether a name is that of an incomplete tag, or of an incomplete file of an earlier version.
fn is_unfinished(name: &str) -> bool {
    name == NEW_TAG || name.len() == 10 && name.starts_with(".tmp")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Returns the names in a folder, sorted.
    fn names(folder: &CacheFolder) -> Vec<String> {
        let mut names = folder.folder.names().unwrap();
        names.sort();
        names
    }

    #[test]
    fn the_files_that_were_not_used_are_deleted_and_other_files_never() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("cache");
        let folder = CacheFolder::open(&path).unwrap();
        let now = SystemTime::now();
        // `age` is in days.
        let sparse = |name: &str, start: &[u8], size: u64, age: u64| {
            let path = path.join(name);
            fs::write(&path, start).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_len(size).unwrap();
            let time = now - Duration::from_secs(age * 86_400);
            file.set_modified(time).unwrap();
        };
        let name = |digit: &str, end: &str| digit.repeat(64) + end;
        let old = [&[0; OLD_DIGEST][..], b"\x7fELF"].concat();
        let half = CacheFolder::MAX_BYTES / 2;
        let (image, functions) = (name("b", IMAGE), name("e", FUNCTIONS));
        let unfinished = name("d", IMAGE) + ".0123456789abcdef.new";
        sparse(&image, IMAGE_MAGIC, half, 3);
        // Of an earlier version.
        sparse(&name("a", IMAGE), &old, half, 2);
        sparse(&functions, FUNCTIONS_MAGIC, 100, 1);
        // Files of others.
        let other = b"something else altogether, which is longer";
        sparse(&name("c", IMAGE), other, 2 * half, 40);
        sparse(&name("c", FUNCTIONS), IMAGE_MAGIC, 2 * half, 40);
        sparse("unrelated", IMAGE_MAGIC, 2 * half, 40);
        let files = folder.files().unwrap();
        let kinds: Vec<_> = files.iter().map(|file| file.kind).collect();
        assert_eq!(
            kinds,
            [CachedKind::Functions, CachedKind::Image, CachedKind::Image]
        );
        let all = names(&folder);
        let clean = || folder.clean(CacheFolder::MAX_BYTES, CacheFolder::MAX_AGE);
        // The cache has 100 bytes too many.
        let cleaned = clean().unwrap();
        assert_eq!((cleaned.files, cleaned.bytes), (1, half));
        let left: Vec<_> = all.iter().filter(|it| **it != image).cloned().collect();
        assert_eq!(names(&folder), left);
        // A file that another process writes is kept for an hour.
        sparse(&unfinished, b"flow", 4, 0);
        sparse(&functions, FUNCTIONS_MAGIC, 100, 31);
        assert_eq!(
            clean().unwrap(),
            Cleaned {
                files: 1,
                bytes: 100
            }
        );
        sparse(&unfinished, b"", 0, 31);
        assert_eq!(clean().unwrap(), Cleaned { files: 1, bytes: 0 });
        // A time in the future does not matter.
        let file = fs::File::options()
            .write(true)
            .open(path.join(name("a", IMAGE)));
        file.unwrap()
            .set_modified(now + Duration::from_secs(9_999_999))
            .unwrap();
        assert_eq!(clean().unwrap(), Cleaned::default());
        assert_eq!(folder.clean(0, Duration::ZERO).unwrap().bytes, half);
        assert_eq!(names(&folder).len(), 4, "the tag and files of others");
    }

    #[test]
    fn the_use_of_a_file_is_recorded_once_an_hour() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("cache");
        let folder = CacheFolder::open(&path).unwrap();
        let name = "0".repeat(64) + IMAGE;
        folder.store(&name, &[IMAGE_MAGIC]).unwrap();
        let used = || folder.folder.entry(&name).unwrap().modified;
        let file = fs::File::options()
            .write(true)
            .open(path.join(&name))
            .unwrap();
        file.set_modified(UNIX_EPOCH).unwrap();
        folder.record_use(&name);
        let recorded = used();
        assert!(recorded > SystemTime::now() - Duration::from_secs(60));
        folder.record_use(&name);
        assert_eq!(used(), recorded);
        folder.record_use("absent");
    }

    #[test]
    fn a_folder_with_other_files_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let path = &parent.path().join("cache");
        let open = || CacheFolder::open(path).map(|_| ());
        drop(PrivateFolder::open(path).unwrap());
        let earlier = "0123456789abcdef".repeat(4) + IMAGE;
        for name in [
            &*earlier,
            &format!("{earlier}.0123456789abcdef{NEW}"),
            ".tmp123456",
        ] {
            fs::write(path.join(name), "").unwrap();
        }
        assert!(CacheFolder::existing(path).is_err());
        open().unwrap();
        assert!(CacheFolder::existing(path).is_ok());
        assert!(fs::read(path.join(TAG)).unwrap().starts_with(SIGNATURE));
        // With the tag, other files do not matter.
        fs::write(path.join("notes"), "").unwrap();
        open().unwrap();
        fs::write(path.join(TAG), "Signature: other").unwrap();
        let error = open().unwrap_err();
        assert_eq!(error, "its CACHEDIR.TAG has no valid signature");
        fs::remove_file(path.join(TAG)).unwrap();
        let error = open().unwrap_err();
        assert!(
            error.starts_with("it has other files, such as notes, and no "),
            "{error}"
        );
        fs::remove_file(path.join("notes")).unwrap();
        for other in [
            &earlier[1..],
            &earlier.replace('f', "g"),
            ".tmp12345",
            &format!("{earlier}.new"),
            &earlier.replace(IMAGE, ".text"),
        ] {
            fs::write(path.join(other), "").unwrap();
            assert!(open().is_err(), "{other}");
            fs::remove_file(path.join(other)).unwrap();
        }
        fs::write(path.join(NEW_TAG), "").unwrap();
        open().unwrap();
    }
}
