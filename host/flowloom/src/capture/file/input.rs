//! Opening of sources: files, standard input, decompression.

use std::fs::{self, File};
use std::io::{self, BufReader, IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::decompress::{Decompressed, Gzip, Zstd};
use super::file_range::FileRange;
use super::pipe::Pipe;
use crate::capture::error::{CaptureError, STANDARD_INPUT};
use crate::storage::{ObjectHead, ObjectReader, ObjectUrl, Place, StoreError, public};

/// The bytes that a decompressor reads at a time.
const COMPRESSED_BLOCK: usize = 128 * 1024;

/// The bytes of small objects that are kept, so that they are not requested again.
const MAX_KEPT_BYTES: u64 = 32 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// The magic of a skippable frame, with which parallel compressors begin. The low four bits of the
/// first byte may have any value.
const ZSTD_SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];

/// A capture that is not yet opened.
pub(crate) enum Source {
    /// A regular file. It can be opened any number of times.
    File {
        path: PathBuf,
        len: u64,
    },
    /// An object in a store. It can be opened any number of times.
    Object(Box<ObjectSource>),
    /// A pipe or a device. Opening it may wait for its writer, and a read removes the data.
    Pipe(PathBuf),
    StandardInput,
    Reader {
        name: String,
        reader: Box<dyn Read + Send>,
    },
}

/// An object that is not yet opened.
pub(crate) struct ObjectSource {
    pub(crate) url: ObjectUrl,
    pub(crate) head: ObjectHead,
    /// A reader that has begun to request the object.
    begun: Option<ObjectReader>,
}

impl Source {
    fn object(url: ObjectUrl, head: ObjectHead) -> Self {
        Self::Object(Box::new(ObjectSource {
            url,
            head,
            begun: None,
        }))
    }

    /// Creates a source from a path or URL. `-` is standard input. A file is not opened; of an object, the first bytes are
    /// read.
    pub(crate) fn of(path: PathBuf) -> Result<Self, CaptureError> {
        if path == Path::new("-") {
            if io::stdin().is_terminal() {
                return Err(CaptureError::Terminal);
            }
            return Ok(Self::StandardInput);
        }
        let capture = public(&path).display().to_string();
        let path = match Place::of(&path) {
            Ok(Place::Local(path)) => path,
            Ok(Place::Object(url)) if url.is_folder() => {
                return Err(CaptureError::Directory { capture });
            }
            Ok(Place::Object(url)) => {
                return match ObjectHead::read(&url) {
                    Ok(head) => Ok(Self::object(url, head)),
                    Err(error) => Err(CaptureError::Open { capture, error }),
                };
            }
            Err(error) => return Err(CaptureError::url(&path, error)),
        };
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

    /// Returns the name for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { path, .. } | Self::Pipe(path) => path.display().to_string(),
            Self::Object(object) => object.url.to_string(),
            Self::StandardInput => STANDARD_INPUT.into(),
            Self::Reader { name, .. } => name.clone(),
        }
    }

    /// Returns the path or URL, `-` for standard input, or the name of a reader.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File { path, .. } | Self::Pipe(path) => path.clone(),
            Self::Object(object) => object.url.path(),
            Self::StandardInput => "-".into(),
            Self::Reader { name, .. } => name.into(),
        }
    }

    /// Returns the size in bytes, if the source can be opened several times.
    pub(crate) fn len(&self) -> Option<u64> {
        match self {
            Self::File { len, .. } => Some(*len),
            Self::Object(object) => Some(object.head.size),
            _ => None,
        }
    }

    /// Returns the mark of the object's version, if the store has one.
    pub(crate) fn etag(&self) -> Option<&str> {
        match self {
            Self::Object(object) => object.head.etag.as_deref(),
            _ => None,
        }
    }

    /// Returns the same source again, if it can be opened several times.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::File { path, len } => Some(Self::File {
                path: path.clone(),
                len: *len,
            }),
            Self::Object(object) => Some(Self::object(object.url.clone(), object.head.clone())),
            _ => None,
        }
    }

    /// Drops the first bytes of an object, unless they are the whole object and few such bytes are `kept`. Dropped bytes are
    /// requested again when the object is read.
    pub(crate) fn forget_bytes(&mut self, kept: &AtomicU64) {
        if let Self::Object(object) = self
            && (!object.head.is_whole()
                || kept.fetch_add(object.head.size, Ordering::Relaxed) > MAX_KEPT_BYTES)
        {
            object.head.forget_bytes();
        }
    }

    /// Requests the bytes of an object before they are read. An error is returned when they are read.
    pub(crate) fn prefetch(&mut self) {
        if let Self::Object(object) = self {
            let ObjectSource { url, head, begun } = &mut **object;
            let reader = begun.get_or_insert_with(|| ObjectReader::new(url.clone(), head.clone()));
            let _ = reader.prefetch();
        }
    }

    /// Opens the source without reading from it.
    pub(crate) fn open(self) -> io::Result<Input> {
        let is_object = matches!(self, Self::Object(_));
        if let Self::File { path, len } = self {
            let file = Arc::new(File::open(path)?);
            return Ok(Input {
                encoding: Encoding::Undetected(Some(CountingReader::new(Box::new(file.clone())))),
                is_pipe: false,
                may_pause: false,
                file: Some(OpenedFile { file, len }),
            });
        }
        let (raw, is_pipe) = self.open_stored()?;
        Ok(Input {
            encoding: Encoding::Undetected(Some(CountingReader::new(raw))),
            is_pipe,
            may_pause: is_pipe || is_object,
            file: None,
        })
    }

    /// Opens the bytes of the source as they are stored, and returns whether it is a pipe.
    fn open_stored(self) -> io::Result<(Box<dyn Read + Send>, bool)> {
        Ok(match self {
            Self::File { path, .. } => (Box::new(File::open(path)?), false),
            Self::Object(object) => {
                let ObjectSource { url, head, begun } = *object;
                let reader = begun.unwrap_or_else(|| ObjectReader::new(url, head));
                (Box::new(reader), false)
            }
            Self::Pipe(path) => (Box::new(Pipe::open(&path)?), true),
            Self::StandardInput => (Box::new(Pipe::standard_input()?), true),
            Self::Reader { reader, .. } => (reader, false),
        })
    }
}

/// Opens the bytes of a file or an object as they are stored, compressed or not. A read of an object that waits for 100 ms
/// returns the error `WouldBlock`, and can be repeated.
///
/// # Errors
///
/// The file cannot be opened, or is a pipe.
pub fn open_stored(path: PathBuf) -> Result<Box<dyn Read + Send>, CaptureError> {
    let source = Source::of(path)?;
    let capture = source.name();
    if source.len().is_none() {
        return Err(CaptureError::NoFile { capture });
    }
    match source.open_stored() {
        Ok((bytes, _)) => Ok(bytes),
        Err(error) => Err(CaptureError::Open { capture, error }),
    }
}

/// A reader of the decompressed bytes of a capture.
pub(crate) struct Input {
    encoding: Encoding,
    is_pipe: bool,
    /// Whether a read returns without data after a while.
    may_pause: bool,
    /// The file that the encoded bytes are read from, if it is a regular one.
    file: Option<OpenedFile>,
}

/// A regular file that is read from its start to its end.
struct OpenedFile {
    file: Arc<File>,
    /// The size in bytes when the source was checked.
    len: u64,
}

enum Encoding {
    /// The first bytes, which determine the compression, have not all arrived. The reader is always
    /// present between calls.
    Undetected(Option<CountingReader>),
    Uncompressed(CountingReader),
    Gzip(Box<Decompressed<BufReader<CountingReader>, Gzip>>),
    Zstd(Box<Decompressed<BufReader<CountingReader>, Zstd>>),
}

impl Encoding {
    /// Determines the compression from the first bytes.
    fn of(reader: CountingReader) -> io::Result<Self> {
        let first = reader.first();
        if first.starts_with(&GZIP) {
            let buffered = BufReader::with_capacity(COMPRESSED_BLOCK, reader);
            let decompressed = Decompressed::new(buffered, Gzip::new());
            return Ok(Self::Gzip(Box::new(decompressed)));
        }
        let skippable = first.len() == 4
            && first[0] & 0xf0 == ZSTD_SKIPPABLE[0]
            && first[1..] == ZSTD_SKIPPABLE[1..];
        if first == ZSTD || skippable {
            let buffered = BufReader::with_capacity(COMPRESSED_BLOCK, reader);
            let decompressed = Decompressed::new(buffered, Zstd::new()?);
            return Ok(Self::Zstd(Box::new(decompressed)));
        }
        Ok(Self::Uncompressed(reader))
    }
}

impl Input {
    /// Returns whether the capture is a pipe. Its writer may be slow, and its packets may be live.
    pub(crate) fn is_pipe(&self) -> bool {
        self.is_pipe
    }

    /// Returns whether `error` means that a pipe or a store had no data for a while. The next read continues.
    pub(crate) fn is_pause(&self, error: &io::Error) -> bool {
        self.may_pause && error.kind() == io::ErrorKind::WouldBlock
    }

    /// Returns the bytes read from the file, before decompression.
    pub(crate) fn bytes_read(&self) -> u64 {
        match &self.encoding {
            Encoding::Undetected(_) => 0,
            Encoding::Uncompressed(reader) => reader.count,
            Encoding::Gzip(decoder) => decoder.get_ref().get_ref().count,
            Encoding::Zstd(decoder) => decoder.get_ref().get_ref().count,
        }
    }

    /// Returns whether the capture is compressed. It is known after the first read.
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self.encoding, Encoding::Gzip(_) | Encoding::Zstd(_))
    }

    /// Takes the input, and leaves one that has ended.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            encoding: std::mem::replace(&mut self.encoding, Encoding::Undetected(None)),
            file: self.file.take(),
            ..*self
        }
    }

    /// Returns the part of the file that begins `distance` bytes after the next read. Returns `None` if
    /// the file ends before, or if its bytes cannot be read apart from the others.
    pub(crate) fn range_after(&self, distance: u64) -> Option<FileRange> {
        let (opened, next) = (self.file.as_ref()?, self.position()?);
        let offset = next + distance;
        (offset < opened.len).then(|| FileRange {
            file: opened.file.clone(),
            offset,
        })
    }

    /// Skips the first `count` bytes of `range`, which the caller has read. Returns false, without an
    /// effect, if the next read does not begin there.
    pub(crate) fn skip(&mut self, range: &FileRange, count: usize) -> bool {
        let is_next = self.position() == Some(range.offset)
            && (self.file.as_ref()).is_some_and(|opened| Arc::ptr_eq(&opened.file, &range.file));
        let Encoding::Uncompressed(reader) = &mut self.encoding else {
            return false;
        };
        let distance = SeekFrom::Current(i64::try_from(count).unwrap_or(i64::MAX));
        if !is_next || (&*range.file).seek(distance).is_err() {
            return false;
        }
        reader.count += count as u64;
        true
    }

    /// Returns the offset of the next read in an uncompressed source.
    fn position(&self) -> Option<u64> {
        match &self.encoding {
            Encoding::Uncompressed(reader) if reader.first().is_empty() => Some(reader.count),
            _ => None,
        }
    }

    /// Returns whether `error` is from the decompressor rather than from the operating system or a store.
    pub(crate) fn is_compression(&self, error: &io::Error) -> bool {
        self.is_compressed() && error.raw_os_error().is_none() && !StoreError::caused(error)
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Encoding::Undetected(undetected) = &mut self.encoding
            && let Some(reader) = undetected
        {
            reader.read_first()?;
            if let Some(reader) = undetected.take() {
                self.encoding = Encoding::of(reader)?;
            }
        }
        match &mut self.encoding {
            Encoding::Undetected(_) => Ok(0),
            Encoding::Uncompressed(reader) => reader.read(into),
            Encoding::Gzip(decoder) => decoder.read(into),
            Encoding::Zstd(decoder) => decoder.read(into),
        }
    }
}

/// Counts the bytes that are read from a source, and allows to look at the first four in advance.
pub(crate) struct CountingReader {
    raw: Box<dyn Read + Send>,
    first: [u8; 4],
    first_start: usize,
    first_end: usize,
    count: u64,
}

impl CountingReader {
    fn new(raw: Box<dyn Read + Send>) -> Self {
        Self {
            raw,
            first: [0; 4],
            first_start: 0,
            first_end: 0,
            count: 0,
        }
    }

    /// Reads the first bytes. After an error, the next call continues.
    fn read_first(&mut self) -> io::Result<()> {
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

impl Read for CountingReader {
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
