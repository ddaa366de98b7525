//! Flows in files: one file, or numbered ones of so many flows each.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::append;
use super::compressed::Compressed;
use super::csv_text::Formulas;
use super::format::{Compression, UnknownExtension};
use super::identity::FileId;
use super::output::Output;
use super::series::{NoNumber, Series};
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
    format: Option<Format>,
    formulas: Formulas,
    flows_per_file: u64,
    rotate_files: u64,
    existing: Existing,
    inputs: Vec<FileId>,
}

/// What becomes of a file that is there already. Pipes and devices are written to in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It is overwritten; numbers begin at 1.
    #[default]
    Overwrite,
    /// Nothing is written if there is one, of numbered files any of them.
    Refuse,
    /// One file is as with [`Refuse`](Self::Refuse), unless it is empty. Numbered ones go on behind the highest number, and
    /// those of a ring behind the newest file.
    GoOn,
    /// Flows are written behind what is in it, if it has these columns and ends where a flow ends. What a
    /// crash left of a line is cut off. Numbered ones are as with [`GoOn`](Self::GoOn).
    Append,
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
    /// The file's extension does not say how to write.
    #[error(transparent)]
    Extension(#[from] UnknownExtension),
    /// There is such a file, and it is not to be overwritten.
    #[error("cannot write to {}: it exists", shown(.0))]
    Exists(PathBuf),
    /// The numbers of the files that are there leave none to go on with.
    #[error(
        "cannot go on behind {}: {}; move it away, or choose another name",
        shown(.0),
        match .1 {
            0 => "there is no higher number".to_owned(),
            files => format!("its number is not one of a ring of {files} files"),
        }
    )]
    Number(PathBuf, u64),
    /// The file cannot be written to; the text names it.
    #[error("cannot write to {0}")]
    Io(io::Error),
}

impl OutputFiles {
    /// One file, in the [format](Format::of) and [compression](Compression::of) that its name's extension
    /// says.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            formulas: Formulas::default(),
            flows_per_file: 0,
            rotate_files: 0,
            existing: Existing::default(),
            inputs: Vec::new(),
        }
    }

    /// The format, whatever the extension.
    pub fn format(self, format: Format) -> Self {
        Self {
            format: Some(format),
            ..self
        }
    }

    /// How CSV has text that a spreadsheet would take for a formula; as it is by default.
    pub fn formulas(self, formulas: Formulas) -> Self {
        Self { formulas, ..self }
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

    /// What becomes of files that are there already; they are overwritten by default.
    pub fn existing(self, existing: Existing) -> Self {
        Self { existing, ..self }
    }

    /// Files that the run reads: they are never overwritten.
    pub fn inputs(self, files: impl IntoIterator<Item = FileId>) -> Self {
        Self {
            inputs: files.into_iter().collect(),
            ..self
        }
    }

    /// Creates the first file, for flows of this schema.
    ///
    /// # Errors
    ///
    /// The extension names no format and none was given, `rotate_files` is given without
    /// `flows_per_file`, the file is there and not to be overwritten, or it cannot be written to.
    pub fn create(self, schema: &Arc<Schema>) -> Result<impl Sink + Send + use<>, OutputError> {
        let series = self.series();
        let number = self.first(&series)?;
        let mut sink = FilesSink {
            format: self.known_format()?,
            schema: schema.clone(),
            number,
            written: 0,
            not_begun: 0,
            id: None,
            current: Box::new(Nothing),
            files: self,
            series,
        };
        sink.begin_first()?;
        Ok(sink)
    }

    /// How flows are written.
    ///
    /// # Errors
    ///
    /// The extension names no format, and none was given.
    pub fn known_format(&self) -> Result<Format, UnknownExtension> {
        match self.format {
            Some(format) => Ok(format),
            // Pipes are called anything.
            None if is_special(&self.path) => Ok(Format::of(&self.path).unwrap_or(Format::Csv)),
            None => Format::of(&self.path),
        }
    }

    /// The path that was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files of these names that are there already.
    pub fn there(&self) -> Vec<PathBuf> {
        let files = self.series().files().unwrap_or_default();
        files.into_iter().filter(|file| file.exists()).collect()
    }

    /// Whether this path leads to one of the files, as far as it is there, or as it would be made.
    pub fn includes(&self, path: &Path) -> bool {
        let series = self.series();
        if let Some(id) = FileId::at(path) {
            return self.there().iter().any(|file| FileId::at(file) == Some(id));
        }
        // What is written to a device is not there to be overwritten.
        if path.exists() {
            return false;
        }
        let (Some((folder, name)), Some(ours)) = (to_be(path), to_be(&self.path)) else {
            return false;
        };
        match self.flows_per_file {
            0 => (folder, name) == ours,
            _ => folder == ours.0 && series.has_name(&name),
        }
    }

    fn series(&self) -> Series {
        Series::new(&self.path, self.flows_per_file > 0, self.rotate_files)
    }

    /// The number to begin with.
    fn first(&self, series: &Series) -> Result<u64, OutputError> {
        if self.rotate_files > 0 && self.flows_per_file == 0 {
            return Err(OutputError::Parameter {
                parameter: "rotate_files",
                value: self.rotate_files.to_string(),
                accepted: "0 is accepted, or a number of files together with flows_per_file",
            });
        }
        if self.flows_per_file == 0 {
            return Ok(1);
        }
        match self.existing {
            Existing::Overwrite => Ok(1),
            Existing::Refuse => match series.files() {
                Ok(files) => match files.into_iter().next() {
                    Some(file) => Err(OutputError::Exists(file)),
                    None => Ok(1),
                },
                Err(error) => Err(OutputError::Io(named(series.folder(), &error))),
            },
            Existing::GoOn | Existing::Append => series
                .go_on()
                .map_err(|error| self.no_number(series, error)),
        }
    }

    fn no_number(&self, series: &Series, error: NoNumber) -> OutputError {
        match error {
            NoNumber::Folder(error) => OutputError::Io(named(series.folder(), &error)),
            NoNumber::Beyond(file) => OutputError::Number(file, self.rotate_files),
        }
    }
}

/// Whether there is something of this path that is not a file.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|is| !is.is_file())
}

/// Where a file of this path, which is not there, would be made: its folder, and its name in it.
fn to_be(path: &Path) -> Option<(FileId, OsString)> {
    let mut path = path.to_owned();
    // As many links as Linux follows.
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&path) else {
            break;
        };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    Some((FileId::at(folder)?, path.file_name()?.to_owned()))
}

/// A path on one line, without what a terminal would obey.
pub(super) fn shown(path: &Path) -> String {
    crate::plugin::escaped_path(path)
}

/// Puts a file's name before what went wrong.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", shown(path)))
}

/// Stands where no file is open yet.
struct Nothing;

impl Sink for Nothing {
    fn write(&mut self, _: &Flow) -> io::Result<()> {
        Err(io::Error::other("no file is open"))
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct FilesSink {
    files: OutputFiles,
    series: Series,
    format: Format,
    schema: Arc<Schema>,
    number: u64,
    /// Flows in the current file.
    written: u64,
    /// Flows whose file could not be begun.
    not_begun: u64,
    /// The current file.
    id: Option<FileId>,
    current: Box<dyn Sink + Send>,
}

impl FilesSink {
    /// Opens the first file, as what is there already is to be treated.
    fn begin_first(&mut self) -> Result<(), OutputError> {
        let path = self.series.file(self.number);
        let is_one = self.files.flows_per_file == 0;
        let opened = match self.files.existing {
            Existing::Append if is_one => self.append_to(&path),
            Existing::Refuse | Existing::GoOn if is_one => match Whole::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let is_empty = fs::metadata(&path).is_ok_and(|is| is.len() == 0);
                    let may_follow = self.files.existing == Existing::GoOn && is_empty;
                    if !is_special(&path) && !may_follow {
                        return Err(OutputError::Exists(path));
                    }
                    self.append_to(&path)
                }
                file => file.and_then(|file| self.start(file)),
            },
            _ => self.begin(self.number),
        };
        opened.map_err(|error| {
            let folder = self.series.folder();
            let error = match error.kind() {
                io::ErrorKind::NotFound if !folder.exists() => io::Error::new(
                    error.kind(),
                    format!("there is no folder {}; make it first", shown(folder)),
                ),
                io::ErrorKind::IsADirectory => {
                    io::Error::new(error.kind(), "it is a folder; give the name of a file")
                }
                _ => error,
            };
            OutputError::Io(named(&path, &error))
        })
    }

    fn begin_next(&mut self) -> io::Result<()> {
        self.finish()?;
        let no_number =
            |sink: &Self, error| io::Error::other(sink.files.no_number(&sink.series, error));
        let mut number = self
            .series
            .next(self.number)
            .map_err(|error| no_number(self, error))?;
        loop {
            match self.begin(number) {
                // Somebody else has made it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    number = self
                        .series
                        .next(number)
                        .map_err(|error| no_number(self, error))?;
                }
                Err(error) => return Err(named(&self.series.file(number), &error)),
                Ok(()) => break,
            }
        }
        self.number = number;
        self.written = 0;
        Ok(())
    }

    /// Begins a numbered file, or one that may be overwritten.
    fn begin(&mut self, number: u64) -> io::Result<()> {
        let path = self.series.file(number);
        let file = match (self.files.existing, self.files.rotate_files) {
            (Existing::Overwrite, _) => Whole::create(&path, &self.files.inputs)?,
            (_, 0) => Whole::create_new(&path)?,
            _ => Whole::replace(&path)?,
        };
        self.start(file)
    }

    /// Goes on with a file that has no header yet.
    fn start(&mut self, file: Whole) -> io::Result<()> {
        self.id = Some(file.id()?);
        let output = self.output(file)?;
        self.current = self
            .format
            .begun(output, &self.schema, self.files.formulas)?;
        Ok(())
    }

    /// Goes on behind what is in a file; creates it if it is not there.
    fn append_to(&mut self, path: &Path) -> io::Result<()> {
        let file = match Whole::existing(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Whole::create_new(path)?,
            file => file?,
        };
        let id = file.id()?;
        let needs_header = match file.as_file() {
            Some(_) if self.files.inputs.contains(&id) => {
                return Err(io::Error::other("the run reads this file"));
            }
            Some(file) => append::prepare(
                file,
                path,
                self.format,
                Compression::of(path),
                &self.format.header(&self.schema),
            )?,
            None => true,
        };
        if needs_header {
            return self.start(file);
        }
        self.id = Some(id);
        let output = self.output(file)?;
        self.current = self
            .format
            .continued(output, &self.schema, self.files.formulas);
        Ok(())
    }

    fn output(&self, file: Whole) -> io::Result<Box<dyn Output + Send>> {
        Ok(match Compression::of(&self.files.path) {
            Compression::None => Box::new(file),
            compression => Box::new(Compressed::new(file, compression)?),
        })
    }

    /// Puts the current file's name before what went wrong.
    fn named(&self, error: &io::Error) -> io::Error {
        named(&self.series.file(self.number), error)
    }
}

impl Sink for FilesSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        // A file is begun by the flow that needs it, so that none is left without flows.
        if self.files.flows_per_file > 0 && self.written == self.files.flows_per_file {
            self.begin_next().inspect_err(|_| self.not_begun += 1)?;
        }
        self.written += 1;
        self.current.write(flow).map_err(|error| self.named(&error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current.flush().map_err(|error| self.named(&error))
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.flush()?;
        let path = self.series.file(self.number);
        // A file that was emptied needs its header again.
        if let Ok(is) = fs::metadata(&path)
            && Some(FileId::of(&is)) == self.id
            && (is.len() > 0 || !is.is_file())
        {
            return Ok(());
        }
        self.finish()?;
        self.append_to(&path).map_err(|error| self.named(&error))
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
        self.current.finish().map_err(|error| self.named(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

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
    fn a_file_among_the_files_is_found_whether_it_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["cap.csv", "cap.2.csv", "cap.x.csv", "cap.9.csv"] {
            fs::write(path(name), "").unwrap();
        }
        fs::hard_link(path("cap.2.csv"), path("hard")).unwrap();
        std::os::unix::fs::symlink("cap.4.csv", path("dangling")).unwrap();
        let one = OutputFiles::new(path("cap.csv"));
        assert!(one.includes(&path("./cap.csv")));
        assert!(!one.includes(&path("cap.2.csv")));
        let many = one.flows_per_file(10).rotate_files(5);
        for ours in ["cap.2.csv", "hard", "cap.3.csv", "dangling"] {
            assert!(many.includes(&path(ours)), "{ours}");
        }
        for other in [
            "cap.csv",
            "cap.x.csv",
            "cap.9.csv",
            "cap.6.csv",
            "none/cap.3.csv",
        ] {
            assert!(!many.includes(&path(other)), "{other}");
        }
    }

    /// Writes flows of these ids, and gives the first column of each file.
    fn rerun(
        folder: &Path,
        name: &str,
        ids: std::ops::Range<u64>,
        make: impl Fn(OutputFiles) -> OutputFiles,
    ) -> Result<(), String> {
        let schema = crate::Settings::default().schema().into();
        let mut sink = make(OutputFiles::new(folder.join(name)))
            .create(&schema)
            .map_err(|error| error.to_string())?;
        for flow in flows(ids.end).into_iter().skip(ids.start as usize) {
            sink.write(&flow).unwrap();
        }
        sink.finish().unwrap();
        Ok(())
    }

    fn text(path: &Path) -> String {
        let file = fs::File::open(path).unwrap();
        let mut text = String::new();
        let mut reader: Box<dyn io::Read> = match Compression::of(path) {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(file).unwrap()),
        };
        reader.read_to_string(&mut text).unwrap();
        text
    }

    fn ids(path: &Path) -> Vec<String> {
        let first = |line: &str| line.split(',').next().unwrap().to_owned();
        text(path).lines().map(first).collect()
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten_unless_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.csv");
        let run = |ids, existing| {
            rerun(folder.path(), "f.csv", ids, |files| {
                files.existing(existing)
            })
        };
        for existing in [Existing::Refuse, Existing::GoOn] {
            run(0..2, existing).unwrap();
            let refused = format!("cannot write to {}: it exists", file.display());
            assert_eq!(run(2..3, existing), Err(refused));
            assert_eq!(ids(&file), ["id", "0", "1"]);
            fs::remove_file(&file).unwrap();
        }
        run(0..2, Existing::Append).unwrap();
        run(2..3, Existing::Append).unwrap();
        assert_eq!(ids(&file), ["id", "0", "1", "2"]);
        run(4..5, Existing::Overwrite).unwrap();
        assert_eq!(ids(&file), ["id", "4"]);
        // An empty file, as mktemp makes it, has nothing to lose.
        fs::write(&file, "").unwrap();
        run(5..6, Existing::Refuse).unwrap_err();
        run(5..6, Existing::GoOn).unwrap();
        assert_eq!(ids(&file), ["id", "5"]);
    }

    #[test]
    fn compressed_files_are_continued_too() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f.csv.gz", "f.csv.zst"] {
            for range in [0..3, 3..3, 3..5] {
                let append = |files: OutputFiles| files.existing(Existing::Append);
                rerun(folder.path(), name, range, append).unwrap();
            }
            let file = folder.path().join(name);
            assert_eq!(ids(&file), ["id", "0", "1", "2", "3", "4"]);
            // A run that was killed: all that it flushed is there.
            let append = |files: OutputFiles| files.existing(Existing::Append);
            let mut sink = append(OutputFiles::new(&file))
                .create(&crate::Settings::default().schema().into())
                .unwrap();
            for flow in flows(7).iter().skip(5) {
                sink.write(flow).unwrap();
                sink.flush().unwrap();
            }
            std::mem::forget(sink);
            rerun(folder.path(), name, 7..9, append).unwrap();
            assert_eq!(
                ids(&file),
                ["id", "0", "1", "2", "3", "4", "5", "6", "7", "8"]
            );
        }
    }

    #[test]
    fn numbered_files_go_on_counting() {
        let folder = tempfile::tempdir().unwrap();
        let files = || {
            let names = fs::read_dir(folder.path()).unwrap();
            let name =
                |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
            let mut names: Vec<_> = names.map(name).collect();
            names.sort();
            names
        };
        let go_on = |files: OutputFiles| files.flows_per_file(2).existing(Existing::GoOn);
        rerun(folder.path(), "f.csv.gz", 0..3, go_on).unwrap();
        rerun(folder.path(), "f.csv.gz", 3..4, go_on).unwrap();
        assert_eq!(files(), ["f.1.csv.gz", "f.2.csv.gz", "f.3.csv.gz"]);
        assert_eq!(ids(&folder.path().join("f.3.csv.gz")), ["id", "3"]);
        let refuse = |files: OutputFiles| files.flows_per_file(2).existing(Existing::Refuse);
        let refused = rerun(folder.path(), "f.csv.gz", 0..3, refuse).unwrap_err();
        assert!(refused.ends_with("f.1.csv.gz: it exists"), "{refused}");
        assert_eq!(files().len(), 3);
    }

    #[test]
    fn a_number_that_somebody_else_took_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u32| folder.path().join(format!("f.{number}.csv"));
        let mut sink = OutputFiles::new(folder.path().join("f.csv"))
            .flows_per_file(1)
            .existing(Existing::GoOn)
            .create(&crate::Settings::default().schema().into())
            .unwrap();
        let flows = flows(2);
        sink.write(&flows[0]).unwrap();
        fs::write(path(2), "theirs").unwrap();
        std::os::unix::fs::symlink("/nowhere/else", path(3)).unwrap();
        sink.write(&flows[1]).unwrap();
        sink.finish().unwrap();
        assert_eq!(fs::read_to_string(path(2)).unwrap(), "theirs");
        assert_eq!(ids(&path(4)), ["id", "1"]);
    }

    #[test]
    fn a_ring_goes_on_behind_its_newest_file_and_follows_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = |number: u32| folder.path().join(format!("f.{number}.csv"));
        let ring = |files: OutputFiles| {
            files
                .flows_per_file(1)
                .rotate_files(3)
                .existing(Existing::GoOn)
        };
        rerun(folder.path(), "f.csv", 0..2, ring).unwrap();
        rerun(folder.path(), "f.csv", 2..3, ring).unwrap();
        assert_eq!(ids(&path(3)), ["id", "2"]);
        let secret = folder.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::remove_file(path(1)).unwrap();
        std::os::unix::fs::symlink(&secret, path(1)).unwrap();
        let old = std::time::SystemTime::UNIX_EPOCH;
        fs::File::open(&secret).unwrap().set_modified(old).unwrap();
        rerun(folder.path(), "f.csv", 3..4, ring).unwrap();
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(ids(&path(1)), ["id", "3"]);
    }

    #[test]
    fn what_the_run_reads_is_not_overwritten_under_any_number() {
        let folder = tempfile::tempdir().unwrap();
        let capture = folder.path().join("x.pcap");
        fs::write(&capture, "packets").unwrap();
        for existing in [Existing::Overwrite, Existing::Append] {
            let inputs = |files: OutputFiles| files.inputs(FileId::at(&capture)).existing(existing);
            let link = folder.path().join("f.csv");
            fs::hard_link(&capture, &link).unwrap();
            let refused = rerun(folder.path(), "f.csv", 0..1, inputs).unwrap_err();
            assert!(
                refused.ends_with("f.csv: the run reads this file"),
                "{refused}"
            );
            fs::remove_file(&link).unwrap();
        }
        // A number that comes late.
        fs::hard_link(&capture, folder.path().join("n.2.csv")).unwrap();
        let mut sink = OutputFiles::new(folder.path().join("n.csv"))
            .flows_per_file(1)
            .inputs(FileId::at(&capture))
            .create(&crate::Settings::default().schema().into())
            .unwrap();
        let flows = flows(2);
        sink.write(&flows[0]).unwrap();
        let refused = sink.write(&flows[1]).unwrap_err().to_string();
        assert!(
            refused.ends_with("n.2.csv: the run reads this file"),
            "{refused}"
        );
        assert_eq!(fs::read_to_string(&capture).unwrap(), "packets");
    }

    #[test]
    fn what_cannot_be_continued_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let schema = crate::Settings::default().schema();
        let header = String::from_utf8(Format::Csv.header(&schema)).unwrap();
        let more = header.replace('\n', ",more\n");
        let less = header.replace(",protocol,", ",");
        let refused = |name: &str, bytes: &[u8], why: &str| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            let append = |files: OutputFiles| files.existing(Existing::Append);
            let error = rerun(folder.path(), name, 0..1, append).unwrap_err();
            let expected = format!(
                "cannot write to {}: flows cannot be appended: {why}",
                path.display()
            );
            assert!(error.starts_with(&expected), "{error}");
            let way_out = "; choose another name, or move the file away";
            assert!(error.ends_with(way_out), "{error}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "{name} was changed");
        };
        let count = header.split(',').count();
        for (name, text, why) in [
            (
                "less.csv",
                &*less,
                "its header has the column `ip_version` where these flows have `protocol`"
                    .to_owned(),
            ),
            (
                "more.csv",
                &*more,
                format!(
                    "its header has {} columns, and these flows have {count}",
                    count + 1
                ),
            ),
            (
                "text.csv",
                "Dear \u{1b}diary",
                "its header has the column `Dear \\u{1b}diary` where these flows have `id`"
                    .to_owned(),
            ),
            (
                "text.jsonl",
                &*header,
                "it does not begin with a JSON object".to_owned(),
            ),
            (
                "plain.csv.gz",
                &*header,
                "its gzip stream is damaged (".to_owned(),
            ),
        ] {
            refused(name, text.as_bytes(), &why);
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut gzip, format!("{header}0,half a line").as_bytes()).unwrap();
        let whole = gzip.finish().unwrap();
        refused(
            "half.csv.gz",
            &whole,
            "its text does not end where a line ends",
        );
    }

    #[test]
    fn what_a_crash_left_of_a_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let header = Format::Csv.header(&crate::Settings::default().schema());
        let header = String::from_utf8(header).unwrap();
        let long = "x".repeat(200_000);
        for (name, before, expected) in [
            ("empty.csv", String::new(), vec!["id", "7"]),
            ("header.csv", header[..20].to_owned(), vec!["id", "7"]),
            ("whole.csv", format!("{header}1,2\n"), vec!["id", "1", "7"]),
            (
                "torn.csv",
                format!("{header}1,2\n3,4"),
                vec!["id", "1", "7"],
            ),
            (
                "long.csv",
                format!("{header}1,2\n3,{long}"),
                vec!["id", "1", "7"],
            ),
            ("first.csv", format!("{header}1"), vec!["id", "7"]),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, before).unwrap();
            let append = |files: OutputFiles| files.existing(Existing::Append);
            rerun(folder.path(), name, 7..8, append).unwrap();
            assert_eq!(ids(&path), expected, "{name}");
        }
        for (before, lines) in [
            ("{\"id\":1}\n{\"id\":2", vec!["{\"id\":1}"]),
            // A whole object is a flow.
            ("{\"id\":1}\n{\"id\":2}", vec!["{\"id\":1}", "{\"id\":2}"]),
            ("{\"id\":1", vec![]),
        ] {
            let path = folder.path().join("torn.jsonl");
            fs::write(&path, before).unwrap();
            let append = |files: OutputFiles| files.existing(Existing::Append);
            rerun(folder.path(), "torn.jsonl", 7..8, append).unwrap();
            let text = text(&path);
            let (last, rest) = text
                .lines()
                .rev()
                .collect::<Vec<_>>()
                .split_first()
                .map(|(last, rest)| {
                    let mut rest = rest.to_vec();
                    rest.reverse();
                    ((*last).to_owned(), rest)
                })
                .unwrap();
            assert!(last.starts_with("{\"id\":7,"), "{last}");
            assert_eq!(rest, lines);
        }
    }

    #[test]
    fn an_output_that_is_opened_anew_keeps_its_compression_whole() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f.csv.gz", "f.csv.zst"] {
            let path = folder.path().join(name);
            let mut sink = OutputFiles::new(&path)
                .create(&crate::Settings::default().schema().into())
                .unwrap();
            let flows = flows(3);
            sink.write(&flows[0]).unwrap();
            sink.reopen().unwrap();
            sink.write(&flows[1]).unwrap();
            let moved = folder.path().join(format!("moved-{name}"));
            fs::rename(&path, &moved).unwrap();
            sink.reopen().unwrap();
            assert_eq!(ids(&moved), ["id", "0", "1"]);
            sink.write(&flows[2]).unwrap();
            sink.finish().unwrap();
            assert_eq!(ids(&path), ["id", "2"]);
        }
    }
}
