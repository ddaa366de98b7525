//! Output formats and compressions, and the file names that select them.

#[cfg(feature = "arrow")]
use std::io::BufWriter;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowloom_core::schema::Schema;
use flowloom_plugin::escaped_path;

use super::Sink;
#[cfg(feature = "arrow")]
use super::columnar::ColumnarSink;
use super::csv::{self, CsvSink};
use super::jsonl::JsonLinesSink;
use super::options::SinkOptions;
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
    /// Arrow IPC: the file format in files, and the stream format in pipes and standard output.
    #[cfg(feature = "arrow")]
    Arrow,
    /// Parquet. A file can be read when it is complete.
    #[cfg(feature = "arrow")]
    Parquet,
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

/// The buffer of an Arrow output in bytes. The writer makes a small write for each buffer of each column.
#[cfg(feature = "arrow")]
const COLUMNAR_BUFFER: usize = 1 << 18;

/// The extensions of all formats.
#[cfg(feature = "arrow")]
const KNOWN: &str =
    ".parquet, .arrow, .csv, .jsonl or .ndjson, the last three optionally followed by .gz or .zst";
#[cfg(not(feature = "arrow"))]
const KNOWN: &str = ".csv, .jsonl or .ndjson, optionally followed by .gz or .zst";

/// The error of a file extension that is not that of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot determine the format of '{}': unknown extension .{}; use {}, or select the format",
    escaped_path(path),
    extension.escape_debug(),
    KNOWN
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
    /// JSON lines for `.jsonl` and `.ndjson`, Arrow for `.arrow`, Parquet for `.parquet`. The extension of a
    /// [`Compression`] may follow those of text.
    ///
    /// # Errors
    ///
    /// Returns an error for any other extension.
    pub fn of(path: &Path) -> Result<Self, UnknownExtension> {
        let name = Compression::of(path).strip(path);
        let Some(extension) = name.extension() else {
            return Ok(Self::Csv);
        };
        let known = extension.to_str().map(str::to_ascii_lowercase);
        let format = match known.as_deref() {
            Some("csv") => Some(Self::Csv),
            Some("jsonl" | "ndjson") => Some(Self::JsonLines),
            #[cfg(feature = "arrow")]
            Some("arrow") => Some(Self::Arrow),
            #[cfg(feature = "arrow")]
            Some("parquet") => Some(Self::Parquet),
            _ => None,
        };
        // The compression of Arrow and Parquet is inside the file.
        let is_compressed = name != path;
        match format {
            Some(format) if format.is_text() || !is_compressed => Ok(format),
            _ => Err(UnknownExtension {
                path: path.to_owned(),
                extension: match format {
                    Some(_) => path.extension().unwrap_or_default(),
                    None => extension,
                }
                .to_string_lossy()
                .into_owned(),
            }),
        }
    }

    /// Returns the name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "CSV",
            Self::JsonLines => "JSON lines",
            #[cfg(feature = "arrow")]
            Self::Arrow => "Arrow",
            #[cfg(feature = "arrow")]
            Self::Parquet => "Parquet",
        }
    }

    /// Returns whether the format is text. Each line of it is complete, so that a file can be read while it is
    /// written, and continued.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::JsonLines)
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
        self.sink_with(output, schema, &SinkOptions::default())
    }

    /// Creates a sink like [`sink`](Self::sink), with options. Arrow is written as a stream.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`sink`](Self::sink), and an error if flows do not have the chosen columns.
    pub fn sink_with<'a>(
        self,
        output: impl Write + Send + 'a,
        schema: &Arc<Schema>,
        options: &SinkOptions,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        self.new_sink(RawOutput(output), schema, options, true)
    }

    /// Creates a sink for an empty output, and writes what precedes the first flow. `is_stream` selects the form of
    /// Arrow.
    pub(super) fn new_sink<'a>(
        self,
        mut output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        options: &SinkOptions,
        is_stream: bool,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        #[cfg(feature = "arrow")]
        match self {
            Self::Csv | Self::JsonLines => {}
            Self::Arrow if is_stream => {
                let output = BufWriter::with_capacity(COLUMNAR_BUFFER, output);
                return Ok(Box::new(ColumnarSink::arrow_stream(
                    output, schema, options,
                )?));
            }
            Self::Arrow => {
                let output = BufWriter::with_capacity(COLUMNAR_BUFFER, output);
                return Ok(Box::new(ColumnarSink::arrow_file(output, schema, options)?));
            }
            Self::Parquet => {
                return Ok(Box::new(ColumnarSink::parquet(output, schema, options)?));
            }
        }
        #[cfg(not(feature = "arrow"))]
        let _ = is_stream;
        output.write_all(&self.header(schema, options)?)?;
        output.flush()?;
        self.continued_sink(output, schema, options)
    }

    /// Creates a sink for an output that already has a header for this schema. The format must be text.
    pub(super) fn continued_sink<'a>(
        self,
        output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        options: &SinkOptions,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        match self {
            Self::JsonLines => Ok(Box::new(JsonLinesSink::new(output, &options.columns))),
            _ => Ok(Box::new(CsvSink::new(output, schema, options)?)),
        }
    }

    /// Returns the text before the first flow.
    pub(super) fn header(self, schema: &Schema, options: &SinkOptions) -> io::Result<Vec<u8>> {
        match self {
            Self::Csv => csv::header(schema, &options.columns),
            _ => Ok(Vec::new()),
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

    #[cfg(feature = "arrow")]
    #[test]
    fn arrow_and_parquet_are_compressed_inside() {
        for (name, format) in [("x.arrow", Format::Arrow), ("x.PARQUET", Format::Parquet)] {
            assert_eq!(Format::of(Path::new(name)), Ok(format), "{name}");
        }
        for name in ["x.parquet.gz", "x.arrow.zst"] {
            let error = Format::of(Path::new(name)).unwrap_err();
            assert!(["gz", "zst"].contains(&&*error.extension), "{error}");
        }
    }

    #[test]
    fn unknown_extensions_are_rejected_with_the_known_ones() {
        for (name, extension) in [
            ("x.orc", "orc"),
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
            let expected =
                format!(": unknown extension .{extension}; use {KNOWN}, or select the format");
            assert!(error.ends_with(&expected), "{error}");
        }
    }
}
