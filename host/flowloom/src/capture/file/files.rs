//! Capture files, pipes and standard input, one after the other.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use flowloom_core::meter::Boundary;
use flowloom_core::time::Time;

use super::block::Block;
use super::format::MAX_PACKETS;
use super::groups::{self, Grouping};
use super::input::Source;
use super::pipe::{self, PipeClock};
use super::plan::{Checked, Planned, look_at, plan};
use super::reading::{Next, Reading};
use crate::capture::origin::Read;
use crate::capture::packets::Record;
use crate::capture::steps::ClockSteps;
use crate::capture::{CaptureError, Filter, Packets};

/// How long a pipe that always has data may go without a pause, in which what waits is delivered.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Pauses after a stop by which a pipe's writer, which was most likely stopped too, has sent all it had.
const LAST_PAUSES: u32 = 3;
/// A writer that goes on after a stop is not waited for any longer.
const LAST_READING: Duration = Duration::from_secs(1);

/// A list of captures, read one file after the other.
///
/// pcap and pcapng are told apart by their first bytes, and so are gzip and zstd around them; names
/// mean nothing. One file is open at a time.
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
    sources: VecDeque<Planned>,
    /// One whose turn it is, once what comes before it was told.
    next: Option<Planned>,
    current: Option<Reading>,
    block: Block,
    records: Vec<Record>,
    /// How many of the records were handed out.
    handed: usize,
    filter: Option<Filter>,
    snapshot_length: u32,
    total_bytes: Option<u64>,
    /// Bytes read of the files before the current one.
    bytes_before: u64,
    packets_read: u64,
    packets_filtered: u64,
    /// How many captures were begun.
    captures: u64,
    skipped: Vec<CaptureError>,
    skips: bool,
    /// The newest time of the capture so far, if a file may continue it.
    newest: Option<Time>,
    pipe: PipeState,
}

/// What is known of the pipe that is read.
struct PipeState {
    clock: PipeClock,
    steps: ClockSteps,
    /// When what waits was delivered last.
    paused: Instant,
    /// When it was stopped, and the pauses since.
    stopped: Option<(Instant, u32)>,
}

/// What an advance came to.
enum Advance {
    /// Records from this place on are new.
    Records(usize),
    Pause(Option<Time>),
    Boundary(Boundary),
    End,
}

impl Files {
    /// Opens captures by their paths, to be read in this order as if they were one; `-` is standard
    /// input.
    ///
    /// Every file is looked at before this returns, so that a wrong name or a file that is no
    /// capture is found before a packet is metered. Pipes and standard input cannot be looked at
    /// without taking from them: what is wrong with those, [`read`](Self::read) says.
    ///
    /// # Errors
    ///
    /// What is wrong with a file; [`CaptureError::Unreadable`] if there are several such files.
    pub fn open<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, CaptureError> {
        Self::open_grouped(paths, Grouping::One, false)
    }

    /// Opens captures by their paths, to be read group by group: where the grouping begins another
    /// capture, the run that reads them is told. With `skip_unreadable`, files that cannot be opened or
    /// are no captures are left out, and told by [`skipped`](Self::skipped).
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). With `skip_unreadable` only if no file can be read.
    pub fn open_grouped<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
        grouping: Grouping,
        skip_unreadable: bool,
    ) -> Result<Self, CaptureError> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        if paths.is_empty() {
            return Err(CaptureError::NoSource);
        }
        // When a file's first packet comes matters only if another file may come before it.
        let looks_inside = grouping == Grouping::Auto && paths.len() > 1;
        let Checked { sources, errors } = look_at(paths, looks_inside)?;
        if !errors.is_empty() && (!skip_unreadable || sources.is_empty()) {
            return Err(CaptureError::of(errors));
        }
        for error in &errors {
            tracing::warn!("{error}; it is skipped");
        }
        let mut files = Self::new(plan(sources, grouping));
        files.skipped = errors;
        files.skips = skip_unreadable;
        Ok(files)
    }

    /// One capture from anything that can be read; `name` is what errors call it.
    pub fn from_reader(name: impl Into<String>, reader: impl io::Read + Send + 'static) -> Self {
        let source = Source::Reader {
            name: name.into(),
            reader: Box::new(reader),
        };
        Self::new(VecDeque::from([Planned {
            source,
            begins: true,
            first: None,
        }]))
    }

    fn new(sources: VecDeque<Planned>) -> Self {
        let total_bytes = sources
            .iter()
            .map(|planned| match &planned.source {
                Source::File { len, .. } => Some(*len),
                _ => None,
            })
            .sum();
        Self {
            sources,
            next: None,
            current: None,
            block: Block::new(),
            records: Vec::with_capacity(MAX_PACKETS),
            handed: 0,
            filter: None,
            snapshot_length: u32::MAX,
            total_bytes,
            bytes_before: 0,
            packets_read: 0,
            packets_filtered: 0,
            captures: 0,
            skipped: Vec::new(),
            skips: false,
            newest: None,
            pipe: PipeState {
                clock: PipeClock::default(),
                steps: ClockSteps::new(Duration::MAX),
                paused: Instant::now(),
                stopped: None,
            },
        }
    }

    /// Hands out only packets that `filter` matches. It sees them before they are cut.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Cuts the data of every packet to at most `bytes`; its length on the wire stays.
    #[must_use]
    pub fn with_snapshot_length(mut self, bytes: u32) -> Self {
        self.snapshot_length = bytes;
        self
    }

    /// Begins another epoch of the clock where live packets of a pipe step back by more than this.
    #[must_use]
    pub(crate) fn with_idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.pipe.steps = ClockSteps::new(idle_timeout);
        self
    }

    /// The next packets, up to 4096; `None` at the end of the last file. Waits for a pipe's writer.
    ///
    /// There may be none among them when a filter let none pass.
    ///
    /// # Errors
    ///
    /// Every error ends the file that it is about, and the next call goes on with the next file.
    /// Damage ([`CaptureError::is_damage`]) is told once, after all packets before it.
    pub fn read(&mut self) -> Result<Option<Packets<'_>>, CaptureError> {
        loop {
            match self.advance()? {
                Advance::Records(from) => return Ok(Some(self.packets(from))),
                Advance::Pause(_) | Advance::Boundary(_) => {}
                Advance::End => return Ok(None),
            }
        }
    }

    /// The next packets, or what else there is to know.
    pub(crate) fn next(&mut self) -> Result<Read<'_>, CaptureError> {
        Ok(match self.advance()? {
            Advance::Records(from) => Read::Packets(self.packets(from)),
            Advance::Pause(now) => Read::Pause(now),
            Advance::Boundary(boundary) => Read::Boundary(boundary),
            Advance::End => Read::End,
        })
    }

    fn packets(&self, from: usize) -> Packets<'_> {
        Packets::new(self.block.bytes(), &self.records[from..self.handed])
    }

    fn advance(&mut self) -> Result<Advance, CaptureError> {
        if self.handed < self.records.len() {
            return Ok(self.hand_out());
        }
        self.records.clear();
        self.handed = 0;
        loop {
            let Some(reading) = &mut self.current else {
                match self.begin_next()? {
                    None => continue,
                    Some(advance) => return Ok(advance),
                }
            };
            let is_pipe = reading.is_pipe();
            if is_pipe && let Some(advance) = self.pipe.before_reading() {
                return Ok(advance);
            }
            let found = reading.next(&mut self.block, &mut self.records);
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
                Ok(Next::Packets) if is_pipe => return Ok(self.hand_out()),
                Ok(Next::Packets) => {
                    self.handed = self.records.len();
                    return Ok(Advance::Records(0));
                }
                Ok(Next::Pause) => return Ok(self.pipe.pause()),
                Ok(Next::End) => self.end_file(),
                Err(error) => {
                    self.end_file();
                    return Err(error);
                }
            }
        }
    }

    /// Hands out records up to a step of the clock, or says that there is one.
    fn hand_out(&mut self) -> Advance {
        let from = self.handed;
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
                Advance::Boundary(Boundary::ClockStep)
            }
            Some(count) => self.hand_out_to(from + count),
            None => self.hand_out_to(self.records.len()),
        }
    }

    fn hand_out_to(&mut self, end: usize) -> Advance {
        let from = self.handed;
        self.handed = end;
        self.pipe.note(&self.records[from..end]);
        Advance::Records(from)
    }

    /// Opens the next source; says what has to be told before that.
    fn begin_next(&mut self) -> Result<Option<Advance>, CaptureError> {
        if self.next.is_none() {
            let Some(planned) = self.sources.pop_front() else {
                return Ok(Some(Advance::End));
            };
            let continues = match (planned.first, self.newest) {
                (Some(first), Some(newest)) => groups::continues(newest, first),
                _ => true,
            };
            let begins = planned.begins || !continues;
            // A file without packets neither begins nor continues anything.
            self.newest = match begins {
                true => planned.first.map(|_| Time::EPOCH),
                false => self.newest.or(planned.first.map(|_| Time::EPOCH)),
            };
            self.next = Some(planned);
            if begins {
                self.captures += 1;
                if self.captures > 1 {
                    return Ok(Some(Advance::Boundary(Boundary::Capture)));
                }
            }
        }
        let Some(planned) = self.next.take() else {
            return Ok(None);
        };
        self.block.clear();
        match Reading::begin(planned.source) {
            Ok(reading) => {
                if reading.is_pipe() {
                    self.pipe.clock = PipeClock::default();
                }
                self.current = Some(reading);
                Ok(None)
            }
            Err(error) if self.skips => {
                tracing::warn!("{error}; it is skipped");
                self.skipped.push(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads no further than what a pipe's writer has sent already.
    pub(crate) fn stop(&mut self) {
        if self.pipe.stopped.is_none() {
            self.pipe.stopped = Some((Instant::now(), 0));
            self.sources.clear();
            self.next = None;
            // Files are left where they are.
            if self
                .current
                .as_ref()
                .is_some_and(|reading| !reading.is_pipe())
            {
                self.end_file();
                self.records.clear();
                self.handed = 0;
            }
        }
    }

    /// Filters the packets, then cuts them.
    fn select(&mut self) -> Result<(), CaptureError> {
        if let Some(filter) = &mut self.filter {
            let block = self.block.bytes();
            let before = self.records.len();
            let mut failed = None;
            self.records.retain(|record| {
                filter
                    .matches(&record.packet(block))
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
        if let Some(reading) = self.current.take() {
            self.bytes_before += reading.bytes_read();
        }
        self.block.clear();
    }

    /// What errors call the capture that is being read; `None` before the first and after the last.
    pub fn current(&self) -> Option<&str> {
        self.current.as_ref().map(Reading::name)
    }

    /// Bytes read so far, of the files as they are on disk: compressed ones count compressed.
    pub fn bytes_read(&self) -> u64 {
        let current = self.current.as_ref();
        self.bytes_before + current.map_or(0, Reading::bytes_read)
    }

    /// The size of all files on disk when they were opened; `None` if one of them is a pipe.
    ///
    /// A damaged file is not read to its end, so [`bytes_read`](Self::bytes_read) may stay below.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Packets found so far, those that the filter kept out included.
    pub fn packets_read(&self) -> u64 {
        self.packets_read
    }

    /// Packets that the filter kept out.
    pub fn packets_filtered(&self) -> u64 {
        self.packets_filtered
    }

    /// How many captures were begun so far.
    pub fn captures(&self) -> u64 {
        self.captures
    }

    /// What was wrong with files that were left out.
    pub fn skipped(&self) -> &[CaptureError] {
        &self.skipped
    }

    /// How often the clock of live packets stepped back.
    pub(crate) fn clock_steps(&self) -> u64 {
        self.pipe.steps.count()
    }
}

impl PipeState {
    /// What is to be done before a pipe is read on.
    fn before_reading(&mut self) -> Option<Advance> {
        match self.stopped {
            Some((since, pauses)) if pauses >= LAST_PAUSES || since.elapsed() > LAST_READING => {
                return Some(Advance::End);
            }
            _ => {}
        }
        let is_due = self.paused.elapsed() > LONGEST_WAIT;
        is_due.then(|| {
            self.paused = Instant::now();
            Advance::Pause(None)
        })
    }

    /// Nothing came for a while.
    fn pause(&mut self) -> Advance {
        if let Some((_, pauses)) = &mut self.stopped {
            *pauses += 1;
        }
        self.paused = Instant::now();
        Advance::Pause(self.clock.now(self.paused))
    }

    fn note(&mut self, records: &[Record]) {
        if let Some(first) = records.first()
            && let Some(newest) = records.iter().map(|record| record.time).max()
        {
            self.clock
                .note(first.time, newest, Instant::now(), wall_clock());
        }
    }
}

/// This machine's clock.
fn wall_clock() -> Time {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(Time::EPOCH, |since| Time::EPOCH.after(since))
}
