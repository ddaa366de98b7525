//! From a name to bytes: opening, standard input, decompressing.

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::decompress::{Decompressed, Gzip, Zstd};
use super::pipe::Pipe;
use crate::capture::CaptureError;

/// What the decompressors read at a time.
const COMPRESSED_BLOCK: usize = 128 * 1024;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame to be skipped, which parallel compressors begin with; the low four bits are free.
const ZSTD_SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// Where a capture is, before it is opened.
pub(crate) enum Source {
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
    pub(crate) fn of(path: PathBuf) -> Result<Self, CaptureError> {
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
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } | Self::Pipe(path) => path.display().to_string(),
            Self::StandardInput => "standard input".into(),
            Self::Reader { name, .. } => name.clone(),
        }
    }

    /// Opens it. Nothing is read yet.
    pub(crate) fn open(self) -> io::Result<Input> {
        let (raw, is_pipe): (Box<dyn Read + Send>, _) = match self {
            Self::File { path, .. } => (Box::new(File::open(path)?), false),
            Self::Pipe(path) => (Box::new(Pipe::open(&path)?), true),
            Self::StandardInput => (Box::new(Pipe::standard_input()?), true),
            Self::Reader { reader, .. } => (reader, false),
        };
        Ok(Input {
            layer: Layer::Unknown(Some(Counted::new(raw))),
            is_pipe,
        })
    }
}

/// The bytes of a capture, decompressed.
pub(crate) struct Input {
    layer: Layer,
    is_pipe: bool,
}

enum Layer {
    /// Its first bytes, which say whether it is compressed, have not all come. There is always one.
    Unknown(Option<Counted>),
    Plain(Counted),
    Gzip(Box<Decompressed<BufReader<Counted>, Gzip>>),
    Zstd(Box<Decompressed<BufReader<Counted>, Zstd>>),
}

impl Layer {
    /// Looks at the first bytes to see whether, and how, the rest is compressed.
    fn of(counted: Counted) -> io::Result<Self> {
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
}

impl Input {
    /// Whether its writer may be slow, and whether packets may be live.
    pub(crate) fn is_pipe(&self) -> bool {
        self.is_pipe
    }

    /// Whether `error` says that nothing has come for a while; reading goes on afterwards.
    pub(crate) fn is_pause(&self, error: &io::Error) -> bool {
        self.is_pipe && error.kind() == io::ErrorKind::WouldBlock
    }

    /// Bytes read of the file as it is on disk.
    pub(crate) fn bytes_read(&self) -> u64 {
        match &self.layer {
            Layer::Unknown(_) => 0,
            Layer::Plain(counted) => counted.count,
            Layer::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Layer::Zstd(decoder) => decoder.get_ref().get_ref().count,
        }
    }

    /// Whether `error` came out of the decompressor rather than the operating system.
    pub(crate) fn is_compression(&self, error: &io::Error) -> bool {
        matches!(self.layer, Layer::Gzip(_) | Layer::Zstd(_)) && error.raw_os_error().is_none()
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Layer::Unknown(unknown) = &mut self.layer
            && let Some(counted) = unknown
        {
            counted.look()?;
            if let Some(counted) = unknown.take() {
                self.layer = Layer::of(counted)?;
            }
        }
        match &mut self.layer {
            Layer::Unknown(_) => Ok(0),
            Layer::Plain(counted) => counted.read(into),
            Layer::Gzip(decoder) => decoder.read(into),
            Layer::Zstd(decoder) => decoder.read(into),
        }
    }
}

/// The bytes as they are on disk, counted; the first ones have been looked at.
pub(crate) struct Counted {
    raw: Box<dyn Read + Send>,
    first: [u8; 4],
    first_start: usize,
    first_end: usize,
    count: u64,
}

impl Counted {
    fn new(raw: Box<dyn Read + Send>) -> Self {
        Self {
            raw,
            first: [0; 4],
            first_start: 0,
            first_end: 0,
            count: 0,
        }
    }

    /// Reads the first bytes. After an error it goes on where it was.
    fn look(&mut self) -> io::Result<()> {
        while self.first_end < self.first.len() {
            match self.raw.read(&mut self.first[self.first_end..]) {
                Ok(0) => break,
                Ok(count) => self.first_end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
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
