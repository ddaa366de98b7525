//! Preparation of an existing file, so that flows can be appended to it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::Crc;
use flowloom_plugin::escaped_path;

use super::compressed::{ZSTD_END, gzip_ending};
use super::format::{Compression, Format};

/// The number of bytes that are read at a time.
const BLOCK: usize = 1 << 16;
/// The maximum length of the first line, and of the text after the last line feed, in bytes.
const MAX_LINE_BYTES: u64 = 1 << 26;

/// Prepares a file for appending. Returns whether a header has to be written first.
///
/// A CSV file must have this header. If the file ends inside a line, for example after a crash, the
/// behaviour depends on that line: if it is a complete JSON object, a line feed is added, otherwise
/// the line is removed. No complete flow is lost. A compressed stream without its end is completed.
///
/// # Errors
///
/// Returns an error if the header differs, if the file is damaged, or if it cannot be read or
/// written.
pub(super) fn prepare(
    mut file: &File,
    path: &Path,
    format: Format,
    compression: Compression,
    header: &[u8],
) -> io::Result<bool> {
    let len = file.metadata()?.len();
    if len == 0 {
        return Ok(true);
    }
    if compression != Compression::None {
        return prepare_compressed(file, path, format, compression, header);
    }
    let first_line = line(&mut BufReader::new(file))?;
    // A crash may have interrupted the writing of the first line.
    if first_line.len() as u64 == len
        && !first_line.ends_with(b"\n")
        && header.starts_with(&first_line)
    {
        cut(file, path, 0, len)?;
        return Ok(true);
    }
    check_begin(&first_line, format, header)?;
    let end = end_of_lines(file, len)?;
    if end < len {
        let mut torn = vec![0; (len - end) as usize];
        file.read_exact_at(&mut torn, end)?;
        let parse = |text| serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(text);
        if format == Format::JsonLines && parse(&torn).is_ok() {
            file.write_all(b"\n")?;
        } else {
            cut(file, path, end, len)?;
        }
    }
    Ok(false)
}

/// Removes the bytes after the last complete line.
fn cut(file: &File, path: &Path, end: u64, len: u64) -> io::Result<()> {
    tracing::warn!(
        "removed {} bytes after the last complete line of '{}': the file ended inside a line",
        len - end,
        escaped_path(path)
    );
    file.set_len(end)
}

/// Returns the first line, with its line feed if it has one.
fn line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader
        .by_ref()
        .take(MAX_LINE_BYTES)
        .read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Checks whether flows may follow a file with this first line.
fn check_begin(first_line: &[u8], format: Format, header: &[u8]) -> io::Result<()> {
    match format {
        Format::Csv if first_line == header => Ok(()),
        Format::Csv => Err(rejected(&header_difference(first_line, header))),
        Format::JsonLines if first_line.starts_with(b"{") => Ok(()),
        Format::JsonLines => Err(rejected("it does not begin with a JSON object")),
        #[cfg(feature = "arrow")]
        Format::Arrow | Format::Parquet => Err(rejected("files of this format are complete")),
    }
}

/// Returns a description of the first difference between two headers.
fn header_difference(first_line: &[u8], header: &[u8]) -> String {
    let columns = |line: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(line);
        let columns = text.trim_end_matches('\n').split(',');
        columns.map(str::to_owned).collect()
    };
    let (theirs, ours) = (columns(first_line), columns(header));
    let escape = |column: &str| {
        let short: String = column.chars().take(60).collect();
        short.escape_debug().to_string()
    };
    let first = theirs
        .iter()
        .zip(&ours)
        .position(|(one, other)| one != other);
    match first {
        Some(at) => format!(
            "its header has column '{}' where the flows have '{}'",
            escape(&theirs[at]),
            escape(&ours[at])
        ),
        None => format!(
            "its header has {} columns, but the flows have {}",
            theirs.len(),
            ours.len()
        ),
    }
}

/// Returns the offset after the last line feed, or 0 if there is none.
fn end_of_lines(file: &File, len: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..(end - start) as usize];
        file.read_exact_at(block, start)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        if len - start > MAX_LINE_BYTES {
            return Err(rejected("its last line is longer than 64 MiB"));
        }
        end = start;
    }
    Ok(0)
}

/// Prepares a compressed file. It reads the whole file, because the end of the text is not known
/// otherwise. A stream without its end, for example of a killed run, is completed.
fn prepare_compressed(
    mut file: &File,
    path: &Path,
    format: Format,
    compression: Compression,
    header: &[u8],
) -> io::Result<bool> {
    let broken = |error: io::Error| {
        rejected(&format!(
            "its {} stream is damaged ({error})",
            compression.name()
        ))
    };
    let len = file.metadata()?.len();
    let text = StreamSummary::of(file, compression).map_err(broken)?;
    if !text.first_line.is_empty() {
        check_begin(&text.first_line, format, header)?;
        if text.last_byte != Some(b'\n') {
            return Err(rejected("its text ends inside a line"));
        }
    }
    if let Some(ending) = &text.missing_end {
        file.write_all(ending)?;
        let is_mended = StreamSummary::of(file, compression)
            .is_ok_and(|mended| mended.missing_end.is_none() && mended.len == text.len);
        if !is_mended {
            file.set_len(len)?;
            return Err(rejected(&format!(
                "its {} stream ends inside a block",
                compression.name()
            )));
        }
        tracing::warn!(
            "completed the {} stream of '{}', which had no end",
            compression.name(),
            escaped_path(path)
        );
    }
    Ok(text.first_line.is_empty())
}

/// The properties of a compressed text.
#[derive(Default)]
struct StreamSummary {
    /// The first line.
    first_line: Vec<u8>,
    /// The length of the text in bytes.
    len: u64,
    last_byte: Option<u8>,
    /// The bytes that would end the stream, if it has no end.
    missing_end: Option<Vec<u8>>,
}

impl StreamSummary {
    fn of(mut file: &File, compression: Compression) -> io::Result<Self> {
        file.rewind()?;
        let mut text = Self::default();
        let mut reader = BufReader::with_capacity(BLOCK, file);
        if compression == Compression::Zstd {
            let frames = zstd::stream::read::Decoder::with_buffer(reader)?;
            if !text.read(frames, |_| ())? {
                text.missing_end = Some(ZSTD_END.to_vec());
            }
            return Ok(text);
        }
        while text.missing_end.is_none() && !reader.fill_buf()?.is_empty() {
            let mut crc = Crc::new();
            let member = flate2::bufread::GzDecoder::new(&mut reader);
            if !text.read(member, |block| crc.update(block))? {
                text.missing_end = Some(gzip_ending(&crc));
            }
        }
        Ok(text)
    }

    /// Reads the text. Returns whether the stream has an end.
    fn read(&mut self, mut decoder: impl Read, mut see: impl FnMut(&[u8])) -> io::Result<bool> {
        let mut block = vec![0; BLOCK];
        loop {
            let block = match decoder.read(&mut block) {
                Ok(0) => return Ok(true),
                Ok(len) => &block[..len],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            };
            see(block);
            self.len += block.len() as u64;
            self.last_byte = block.last().copied();
            if !self.first_line.ends_with(b"\n") && (self.first_line.len() as u64) < MAX_LINE_BYTES
            {
                let line = block.split_inclusive(|byte| *byte == b'\n').next();
                self.first_line.extend(line.unwrap_or_default());
            }
        }
    }
}

fn rejected(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("cannot append flows: {why}; choose another name, or move the file away"),
    )
}
