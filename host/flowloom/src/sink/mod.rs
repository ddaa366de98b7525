//! Sinks of flows: CSV, JSON lines, Arrow and Parquet, in one file or several.

mod append;
mod atomic_file;
mod background;
#[cfg(feature = "arrow")]
mod columnar;
mod compressed;
mod csv;
mod csv_cache;
mod csv_cursor;
mod csv_digits;
mod csv_lines;
mod csv_plan;
mod csv_text;
mod files;
mod format;
mod identity;
mod jsonl;
mod options;
mod output;
mod rotation;
mod series;
mod temporary_file;
mod timed_names;

use std::io;

pub use background::{BATCH_FLOWS, BackgroundSink, Losses, OnFailure};
pub use csv_text::Formulas;
pub use files::{Existing, OutputError, OutputFiles};
pub use format::{Compression, Format, UnknownExtension};
pub use identity::FileId;
pub use options::{BlockCompression, FileMetadata, SinkOptions, UnknownCompression};
pub use rotation::{Retention, Rotation};
pub use timed_names::Partition;

use flowloom_core::flow::Flow;

/// An output that flows are written to.
pub trait Sink {
    /// Writes one flow. The sink may hold it in memory until the next flush.
    ///
    /// # Errors
    ///
    /// Returns the error of writing to the output.
    fn write(&mut self, flow: &Flow) -> io::Result<()>;

    /// Writes flows, as [`write`](Self::write) does for each of them. After an error, it is not known which flows were
    /// written.
    ///
    /// # Errors
    ///
    /// Returns the error of writing to the output.
    fn write_all(&mut self, flows: &[Flow]) -> io::Result<()> {
        flows.iter().try_for_each(|flow| self.write(flow))
    }

    /// Writes the flows that are in memory, and ends the output. No flow may follow.
    ///
    /// # Errors
    ///
    /// Returns the error of writing to the output.
    fn finish(&mut self) -> io::Result<()>;

    /// Writes the flows that are in memory. Further flows may follow.
    ///
    /// # Errors
    ///
    /// Returns the error of writing to the output.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes the flows that are in memory, and reopens the output.
    ///
    /// If the file was moved away, the sink creates a new file with its name. If the file is still
    /// there, the sink continues it. An output that is not a file continues.
    ///
    /// # Errors
    ///
    /// Returns the error of writing to the output, or of opening it.
    fn reopen(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// After an error: discards the flows that are in memory, and returns their number.
    ///
    /// Further flows may follow. The output ends at the end of a flow.
    fn forget(&mut self) -> u64 {
        0
    }

    /// Returns the number of flows that are in memory, or in a file that no reader can use before its end.
    fn in_memory(&self) -> u64 {
        0
    }

    /// Returns whether the sink has to be flushed again later, even if no flow follows.
    fn is_waiting(&self) -> bool {
        self.in_memory() > 0
    }

    /// Returns the approximate number of bytes that are in memory and not in the output.
    fn buffered_bytes(&self) -> u64 {
        0
    }
}

impl Sink for Box<dyn Sink + Send> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        (**self).write(flow)
    }

    fn write_all(&mut self, flows: &[Flow]) -> io::Result<()> {
        (**self).write_all(flows)
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

    fn is_waiting(&self) -> bool {
        (**self).is_waiting()
    }

    fn buffered_bytes(&self) -> u64 {
        (**self).buffered_bytes()
    }
}
