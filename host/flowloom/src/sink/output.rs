//! The outputs that sinks write text to.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flowloom_plugin::escaped_path;

/// A writer of text that has an end.
pub(super) trait Output: Write {
    /// Writes the trailer of the text, if there is one, and flushes.
    fn end(&mut self) -> io::Result<()>;
}

impl<O: Output> Output for io::BufWriter<O> {
    fn end(&mut self) -> io::Result<()> {
        self.flush()?;
        self.get_mut().end()
    }
}

/// An output whose bytes are counted.
pub(super) struct Counted<O> {
    output: O,
    bytes: Arc<AtomicU64>,
}

impl<O> Counted<O> {
    /// Adds the number of written bytes to `bytes`.
    pub(super) fn new(output: O, bytes: Arc<AtomicU64>) -> Self {
        Self { output, bytes }
    }
}

impl<O: Write> Write for Counted<O> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl<O: Output> Output for Counted<O> {
    fn end(&mut self) -> io::Result<()> {
        self.output.end()
    }
}

/// Returns the error with the path of the file before its message.
pub(super) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("'{}': {error}", escaped_path(path)))
}

/// An output without a trailer.
pub(super) struct RawOutput<W>(pub(super) W);

impl<W: Write> Write for RawOutput<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Output for RawOutput<W> {
    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<O: Output + ?Sized> Output for Box<O> {
    fn end(&mut self) -> io::Result<()> {
        (**self).end()
    }
}
