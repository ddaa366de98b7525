//! The outputs that sinks write text to.

use std::io::{self, Write};

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
