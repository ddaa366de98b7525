//! What a sink writes its text to.

use std::io::{self, Write};

/// Takes text, and is told when there is no more.
pub(super) trait Output: Write {
    /// Writes what belongs behind the last text.
    fn end(&mut self) -> io::Result<()>;
}

/// An output that needs nothing behind the text.
pub(super) struct Plain<W>(pub(super) W);

impl<W: Write> Write for Plain<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Output for Plain<W> {
    fn end(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<O: Output + ?Sized> Output for Box<O> {
    fn end(&mut self) -> io::Result<()> {
        (**self).end()
    }
}
