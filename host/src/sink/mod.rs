//! Where flows go: CSV and JSON lines, in one file or many.

mod background;
mod csv;
mod files;
mod jsonl;

use std::io::{self, Write};
use std::path::Path;

pub use background::BackgroundSink;
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
}

impl Sink for Box<dyn Sink + Send> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        (**self).write(flow)
    }

    fn finish(&mut self) -> io::Result<()> {
        (**self).finish()
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
        output: impl Write + Send + 'a,
        schema: &Schema,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        Ok(match self {
            Self::Csv => Box::new(csv::CsvSink::new(output, schema)?),
            Self::JsonLines => Box::new(jsonl::JsonLinesSink::new(output)),
        })
    }
}

/// Writes bytes in hexadecimal.
pub(crate) fn write_hex(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
}
