//! The names of the files of a run: one, or numbered ones.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use super::format::Compression;

/// One file, or files that are numbered from 1 on before the extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Series {
    path: PathBuf,
    is_numbered: bool,
    /// The highest number; 0 is no limit. Behind it comes 1 again.
    rotate: u64,
}

/// Why there is no number to go on with.
#[derive(Debug)]
pub(super) enum NoNumber {
    /// The folder cannot be read.
    Folder(io::Error),
    /// A file of the series has a number that no file can follow.
    Beyond(PathBuf),
}

impl Series {
    pub(super) fn new(path: &Path, is_numbered: bool, rotate: u64) -> Self {
        Self {
            path: path.to_owned(),
            is_numbered,
            rotate,
        }
    }

    /// The file of a number.
    pub(super) fn file(&self, number: u64) -> PathBuf {
        if !self.is_numbered {
            return self.path.clone();
        }
        let (mut name, after) = self.name_parts();
        name.push(format!(".{number}"));
        name.push(after);
        self.path.with_file_name(name)
    }

    /// Whether a file of this name in the series' folder is one of the series.
    pub(super) fn has_name(&self, name: &OsStr) -> bool {
        match self.is_numbered {
            false => self.path.file_name() == Some(name),
            true => self
                .number_of(name)
                .is_some_and(|number| number > 0 && (self.rotate == 0 || number <= self.rotate)),
        }
    }

    /// The folder of the files.
    pub(super) fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        }
    }

    /// The numbers of the files that are there, those behind the highest one of a ring included.
    pub(super) fn numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.folder())? {
            numbers.extend(self.number_of(&entry?.file_name()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The files of the series that are there.
    pub(super) fn files(&self) -> io::Result<Vec<PathBuf>> {
        if !self.is_numbered {
            return Ok(vec![self.path.clone()]);
        }
        let is_ours = |number: &u64| self.rotate == 0 || *number <= self.rotate;
        let numbers = self.numbers()?.into_iter().filter(is_ours);
        Ok(numbers.map(|number| self.file(number)).collect())
    }

    /// The number behind a number.
    pub(super) fn next(&self, number: u64) -> Result<u64, NoNumber> {
        match self.rotate {
            0 => number.checked_add(1),
            files => Some(number % files + 1),
        }
        .ok_or_else(|| NoNumber::Beyond(self.file(number)))
    }

    /// The number to go on with behind the files that are there: of a ring behind the newest file, else
    /// behind the highest number.
    pub(super) fn go_on(&self) -> Result<u64, NoNumber> {
        let numbers = self.numbers().map_err(NoNumber::Folder)?;
        let Some(&highest) = numbers.last() else {
            return Ok(1);
        };
        if self.rotate == 0 {
            return self.next(highest);
        }
        if highest > self.rotate {
            return Err(NoNumber::Beyond(self.file(highest)));
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
        // Of files that were written within one tick of the clock, the last one in the ring.
        let last = numbers
            .iter()
            .copied()
            .filter(|&number| is_newest(number))
            .rfind(|&number| !is_newest(number % self.rotate + 1));
        self.next(last.unwrap_or(highest))
    }

    /// The number in a name, as it is in those of the series.
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

    /// The name up to its extensions, and these with their dots.
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
    fn numbers_stand_before_the_extension() {
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
    fn names_that_are_like_those_of_the_series_are_not() {
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

    fn goes_on(files: &[(&str, u64)], rotate: u64) -> Result<u64, PathBuf> {
        let folder = folder(files);
        let series = Series::new(&folder.path().join("f.csv"), true, rotate);
        series.go_on().map_err(|error| match error {
            NoNumber::Beyond(file) => file.file_name().unwrap().into(),
            NoNumber::Folder(error) => panic!("{error}"),
        })
    }

    #[test]
    fn numbers_go_on_behind_the_highest() {
        assert_eq!(goes_on(&[], 0), Ok(1));
        assert_eq!(goes_on(&[("f.csv", 9), ("f.x.csv", 9)], 0), Ok(1));
        assert_eq!(goes_on(&[("f.2.csv", 9), ("f.10.csv", 1)], 0), Ok(11));
        assert_eq!(
            goes_on(&[("f.18446744073709551615.csv", 1)], 0),
            Err("f.18446744073709551615.csv".into())
        );
    }

    #[test]
    fn a_ring_goes_on_behind_the_newest() {
        let three = |a, b, c| [("f.1.csv", a), ("f.2.csv", b), ("f.3.csv", c)];
        assert_eq!(goes_on(&three(1, 2, 3), 3), Ok(1));
        assert_eq!(goes_on(&three(4, 2, 3), 3), Ok(2));
        assert_eq!(goes_on(&three(4, 5, 3), 3), Ok(3));
        assert_eq!(goes_on(&three(4, 5, 3)[..2], 3), Ok(3));
        assert_eq!(goes_on(&three(1, 2, 3), 9), Ok(4));
        // Some within one tick, around the end of the ring.
        assert_eq!(goes_on(&three(4, 2, 4), 3), Ok(2));
        assert_eq!(goes_on(&three(4, 4, 2), 3), Ok(3));
        assert_eq!(goes_on(&three(4, 4, 4), 3), Ok(1));
        // These are not of a ring of two.
        assert_eq!(goes_on(&three(1, 2, 3), 2), Err("f.3.csv".into()));
    }
}
