//! The names of the output files of a run: one file, or numbered files.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use super::format::Compression;

/// One file, or files that are numbered from 1. The number precedes the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    path: PathBuf,
    is_numbered: bool,
    /// The highest number, after which 1 follows again. 0 means no limit.
    rotate: u64,
}

/// The reason why the numbering cannot be continued.
#[derive(Debug)]
pub(super) enum NextNumberError {
    /// The folder cannot be read.
    ReadFolder(io::Error),
    /// This existing file has a number that no other number can follow.
    NoFurtherNumber(PathBuf),
}

impl Series {
    pub(super) fn new(path: &Path, is_numbered: bool, rotate: u64) -> Self {
        Self {
            path: path.to_owned(),
            is_numbered,
            rotate,
        }
    }

    /// Returns the path of the file with a number.
    pub(super) fn file(&self, number: u64) -> PathBuf {
        if !self.is_numbered {
            return self.path.clone();
        }
        let (mut name, after) = self.name_parts();
        name.push(format!(".{number}"));
        name.push(after);
        self.path.with_file_name(name)
    }

    /// Returns whether the series contains a file with this name in its folder.
    pub(super) fn has_name(&self, name: &OsStr) -> bool {
        match self.is_numbered {
            false => self.path.file_name() == Some(name),
            true => self
                .number_of(name)
                .is_some_and(|number| number > 0 && (self.rotate == 0 || number <= self.rotate)),
        }
    }

    /// Returns the folder of the files.
    pub(super) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// Returns the numbers of the existing files in ascending order, including numbers above the
    /// limit.
    pub(super) fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            numbers.extend(self.number_of(&entry?.file_name()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns the existing files of the series. The path of a single file is returned in any case.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        if !self.is_numbered {
            return Ok(vec![self.path.clone()]);
        }
        let is_ours = |number: &u64| self.rotate == 0 || *number <= self.rotate;
        let numbers = self.numbers()?.into_iter().filter(is_ours);
        Ok(numbers.map(|number| self.file(number)).collect())
    }

    /// Returns the number that follows a number.
    pub(super) fn next(&self, number: u64) -> Result<u64, NextNumberError> {
        match self.rotate {
            0 => number.checked_add(1),
            files => Some(number % files + 1),
        }
        .ok_or_else(|| NextNumberError::NoFurtherNumber(self.file(number)))
    }

    /// Returns the number that follows those of the existing files: with a limit, the one after the
    /// newest file, else the one after the highest number.
    pub(super) fn continue_from_existing(&self) -> Result<u64, NextNumberError> {
        let numbers = self.numbers().map_err(NextNumberError::ReadFolder)?;
        let Some(&highest) = numbers.last() else {
            return Ok(1);
        };
        if self.rotate == 0 {
            return self.next(highest);
        }
        if highest > self.rotate {
            return Err(NextNumberError::NoFurtherNumber(self.file(highest)));
        }
        let time = |number: u64| {
            let modified = fs::metadata(self.file(number)).and_then(|is| is.modified());
            modified.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let times: Vec<_> = numbers
            .iter()
            .map(|&number| (time(number), number))
            .collect();
        let newest = times.iter().map(|(time, _)| *time).max();
        let is_newest = |number: u64| {
            let found = times.iter().find(|(_, other)| *other == number);
            found.is_some_and(|(time, _)| Some(*time) == newest)
        };
        // Several files may have the same newest time. The last of them in the ring counts.
        let last = numbers
            .iter()
            .copied()
            .filter(|&number| is_newest(number))
            .rfind(|&number| !is_newest(number % self.rotate + 1));
        self.next(last.unwrap_or(highest))
    }

    /// Returns the number in a file name, or `None` if the name is not one of a numbered series.
    fn number_of(&self, name: &OsStr) -> Option<u64> {
        let (before, after) = self.name_parts();
        let digits = name
            .as_encoded_bytes()
            .strip_prefix(before.as_encoded_bytes())?
            .strip_prefix(b".")?
            .strip_suffix(after.as_encoded_bytes())?;
        let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        (number > 0 && number.to_string().as_bytes() == digits).then_some(number)
    }

    /// Returns the name before its extensions, and the extensions with their dots.
    fn name_parts(&self) -> (OsString, OsString) {
        let plain = Compression::of(&self.path).strip(&self.path);
        let before = plain.file_stem().unwrap_or_default().to_owned();
        let mut after = OsString::new();
        let compression = match plain == self.path {
            true => None,
            false => self.path.extension(),
        };
        for extension in [plain.extension(), compression].into_iter().flatten() {
            after.push(".");
            after.push(extension);
        }
        (before, after)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_number_precedes_the_extension() {
        for (path, first) in [
            ("flows.csv", "flows.1.csv"),
            ("a.csv/flows.jsonl", "a.csv/flows.1.jsonl"),
            ("flows.csv.txt", "flows.csv.1.txt"),
            ("flows", "flows.1"),
            ("/x/.csv", "/x/.csv.1"),
            ("flows.csv.gz", "flows.1.csv.gz"),
            ("day.2.jsonl.zst", "day.2.1.jsonl.zst"),
            ("flows.gz", "flows.1.gz"),
        ] {
            let series = Series::new(Path::new(path), true, 0);
            let file = series.file(1);
            assert_eq!(file, Path::new(first), "{path}");
            assert!(series.has_name(file.file_name().unwrap()), "{path}");
        }
    }

    #[test]
    fn similar_names_are_not_in_the_series() {
        let series = Series::new(Path::new("/x/flows.csv"), true, 5);
        for other in [
            "flows.csv",
            "flows.0.csv",
            "flows.6.csv",
            "flows.01.csv",
            "flows.+1.csv",
            "flows.1.csv.gz",
            "flows.1.2.csv",
            "flows..csv",
            "xflows.1.csv",
            "flows.18446744073709551616.csv",
        ] {
            assert!(!series.has_name(OsStr::new(other)), "{other}");
        }
        assert!(series.has_name(OsStr::new("flows.5.csv")));
    }

    fn folder(files: &[(&str, u64)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, second) in files {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(*second);
            file.set_modified(time).unwrap();
        }
        folder
    }

    fn next_number(files: &[(&str, u64)], rotate: u64) -> Result<u64, PathBuf> {
        let folder = folder(files);
        let series = Series::new(&folder.path().join("f.csv"), true, rotate);
        series
            .continue_from_existing()
            .map_err(|error| match error {
                NextNumberError::NoFurtherNumber(file) => file.file_name().unwrap().into(),
                NextNumberError::ReadFolder(error) => panic!("{error}"),
            })
    }

    #[test]
    fn numbering_continues_after_the_highest_number() {
        assert_eq!(next_number(&[], 0), Ok(1));
        assert_eq!(next_number(&[("f.csv", 9), ("f.x.csv", 9)], 0), Ok(1));
        assert_eq!(next_number(&[("f.2.csv", 9), ("f.10.csv", 1)], 0), Ok(11));
        assert_eq!(
            next_number(&[("f.18446744073709551615.csv", 1)], 0),
            Err("f.18446744073709551615.csv".into())
        );
    }

    #[test]
    fn a_ring_continues_after_the_newest_file() {
        let three = |a, b, c| [("f.1.csv", a), ("f.2.csv", b), ("f.3.csv", c)];
        assert_eq!(next_number(&three(1, 2, 3), 3), Ok(1));
        assert_eq!(next_number(&three(4, 2, 3), 3), Ok(2));
        assert_eq!(next_number(&three(4, 5, 3), 3), Ok(3));
        assert_eq!(next_number(&three(4, 5, 3)[..2], 3), Ok(3));
        assert_eq!(next_number(&three(1, 2, 3), 9), Ok(4));
        // Equal times around the end of the ring.
        assert_eq!(next_number(&three(4, 2, 4), 3), Ok(2));
        assert_eq!(next_number(&three(4, 4, 2), 3), Ok(3));
        assert_eq!(next_number(&three(4, 4, 4), 3), Ok(1));
        // The third file does not belong to a ring of two.
        assert_eq!(next_number(&three(1, 2, 3), 2), Err("f.3.csv".into()));
    }
}
