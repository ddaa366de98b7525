//! Flows in files: one file, or numbered ones of so many flows each.

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;

use super::compressed::Compressed;
use super::csv_text::Formulas;
use super::format::{Compression, UnknownExtension};
use super::identity::FileId;
use super::output::Output;
use super::series::{NoNumber, Series};
use super::whole::Whole;
use super::{Format, Sink, append};

/// The files that flows are written to.
///
/// The names of the parameters are those of NFStream's `to_csv`.
///
/// ```
/// use flowloom::Streamer;
/// use flowloom::sink::{OutputFiles, Sink as _};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
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
    flowloom_plugin::escaped_path(path)
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
