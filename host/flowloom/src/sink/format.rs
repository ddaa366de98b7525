//! What a file's name says of how flows are written to it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowloom_core::schema::Schema;

use super::Sink;
use super::csv::{self, CsvSink};
use super::csv_text::Formulas;
use super::files::shown;
use super::jsonl::JsonLinesSink;
use super::output::{Output, Plain};

/// How flows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180 with LF and a header. Null is an empty cell, an empty text is `""`, and booleans are
    /// 1 and 0.
    Csv,
    /// One JSON object a line; plugins' values stand in `udps`.
    JsonLines,
}

/// How a file of flows is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// zstd, RFC 8878.
    Zstd,
}

/// An extension that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{}: the extension .{} names no format; use .csv, .jsonl or .ndjson, each also with .gz or .zst behind it, or choose a format",
    shown(path),
    extension.escape_debug()
)]
pub struct UnknownExtension {
    /// The file.
    pub path: PathBuf,
    /// Its extension, without that of a compression.
    pub extension: String,
}

impl Compression {
    /// Returns the compression that a file's extension names: gzip for `.gz`, zstd for `.zst`.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("gz") => Self::Gzip,
            Some(extension) if extension.eq_ignore_ascii_case("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns the name as it is without the compression's extension.
    pub(super) fn strip(self, path: &Path) -> PathBuf {
        match self {
            Self::None => path.to_owned(),
            Self::Gzip | Self::Zstd => path.with_extension(""),
        }
    }

    /// Returns the format's name for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl Format {
    /// Returns the format that a file's extension names: CSV for `.csv` and for a name without
    /// extension, JSON lines for `.jsonl` and `.ndjson`. The extension of a [`Compression`] may follow.
    ///
    /// # Errors
    ///
    /// The extension is another one.
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

    /// A sink of this format for flows of this schema.
    ///
    /// # Errors
    ///
    /// What writing a header to the output gave.
    pub fn sink<'a>(
        self,
        output: impl Write + Send + 'a,
        schema: &Arc<Schema>,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        self.sink_with(output, schema, Formulas::default())
    }

    /// As [`sink`](Self::sink), with text that a spreadsheet would take for a formula written as told.
    ///
    /// # Errors
    ///
    /// As of [`sink`](Self::sink).
    pub fn sink_with<'a>(
        self,
        output: impl Write + Send + 'a,
        schema: &Arc<Schema>,
        formulas: Formulas,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        self.begun(Plain(output), schema, formulas)
    }

    /// A sink whose output is empty.
    pub(super) fn begun<'a>(
        self,
        mut output: impl Output + Send + 'a,
        schema: &Arc<Schema>,
        formulas: Formulas,
    ) -> io::Result<Box<dyn Sink + Send + 'a>> {
        output.write_all(&self.header(schema))?;
        output.flush()?;
        Ok(self.continued(output, schema, formulas))
    }

    /// A sink whose output has flows of the schema already.
    pub(super) fn continued<'a>(
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

    /// Returns what stands before the first flow.
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
    fn extensions_name_a_format_and_a_compression() {
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
    fn other_extensions_are_refused_with_what_is_known() {
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
                ": the extension .{extension} names no format; use .csv, .jsonl or .ndjson, each also \
                 with .gz or .zst behind it, or choose a format"
            );
            assert!(error.ends_with(&expected), "{error}");
        }
    }
}
