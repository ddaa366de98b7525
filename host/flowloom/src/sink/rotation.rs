//! Files that begin at a time, after a size or after a number of flows.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use flowloom_core::value::Value;
use flowloom_plugin::escaped_path;

use super::Sink;
use super::compressed::Compressed;
use super::format::{Compression, Format};
use super::identity::FileId;
use super::options::SinkOptions;
use super::output::{Counted, Output, named};
use super::temporary_file::{self, OnExisting, TemporaryFile};
use super::timed_names::{Partition, TimedNames};

/// When a file ends and the next one begins.
///
/// A file ends at the first of the limits. Without limits, all flows are in one file.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use flowloom::sink::Rotation;
///
/// let mut rotation = Rotation::default();
/// rotation.interval = Duration::from_secs(300);
/// assert!(rotation.is_timed());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// A file ends at the multiples of this time, counted from 1970-01-01 UTC. Less than a second is no limit.
    pub interval: Duration,
    /// A file ends when it has about this number of bytes; 0 is no limit.
    pub bytes: u64,
    /// Files are in a folder for their day or hour.
    pub partition: Option<Partition>,
    /// Old files are removed when a file ends.
    pub keep: Retention,
}

/// The files that remain when a file ends. The newest file always remains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Files that began earlier than this time ago are removed. `None` is no limit.
    pub age: Option<Duration>,
    /// The oldest files are removed until all have at most this number of bytes. `None` is no limit.
    pub bytes: Option<u64>,
}

impl Rotation {
    /// Returns whether the names of files have the time of their begin.
    pub fn is_timed(&self) -> bool {
        self.has_limit() || self.keep != Retention::default()
    }

    /// Returns whether there is a limit of time or size at which a file ends.
    pub fn has_limit(&self) -> bool {
        self.interval_seconds().is_some() || self.bytes > 0
    }

    /// Returns the time in seconds after which a file ends.
    fn interval_seconds(&self) -> Option<i64> {
        let interval = i64::try_from(self.interval.as_secs()).ok();
        let interval = interval.filter(|&seconds| seconds > 0);
        let partition = self.partition.map(Partition::seconds);
        interval.into_iter().chain(partition).min()
    }
}

/// What a [`TimedSink`] needs besides its rotation.
pub(super) struct TimedOutput {
    pub(super) format: Format,
    pub(super) options: SinkOptions,
    pub(super) rotation: Rotation,
    /// The maximum number of flows of a file; 0 is no limit.
    pub(super) flows_per_file: u64,
    /// Whether existing files are replaced.
    pub(super) may_replace: bool,
    /// Whether the clock of the computer decides, not the times of packets.
    pub(super) is_live: bool,
    pub(super) inputs: Vec<FileId>,
}

/// Writes flows to files whose names have the time of their begin.
///
/// The time is that of the newest packet of all flows so far, or in a live capture the time of the computer. It
/// never goes back, so that one file is open at a time. All files have temporary names until they are complete.
pub(super) struct TimedSink {
    output: TimedOutput,
    schema: Arc<Schema>,
    names: TimedNames,
    compression: Compression,
    /// The clock in ms since 1970-01-01 UTC.
    now_ms: i64,
    current: Option<OpenFile>,
    /// The time in the name of the last file, and its number.
    last: Option<(i64, u64)>,
    /// The number of flows that were lost because their file could not be opened.
    unopened: u64,
    /// The position of the column with the last time of a flow.
    last_seen: Option<(Arc<Schema>, usize)>,
}

struct OpenFile {
    sink: Box<dyn Sink + Send>,
    /// The number of bytes that were written.
    bytes: Arc<AtomicU64>,
    flows: u64,
    began_ms: i64,
    path: std::path::PathBuf,
}

impl TimedSink {
    /// Checks that files can be created in the folder. Removes incomplete files of killed runs.
    pub(super) fn create(
        path: &Path,
        schema: &Arc<Schema>,
        output: TimedOutput,
    ) -> io::Result<Self> {
        let names = TimedNames::new(path, output.rotation.partition);
        for folder in names.folders().unwrap_or_default() {
            temporary_file::remove_left_behind(&folder, |name| names.parse(name).is_some());
        }
        // The file is removed at once.
        let probe = names
            .root()
            .join(names.file(0, 0).file_name().unwrap_or_default());
        TemporaryFile::create(&probe, OnExisting::Replace, &[])?;
        let sink = Self {
            output,
            schema: schema.clone(),
            names,
            compression: Compression::of(path),
            now_ms: 0,
            current: None,
            last: None,
            unopened: 0,
            last_seen: None,
        };
        // An error of the columns is an error of the start.
        let options = &sink.output.options;
        sink.output.format.header(schema, options)?;
        Ok(sink)
    }

    /// Advances the clock.
    fn advance(&mut self, flow: Option<&Flow>) {
        let now_ms = match flow {
            _ if self.output.is_live => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                now.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
            }
            Some(flow) => self.last_seen_ms(flow),
            None => 0,
        };
        self.now_ms = self.now_ms.max(now_ms);
    }

    fn last_seen_ms(&mut self, flow: &Flow) -> i64 {
        let schema = flow.schema();
        let at = match &self.last_seen {
            Some((known, at)) if Arc::ptr_eq(known, schema) => *at,
            _ => {
                let Some(at) = schema.position("bidirectional_last_seen_ms") else {
                    return 0;
                };
                self.last_seen.insert((schema.clone(), at)).1
            }
        };
        match flow.original(at) {
            Some(Value::Integer(ms)) => ms,
            _ => 0,
        }
    }

    /// Returns the begin of the interval of a time in ms; both are since 1970-01-01 UTC.
    fn begin_seconds(&self, ms: i64) -> i64 {
        let seconds = ms / 1_000;
        match self.output.rotation.interval_seconds() {
            Some(interval) => seconds / interval * interval,
            None => seconds,
        }
    }

    /// Returns whether the current file has to end before the next flow.
    fn is_over(&self) -> bool {
        let Some(file) = &self.current else {
            return false;
        };
        let TimedOutput {
            rotation,
            flows_per_file,
            ..
        } = &self.output;
        let has_interval = rotation.interval_seconds().is_some();
        let bytes = || file.bytes.load(Ordering::Relaxed) + file.sink.buffered_bytes();
        (*flows_per_file > 0 && file.flows >= *flows_per_file)
            || (has_interval
                && self.begin_seconds(self.now_ms) != self.begin_seconds(file.began_ms))
            || (rotation.bytes > 0 && bytes() >= rotation.bytes)
    }

    /// Ends the current file, and removes old ones.
    fn end_file(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.current else {
            return Ok(());
        };
        let finished = file.sink.finish();
        finished.map_err(|error| named(&file.path, &error))?;
        self.current = None;
        self.remove_old();
        Ok(())
    }

    fn remove_old(&self) {
        let Retention { age, bytes } = &self.output.rotation.keep;
        if age.is_none() && bytes.is_none() {
            return;
        }
        let files = match self.names.files() {
            Ok(files) => files,
            Err(error) => {
                let folder = escaped_path(self.names.root());
                tracing::warn!("cannot look for old files in '{folder}': {error}");
                return;
            }
        };
        let oldest_seconds = age.map(|age| {
            let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
            (self.now_ms / 1_000).saturating_sub(age)
        });
        let mut total: u64 = files.iter().map(|file| file.bytes).sum();
        let Some((_newest, older)) = files.split_last() else {
            return;
        };
        for file in older {
            let is_old = oldest_seconds.is_some_and(|oldest| file.seconds < oldest);
            if !is_old && bytes.is_none_or(|most| total <= most) {
                // Later files are younger, but a smaller total is only reached from the oldest file on.
                break;
            }
            self.names.remove(file);
            total -= file.bytes;
        }
    }

    /// Opens the file of the current time.
    fn begin_file(&mut self) -> io::Result<()> {
        let seconds = self.begin_seconds(self.now_ms);
        let mut number = match self.last {
            Some((last, number)) if last == seconds => number + 1,
            _ => 0,
        };
        if !self.output.may_replace {
            while self.names.file(seconds, number).exists() {
                number += 1;
            }
        }
        let path = self.names.file(seconds, number);
        if self.output.rotation.partition.is_some() {
            let folder = temporary_file::folder_of(&path);
            std::fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
        }
        let opened = self.open(&path, seconds, number);
        self.current = Some(opened.map_err(|error| named(&path, &error))?);
        self.last = Some((seconds, number));
        Ok(())
    }

    fn open(&self, path: &Path, seconds: i64, number: u64) -> io::Result<OpenFile> {
        let on_existing = match self.output.may_replace {
            true => OnExisting::Replace,
            false => {
                let names = self.names.clone();
                OnExisting::Next(Box::new(move |tries| names.file(seconds, number + tries)))
            }
        };
        let file = TemporaryFile::create(path, on_existing, &self.output.inputs)?;
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = Counted::new(file, bytes.clone());
        let output: Box<dyn Output + Send> = match self.compression {
            Compression::None => Box::new(counted),
            compression => Box::new(Compressed::new(counted, compression)?),
        };
        let TimedOutput {
            format, options, ..
        } = &self.output;
        Ok(OpenFile {
            sink: format.new_sink(output, &self.schema, options, false)?,
            bytes,
            flows: 0,
            began_ms: self.now_ms,
            path: path.to_owned(),
        })
    }
}

impl Sink for TimedSink {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        self.advance(Some(flow));
        if self.is_over() {
            self.end_file().inspect_err(|_| self.unopened += 1)?;
        }
        if self.current.is_none() {
            self.begin_file().inspect_err(|_| self.unopened += 1)?;
        }
        let Some(file) = &mut self.current else {
            return Ok(());
        };
        file.flows += 1;
        let written = file.sink.write(flow);
        written.map_err(|error| named(&file.path, &error))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.end_file()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.advance(None);
        if self.is_over() {
            return self.end_file();
        }
        match &mut self.current {
            Some(file) => file.sink.flush().map_err(|error| named(&file.path, &error)),
            None => Ok(()),
        }
    }

    /// Ends the current file. The next flow begins another one.
    fn reopen(&mut self) -> io::Result<()> {
        self.end_file()
    }

    fn forget(&mut self) -> u64 {
        let unopened = std::mem::take(&mut self.unopened);
        let Some(file) = &mut self.current else {
            return unopened;
        };
        let lost = file.sink.forget();
        file.flows = file.flows.saturating_sub(lost);
        // What is written to a file of text stays there, and flows can follow. Other files cannot be continued.
        if !self.output.format.is_text() && lost > 0 {
            self.current = None;
        }
        unopened + lost
    }

    /// An open file ends at a time, and not only with a flow.
    fn is_waiting(&self) -> bool {
        self.current.is_some()
    }

    fn in_memory(&self) -> u64 {
        let current = self.current.as_ref();
        self.unopened + current.map_or(0, |file| file.sink.in_memory())
    }
}
