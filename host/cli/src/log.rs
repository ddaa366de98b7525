//! Standard error, as far as a run may write to it: whoever reads it may have stopped to.
//!
//! A live capture must not wait for that. From [`hold`] on its lines go to a queue of bounded size, which
//! a thread of its own writes out. Lines that do not fit are dropped and counted.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use flowloom::{ThreadPanics, spawn_supervised};

/// Bytes of lines that wait to be written: more than any burst of a run has.
const MOST_BYTES: usize = 1 << 20;
/// Bytes that a line takes beside its text, about.
const BESIDE: usize = 64;
/// How long the end of a run waits for its last lines to be written.
pub(super) const LONGEST_END: Duration = Duration::from_secs(2);

/// Lines for standard error, once they are not to wait for it.
static HELD: OnceLock<Arc<Lines>> = OnceLock::new();
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// From now on no line waits for standard error. Nothing is written until [`start`].
pub(super) fn hold() {
    HELD.get_or_init(Arc::default);
}

/// Starts the thread that writes the lines, if they are held. There are two threads then.
pub(super) fn start(panics: &ThreadPanics) -> io::Result<()> {
    match HELD.get() {
        Some(lines) if !IS_STARTED.swap(true, Ordering::AcqRel) => {
            // Not behind the lock of `io::stderr`, which others would wait for as well.
            let out = io::stderr().as_fd().try_clone_to_owned()?;
            lines.write_out("flowloom-log", File::from(out), panics)
        }
        _ => Ok(()),
    }
}

/// Writes the last words of a run behind all others: waits for them, but not for ever.
pub(super) fn end(words: &[u8]) {
    let Some(lines) = HELD.get() else {
        let _ = io::stderr().write_all(words);
        return;
    };
    if start(&ThreadPanics::default()).is_err() {
        return;
    }
    let deadline = Instant::now() + LONGEST_END;
    lines.flush(deadline);
    lines.push(words);
    lines.flush(deadline);
}

/// Returns how many lines were dropped, as nobody read them.
pub(super) fn dropped() -> u64 {
    HELD.get().map_or(0, |lines| lines.dropped())
}

/// Writes whole lines to standard error, at once or through the queue.
pub(super) struct StandardError;

impl Write for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match HELD.get() {
            Some(lines) => lines.push(bytes),
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A queue of lines: who puts one in never waits.
#[derive(Default)]
pub(super) struct Lines {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    /// Of all lines, with what they take beside.
    bytes: usize,
    /// Whether one is being written.
    is_writing: bool,
}

impl Lines {
    /// Starts a thread that writes the lines. Those that cannot be written are dropped.
    pub(super) fn write_out(
        self: &Arc<Self>,
        name: &str,
        mut out: impl Write + Send + 'static,
        panics: &ThreadPanics,
    ) -> io::Result<()> {
        let lines = Arc::clone(self);
        spawn_supervised(name, panics, move || lines.write_to(&mut out)).map(drop)
    }

    /// Puts a line in, or drops it if there is no room.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        let bytes = line.len() + BESIDE;
        if waiting.bytes + bytes > MOST_BYTES {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.bytes += bytes;
        waiting.lines.push_back(line.to_vec());
        drop(waiting);
        self.changed.notify_all();
    }

    /// Waits until all lines are written, or until the deadline.
    pub(super) fn flush(&self, deadline: Instant) {
        let mut waiting = self.lock();
        while waiting.is_writing || !waiting.lines.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
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

    /// Waits for the next line. The one before is written.
    fn next(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        waiting.is_writing = false;
        self.changed.notify_all();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.bytes -= line.len() + BESIDE;
                waiting.is_writing = true;
                return line;
            }
            let waited = self.changed.wait(waiting);
            waiting = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// What has not happened by then never will.
    fn hangs() -> Instant {
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
            assert!(lines.lock().bytes <= MOST_BYTES);
        }
        lines.flush(Instant::now());
        let dropped = lines.dropped();
        assert!(dropped > 0);
        // When somebody reads, all others come, and those behind them.
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
        lines.flush(hangs());
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
        lines.flush(hangs());
        assert_eq!(lines.dropped(), 2);
    }
}
