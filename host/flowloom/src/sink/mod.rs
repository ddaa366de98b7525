//! Where flows go: CSV and JSON lines, plain or compressed, in one file or many.

mod append;
mod background;
mod compressed;
mod csv;
mod csv_text;
mod files;
mod format;
mod identity;
mod jsonl;
mod output;
mod series;
mod whole;

use std::io;

pub use background::{BackgroundSink, Losses, OnFailure};
pub use csv_text::Formulas;
pub use files::{Existing, OutputError, OutputFiles};
pub use format::{Compression, Format, UnknownExtension};
pub use identity::FileId;

use flowloom_core::flow::Flow;

/// Writes flows.
pub trait Sink {
    /// Writes one flow.
    ///
    /// # Errors
    ///
    /// What writing to the output gave.
    fn write(&mut self, flow: &Flow) -> io::Result<()>;

    /// Writes what is still in memory. Nothing may be written afterwards.
    ///
    /// # Errors
    ///
    /// What writing to the output gave.
    fn finish(&mut self) -> io::Result<()>;

    /// Writes what is still in memory; more may be written afterwards.
    ///
    /// # Errors
    ///
    /// What writing to the output gave.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes what is still in memory, and opens the output anew: where a file has been moved away,
    /// another one of its name is begun; where it is still there, it is continued. An output that is
    /// not a file goes on.
    ///
    /// # Errors
    ///
    /// What writing to the output, or opening it, gave.
    fn reopen(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// After an error: forgets the flows that were given to be written and are not, and says how many
    /// they were. More may be written afterwards: the output ends where a flow ends.
    fn forget(&mut self) -> u64 {
        0
    }

    /// How many flows were given to be written and are in memory still.
    fn in_memory(&self) -> u64 {
        0
    }
}

impl Sink for Box<dyn Sink + Send> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        (**self).write(flow)
    }

    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }

    fn reopen(&mut self) -> io::Result<()> {
        (**self).reopen()
    }

    fn forget(&mut self) -> u64 {
        (**self).forget()
    }

    fn in_memory(&self) -> u64 {
        (**self).in_memory()
    }
}
