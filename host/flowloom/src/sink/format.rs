//! Output formats and compressions, and the file names that select them.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowloom_core::schema::Schema;
use flowloom_plugin::escaped_path;

use super::Sink;
use super::csv::{self, CsvSink};
use super::csv_text::Formulas;
use super::jsonl::JsonLinesSink;
use super::output::{Output, RawOutput};

/// The format in which flows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// CSV as in RFC 4180, with LF and a header. Null is an empty cell, an empty text is `""`, and
    /// booleans are 1 and 0.
    Csv,
    /// JSON lines, one object per line. The values of plugins are in the object `udps`.
    JsonLines,
}

/// The compression of a file of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// No compression.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// zstd (RFC 8878).
    Zstd,
}

/// The error of a file extension that is not that of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot determine the format of '{}': unknown extension .{}; use .csv, .jsonl or .ndjson, optionally \
     followed by .gz or .zst, or select the format",
    escaped_path(path),
    extension.escape_debug()
)]
pub struct UnknownExtension {
    /// The path of the file.
    pub path: PathBuf,
    /// The extension, without that of a compression.
    pub extension: String,
}

impl Compression {
    /// Returns the compression for a file extension: gzip for `.gz`, zstd for `.zst`, else none.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("gz") => Self::Gzip,
            Some(extension) if extension.eq_ignore_ascii_case("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns the path without the extension of the compression.
    pub(super) fn strip(self, path: &Path) -> PathBuf {
        match self {
            Self::None => path.to_owned(),
            Self::Gzip | Self::Zstd => path.with_extension(""),
        }
    }

    /// Returns the name for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl Format {
    /// Returns the format for a file extension: CSV for `.csv` and for a name without extension,
    /// JSON lines for `.jsonl` and `.ndjson`. The extension of a [`Compression`] may follow.
    ///
    /// # Errors
    ///
    /// Returns an error for any other extension.
    pub fn of(path: &Path) -> Result<Self, UnknownExtension> {
        let name = Compression::of(path).strip(path);
        let Some(extension) = name.extension() else {
            return Ok(Self::Csv);
        };
        let is = |known: &str| extension.eq_ignore_ascii_case(OsStr::new(known));
        if is("csv") {
            Ok(Self::Csv)
        } else if is("jsonl") || is("ndjson") {
            Ok(Self::JsonLines)
        } else {
            Err(UnknownExtension {
                path: path.to_owned(),
                extension: extension.to_string_lossy().into_owned(),
            })
        }
    }

    /// Creates a sink of this format for flows with this schema, and writes the header.
    ///
    /// # Errors
    ///
    /// Returns the error of writing the header.
    pub fn sink<'a>(
        self,
        output: impl Write + Send + 'a,
        schema: &Arc<Schema>,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        self.sink_with(output, schema, Formulas::default())
    }

    /// Creates a sink like [`sink`](Self::sink). `formulas` determines how text is written that a
    /// spreadsheet would interpret as a formula.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`sink`](Self::sink).
    pub fn sink_with<'a>(
        self,
        output: impl Write + Send + 'a,
        schema: &Arc<Schema>,
        formulas: Formulas,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        self.new_sink(RawOutput(output), schema, formulas)
    }

    /// Creates a sink for an empty output, and writes the header.
    pub(super) fn new_sink<'a>(
        self,
        mut output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        formulas: Formulas,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        output.write_all(&self.header(schema))?;
        output.flush()?;
        Ok(self.continued_sink(output, schema, formulas))
    }

    /// Creates a sink for an output that already has a header for this schema.
    pub(super) fn continued_sink<'a>(
        self,
        output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        formulas: Formulas,
    ) -> Box<dyn Sink + Send + 'a> {
        match self {
            Self::Csv => Box::new(CsvSink::new(output, schema, formulas)),
            Self::JsonLines => Box::new(JsonLinesSink::new(output)),
        }
    }

    /// Returns the text before the first flow.
    pub(super) fn header(self, schema: &Schema) -> Vec<u8> {
        match self {
            Self::Csv => csv::header(schema),
            Self::JsonLines => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_selects_format_and_compression() {
        use Compression::{Gzip, None, Zstd};
        use Format::{Csv, JsonLines};
        for (name, format, compression) in [
            ("flows.csv", Csv, None),
            ("flows.CSV", Csv, None),
            ("flows", Csv, None),
            (".csv", Csv, None),
            ("a.b/flows", Csv, None),
            ("flows.jsonl", JsonLines, None),
            ("flows.ndjson", JsonLines, None),
            ("flows.csv.gz", Csv, Gzip),
            ("flows.jsonl.zst", JsonLines, Zstd),
            ("flows.ndjson.GZ", JsonLines, Gzip),
            ("flows.gz", Csv, Gzip),
            ("flows.parquet.csv", Csv, None),
        ] {
            let path = Path::new(name);
            assert_eq!(Format::of(path), Ok(format), "{name}");
            assert_eq!(Compression::of(path), compression, "{name}");
        }
    }

    #[test]
    fn unknown_extensions_are_rejected_with_the_known_ones() {
        for (name, extension) in [
            ("x.parquet", "parquet"),
            ("a.json", "json"),
            ("flows.csv.bz2", "bz2"),
            ("flows.tsv.gz", "tsv"),
            ("flows.gz.gz", "gz"),
            ("flows.", ""),
            ("flows.1", "1"),
            ("flows.csv~", "csv~"),
            ("flows.\u{1b}[31m", "\\u{1b}[31m"),
        ] {
            let error = Format::of(Path::new(name)).unwrap_err().to_string();
            let expected = format!(
                ": unknown extension .{extension}; use .csv, .jsonl or .ndjson, optionally followed by \
                 .gz or .zst, or select the format"
            );
            assert!(error.ends_with(&expected), "{error}");
        }
    }
}
