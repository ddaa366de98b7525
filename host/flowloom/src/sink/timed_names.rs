//! The names of files that begin at a time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flowloom_plugin::escaped_path;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::format::Compression;
use super::temporary_file::folder_of;

/// The form of a time in a name: UTC, to the second.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// Folders for the files of a day or an hour, in the form that Hive introduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partition {
    /// A folder for each day in UTC: `date=2026-11-29/`.
    Day,
    /// A folder for each hour in UTC: `date=2026-11-29/hour=13/`.
    Hour,
}

impl Partition {
    /// Returns the time of a partition in seconds.
    pub(super) fn seconds(self) -> i64 {
        match self {
            Self::Day => 86_400,
            Self::Hour => 3_600,
        }
    }

    fn form(self) -> &'static str {
        match self {
            Self::Day => "date=%Y-%m-%d",
            Self::Hour => "date=%Y-%m-%d/hour=%H",
        }
    }
}

/// Files whose names have the time of their begin: `flows.20261129T130500Z.csv`.
///
/// Further files with the same time have a number: `flows.20261129T130500Z-1.csv`.
#[derive(Clone, Debug)]
pub(super) struct TimedNames {
    /// The folder of the files, or of their partitions.
    folder: PathBuf,
    before: OsString,
    /// The extensions, with their dots.
    after: OsString,
    partition: Option<Partition>,
}

/// A finished file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TimedFile {
    /// The time of its begin, in seconds since 1970-01-01 UTC.
    pub(super) seconds: i64,
    number: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

impl TimedNames {
    pub(super) fn new(path: &Path, partition: Option<Partition>) -> Self {
        let plain = Compression::of(path).strip(path);
        let mut after = OsString::new();
        let compression = (plain != path).then(|| path.extension()).flatten();
        for extension in [plain.extension(), compression].into_iter().flatten() {
            after.push(".");
            after.push(extension);
        }
        let mut before = plain.file_stem().unwrap_or_default().to_owned();
        before.push(".");
        Self {
            folder: folder_of(path).to_owned(),
            before,
            after,
            partition,
        }
    }

    /// Returns the folder of the files, or of their partitions.
    pub(super) fn root(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of the file that begins at a time, in seconds since 1970-01-01 UTC.
    pub(super) fn file(&self, seconds: i64, number: u64) -> PathBuf {
        // Times of captures are not negative. Those after the year 9999 are in its last file.
        let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let mut name = self.before.clone();
        name.push(time.strftime(TIME).to_string());
        if number > 0 {
            name.push(format!("-{number}"));
        }
        name.push(&self.after);
        match self.partition {
            None => self.folder.join(name),
            Some(partition) => {
                let folder = time.strftime(partition.form()).to_string();
                self.folder.join(folder).join(name)
            }
        }
    }

    /// Returns the time and the number in a name, or `None` if it is not one of these files.
    pub(super) fn parse(&self, name: &OsStr) -> Option<(i64, u64)> {
        let middle = name
            .as_encoded_bytes()
            .strip_prefix(self.before.as_encoded_bytes())?
            .strip_suffix(self.after.as_encoded_bytes())?;
        let middle = std::str::from_utf8(middle).ok()?;
        let (time, number) = match middle.split_once('-') {
            None => (middle, 0),
            Some((time, digits)) => (time, digits.parse().ok().filter(|&number| number > 0)?),
        };
        let time = DateTime::strptime(TIME, time).ok()?;
        let seconds = TimeZone::UTC.to_timestamp(time).ok()?.as_second();
        // Only the form that `file` writes is one of these files.
        let written = self.file(seconds, number);
        (written.file_name() == Some(name)).then_some((seconds, number))
    }

    /// Returns the folders in which files can be: the folder, or its existing partitions.
    pub(super) fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = vec![self.folder.clone()];
        let levels: &[&str] = match self.partition {
            None => &[],
            Some(Partition::Day) => &["date="],
            Some(Partition::Hour) => &["date=", "hour="],
        };
        for level in levels {
            let mut inner = Vec::new();
            for folder in folders {
                for entry in fs::read_dir(folder)? {
                    let entry = entry?;
                    let name = entry.file_name();
                    // A link is not followed.
                    if name.as_encoded_bytes().starts_with(level.as_bytes())
                        && entry.file_type()?.is_dir()
                    {
                        inner.push(entry.path());
                    }
                }
            }
            folders = inner;
        }
        Ok(folders)
    }

    /// Returns the finished files, the oldest first.
    pub(super) fn files(&self) -> io::Result<Vec<TimedFile>> {
        let mut files = Vec::new();
        for folder in self.folders()? {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let Some((seconds, number)) = self.parse(&entry.file_name()) else {
                    continue;
                };
                let path = entry.path();
                // A file of the same name in another partition is not one of these files.
                if entry.file_type()?.is_file() && self.file(seconds, number) == path {
                    let bytes = entry.metadata()?.len();
                    files.push(TimedFile {
                        seconds,
                        number,
                        path,
                        bytes,
                    });
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// Removes a file, and the folders of its partition if they are empty now.
    pub(super) fn remove(&self, file: &TimedFile) {
        if let Err(error) = fs::remove_file(&file.path) {
            tracing::warn!(
                "cannot remove the old file '{}': {error}",
                escaped_path(&file.path)
            );
        }
        let mut folder = file.path.parent();
        while let Some(inner) = folder.filter(|inner| *inner != self.folder) {
            if fs::remove_dir(inner).is_err() {
                break;
            }
            folder = inner.parent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECONDS: i64 = 1_795_957_500;

    #[test]
    fn names_have_the_time_and_a_number() {
        for (path, partition, first, second) in [
            (
                "flows.csv",
                None,
                "./flows.20261129T130500Z.csv",
                "./flows.20261129T130500Z-1.csv",
            ),
            (
                "/x/a.b.csv.gz",
                None,
                "/x/a.b.20261129T130500Z.csv.gz",
                "/x/a.b.20261129T130500Z-1.csv.gz",
            ),
            (
                "x/flows.parquet",
                Some(Partition::Day),
                "x/date=2026-11-29/flows.20261129T130500Z.parquet",
                "x/date=2026-11-29/flows.20261129T130500Z-1.parquet",
            ),
            (
                "x/flows.parquet",
                Some(Partition::Hour),
                "x/date=2026-11-29/hour=13/flows.20261129T130500Z.parquet",
                "x/date=2026-11-29/hour=13/flows.20261129T130500Z-1.parquet",
            ),
        ] {
            let names = TimedNames::new(Path::new(path), partition);
            let files = [names.file(SECONDS, 0), names.file(SECONDS, 1)];
            assert_eq!(files, [Path::new(first), Path::new(second)]);
            for (number, file) in (0..).zip(&files) {
                let name = file.file_name().unwrap();
                assert_eq!(names.parse(name), Some((SECONDS, number)));
            }
        }
    }

    #[test]
    fn similar_names_are_not_among_the_files() {
        let names = TimedNames::new(Path::new("flows.csv"), None);
        for other in [
            "flows.csv",
            "flows.1.csv",
            "flows.20261129T130500.csv",
            "flows.20261129T130500Z-0.csv",
            "flows.20261129T130500Z-01.csv",
            "flows.20261129T130500Z-.csv",
            "flows.20261329T130500Z.csv",
            "flows.20261129T130500Z.csv.gz",
            "flows.20261129T130500Z.jsonl",
            "other.20261129T130500Z.csv",
            "flows.+20261129T130500Z.csv",
        ] {
            assert_eq!(names.parse(OsStr::new(other)), None, "{other}");
        }
    }

    #[test]
    fn files_are_found_and_removed_with_their_empty_folders() {
        let folder = tempfile::tempdir().unwrap();
        let names = TimedNames::new(&folder.path().join("f.csv"), Some(Partition::Hour));
        let hours = [0, 1, 30].map(|hours| names.file(SECONDS + hours * 3_600, 0));
        for file in hours.iter().rev() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, b"four").unwrap();
        }
        // A file in the wrong folder, and one of another output.
        let wrong = hours[2].with_file_name(hours[0].file_name().unwrap());
        fs::write(&wrong, b"").unwrap();
        fs::write(hours[0].with_file_name("notes.txt"), b"").unwrap();
        let found = names.files().unwrap();
        assert!(found.iter().map(|file| &file.path).eq(&hours));
        assert!(found.iter().all(|file| file.bytes == 4));
        for file in &found {
            names.remove(file);
        }
        assert!(wrong.exists());
        // Only the second hour had no other file.
        assert!(hours[0].parent().unwrap().exists());
        assert!(!hours[1].parent().unwrap().exists());
        assert!(names.files().unwrap().is_empty());
    }
}
