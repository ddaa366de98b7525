//! The sink of one file, or of numbered files.

use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use flowloom_plugin::escaped_path;

use super::{Existing, OutputError, OutputFiles, explained, is_special};
use crate::sink::atomic_file::AtomicFile;
use crate::sink::compressed::Compressed;
use crate::sink::format::{Compression, Format};
use crate::sink::identity::FileId;
use crate::sink::output::{Output, named};
use crate::sink::series::Series;
use crate::sink::temporary_file::{self, OnExisting, TemporaryFile};
use crate::sink::{Sink, append};

/// The sink before the first file is open.
struct NoFile;

impl Sink for NoFile {
    fn write(&mut self, _: &Flow) -> io::Result<()> {
        Err(io::Error::other("no file is open"))
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct FilesSink {
    files: OutputFiles,
    series: Series,
    format: Format,
    schema: Arc<Schema>,
    number: u64,
    /// The number of flows in the current file.
    written: u64,
    /// The number of flows that were lost because their file could not be opened.
    unopened: u64,
    /// Whether the current file is lost, because a write to it failed. The next flow begins it again.
    is_broken: bool,
    /// The identity of the current file.
    id: Option<FileId>,
    current: Box<dyn Sink + Send>,
}

impl FilesSink {
    /// Creates the sink, and opens the file with a number.
    pub(super) fn create(
        files: OutputFiles,
        series: Series,
        format: Format,
        schema: &Arc<Schema>,
        number: u64,
    ) -> Result<Self, OutputError> {
        let mut sink = Self {
            format,
            schema: schema.clone(),
            number,
            written: 0,
            unopened: 0,
            is_broken: false,
            id: None,
            current: Box::new(NoFile),
            files,
            series,
        };
        sink.remove_left_behind();
        sink.begin_first()?;
        Ok(sink)
    }

    /// Removes incomplete files that a killed run has left.
    fn remove_left_behind(&self) {
        if !self.format.is_text() {
            temporary_file::remove_left_behind(self.series.folder(), |name| {
                self.series.has_name(name)
            });
        }
    }

    /// Returns whether a file has a temporary name until it is complete.
    fn is_temporary(&self, path: &Path) -> bool {
        !self.format.is_text() && !is_special(path)
    }

    /// Opens the first file, with the requested treatment of existing files.
    fn begin_first(&mut self) -> Result<(), OutputError> {
        let path = self.series.file(self.number);
        let is_one = self.files.flows_per_file == 0;
        let opened = match self.files.existing {
            Existing::Append if is_one && self.is_temporary(&path) && path.exists() => {
                return Err(OutputError::Append(path));
            }
            _ if self.is_temporary(&path) => match self.begin(self.number) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(OutputError::Exists(path));
                }
                opened => opened,
            },
            Existing::Append if is_one => self.append_to(&path),
            Existing::Refuse | Existing::Continue if is_one => {
                match AtomicFile::create_new(&path) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        let is_empty = fs::metadata(&path).is_ok_and(|is| is.len() == 0);
                        let may_follow = self.files.existing == Existing::Continue && is_empty;
                        if !is_special(&path) && !may_follow {
                            return Err(OutputError::Exists(path));
                        }
                        self.append_to(&path)
                    }
                    file => file.and_then(|file| self.start_atomic(file)),
                }
            }
            _ => self.begin(self.number),
        };
        opened.map_err(|error| OutputError::Io(named(&path, &explained(&path, error))))
    }

    fn begin_next(&mut self) -> io::Result<()> {
        self.finish()?;
        let number_error =
            |sink: &Self, error| io::Error::other(sink.files.number_error(&sink.series, error));
        let mut number = self
            .series
            .next(self.number)
            .map_err(|error| number_error(self, error))?;
        loop {
            match self.begin(number) {
                // Another process has created this file in the meantime.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    number = self
                        .series
                        .next(number)
                        .map_err(|error| number_error(self, error))?;
                }
                Err(error) => return Err(named(&self.series.file(number), &error)),
                Ok(()) => break,
            }
        }
        self.number = number;
        self.written = 0;
        Ok(())
    }

    /// Opens a numbered file, or one that may be overwritten.
    fn begin(&mut self, number: u64) -> io::Result<()> {
        let path = self.series.file(number);
        if self.is_temporary(&path) {
            let may_replace =
                self.files.existing == Existing::Overwrite || self.files.rotate_files > 0;
            let on_existing = match may_replace {
                true => OnExisting::Replace,
                false => OnExisting::Fail,
            };
            let file = TemporaryFile::create(&path, on_existing, &self.files.inputs)?;
            let id = file.id()?;
            return self.start(file, id);
        }
        let file = match (self.files.existing, self.files.rotate_files) {
            (Existing::Overwrite, _) => AtomicFile::create(&path, &self.files.inputs)?,
            (_, 0) => AtomicFile::create_new(&path)?,
            _ => AtomicFile::replace(&path)?,
        };
        self.start_atomic(file)
    }

    fn start_atomic(&mut self, file: AtomicFile) -> io::Result<()> {
        let id = file.id()?;
        self.start(file, id)
    }

    /// Writes the header to an empty file, and makes it the current one.
    fn start(&mut self, file: impl Output + Send + 'static, id: FileId) -> io::Result<()> {
        self.id = Some(id);
        let is_stream = is_special(&self.series.file(self.number));
        let output = self.output(file)?;
        let options = &self.files.options;
        self.current = self
            .format
            .new_sink(output, &self.schema, options, is_stream)?;
        Ok(())
    }

    /// Opens a file for appending, or creates it, and makes it the current one.
    fn append_to(&mut self, path: &Path) -> io::Result<()> {
        let file = match AtomicFile::existing(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => AtomicFile::create_new(path)?,
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
                &self.format.header(&self.schema, &self.files.options)?,
            )?,
            None => true,
        };
        if needs_header {
            return self.start_atomic(file);
        }
        self.id = Some(id);
        let output = self.output(file)?;
        let options = &self.files.options;
        self.current = self.format.continued_sink(output, &self.schema, options)?;
        Ok(())
    }

    fn output(&self, file: impl Output + Send + 'static) -> io::Result<Box<dyn Output + Send>> {
        Ok(match Compression::of(&self.files.path) {
            Compression::None => Box::new(file),
            compression => Box::new(Compressed::new(file, compression)?),
        })
    }

    /// Handles the result of writing to the current file.
    fn checked(&mut self, written: io::Result<()>) -> io::Result<()> {
        written.map_err(|error| self.named(&error))
    }

    /// Returns the error with the path of the current file before its message.
    fn named(&self, error: &io::Error) -> io::Error {
        named(&self.series.file(self.number), error)
    }
}

impl Sink for FilesSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        // A file is opened by its first flow, so that no file remains without flows.
        if self.files.flows_per_file > 0 && self.written == self.files.flows_per_file {
            self.begin_next().inspect_err(|_| self.unopened += 1)?;
        } else if self.is_broken {
            let begun = self.begin(self.number);
            begun.map_err(|error| {
                self.unopened += 1;
                self.named(&error)
            })?;
            self.is_broken = false;
        }
        self.written += 1;
        let written = self.current.write(flow);
        self.checked(written)
    }

    fn write_all(&mut self, flows: &[Flow]) -> io::Result<()> {
        if self.files.flows_per_file > 0 || self.is_broken {
            return flows.iter().try_for_each(|flow| self.write(flow));
        }
        self.written += flows.len() as u64;
        let written = self.current.write_all(flows);
        self.checked(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.current.flush().map_err(|error| self.named(&error))
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.flush()?;
        let path = self.series.file(self.number);
        if self.is_temporary(&path) {
            tracing::warn!(
                "'{}' is not reopened: a file of this format is written in one piece",
                escaped_path(&path)
            );
            return Ok(());
        }
        // A file that was truncated needs a new header.
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
        // A file of text ends at the end of a line. Other files cannot be continued.
        if in_memory > 0 && self.is_temporary(&self.series.file(self.number)) {
            self.current = Box::new(NoFile);
            self.is_broken = true;
        }
        in_memory + std::mem::take(&mut self.unopened)
    }

    fn in_memory(&self) -> u64 {
        self.current.in_memory() + self.unopened
    }

    fn buffered_bytes(&self) -> u64 {
        self.current.buffered_bytes()
    }

    fn finish(&mut self) -> io::Result<()> {
        let finished = self.current.finish();
        self.checked(finished)
    }
}
