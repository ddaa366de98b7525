//! Flows in files: one file, or numbered ones of so many flows each.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::whole::Whole;
use super::{Format, Sink};
use crate::flow::{Flow, Schema};

/// The files that flows are written to.
///
/// The names of the parameters are those of NFStream's `to_csv`.
///
/// ```
/// use flowloom::Streamer;
/// use flowloom::sink::{OutputFiles, Sink as _};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/captures/dns.pcap");
/// # let folder = tempfile::tempdir()?;
/// let mut streamer = Streamer::builder([capture]).build()?;
/// // flows.1.csv, flows.2.csv, flows.3.csv, flows.1.csv again …
/// let mut sink = OutputFiles::new(folder.path().join("flows.csv"))
///     .flows_per_file(100_000)
///     .rotate_files(3)
///     .create(streamer.schema())?;
/// for flow in &mut streamer {
///     sink.write(&flow)?;
/// }
/// sink.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct OutputFiles {
    path: PathBuf,
    format: Format,
    flows_per_file: u64,
    rotate_files: u64,
}

/// Why a file is not begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A parameter does not fit the others.
    #[error("{parameter} {value}: {accepted}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// The file cannot be written to; the text names it.
    #[error("cannot write to {0}")]
    Io(io::Error),
}

impl OutputFiles {
    /// One file, in the format that its name's extension says: JSON lines for `.jsonl` and
    /// `.ndjson`, else CSV.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            format: Format::of(&path),
            path,
            flows_per_file: 0,
            rotate_files: 0,
        }
    }

    /// The format, whatever the extension.
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Begins a new file after so many flows; 0, the default, writes all to one.
    ///
    /// Files are then numbered from 1 on, before the extension: `flows.1.csv`, `flows.2.csv` … Each
    /// has a header where the format has one. The first one is there even if there are no flows;
    /// files of an earlier run stay where this one does not get as far.
    pub fn flows_per_file(self, flows: u64) -> Self {
        Self {
            flows_per_file: flows,
            ..self
        }
    }

    /// Keeps at most so many files: after the last number comes 1 again, and the file of that number
    /// is overwritten. 0, the default, keeps all. Needs [`flows_per_file`](Self::flows_per_file).
    pub fn rotate_files(self, files: u64) -> Self {
        Self {
            rotate_files: files,
            ..self
        }
    }

    /// Creates the first file, for flows of this schema.
    ///
    /// # Errors
    ///
    /// `rotate_files` is given without `flows_per_file`, or the file cannot be written to.
    pub fn create(self, schema: &Arc<Schema>) -> Result<impl Sink + Send + use<>, OutputError> {
        if self.rotate_files > 0 && self.flows_per_file == 0 {
            return Err(OutputError::Parameter {
                parameter: "rotate_files",
                value: self.rotate_files.to_string(),
                accepted: "0 is accepted, or a number of files together with flows_per_file",
            });
        }
        let current = self.begin(1, schema).map_err(OutputError::Io)?;
        Ok(FilesSink {
            files: self,
            schema: schema.clone(),
            number: 1,
            written: 0,
            not_begun: 0,
            current,
        })
    }

    /// Whether a file of this path would be overwritten.
    pub fn overwrites(&self, path: &Path) -> bool {
        let Ok(path) = fs::canonicalize(path) else {
            return false;
        };
        // By its numbers, not its name: a hard link is the same file too.
        let identity = |path: &Path| fs::metadata(path).ok().map(|is| (is.dev(), is.ino()));
        let theirs = identity(&path);
        let is_file = |ours: &Path| theirs.is_some() && identity(ours) == theirs;
        if self.flows_per_file == 0 {
            return is_file(&self.path);
        }
        // Only a file whose name has a number where ours have it can be one of ours.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (before, after) = self.name_parts();
        let number = name
            .strip_prefix(&*format!("{}.", before.to_string_lossy()))
            .and_then(|rest| rest.strip_suffix(&*after.to_string_lossy()))
            .and_then(|number| number.parse().ok());
        number.is_some_and(|number| {
            number > 0
                && (self.rotate_files == 0 || number <= self.rotate_files)
                && is_file(&self.numbered(number))
        })
    }

    /// The file's name up to its extension, and the extension with its dot.
    fn name_parts(&self) -> (OsString, OsString) {
        let before = self.path.file_stem().unwrap_or_default().to_owned();
        let after = self.path.extension().map_or_else(OsString::new, |text| {
            let mut after = OsString::from(".");
            after.push(text);
            after
        });
        (before, after)
    }

    fn numbered(&self, number: u64) -> PathBuf {
        if self.flows_per_file == 0 {
            return self.path.clone();
        }
        let (mut name, after) = self.name_parts();
        name.push(format!(".{number}"));
        name.push(after);
        self.path.with_file_name(name)
    }

    /// Creates the file of a number.
    fn begin(&self, number: u64, schema: &Schema) -> io::Result<Box<dyn Sink + Send>> {
        Whole::create(&self.numbered(number))
            .and_then(|file| self.format.sink(file, schema))
            .map_err(|error| self.named(number, &error))
    }

    /// Opens the file of a number behind what is in it; creates it if it is not there.
    fn go_on(&self, number: u64, schema: &Schema) -> io::Result<Box<dyn Sink + Send>> {
        let open = || {
            let file = Whole::open(&self.numbered(number))?;
            match file.is_empty()? {
                true => self.format.sink(file, schema),
                false => Ok(self.format.continued(file)),
            }
        };
        open().map_err(|error| self.named(number, &error))
    }

    /// Puts the file's name before what went wrong.
    fn named(&self, number: u64, error: &io::Error) -> io::Error {
        let path = self.numbered(number);
        io::Error::new(
            error.kind(),
            format!("{}: {error}", crate::plugin::escaped_path(path)),
        )
    }
}

struct FilesSink {
    files: OutputFiles,
    schema: Arc<Schema>,
    number: u64,
    /// Flows in the current file.
    written: u64,
    /// Flows whose file could not be begun.
    not_begun: u64,
    current: Box<dyn Sink + Send>,
}

impl FilesSink {
    fn begin_next(&mut self) -> io::Result<()> {
        self.finish()?;
        let number = match self.files.rotate_files {
            0 => self.number + 1,
            files => self.number % files + 1,
        };
        self.current = self.files.begin(number, &self.schema)?;
        self.number = number;
        self.written = 0;
        Ok(())
    }
}

impl Sink for FilesSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        // A file is begun by the flow that needs it, so that none is left without flows.
        if self.files.flows_per_file > 0 && self.written == self.files.flows_per_file {
            self.begin_next().inspect_err(|_| self.not_begun += 1)?;
        }
        self.written += 1;
        self.current
            .write(flow)
            .map_err(|error| self.files.named(self.number, &error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current
            .flush()
            .map_err(|error| self.files.named(self.number, &error))
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.flush()?;
        self.current = self.files.go_on(self.number, &self.schema)?;
        Ok(())
    }

    fn forget(&mut self) -> u64 {
        let in_memory = self.current.forget();
        self.written = self.written.saturating_sub(in_memory);
        in_memory + std::mem::take(&mut self.not_begun)
    }

    fn in_memory(&self) -> u64 {
        self.current.in_memory() + self.not_begun
    }

    fn finish(&mut self) -> io::Result<()> {
        self.current
            .finish()
            .map_err(|error| self.files.named(self.number, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::flows;

    /// Writes so many flows, and gives the names and lines of all files in the folder.
    fn written(count: u64, make: impl Fn(PathBuf) -> OutputFiles) -> Vec<(String, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let flows = flows(count);
        let mut sink = make(folder.path().join("csv.d.csv"))
            .create(&crate::Settings::default().schema().into())
            .unwrap();
        for flow in &flows {
            sink.write(flow).unwrap();
        }
        sink.finish().unwrap();
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let text = fs::read_to_string(entry.path()).unwrap();
                let first = |line: &str| line.split(',').next().unwrap().to_owned();
                let name = entry.file_name().into_string().unwrap();
                (name, text.lines().map(first).collect())
            })
            .collect();
        files.sort();
        files
    }

    fn expected(files: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
        let owned = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
        files
            .iter()
            .map(|&(name, lines)| (name.to_owned(), owned(lines)))
            .collect()
    }

    #[test]
    fn all_flows_are_in_one_file_unless_told_otherwise() {
        assert_eq!(
            written(3, OutputFiles::new),
            expected(&[("csv.d.csv", &["id", "0", "1", "2"])])
        );
    }

    #[test]
    fn every_file_has_its_number_a_header_and_so_many_flows() {
        assert_eq!(
            written(5, |path| OutputFiles::new(path).flows_per_file(2)),
            expected(&[
                ("csv.d.1.csv", &["id", "0", "1"]),
                ("csv.d.2.csv", &["id", "2", "3"]),
                ("csv.d.3.csv", &["id", "4"]),
            ])
        );
        // No file is begun for flows that do not come.
        assert_eq!(
            written(2, |path| OutputFiles::new(path).flows_per_file(2)),
            expected(&[("csv.d.1.csv", &["id", "0", "1"])])
        );
        assert_eq!(
            written(0, |path| OutputFiles::new(path).flows_per_file(2)),
            expected(&[("csv.d.1.csv", &["id"])])
        );
    }

    #[test]
    fn numbers_go_round_and_older_files_are_overwritten() {
        let rotated = |files| {
            written(7, move |path| {
                OutputFiles::new(path).flows_per_file(2).rotate_files(files)
            })
        };
        assert_eq!(
            rotated(3),
            expected(&[
                ("csv.d.1.csv", &["id", "6"]),
                ("csv.d.2.csv", &["id", "2", "3"]),
                ("csv.d.3.csv", &["id", "4", "5"]),
            ])
        );
        assert_eq!(rotated(1), expected(&[("csv.d.1.csv", &["id", "6"])]));
    }

    #[test]
    fn numbers_stand_before_the_extension() {
        for (path, first) in [
            ("flows.csv", "flows.1.csv"),
            ("a.csv/flows.jsonl", "a.csv/flows.1.jsonl"),
            ("flows.csv.txt", "flows.csv.1.txt"),
            ("flows", "flows.1"),
            ("/x/.csv", "/x/.csv.1"),
        ] {
            let files = OutputFiles::new(path).flows_per_file(1);
            assert_eq!(files.numbered(1), Path::new(first), "{path}");
        }
    }

    #[test]
    fn rotation_needs_a_number_of_flows() {
        let error = OutputFiles::new("/nowhere/flows.csv")
            .rotate_files(3)
            .create(&crate::Settings::default().schema().into())
            .map(drop)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "rotate_files 3: 0 is accepted, or a number of files together with flows_per_file"
        );
    }

    #[test]
    fn a_file_that_was_moved_away_is_begun_anew_and_one_that_was_not_is_continued() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flows.csv");
        let mut sink = OutputFiles::new(&path)
            .create(&crate::Settings::default().schema().into())
            .unwrap();
        let flows = flows(3);
        sink.write(&flows[0]).unwrap();
        sink.reopen().unwrap();
        sink.write(&flows[1]).unwrap();
        let moved = folder.path().join("moved.csv");
        fs::rename(&path, &moved).unwrap();
        sink.reopen().unwrap();
        sink.write(&flows[2]).unwrap();
        sink.finish().unwrap();
        let ids = |path| {
            let text = fs::read_to_string(path).unwrap();
            let first = |line: &str| line.split(',').next().unwrap().to_owned();
            text.lines().map(first).collect::<Vec<_>>()
        };
        assert_eq!(ids(&moved), ["id", "0", "1"]);
        assert_eq!(ids(&path), ["id", "2"]);
    }

    #[test]
    fn flows_whose_file_is_not_begun_are_forgotten_once() {
        let folder = tempfile::tempdir().unwrap();
        let second = folder.path().join("flows.2.csv");
        fs::create_dir(&second).unwrap();
        let mut sink = OutputFiles::new(folder.path().join("flows.csv"))
            .flows_per_file(2)
            .create(&crate::Settings::default().schema().into())
            .unwrap();
        let flows = flows(4);
        sink.write(&flows[0]).unwrap();
        sink.write(&flows[1]).unwrap();
        sink.write(&flows[2]).unwrap_err();
        assert_eq!(sink.forget(), 1);
        fs::remove_dir(&second).unwrap();
        sink.write(&flows[3]).unwrap();
        sink.finish().unwrap();
        let text = fs::read_to_string(&second).unwrap();
        assert_eq!(text.lines().nth(1).unwrap().split(',').next(), Some("3"));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let second = folder.path().join("flows.2.csv");
        fs::create_dir(&second).unwrap();
        let mut sink = OutputFiles::new(folder.path().join("flows.csv"))
            .flows_per_file(1)
            .create(&crate::Settings::default().schema().into())
            .unwrap();
        let flows = flows(2);
        sink.write(&flows[0]).unwrap();
        let error = sink.write(&flows[1]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", second.display())));
    }

    #[test]
    fn a_capture_among_the_files_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["cap.pcap", "cap.2.pcap", "cap.x.pcap", "cap.9.pcap"] {
            fs::write(path(name), "").unwrap();
        }
        let one = OutputFiles::new(path("cap.pcap"));
        assert!(one.overwrites(&path("./cap.pcap")));
        assert!(!one.overwrites(&path("cap.2.pcap")));
        let many = one.flows_per_file(10).rotate_files(5);
        assert!(many.overwrites(&path("cap.2.pcap")));
        for other in ["cap.pcap", "cap.x.pcap", "cap.9.pcap", "cap.3.pcap"] {
            assert!(!many.overwrites(&path(other)), "{other}");
        }
    }
}
