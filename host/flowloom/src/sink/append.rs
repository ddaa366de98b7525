//! What has to be true of a file for flows to be written behind what is in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::Crc;

use super::compressed::{ZSTD_END, gzip_ending};
use super::files::shown;
use super::format::{Compression, Format};

/// Bytes that are read at a time.
const BLOCK: usize = 1 << 16;
/// The longest line that is looked at, and the longest text without a line feed at the end of a file.
const MOST: u64 = 1 << 26;

/// Makes a file ready to be written behind, and says whether a header has to be written first.
///
/// A CSV file must have this header. Where the file ends inside a line, as after a crash, the line is
/// completed if it is a whole JSON object, and cut off if not: no whole flow is lost. A compressed stream
/// that lacks its end is given one.
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
    let begin = line(&mut BufReader::new(file))?;
    // A crash may have come in the middle of the first line.
    if begin.len() as u64 == len && !begin.ends_with(b"\n") && header.starts_with(&begin) {
        cut(file, path, 0, len)?;
        return Ok(true);
    }
    check_begin(&begin, format, header)?;
    let end = end_of_lines(file, len)?;
    if end < len {
        let mut torn = vec![0; (len - end) as usize];
        file.read_exact_at(&mut torn, end)?;
        let is_whole = |text| serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(text);
        if format == Format::JsonLines && is_whole(&torn).is_ok() {
            file.write_all(b"\n")?;
        } else {
            cut(file, path, end, len)?;
        }
    }
    Ok(false)
}

/// Cuts off what stands behind the last whole line.
fn cut(file: &File, path: &Path, end: u64, len: u64) -> io::Result<()> {
    tracing::warn!(
        "{}: {} bytes behind its last whole line are cut off: it ended inside a line",
        shown(path),
        len - end
    );
    file.set_len(end)
}

/// The first line, with its line feed if it has one.
fn line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.by_ref().take(MOST).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// Whether flows may follow what begins like this.
fn check_begin(begin: &[u8], format: Format, header: &[u8]) -> io::Result<()> {
    match format {
        Format::Csv if begin == header => Ok(()),
        Format::Csv => Err(refused(&differs(begin, header))),
        Format::JsonLines if begin.starts_with(b"{") => Ok(()),
        Format::JsonLines => Err(refused("it does not begin with a JSON object")),
    }
}

/// Says in what a header is another one.
fn differs(begin: &[u8], header: &[u8]) -> String {
    let columns = |line: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(line);
        let columns = text.trim_end_matches('\n').split(',');
        columns.map(str::to_owned).collect()
    };
    let (theirs, ours) = (columns(begin), columns(header));
    let shown = |column: &str| {
        let short: String = column.chars().take(60).collect();
        short.escape_debug().to_string()
    };
    let first = theirs
        .iter()
        .zip(&ours)
        .position(|(one, other)| one != other);
    match first {
        Some(at) => format!(
            "its header has the column `{}` where these flows have `{}`",
            shown(&theirs[at]),
            shown(&ours[at])
        ),
        None => format!(
            "its header has {} columns, and these flows have {}",
            theirs.len(),
            ours.len()
        ),
    }
}

/// Where the last line feed ends.
fn end_of_lines(file: &File, len: u64) -> io::Result<u64> {
    let mut block = vec![0; BLOCK];
    let mut end = len;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..(end - begin) as usize];
        file.read_exact_at(block, begin)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        if len - begin > MOST {
            return Err(refused("its last line is longer than 64 MiB"));
        }
        end = begin;
    }
    Ok(0)
}

/// Reads it whole: only so its end can be known. A stream without its end, as a run that was killed leaves
/// it, is given one.
fn prepare_compressed(
    mut file: &File,
    path: &Path,
    format: Format,
    compression: Compression,
    header: &[u8],
) -> io::Result<bool> {
    let broken = |error: io::Error| {
        refused(&format!(
            "its {} stream is damaged ({error})",
            compression.name()
        ))
    };
    let len = file.metadata()?.len();
    let text = Text::of(file, compression).map_err(broken)?;
    if !text.begin.is_empty() {
        check_begin(&text.begin, format, header)?;
        if text.last != Some(b'\n') {
            return Err(refused("its text does not end where a line ends"));
        }
    }
    if let Some(ending) = &text.missing {
        file.write_all(ending)?;
        let is_mended = Text::of(file, compression)
            .is_ok_and(|mended| mended.missing.is_none() && mended.len == text.len);
        if !is_mended {
            file.set_len(len)?;
            return Err(refused(&format!(
                "its {} stream ends inside a block",
                compression.name()
            )));
        }
        tracing::warn!(
            "{}: its {} stream is given the end that it did not have",
            shown(path),
            compression.name()
        );
    }
    Ok(text.begin.is_empty())
}

/// What is known of a compressed text.
#[derive(Default)]
struct Text {
    /// The first line.
    begin: Vec<u8>,
    len: u64,
    last: Option<u8>,
    /// What would end the stream, if it has no end.
    missing: Option<Vec<u8>>,
}

impl Text {
    fn of(mut file: &File, compression: Compression) -> io::Result<Self> {
        file.rewind()?;
        let mut text = Self::default();
        let mut reader = BufReader::with_capacity(BLOCK, file);
        if compression == Compression::Zstd {
            let frames = zstd::stream::read::Decoder::with_buffer(reader)?;
            if !text.read(frames, |_| ())? {
                text.missing = Some(ZSTD_END.to_vec());
            }
            return Ok(text);
        }
        while text.missing.is_none() && !reader.fill_buf()?.is_empty() {
            let mut crc = Crc::new();
            let member = flate2::bufread::GzDecoder::new(&mut reader);
            if !text.read(member, |block| crc.update(block))? {
                text.missing = Some(gzip_ending(&crc));
            }
        }
        Ok(text)
    }

    /// Reads to the end, and says whether there is one.
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
            self.last = block.last().copied();
            if !self.begin.ends_with(b"\n") && (self.begin.len() as u64) < MOST {
                let line = block.split_inclusive(|byte| *byte == b'\n').next();
                self.begin.extend(line.unwrap_or_default());
            }
        }
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("flows cannot be appended: {why}; choose another name, or move the file away"),
    )
}
