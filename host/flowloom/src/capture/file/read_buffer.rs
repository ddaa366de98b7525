//! The buffer that a capture is read into.

use std::io::{self, Read};

use super::read_ahead::{ReadAhead, ReadError};

/// The bytes that one read(2) requests.
///
/// It is large enough that the cost of the system call per packet is negligible. It is small enough
/// that the packets are still in the CPU cache when the meter processes them.
const SIZE: usize = if cfg!(fuzzing) { 64 } else { 512 * 1024 };

/// A buffer of the bytes that were read from a stream and not yet consumed.
pub(crate) struct ReadBuffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    /// The offset of `start` in the stream.
    offset: u64,
}

/// The bytes that are read at once to look at the begin of a file.
const SMALL_SIZE: usize = if cfg!(fuzzing) { 64 } else { 8 * 1024 };

impl ReadBuffer {
    pub(crate) fn new() -> Self {
        Self::with_size(SIZE)
    }

    /// Creates a buffer for the header and the first packets of a file.
    pub(crate) fn small() -> Self {
        Self::with_size(SMALL_SIZE)
    }

    fn with_size(size: usize) -> Self {
        Self {
            memory: vec![0; size],
            start: 0,
            end: 0,
            offset: 0,
        }
    }

    /// Returns the bytes that were read and not yet consumed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Returns the offset of the first of [`bytes`](Self::bytes) in the stream.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Removes the first `count` bytes. There must be at least `count`.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// Removes all bytes and sets the offset to 0, because another stream begins.
    pub(crate) fn reset(&mut self) {
        self.start = 0;
        self.end = 0;
        self.offset = 0;
    }

    /// Takes the next block, which follows the bytes that the buffer holds. Returns the number of new bytes, or 0 at the end
    /// of the capture. Few bytes are copied: the block's memory becomes that of the buffer.
    pub(crate) fn take_block(&mut self, ahead: &mut ReadAhead) -> Result<usize, ReadError> {
        let (start, end, count) = ahead.next(&mut self.memory, self.start, self.end)?;
        (self.start, self.end) = (start, end);
        Ok(count)
    }

    /// Reads once and appends the bytes. Returns their number, or 0 at the end of the stream.
    ///
    /// `need` is the number of bytes that the caller needs in total; it must be larger than the
    /// number that the buffer holds. For a record larger than the buffer, the buffer doubles as the
    /// bytes arrive. A claimed length alone therefore costs no memory.
    pub(crate) fn fill(&mut self, input: &mut impl Read, need: usize) -> io::Result<usize> {
        debug_assert!(need > self.end - self.start);
        self.memory.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.memory.len() {
            let larger = need.min(self.memory.len() * 2);
            self.memory.resize(larger, 0);
        }
        loop {
            match input.read(&mut self.memory[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                // A signal arrived. This is not an error of the file.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
