//! Reading of one capture, from its header to its end or to damage.

use std::io;

use super::file_range::FileRange;
use super::format::Format;
use super::input::{Input, Source};
use super::read_ahead::{ReadAhead, ReadError};
use super::read_buffer::ReadBuffer;
use super::record_io::{FormatError, HEADER_LEN, ScanEnd};
use crate::capture::packets::Record;
use crate::capture::{CaptureError, Damage};

/// Reads one capture.
pub(crate) struct CaptureReader {
    name: String,
    bytes: Bytes,
    ahead: AheadOf,
    /// `None` until the header was read.
    format: Option<Format>,
    /// The number of packets found so far.
    packets: u64,
    /// The bytes at the start of the buffer whose packets the last call returned. The next call
    /// consumes them.
    returned_bytes: usize,
}

/// The decompressed bytes of a capture.
enum Bytes {
    /// They are read when they are needed.
    Direct(Input),
    /// Another thread reads them.
    Ahead(ReadAhead),
}

impl Bytes {
    /// Reads once and appends the bytes to the buffer. Returns their number, or 0 at the end.
    fn fill(&mut self, buffer: &mut ReadBuffer, need: usize) -> Result<usize, ReadError> {
        match self {
            Self::Ahead(ahead) => buffer.take_block(ahead),
            Self::Direct(input) => buffer.fill(input, need).map_err(|error| ReadError {
                is_compression: input.is_compression(&error),
                error,
            }),
        }
    }

    /// Returns whether `error` means that there was no data for a while. The next read continues.
    fn is_pause(&self, error: &io::Error) -> bool {
        match self {
            Self::Direct(input) => input.is_pause(error),
            Self::Ahead(_) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// The captures that another thread reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AheadOf {
    Nothing,
    /// Decompression takes longer than metering.
    Compressed,
    All,
}

/// The fewest bytes of a source that is read ahead. Starting a thread takes as long as metering a small capture.
const MIN_AHEAD: u64 = 4 << 20;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// At least one packet.
    Packets,
    /// A pipe or a store had no data for a while.
    Pause,
    /// The capture ended at the end of a record.
    End,
}

impl CaptureReader {
    /// Opens a source. The buffer that is passed to later calls must be empty at the first call.
    pub(crate) fn open(source: Source) -> Result<Self, CaptureError> {
        let name = source.name();
        let input = source.open().map_err(|error| CaptureError::Open {
            capture: name.clone(),
            error,
        })?;
        Ok(Self {
            name,
            bytes: Bytes::Direct(input),
            ahead: AheadOf::Nothing,
            format: None,
            packets: 0,
            returned_bytes: 0,
        })
    }

    /// Opens a source. If it is large and can be read several times, another thread reads it, as `ahead` permits.
    pub(crate) fn open_ahead(source: Source, ahead: AheadOf) -> Result<Self, CaptureError> {
        let is_large = source.len().is_some_and(|len| len >= MIN_AHEAD);
        let mut reader = Self::open(source)?;
        if is_large {
            reader.ahead = ahead;
        }
        Ok(reader)
    }

    /// Lets another thread read what follows the header.
    fn read_ahead(&mut self) -> Result<(), CaptureError> {
        let Bytes::Direct(input) = &mut self.bytes else {
            return Ok(());
        };
        let is_wanted = match self.ahead {
            AheadOf::Nothing => false,
            AheadOf::Compressed => input.is_compressed(),
            AheadOf::All => true,
        };
        if is_wanted {
            let ahead = ReadAhead::start(input.take()).map_err(|error| CaptureError::Open {
                capture: self.name.clone(),
                error,
            })?;
            self.bytes = Bytes::Ahead(ahead);
        }
        Ok(())
    }

    /// Reads until it finds at least one packet, and appends at most `max_packets` packets to
    /// `records`, which must be empty.
    pub(crate) fn next(
        &mut self,
        buffer: &mut ReadBuffer,
        records: &mut Vec<Record>,
        max_packets: usize,
    ) -> Result<ReadOutcome, CaptureError> {
        buffer.consume(self.returned_bytes);
        self.returned_bytes = 0;
        let Some(format) = &mut self.format else {
            return match self.read_header(buffer)? {
                true => self.next(buffer, records, max_packets),
                false => Ok(ReadOutcome::Pause),
            };
        };
        loop {
            let scanned = format.scan(buffer.bytes(), records, max_packets);
            if !records.is_empty() {
                // The next scan ends in the same place for the same reason.
                self.returned_bytes = scanned.consumed;
                self.packets += records.len() as u64;
                return Ok(ReadOutcome::Packets);
            }
            buffer.consume(scanned.consumed);
            let need = match scanned.end {
                ScanEnd::MaxPackets => continue,
                ScanEnd::NeedBytes(need) => need,
                ScanEnd::Damage(damage) => return Err(self.damaged(buffer, damage)),
            };
            let have = buffer.bytes().len();
            match self.bytes.fill(buffer, need) {
                Ok(0) if have == 0 => return Ok(ReadOutcome::End),
                Ok(0) => return Err(self.damaged(buffer, Damage::Cut { have, need })),
                Ok(_) => {}
                Err(error) if self.bytes.is_pause(&error.error) => return Ok(ReadOutcome::Pause),
                Err(error) => {
                    let offset = buffer.offset() + have as u64;
                    return Err(self.unreadable(offset, self.packets + 1, error));
                }
            }
        }
    }

    /// Reads the header. Returns whether it is complete; it is not if a pipe or a store had no data
    /// for a while.
    pub(crate) fn read_header(&mut self, buffer: &mut ReadBuffer) -> Result<bool, CaptureError> {
        while buffer.bytes().len() < HEADER_LEN {
            match self.bytes.fill(buffer, HEADER_LEN) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if self.bytes.is_pause(&error.error) => return Ok(false),
                Err(error) => {
                    let offset = buffer.bytes().len() as u64;
                    return Err(self.unreadable(offset, 1, error));
                }
            }
        }
        let format = format_of(buffer.bytes(), &self.name)?;
        buffer.consume(format.header_len());
        self.format = Some(format);
        self.read_ahead()?;
        Ok(true)
    }

    /// Returns the number of bytes at the start of the buffer whose packets the last call returned.
    /// The caller removes them, and the next call does not.
    pub(crate) fn take_returned(&mut self) -> usize {
        std::mem::take(&mut self.returned_bytes)
    }

    /// Returns the part of the file that begins `distance` bytes after the next read, if it can be
    /// read before.
    pub(crate) fn range_after(&self, distance: u64) -> Option<FileRange> {
        match &self.bytes {
            Bytes::Direct(input) => input.range_after(distance),
            Bytes::Ahead(_) => None,
        }
    }

    /// Skips the first `count` bytes of `range`, which the caller has read. Returns false, without an
    /// effect, if the next read does not begin there.
    pub(crate) fn skip(&mut self, range: &FileRange, count: usize) -> bool {
        match &mut self.bytes {
            Bytes::Direct(input) => input.skip(range, count),
            Bytes::Ahead(_) => false,
        }
    }

    /// Returns whether the capture is a pipe. Its writer may be slow, and its packets may be live.
    pub(crate) fn is_pipe(&self) -> bool {
        matches!(&self.bytes, Bytes::Direct(input) if input.is_pipe())
    }

    /// Returns the name of the capture for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the bytes read from the file, before decompression.
    pub(crate) fn bytes_read(&self) -> u64 {
        match &self.bytes {
            Bytes::Direct(input) => input.bytes_read(),
            Bytes::Ahead(ahead) => ahead.bytes_read(),
        }
    }

    /// Returns the error of a failed read: damage if the decompressor failed, else an error of the
    /// system.
    fn unreadable(&self, offset: u64, packet: u64, error: ReadError) -> CaptureError {
        let capture = self.name.clone();
        let ReadError {
            error,
            is_compression,
        } = error;
        if is_compression {
            return CaptureError::Damaged {
                capture,
                offset,
                packet,
                damage: Damage::Compression(error),
            };
        }
        CaptureError::Read {
            capture,
            offset,
            packet,
            error,
        }
    }

    fn damaged(&self, buffer: &ReadBuffer, damage: Damage) -> CaptureError {
        CaptureError::Damaged {
            capture: self.name.clone(),
            offset: buffer.offset(),
            packet: self.packets + 1,
            damage,
        }
    }
}

fn format_of(bytes: &[u8], name: &str) -> Result<Format, CaptureError> {
    let capture = name.to_owned();
    if bytes.is_empty() {
        return Err(CaptureError::Empty { capture });
    }
    let mut head = [0; HEADER_LEN];
    let len = bytes.len().min(HEADER_LEN);
    head[..len].copy_from_slice(&bytes[..len]);
    match Format::of(&head) {
        // The magic is complete, but the rest of the header is not.
        Ok(_) | Err(FormatError::UnsupportedVersion { .. }) if len < HEADER_LEN => {
            Err(CaptureError::HeaderCut { capture, len })
        }
        Ok(format) => Ok(format),
        Err(FormatError::UnknownMagic) => Err(CaptureError::NotACapture {
            capture,
            first: bytes[..len.min(8)].to_vec(),
        }),
        Err(FormatError::UnsupportedVersion {
            format,
            major,
            minor,
        }) => Err(CaptureError::Version {
            capture,
            format,
            major,
            minor,
        }),
    }
}
