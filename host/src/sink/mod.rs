//! Where flows go: CSV and JSON lines, in one file or many.

mod background;
mod csv;
mod files;
mod jsonl;
mod whole;

use std::io::{self, Write};
use std::path::Path;

pub use background::{BackgroundSink, Losses, OnFailure};
pub use files::{OutputError, OutputFiles};

use crate::flow::{Flow, Schema};

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

/// How flows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180 with LF and a header; null is empty, booleans are 1 and 0.
    Csv,
    /// One JSON object a line; plugins' values stand in `udps`.
    JsonLines,
}

impl Format {
    /// The format that a file's extension says: JSON lines for `.jsonl` and `.ndjson`, else CSV.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension == "jsonl" || extension == "ndjson" => Self::JsonLines,
            _ => Self::Csv,
        }
    }

    /// A sink of this format for flows of this schema.
    ///
    /// # Errors
    ///
    /// What writing a header to the output gave.
    pub fn sink<'a>(
        self,
        mut output: impl Write + Send + 'a,
        schema: &Schema,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        match self {
            Self::Csv => csv::write_header(&mut output, schema)?,
            Self::JsonLines => {}
        }
        Ok(self.continued(output))
    }

    /// A sink whose output has flows of the schema already.
    fn continued<'a>(self, output: impl Write + Send + 'a) -> Box<dyn Sink + Send + 'a> {
        match self {
            Self::Csv => Box::new(csv::CsvSink::new(output)),
            Self::JsonLines => Box::new(jsonl::JsonLinesSink::new(output)),
        }
    }
}

/// Writes bytes in hexadecimal.
pub(crate) fn write_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
}
