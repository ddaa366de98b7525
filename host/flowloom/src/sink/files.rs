//! Output files: one file, or numbered files with a fixed number of flows each. An object in a store is one file.

mod object;
mod sink;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use flowloom_core::schema::Schema;
use flowloom_plugin::escaped_path;

use self::sink::FilesSink;
use super::Sink;
use super::format::{Format, UnknownExtension};
use super::identity::FileId;
use super::options::SinkOptions;
use super::output::named;
use super::rotation::{Rotation, TimedOutput, TimedSink};
use super::series::{NextNumberError, Series};
use super::temporary_file;
use super::timed_names::TimedNames;
use crate::storage::{Place, public};

/// Builder of the sink that writes flows to files.
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
#[derive(Clone, Debug)]
#[must_use]
pub struct OutputFiles {
    path: PathBuf,
    format: Option<Format>,
    options: SinkOptions,
    flows_per_file: u64,
    rotate_files: u64,
    rotation: Rotation,
    is_live: bool,
    existing: Existing,
    inputs: Vec<FileId>,
}

/// The treatment of files that already exist. Pipes and devices are always written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// Overwrite the file. Numbers start at 1.
    #[default]
    Overwrite,
    /// Return an error if the file exists. With numbered files, return an error if any of them
    /// exists.
    Refuse,
    /// For one file: as [`Refuse`](Self::Refuse), but an empty file is written to. For numbered
    /// files: continue after the highest number, or after the newest file of a ring.
    Continue,
    /// For one file: append to it. Its columns must be the same. An incomplete last line is
    /// removed. For numbered files: as [`Continue`](Self::Continue).
    Append,
}

/// The reason why the first file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// A parameter has an invalid value.
    #[error("{parameter} {value}: {accepted}")]
    Parameter {
        /// The name of the parameter.
        parameter: &'static str,
        /// The given value.
        value: String,
        /// A description of the accepted values.
        accepted: &'static str,
    },
    /// The name begins like a URL, and is none that can be written to.
    #[error("cannot write to '{}': {reason}", escaped_path(.url))]
    Url {
        /// The URL, without secrets.
        url: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The extension of the file is not that of a format.
    #[error(transparent)]
    Extension(#[from] UnknownExtension),
    /// The file exists, and must not be overwritten.
    #[error("cannot write to '{}': it exists", escaped_path(.0))]
    Exists(PathBuf),
    /// The file exists, and its format cannot be continued.
    #[error(
        "cannot append to '{}': a file of this format is complete; choose another name, or number the files",
        escaped_path(.0)
    )]
    Append(PathBuf),
    /// The numbers of the existing files cannot be continued. The second field is the limit of the
    /// ring, or 0.
    #[error(
        "cannot continue the numbering after '{}': {}; move the file away, or choose another name",
        escaped_path(.0),
        match .1 {
            0 => "there is no higher number".to_owned(),
            files => format!("its number exceeds the limit of {files} files"),
        }
    )]
    Number(PathBuf, u64),
    /// The file cannot be written to. The inner message names it.
    #[error("cannot write to {0}")]
    Io(io::Error),
}

impl OutputFiles {
    /// Writes to one file, or to an object that a URL names. Its extension selects the [format](Format::of) and
    /// [compression](super::Compression::of).
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: None,
            options: SinkOptions::default(),
            flows_per_file: 0,
            rotate_files: 0,
            rotation: Rotation::default(),
            is_live: false,
            existing: Existing::default(),
            inputs: Vec::new(),
        }
    }

    /// Sets the format, independent of the extension.
    pub fn format(self, format: Format) -> Self {
        Self {
            format: Some(format),
            ..self
        }
    }

    /// Sets the columns and other options of the format.
    pub fn options(self, options: SinkOptions) -> Self {
        Self { options, ..self }
    }

    /// Sets the number of flows per file. 0, the default, writes all flows to one file.
    ///
    /// Files are numbered from 1. The number precedes the extension: `flows.1.csv`, `flows.2.csv`
    /// and so on. Each file has a header if the format has one. The first file is created even if
    /// there are no flows. Files of an earlier run with higher numbers remain.
    pub fn flows_per_file(self, flows: u64) -> Self {
        Self {
            flows_per_file: flows,
            ..self
        }
    }

    /// Sets the maximum number of files. After the last number, 1 follows again, and the file with
    /// that number is overwritten. 0, the default, means no limit. It requires
    /// [`flows_per_file`](Self::flows_per_file).
    pub fn rotate_files(self, files: u64) -> Self {
        Self {
            rotate_files: files,
            ..self
        }
    }

    /// Sets when a file ends and the next one begins. By default, all flows are in one file.
    ///
    /// Names have the time in UTC at which the file began: `flows.20261129T130500Z.csv`. The time is that of the newest
    /// packet, rounded down to a multiple of the interval. A file has a temporary name until it is complete. Without
    /// flows, no file is created.
    pub fn rotation(self, rotation: Rotation) -> Self {
        Self { rotation, ..self }
    }

    /// Sets whether a [`rotation`](Self::rotation) follows the clock of the computer instead of the times of packets.
    pub fn live(self, is_live: bool) -> Self {
        Self { is_live, ..self }
    }

    /// Sets the treatment of existing files. By default, they are overwritten.
    pub fn existing(self, existing: Existing) -> Self {
        Self { existing, ..self }
    }

    /// Sets the files that the run reads. They are never overwritten.
    pub fn inputs(self, files: impl IntoIterator<Item = FileId>) -> Self {
        Self {
            inputs: files.into_iter().collect(),
            ..self
        }
    }

    /// Opens the first file for flows with this schema.
    ///
    /// A file of text has its name from the start. A Parquet or Arrow file has a temporary name until it is complete.
    /// Temporary files that a killed run has left in the folder are removed. An object appears when it is complete.
    ///
    /// # Errors
    ///
    /// Returns an error in these cases:
    ///
    /// - The flows do not have the chosen columns.
    /// - A Parquet or Arrow file would have to be continued.
    /// - The extension is not that of a format, and no format was set.
    /// - `rotate_files` is set without `flows_per_file`.
    /// - The file exists and must not be overwritten.
    /// - An object is numbered, rotated or continued.
    /// - The file cannot be written to.
    pub fn create(
        mut self,
        schema: &Arc<Schema>,
    ) -> Result<Box<dyn Sink + Send + 'static>, OutputError> {
        match Place::of(&self.path) {
            Ok(Place::Local(path)) => self.path = path,
            Ok(Place::Object(url)) => return object::create(self, url, schema),
            Err(error) => {
                return Err(OutputError::Url {
                    url: public(&self.path).into_owned(),
                    reason: error.to_string(),
                });
            }
        }
        if self.rotation.is_timed() {
            return Ok(Box::new(self.create_timed(schema)?));
        }
        let series = self.series();
        let number = self.first(&series)?;
        let format = self.known_format()?;
        let sink = FilesSink::create(self, series, format, schema, number)?;
        Ok(Box::new(sink))
    }

    /// Prepares files whose names have a time.
    fn create_timed(self, schema: &Arc<Schema>) -> Result<TimedSink, OutputError> {
        let parameter = |parameter, value: String, accepted| {
            Err(OutputError::Parameter {
                parameter,
                value,
                accepted,
            })
        };
        if self.rotate_files > 0 {
            let accepted = "it is accepted only for numbered files; use keep for files with times";
            return parameter("rotate_files", self.rotate_files.to_string(), accepted);
        }
        if !self.rotation.has_limit() && self.flows_per_file == 0 {
            let accepted = "it needs a limit at which a file ends";
            return parameter("keep", String::new(), accepted);
        }
        if is_special(&self.path) {
            let accepted = "a pipe or device has one output";
            return parameter("rotation", String::new(), accepted);
        }
        let there = self.there();
        if self.existing == Existing::Refuse
            && let Some(file) = there.into_iter().next()
        {
            return Err(OutputError::Exists(file));
        }
        let output = TimedOutput {
            format: self.known_format()?,
            options: self.options,
            rotation: self.rotation,
            flows_per_file: self.flows_per_file,
            may_replace: self.existing == Existing::Overwrite,
            is_live: self.is_live,
            inputs: self.inputs,
        };
        TimedSink::create(&self.path, schema, output)
            .map_err(|error| OutputError::Io(named(&self.path, &explained(&self.path, error))))
    }

    /// Returns the format in which flows are written.
    ///
    /// # Errors
    ///
    /// Returns an error if the extension is not that of a format, and no format was set.
    pub fn known_format(&self) -> Result<Format, UnknownExtension> {
        match self.format {
            Some(format) => Ok(format),
            // Pipes have any extension.
            None if is_special(&self.path) => Ok(Format::of(&self.path).unwrap_or(Format::Csv)),
            None => Format::of(&public(&self.path)),
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the output is an object in a store.
    pub fn is_object(&self) -> bool {
        matches!(Place::of(&self.path), Ok(Place::Object(_)))
    }

    /// Returns the output files that already exist. An object is one of them, whether it exists or not.
    pub fn there(&self) -> Vec<PathBuf> {
        if self.is_object() {
            return vec![self.path.clone()];
        }
        if self.rotation.is_timed() {
            let names = TimedNames::new(&self.path, self.rotation.partition);
            let files = names.files().unwrap_or_default();
            return files.into_iter().map(|file| file.path).collect();
        }
        let files = self.series().files().unwrap_or_default();
        files.into_iter().filter(|file| file.exists()).collect()
    }

    /// Returns whether this path leads to one of the output files, no matter whether that file
    /// exists.
    pub fn includes(&self, path: &Path) -> bool {
        let series = self.series();
        if let Some(id) = FileId::at(path) {
            return self.there().iter().any(|file| FileId::at(file) == Some(id));
        }
        // Writing to a device overwrites nothing.
        if path.exists() {
            return false;
        }
        let (Some((folder, name)), Some(ours)) = (target_of(path), target_of(&self.path)) else {
            return false;
        };
        if self.rotation.is_timed() {
            let names = TimedNames::new(&self.path, None);
            return self.rotation.partition.is_none()
                && folder == ours.0
                && names.parse(&name).is_some();
        }
        match self.flows_per_file {
            0 => (folder, name) == ours,
            _ => folder == ours.0 && series.has_name(&name),
        }
    }

    fn series(&self) -> Series {
        Series::new(&self.path, self.flows_per_file > 0, self.rotate_files)
    }

    /// Returns the number of the first file.
    fn first(&self, series: &Series) -> Result<u64, OutputError> {
        if self.rotate_files > 0 && self.flows_per_file == 0 {
            return Err(OutputError::Parameter {
                parameter: "rotate_files",
                value: self.rotate_files.to_string(),
                accepted: "it is accepted only together with flows_per_file",
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
            Existing::Continue | Existing::Append => series
                .continue_from_existing()
                .map_err(|error| self.number_error(series, error)),
        }
    }

    fn number_error(&self, series: &Series, error: NextNumberError) -> OutputError {
        match error {
            NextNumberError::ReadFolder(error) => OutputError::Io(named(series.folder(), &error)),
            NextNumberError::NoFurtherNumber(file) => OutputError::Number(file, self.rotate_files),
        }
    }
}

/// Returns whether the path is that of a pipe, device or folder.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|is| !is.is_file())
}

/// Returns the folder and the name that a new file at this path would have. It follows symbolic
/// links.
fn target_of(path: &Path) -> Option<(FileId, OsString)> {
    let mut path = path.to_owned();
    // Linux follows at most 40 links.
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

/// Returns the error of opening a file, with what the user can do.
fn explained(path: &Path, error: io::Error) -> io::Error {
    let folder = temporary_file::folder_of(path);
    match error.kind() {
        io::ErrorKind::NotFound if !folder.exists() => io::Error::new(
            error.kind(),
            format!(
                "folder '{}' does not exist; create it first",
                escaped_path(folder)
            ),
        ),
        io::ErrorKind::IsADirectory => {
            io::Error::new(error.kind(), "it is a folder; give the name of a file")
        }
        _ => error,
    }
}
