//! Reading of a list of capture files, pipes and standard input.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use flowloom_core::meter::{Boundary, Part};
use flowloom_core::time::Time;

use super::block_size::SIZE;
use super::capture_reader::{AheadOf, CaptureReader, ReadOutcome};
use super::groups::{self, Grouping};
use super::input::Source;
use super::packet_block::PacketBlock;
use super::parallel::in_parallel;
use super::pipe::{self, PipeClock};
use super::plan::{
    CheckedSources, FEW_FILES, PlannedSource, TaskFile, check_sources, plan, threads_for,
};
use super::read_buffer::ReadBuffer;
use super::record_io::MAX_PACKETS;
use crate::capture::error::CaptureError;
use crate::capture::filter::Filter;
use crate::capture::packets::{Packets, Record};
use crate::capture::source_event::{BlockEvent, SourceEvent};
use crate::capture::source_table::SourceTable;
use crate::capture::steps::ClockSteps;

/// The number of objects that are requested before they are read, and their bytes. A store takes longer to answer than
/// a small capture takes to meter.
const MAX_PREFETCHED: usize = 16;
const MAX_PREFETCHED_BYTES: u64 = 64 << 20;

/// The maximum time between two pauses of a pipe that always has data. In a pause, the meter
/// delivers what it holds back.
const MAX_DELIVERY_DELAY: Duration = Duration::from_millis(100);

/// The number of pauses after a stop after which a pipe ends. Most likely its writer was stopped
/// too, and has sent all data by then.
const MAX_PAUSES_AFTER_STOP: u32 = 3;
/// The maximum time after a stop for which Flowloom still reads from a pipe.
const MAX_READ_AFTER_STOP: Duration = Duration::from_secs(1);

/// Reads a list of captures, one file after the other.
///
/// The first bytes of a file determine its format (pcap or pcapng) and its compression (gzip or
/// zstd). File names have no influence. One file is open at a time.
///
/// ```no_run
/// # use flowloom::capture::{CaptureError, Files};
/// # fn main() -> Result<(), CaptureError> {
/// let mut files = Files::open(["monday.pcap", "tuesday.pcapng.zst"])?;
/// while let Some(packets) = files.read()? {
///     for packet in packets.iter() {
///         println!("{} ns: {} bytes", packet.time.ns(), packet.wire_len);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Files {
    sources: VecDeque<PlannedSource>,
    /// The source to open next, once the caller knows of the boundary before it.
    next: Option<PlannedSource>,
    current: Option<CaptureReader>,
    buffer: ReadBuffer,
    records: Vec<Record>,
    /// The number of records that were returned.
    returned: usize,
    filter: Option<Filter>,
    snapshot_length: u32,
    total_bytes: Option<u64>,
    /// Whether all sources are files of this machine. Their reads are large and do not wait.
    are_local: bool,
    /// The bytes that were read from the files before the current one.
    bytes_before: u64,
    packets_read: u64,
    packets_filtered: u64,
    /// The number of captures that were begun.
    captures: u64,
    /// The ordinal of the next packet in its capture. Only packets that are returned count.
    next_ordinal: u64,
    /// The table that gets each opened source, if it is needed.
    opened: Option<SourceTable>,
    skipped: Vec<CaptureError>,
    skip_unreadable: bool,
    /// The large files that another thread reads.
    ahead: AheadOf,
    /// The part of a planned run.
    part: Option<Part>,
    /// The newest time of the current capture, if a further file may continue it.
    newest: Option<Time>,
    pipe: PipeState,
}

/// The state of the pipe that is read.
struct PipeState {
    clock: PipeClock,
    steps: ClockSteps,
    /// The time of the last pause.
    paused: Instant,
    /// The time of the stop, and the number of pauses since.
    stopped: Option<(Instant, u32)>,
}

/// The result of [`Files::advance`].
enum AdvanceResult {
    /// The records from this index on are new.
    Records(usize),
    Pause(Option<Time>),
    Boundary(Boundary),
    End,
}

impl Files {
    /// Opens captures by their paths. They are read in this order, as one capture. `-` is standard
    /// input.
    ///
    /// All files are checked before this function returns. A wrong name, or a file that is not a
    /// capture, is therefore found before the first packet is metered. Pipes and standard input
    /// cannot be checked without removing data from them. [`read`](Self::read) returns their
    /// errors.
    ///
    /// # Errors
    ///
    /// Returns the error of a file, or [`CaptureError::Unreadable`] if several files have errors.
    pub fn open<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, CaptureError> {
        Self::open_grouped(paths, Grouping::One, false)
    }

    /// Opens captures by their paths. They are read group by group, with a [boundary](Boundary)
    /// before each further capture.
    ///
    /// With `skip_unreadable`, files that cannot be opened or are not captures are skipped.
    /// [`skipped`](Self::skipped) returns their errors.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`open`](Self::open). With `skip_unreadable`, it only fails if no
    /// file can be read.
    pub fn open_grouped<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
        grouping: Grouping,
        skip_unreadable: bool,
    ) -> Result<Self, CaptureError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        if paths.is_empty() {
            return Err(CaptureError::NoSource);
        }
        // The time of the first packet matters only if the order of the files may change.
        let looks_inside = grouping == Grouping::Auto && paths.len() > 1;
        let CheckedSources { sources, errors } = check_sources(paths, looks_inside)?;
        if !errors.is_empty() && (!skip_unreadable || sources.is_empty()) {
            return Err(CaptureError::of(errors));
        }
        for error in &errors {
            tracing::warn!("{error}; the file is skipped");
        }
        let mut files = Self::new(plan(sources, grouping));
        files.skipped = errors;
        files.skip_unreadable = skip_unreadable;
        Ok(files)
    }

    /// Opens the files of a part of a run. Each capture was planned: a file that does not continue its capture is an error.
    pub(crate) fn open_part(
        files: Vec<TaskFile>,
        part: Part,
        skip_unreadable: bool,
    ) -> Result<Self, CaptureError> {
        let (mut sources, mut errors) = (VecDeque::new(), Vec::new());
        let threads = threads_for(files.iter().map(|file| &*file.path));
        let kept = AtomicU64::new(0);
        for checked in in_parallel(&files, FEW_FILES, threads, |file| file.clone().check(&kept)) {
            match checked {
                Ok(source) => sources.push_back(source),
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() && (!skip_unreadable || sources.is_empty()) {
            return Err(CaptureError::of(errors));
        }
        // Whatever the first file continues is another task's.
        if let Some(first) = sources.front_mut() {
            first.begins = true;
        }
        let mut files = Self::new(sources);
        files.skipped = errors;
        files.skip_unreadable = skip_unreadable;
        files.part = Some(part);
        Ok(files)
    }

    /// Opens a file whose [newest](Self::newest) time is wanted.
    pub(crate) fn open_alone(path: PathBuf) -> Result<Self, CaptureError> {
        Ok(Self::new(VecDeque::from([PlannedSource {
            source: Source::of(path)?,
            begins: true,
            first: Some(Time::EPOCH),
        }])))
    }

    /// Creates one capture from a reader. `name` is its name in errors.
    pub fn from_reader(name: impl Into<String>, reader: impl io::Read + Send + 'static) -> Self {
        let source = Source::Reader {
            name: name.into(),
            reader: Box::new(reader),
        };
        Self::new(VecDeque::from([PlannedSource {
            source,
            begins: true,
            first: None,
        }]))
    }

    fn new(sources: VecDeque<PlannedSource>) -> Self {
        let total_bytes = sources.iter().map(|planned| planned.source.len()).sum();
        let are_local =
            (sources.iter()).all(|planned| matches!(planned.source, Source::File { .. }));
        Self {
            sources,
            next: None,
            current: None,
            buffer: ReadBuffer::new(),
            records: Vec::with_capacity(MAX_PACKETS),
            returned: 0,
            filter: None,
            snapshot_length: u32::MAX,
            total_bytes,
            are_local,
            bytes_before: 0,
            packets_read: 0,
            packets_filtered: 0,
            captures: 0,
            next_ordinal: 0,
            opened: None,
            skipped: Vec::new(),
            skip_unreadable: false,
            ahead: AheadOf::Nothing,
            part: None,
            newest: None,
            pipe: PipeState {
                clock: PipeClock::default(),
                steps: ClockSteps::new(Duration::MAX),
                paused: Instant::now(),
                stopped: None,
            },
        }
    }

    /// Returns only packets that match `filter`. The filter is applied before the snapshot length.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Truncates the data of every packet to `bytes`. Its length on the wire is unchanged.
    #[must_use]
    pub fn with_snapshot_length(mut self, bytes: u32) -> Self {
        self.snapshot_length = bytes;
        self
    }

    /// Lets another thread read large files, from 4 MiB on. By default, none does.
    #[must_use]
    pub(crate) fn with_read_ahead(mut self, ahead: AheadOf) -> Self {
        self.ahead = ahead;
        self
    }

    /// Adds each source to `table` when it is opened, before its first packet is returned.
    #[must_use]
    pub(crate) fn with_table(mut self, table: SourceTable) -> Self {
        self.opened = Some(table);
        self
    }

    /// Begins a new epoch of the clock when the times of a live pipe step back by more than this.
    #[must_use]
    pub(crate) fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.pipe.steps = ClockSteps::new(idle_timeout);
        self
    }

    /// Returns up to 4096 packets, or `None` at the end of the last file. It waits for the writer
    /// of a pipe.
    ///
    /// The result may have no packets if the filter dropped all of them.
    ///
    /// # Errors
    ///
    /// An error ends the file that it is about. The next call continues with the next file. Damage
    /// ([`CaptureError::is_damage`]) is returned once, after all packets before it.
    pub fn read(&mut self) -> Result<Option<Packets<'_>>, CaptureError> {
        loop {
            match self.advance(MAX_PACKETS)? {
                AdvanceResult::Records(from) => return Ok(Some(self.packets(from))),
                AdvanceResult::Pause(_) | AdvanceResult::Boundary(_) => {}
                AdvanceResult::End => return Ok(None),
            }
        }
    }

    /// Returns the next packets, a pause, a boundary or the end.
    pub(crate) fn next(&mut self) -> Result<SourceEvent<'_>, CaptureError> {
        Ok(match self.advance(MAX_PACKETS)? {
            AdvanceResult::Records(from) => SourceEvent::Packets(self.packets(from)),
            AdvanceResult::Pause(now) => SourceEvent::Pause(now),
            AdvanceResult::Boundary(boundary) => SourceEvent::Boundary(boundary),
            AdvanceResult::End => SourceEvent::End,
        })
    }

    /// Returns the same as [`next`](Self::next) for one of several threads that read in turn.
    ///
    /// Packets are moved to `block`, unless some of them have to be returned later. The other threads
    /// have `others` turns before the next turn of this thread. `block` then says which bytes can be
    /// read before.
    pub(crate) fn next_block(
        &mut self,
        block: &mut PacketBlock,
        others: usize,
    ) -> Result<BlockEvent<'_>, CaptureError> {
        self.take_prepared(block);
        // The bytes of a block limit the number of its packets.
        let result = self.advance(usize::MAX);
        let reader = self.current.as_ref();
        block.next = reader.and_then(|reader| reader.range_after((others * SIZE) as u64));
        Ok(BlockEvent::Here(match result? {
            AdvanceResult::Records(0) if self.returned == self.records.len() => {
                std::mem::swap(&mut self.records, &mut block.records);
                self.records.clear();
                self.returned = 0;
                let reader = self.current.as_mut();
                let consumed = reader.map_or(0, CaptureReader::take_returned);
                self.buffer.move_to(&mut block.buffer, consumed);
                return Ok(BlockEvent::Moved);
            }
            AdvanceResult::Records(from) => SourceEvent::Packets(self.packets(from)),
            AdvanceResult::Pause(now) => SourceEvent::Pause(now),
            AdvanceResult::Boundary(boundary) => SourceEvent::Boundary(boundary),
            AdvanceResult::End => SourceEvent::End,
        }))
    }

    /// Returns whether all sources are files of this machine.
    pub(crate) fn are_local(&self) -> bool {
        self.are_local
    }

    /// Uses the bytes that a thread has read before its turn, if they are the next ones.
    fn take_prepared(&mut self, block: &mut PacketBlock) {
        let Some(range) = block.prepared.take() else {
            return;
        };
        let prepared = &mut block.buffer;
        let count = prepared.bytes().len();
        if let Some(reader) = &mut self.current
            && prepared.prepend(&self.buffer)
            && reader.skip(&range, count)
        {
            std::mem::swap(&mut self.buffer, prepared);
        }
    }

    /// Requests the objects that are read next.
    fn prefetch(&mut self) {
        let mut bytes = 0;
        for planned in self.sources.iter_mut().take(MAX_PREFETCHED) {
            bytes += planned.source.len().unwrap_or(0);
            if bytes > MAX_PREFETCHED_BYTES {
                break;
            }
            planned.source.prefetch();
        }
    }

    fn packets(&self, from: usize) -> Packets<'_> {
        Packets::new(self.buffer.bytes(), &self.records[from..self.returned])
    }

    fn advance(&mut self, max_packets: usize) -> Result<AdvanceResult, CaptureError> {
        if self.returned < self.records.len() {
            return Ok(self.return_records());
        }
        self.records.clear();
        self.returned = 0;
        loop {
            let Some(reader) = &mut self.current else {
                match self.open_next()? {
                    None => continue,
                    Some(advance) => return Ok(advance),
                }
            };
            let is_pipe = reader.is_pipe();
            if is_pipe && let Some(advance) = self.pipe.before_reading() {
                return Ok(advance);
            }
            let found = reader.next(&mut self.buffer, &mut self.records, max_packets);
            self.packets_read += self.records.len() as u64;
            if let Some(newest) = &mut self.newest {
                *newest =
                    (self.records.iter()).fold(*newest, |newest, record| newest.max(record.time));
            }
            let found = found.and_then(|found| {
                self.select()?;
                Ok(found)
            });
            match found {
                Ok(ReadOutcome::Packets) if is_pipe => return Ok(self.return_records()),
                Ok(ReadOutcome::Packets) => {
                    self.returned = self.records.len();
                    self.next_ordinal += self.returned as u64;
                    return Ok(AdvanceResult::Records(0));
                }
                Ok(ReadOutcome::Pause) if is_pipe => return Ok(self.pipe.pause()),
                // The packets of an object are not live: no time passes.
                Ok(ReadOutcome::Pause) => return Ok(AdvanceResult::Pause(None)),
                Ok(ReadOutcome::End) => self.end_file(),
                Err(error) => {
                    self.end_file();
                    return Err(error);
                }
            }
        }
    }

    /// Returns the records up to a step of the clock, or the boundary if the step comes first.
    fn return_records(&mut self) -> AdvanceResult {
        let from = self.returned;
        let rest = &self.records[from..];
        let step = self
            .pipe
            .steps
            .find(rest)
            .filter(|&at| pipe::is_near(rest[at].time, wall_clock()));
        match step {
            Some(0) => {
                self.pipe.steps.restart();
                self.pipe.clock.restart();
                AdvanceResult::Boundary(Boundary::ClockStep)
            }
            Some(count) => self.return_up_to(from + count),
            None => self.return_up_to(self.records.len()),
        }
    }

    fn return_up_to(&mut self, end: usize) -> AdvanceResult {
        let from = self.returned;
        self.returned = end;
        self.next_ordinal += (end - from) as u64;
        self.pipe.record_times(&self.records[from..end]);
        AdvanceResult::Records(from)
    }

    /// Opens the next source. Returns `Some` if the caller first has to know of a boundary or the
    /// end.
    fn open_next(&mut self) -> Result<Option<AdvanceResult>, CaptureError> {
        if self.next.is_none() {
            let Some(planned) = self.sources.pop_front() else {
                return Ok(Some(AdvanceResult::End));
            };
            let continues = match (planned.first, self.newest) {
                (Some(first), Some(newest)) => groups::continues(newest, first),
                _ => true,
            };
            if self.part.is_some() && !planned.begins && !continues {
                return Err(CaptureError::Overlaps {
                    capture: planned.source.name(),
                });
            }
            let begins = planned.begins || !continues;
            // A file without packets neither begins nor continues a capture.
            self.newest = match begins {
                true => planned.first.map(|_| Time::EPOCH),
                false => self.newest.or(planned.first.map(|_| Time::EPOCH)),
            };
            self.next = Some(planned);
            if begins {
                self.captures += 1;
                let first_ordinal = self.part.map_or(0, |part| part.first_ordinal);
                self.next_ordinal = if self.captures == 1 { first_ordinal } else { 0 };
                if self.captures > 1 {
                    return Ok(Some(AdvanceResult::Boundary(Boundary::Capture)));
                }
            }
        }
        let Some(mut planned) = self.next.take() else {
            return Ok(None);
        };
        planned.source.prefetch();
        self.prefetch();
        self.buffer.reset();
        let opened = (self.opened.as_ref()).map(|table| (table, planned.source.path()));
        match CaptureReader::open_ahead(planned.source, self.ahead) {
            Ok(reader) => {
                if let Some((table, path)) = opened {
                    // The first source always begins a capture.
                    let capture = self.captures.saturating_sub(1) as u32;
                    let first = self.part.map_or(0, |part| part.first_capture);
                    table.add(first + capture, self.next_ordinal, &path);
                }
                if reader.is_pipe() {
                    self.pipe.clock = PipeClock::default();
                }
                self.current = Some(reader);
                Ok(None)
            }
            Err(error) if self.skip_unreadable => {
                tracing::warn!("{error}; the file is skipped");
                self.skipped.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ends reading. Data that the writer of a pipe has already sent is still read.
    pub(crate) fn stop(&mut self) {
        if self.pipe.stopped.is_none() {
            self.pipe.stopped = Some((Instant::now(), 0));
            self.sources.clear();
            self.next = None;
            // A file ends at once.
            if self
                .current
                .as_ref()
                .is_some_and(|reader| !reader.is_pipe())
            {
                self.end_file();
                self.records.clear();
                self.returned = 0;
            }
        }
    }

    /// Applies the filter, then the snapshot length.
    fn select(&mut self) -> Result<(), CaptureError> {
        if let Some(filter) = &mut self.filter {
            let buffer = self.buffer.bytes();
            let before = self.records.len();
            let mut failed = None;
            self.records.retain(|record| {
                filter
                    .matches(&record.packet(buffer))
                    .unwrap_or_else(|error| {
                        failed = Some(error);
                        false
                    })
            });
            self.packets_filtered += (before - self.records.len()) as u64;
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        if self.snapshot_length < u32::MAX {
            for record in &mut self.records {
                record.len = record.len.min(self.snapshot_length);
            }
        }
        Ok(())
    }

    fn end_file(&mut self) {
        self.pipe.steps.forget();
        if let Some(reader) = self.current.take() {
            self.bytes_before += reader.bytes_read();
        }
        self.buffer.reset();
    }

    /// Returns the name of the current capture as in errors, or `None` before the first and after
    /// the last.
    pub fn current(&self) -> Option<&str> {
        self.current.as_ref().map(CaptureReader::name)
    }

    /// Returns the bytes read from all files so far, before decompression.
    pub fn bytes_read(&self) -> u64 {
        let current = self.current.as_ref();
        self.bytes_before + current.map_or(0, CaptureReader::bytes_read)
    }

    /// Returns the size of all files on disk when they were opened, or `None` if one of them is a
    /// pipe.
    ///
    /// A damaged file is not read to its end, so that [`bytes_read`](Self::bytes_read) may stay
    /// below.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Returns the number of packets found so far, including those that the filter dropped.
    pub fn packets_read(&self) -> u64 {
        self.packets_read
    }

    /// Returns the number of packets that the filter dropped.
    pub fn packets_filtered(&self) -> u64 {
        self.packets_filtered
    }

    /// Returns the newest time of all packets so far, also of those that the filter dropped.
    pub(crate) fn newest(&self) -> Option<Time> {
        self.newest.filter(|_| self.packets_read > 0)
    }

    /// Returns the number of captures that were begun so far.
    pub fn captures(&self) -> u64 {
        self.captures
    }

    /// Returns the errors of the files that were skipped.
    pub fn skipped(&self) -> &[CaptureError] {
        &self.skipped
    }

    /// Returns how often the clock of live packets stepped back.
    pub(crate) fn clock_steps(&self) -> u64 {
        self.pipe.steps.count()
    }
}

impl PipeState {
    /// Returns the result to return before the next read from a pipe, if there is one.
    fn before_reading(&mut self) -> Option<AdvanceResult> {
        match self.stopped {
            Some((since, pauses))
                if pauses >= MAX_PAUSES_AFTER_STOP || since.elapsed() > MAX_READ_AFTER_STOP =>
            {
                return Some(AdvanceResult::End);
            }
            _ => {}
        }
        let is_due = self.paused.elapsed() > MAX_DELIVERY_DELAY;
        is_due.then(|| {
            self.paused = Instant::now();
            AdvanceResult::Pause(None)
        })
    }

    /// Records that the pipe had no data for a while.
    fn pause(&mut self) -> AdvanceResult {
        if let Some((_, pauses)) = &mut self.stopped {
            *pauses += 1;
        }
        self.paused = Instant::now();
        AdvanceResult::Pause(self.clock.now(self.paused))
    }

    fn record_times(&mut self, records: &[Record]) {
        if let Some(first) = records.first()
            && let Some(newest) = records.iter().map(|record| record.time).max()
        {
            self.clock
                .update(first.time, newest, Instant::now(), wall_clock());
        }
    }
}

/// Returns the time of this machine.
fn wall_clock() -> Time {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(Time::EPOCH, |since| Time::EPOCH.after(since))
}
