//! From a name to bytes: opening, standard input, decompressing.

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::CaptureError;
use super::decompress::{Decompressed, Gzip, Zstd};

/// What the decompressors read at a time.
const COMPRESSED_BLOCK: usize = 128 * 1024;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame to be skipped, which parallel compressors begin with; the low four bits are free.
const ZSTD_SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// Where a capture is, before it is opened.
pub(super) enum Source {
    /// A file that can be opened as often as one likes.
    File {
        path: PathBuf,
        len: u64,
    },
    /// A pipe or a device: opening it may wait for its writer, and what is read of it is gone.
    Pipe(PathBuf),
    StandardInput,
    Reader {
        name: String,
        reader: Box<dyn Read + Send>,
    },
}

impl Source {
    /// `-` is standard input. Nothing is opened yet.
    pub(super) fn of(path: PathBuf) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            if io::stdin().is_terminal() {
                return Err(CaptureError::Terminal);
            }
            return Ok(Self::StandardInput);
        }
        let capture = path.display().to_string();
        match fs::metadata(&path) {
            Err(error) => Err(CaptureError::Open { capture, error }),
            Ok(is) if is.is_dir() => Err(CaptureError::Directory { capture }),
            Ok(is) if is.is_file() => Ok(Self::File {
                path,
                len: is.len(),
            }),
            Ok(_) => Ok(Self::Pipe(path)),
        }
    }

    /// How messages call it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File { path, .. } | Self::Pipe(path) => path.display().to_string(),
            Self::StandardInput => "standard input".into(),
            Self::Reader { name, .. } => name.clone(),
        }
    }

    pub(super) fn open(self) -> io::Result<Input> {
        Input::new(match self {
            Self::File { path, .. } | Self::Pipe(path) => Box::new(File::open(path)?),
            Self::StandardInput => Box::new(io::stdin()),
            Self::Reader { reader, .. } => reader,
        })
    }
}

/// The bytes of a capture, decompressed.
pub(super) enum Input {
    Plain(Counted),
    Gzip(Box<Decompressed<BufReader<Counted>, Gzip>>),
    Zstd(Box<Decompressed<BufReader<Counted>, Zstd>>),
}

impl Input {
    /// Looks at the first bytes to see whether, and how, the rest is compressed.
    fn new(raw: Box<dyn Read + Send>) -> io::Result<Self> {
        let counted = Counted::new(raw)?;
        let first = counted.first();
        if first.starts_with(&GZIP) {
            let buffered = BufReader::with_capacity(COMPRESSED_BLOCK, counted);
            let decompressed = Decompressed::new(buffered, Gzip::new());
            return Ok(Self::Gzip(Box::new(decompressed)));
        }
        let skippable = first.len() == 4
            && first[0] & 0xf0 == ZSTD_SKIPPABLE[0]
            && first[1..] == ZSTD_SKIPPABLE[1..];
        if first == ZSTD || skippable {
            let buffered = BufReader::with_capacity(COMPRESSED_BLOCK, counted);
            let decompressed = Decompressed::new(buffered, Zstd::new()?);
            return Ok(Self::Zstd(Box::new(decompressed)));
        }
        Ok(Self::Plain(counted))
    }

    /// Bytes read of the file as it is on disk.
    pub(super) fn bytes_read(&self) -> u64 {
        match self {
            Self::Plain(counted) => counted.count,
            Self::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Self::Zstd(decoder) => decoder.get_ref().get_ref().count,
        }
    }

    /// Whether `error` came out of the decompressor rather than the operating system.
    pub(super) fn is_compression(&self, error: &io::Error) -> bool {
        !matches!(self, Self::Plain(_)) && error.raw_os_error().is_none()
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(counted) => counted.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

/// The bytes as they are on disk, counted; the first ones have been looked at.
pub(super) struct Counted {
    raw: Box<dyn Read + Send>,
    first: [u8; 4],
    first_start: usize,
    first_end: usize,
    count: u64,
}

impl Counted {
    fn new(mut raw: Box<dyn Read + Send>) -> io::Result<Self> {
        let mut first = [0; 4];
        let len = read_full(&mut raw, &mut first)?;
        Ok(Self {
            raw,
            first,
            first_start: 0,
            first_end: len,
            count: 0,
        })
    }

    fn first(&self) -> &[u8] {
        &self.first[self.first_start..self.first_end]
    }
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = if self.first_start < self.first_end {
            let count = (&self.first[self.first_start..self.first_end]).read(into)?;
            self.first_start += count;
            count
        } else {
            self.raw.read(into)?
        };
        self.count += count as u64;
        Ok(count)
    }
}

/// Reads until `into` is full or the input ends; returns how much was read.
pub(super) fn read_full(input: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < into.len() {
        match input.read(&mut into[len..]) {
            Ok(0) => break,
            Ok(count) => len += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
