//! Log lines, and the queue that writes standard error.
//!
//! A live capture must not wait for the reader of standard error. After [`hold`], lines go to a queue of
//! bounded size, which a thread of its own writes out. Lines that do not fit are dropped and counted.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clap::{ArgAction, Args};
use flowloom::{ThreadPanics, spawn_supervised};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::exit::Failure;

const LOGGING: &str = "Logging";

/// The environment variable that sets the log level.
const VARIABLE: &str = "FLOWLOOM_LOG";

/// Options of the log. They take precedence over the environment variable.
#[derive(Args)]
pub(super) struct LogOptions {
    /// Print only warnings and errors; -qq only errors.
    ///
    /// -q also omits the progress bar, and the summary of a run that is complete. -qq omits every summary.
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "verbose", help_heading = LOGGING)]
    quiet: u8,

    /// Print debug messages; -vv also traces.
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = LOGGING)]
    verbose: u8,
}

impl LogOptions {
    /// Starts to log on standard error.
    ///
    /// # Errors
    ///
    /// The environment variable has a value that is not a level.
    pub(super) fn start(&self) -> Result<(), Failure> {
        let of_environment = level_of_environment()?;
        let level = match (self.quiet, self.verbose) {
            (0, 0) => of_environment,
            (1, _) => LevelFilter::WARN,
            (0, 1) => LevelFilter::DEBUG,
            (0, _) => LevelFilter::TRACE,
            _ => LevelFilter::ERROR,
        };
        let is_colored = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(|| StandardError)
            // An internal error is a panic if nobody reads standard error.
            .log_internal_errors(false)
            .event_format(LineFormat { is_colored })
            .finish()
            .with(
                // Libraries explain themselves in words, and with names, that are not for the users of this command.
                Targets::new()
                    .with_default(LevelFilter::ERROR)
                    .with_target("flowloom", level),
            )
            .init();
        Ok(())
    }
}

fn level_of_environment() -> Result<LevelFilter, Failure> {
    let value = flowloom::trusted_variable(VARIABLE).unwrap_or_default();
    match &*value.to_string_lossy() {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "" | "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        other => Err(Failure::usage(format_args!(
            "{VARIABLE}={}: error, warn, info, debug or trace is accepted",
            other.escape_debug()
        ))),
    }
}

/// Returns whether information is printed: the progress bar, and the summary of every run.
pub(super) fn shows_information() -> bool {
    tracing::enabled!(Level::INFO)
}

/// Returns whether warnings are printed: also the summary of a run that is incomplete.
pub(super) fn shows_warnings() -> bool {
    tracing::enabled!(Level::WARN)
}

static HAS_TIME: AtomicBool = AtomicBool::new(false);

/// Begins all further lines with their time. Lines of a run over files have no time, so that equal runs have
/// equal logs.
pub(super) fn show_time() {
    HAS_TIME.store(true, Ordering::Relaxed);
}

/// Formats a line: the time if there is one, the level in five characters, the message.
struct LineFormat {
    is_colored: bool,
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if HAS_TIME.load(Ordering::Relaxed) {
            write!(line, "{} ", now()?)?;
        }
        let level = event.metadata().level();
        match self.is_colored {
            true => write!(line, "\u{1b}[{}m{level:>5}\u{1b}[0m ", color(*level))?,
            false => write!(line, "{level:>5} ")?,
        }
        context.format_fields(line.by_ref(), event)?;
        writeln!(line)
    }
}

/// Returns the time in UTC with milliseconds: `2026-01-31T23:59:59.123Z`.
fn now() -> Result<String, fmt::Error> {
    const MILLISECONDS: usize = "2026-01-31T23:59:59.123".len();
    let mut time = String::new();
    SystemTime.format_time(&mut Writer::new(&mut time))?;
    time.truncate(MILLISECONDS);
    time.push('Z');
    Ok(time)
}

/// Returns the number of a terminal's colour.
fn color(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        Level::DEBUG => 34,
        Level::TRACE => 35,
    }
}

/// Maximum number of bytes that wait to be written. Bursts of log lines are smaller.
const MAX_BYTES: usize = 1 << 20;
/// Memory of a queued line besides its text, bytes. An estimate.
const LINE_OVERHEAD: usize = 64;
/// Time that the end of a run waits for its last lines to be written.
pub(super) const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The queue of lines for standard error, after [`hold`].
static HELD: OnceLock<Arc<Lines>> = OnceLock::new();
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// Queues all further lines. Nothing is written until [`start`].
pub(super) fn hold() {
    HELD.get_or_init(Arc::default);
}

/// Starts the thread that writes queued lines, after [`hold`]. The process then has two threads.
pub(super) fn start(panics: &ThreadPanics) -> io::Result<()> {
    match HELD.get() {
        Some(lines) if !IS_STARTED.swap(true, Ordering::AcqRel) => {
            // Without the lock of `io::stderr`, which other threads would wait for.
            let out = io::stderr().as_fd().try_clone_to_owned()?;
            lines.write_out("flowloom-log", File::from(out), panics)
        }
        _ => Ok(()),
    }
}

/// Writes the last text of a run after all other lines. Waits for each at most [`END_TIMEOUT`].
pub(super) fn end(text: &[u8]) {
    let Some(lines) = HELD.get() else {
        let _ = io::stderr().write_all(text);
        return;
    };
    if start(&ThreadPanics::default()).is_err() {
        return;
    }
    let deadline = Instant::now() + END_TIMEOUT;
    lines.flush(deadline);
    lines.push(text);
    lines.flush(deadline);
}

/// Returns the number of lines that were dropped because nobody read standard error.
pub(super) fn dropped() -> u64 {
    HELD.get().map_or(0, |lines| lines.dropped())
}

/// The status line, which stays the last line of the terminal. Empty if there is none.
static STATUS: Mutex<String> = Mutex::new(String::new());

/// Moves to the begin of the terminal's line, and clears it.
const CLEAR: &[u8] = b"\r\x1b[K";

/// Shows a text as the last line of the terminal, in place of the one before. An empty text removes the line.
pub(super) fn show_status(text: &str) {
    let mut status = STATUS.lock().unwrap_or_else(PoisonError::into_inner);
    if !status.is_empty() || !text.is_empty() {
        text.clone_into(&mut status);
        let _ = write_out(&[CLEAR, text.as_bytes()].concat());
    }
}

/// Writes whole lines to standard error, directly or through the queue.
pub(super) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let status = STATUS.lock().unwrap_or_else(PoisonError::into_inner);
        match status.is_empty() {
            true => write_out(bytes)?,
            // The status line is written again, after the lines.
            false => write_out(&[CLEAR, bytes, status.as_bytes()].concat())?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_out(bytes: &[u8]) -> io::Result<()> {
    match HELD.get() {
        Some(lines) => lines.push(bytes),
        None => io::stderr().write_all(bytes)?,
    }
    Ok(())
}

/// A queue of lines. Producers never wait.
#[derive(Default)]
pub(super) struct Lines {
    queue: Mutex<Queue>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Memory of all queued lines, with [`LINE_OVERHEAD`] for each.
    bytes: usize,
    /// Whether a line that was taken from the queue is being written.
    is_writing: bool,
}

impl Lines {
    /// Starts a thread that writes the lines. Lines that cannot be written are dropped and counted.
    pub(super) fn write_out(
        self: &Arc<Self>,
        name: &str,
        mut out: impl Write + Send + 'static,
        panics: &ThreadPanics,
    ) -> io::Result<()> {
        let lines = Arc::clone(self);
        spawn_supervised(name, panics, move || lines.write_to(&mut out)).map(drop)
    }

    /// Appends a line, or drops and counts it if there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut queue = self.lock();
        let bytes = line.len() + LINE_OVERHEAD;
        if queue.bytes + bytes > MAX_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += bytes;
        queue.lines.push_back(line.to_vec());
        drop(queue);
        self.changed.notify_all();
    }

    /// Waits until all lines are written, or until the deadline.
    pub(super) fn flush(&self, deadline: Instant) {
        let mut queue = self.lock();
        while queue.is_writing || !queue.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(queue, left);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn write_to(&self, out: &mut impl Write) {
        loop {
            let line = self.next();
            if out.write_all(&line).and_then(|()| out.flush()).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits for the next line. The previous line has been written.
    fn next(&self) -> Vec<u8> {
        let mut queue = self.lock();
        queue.is_writing = false;
        self.changed.notify_all();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len() + LINE_OVERHEAD;
                queue.is_writing = true;
                return line;
            }
            let waited = self.changed.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Returns a time by which everything that is expected has happened.
    fn deadline() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn lines_that_nobody_reads_are_bounded_and_counted() {
        let lines = Arc::<Lines>::default();
        let (out, mut reader) = UnixStream::pair().unwrap();
        lines
            .write_out("flowloom-test", out, &ThreadPanics::default())
            .unwrap();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let pushed = 10_000;
        for _ in 0..pushed {
            lines.push(&line);
            assert!(lines.lock().bytes <= MAX_BYTES);
        }
        lines.flush(Instant::now());
        let dropped = lines.dropped();
        assert!(dropped > 0);
        // All other lines, and later ones, arrive as soon as somebody reads.
        let reading = std::thread::spawn(move || {
            let mut came = vec![0; line.len()];
            let mut count = 0;
            loop {
                reader.read_exact(&mut came[..5]).unwrap();
                if &came[..5] == b"last\n" {
                    return count;
                }
                reader.read_exact(&mut came[5..]).unwrap();
                assert_eq!(came, line);
                count += 1;
            }
        });
        lines.flush(deadline());
        lines.push(b"last\n");
        assert_eq!(reading.join().unwrap(), pushed - dropped);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let lines = Arc::<Lines>::default();
        let (out, reader) = UnixStream::pair().unwrap();
        drop(reader);
        lines
            .write_out("flowloom-test", out, &ThreadPanics::default())
            .unwrap();
        lines.push(b"a\n");
        lines.push(b"b\n");
        lines.flush(deadline());
        assert_eq!(lines.dropped(), 2);
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        let time = now().unwrap();
        let pattern: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(pattern, "0000-00-00T00:00:00.000Z");
    }
}
