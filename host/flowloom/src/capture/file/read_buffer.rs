//! The buffer that a capture is read into.

use std::io::{self, Read};

use super::block_size::{HEADROOM, SIZE};
use super::file_range::FileRange;
use super::read_ahead::{ReadAhead, ReadError};

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
        Self::with_size(HEADROOM + SIZE)
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

    /// Replaces all bytes by those of a file from this position on, as many as one read requests.
    pub(crate) fn fill_from(&mut self, range: &FileRange) {
        self.restore_size();
        let count = range.read(&mut self.memory[HEADROOM..]);
        self.start = HEADROOM;
        self.end = HEADROOM + count;
    }

    /// Puts the bytes of the buffer `before` in front. Returns false, without an effect, if there is
    /// no room for them.
    pub(crate) fn prepend(&mut self, before: &Self) -> bool {
        let bytes = before.bytes();
        let Some(start) = self.start.checked_sub(bytes.len()) else {
            return false;
        };
        self.memory[start..self.start].copy_from_slice(bytes);
        self.start = start;
        self.offset = before.offset;
        true
    }

    /// Moves the bytes to `to`. This buffer keeps a copy of those after the first `count`.
    pub(crate) fn move_to(&mut self, to: &mut Self, count: usize) {
        to.restore_size();
        let rest = &self.bytes()[count..];
        if to.memory.len() < rest.len() {
            to.memory.resize(rest.len(), 0);
        }
        to.memory[..rest.len()].copy_from_slice(rest);
        (to.start, to.end) = (0, rest.len());
        to.offset = self.offset + count as u64;
        std::mem::swap(self, to);
    }

    /// Gives the memory its usual size again, if a large record has changed it.
    fn restore_size(&mut self) {
        if self.memory.len() != HEADROOM + SIZE {
            self.memory = vec![0; HEADROOM + SIZE];
        }
    }

    /// Takes the next block, which follows the bytes that the buffer holds. Returns the number of new bytes, or 0 at the end
    /// of the capture. Few bytes are copied: the block's memory becomes that of the buffer.
    pub(crate) fn take_block(&mut self, ahead: &mut ReadAhead) -> Result<usize, ReadError> {
        let (start, end, count) = ahead.next(&mut self.memory, self.start, self.end)?;
        (self.start, self.end) = (start, end);
        Ok(count)
    }

    /// Reads once, at most to the end of a block, and appends the bytes. Returns their number, or 0 at the end of the stream.
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
        // Reads end at a multiple of the size. If they did not begin at a page of the file, the kernel would take twice
        // as long to copy them.
        let position = self.offset + self.end as u64;
        let count = SIZE - (position % SIZE as u64) as usize;
        let end = self.memory.len().min(self.end + count);
        loop {
            match input.read(&mut self.memory[self.end..end]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives zeros, at most `most` with each read.
    struct Zeros {
        most: usize,
        position: usize,
        /// Where the reads were requested to end.
        ends: Vec<usize>,
    }

    impl Read for Zeros {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.ends.push(self.position + into.len());
            let count = into.len().min(self.most);
            self.position += count;
            Ok(count)
        }
    }

    #[test]
    fn reads_end_at_the_ends_of_blocks() {
        let (mut buffer, mut zeros) = (
            ReadBuffer::new(),
            Zeros {
                most: 4,
                position: 0,
                ends: Vec::new(),
            },
        );
        // The first bytes of a file are read apart from the others.
        assert_eq!(buffer.fill(&mut zeros, 4).unwrap(), 4);
        zeros.most = usize::MAX;
        for kept in [0, 7, 300] {
            buffer.consume(buffer.bytes().len() - kept);
            buffer.fill(&mut zeros, kept + 1).unwrap();
        }
        assert_eq!(zeros.ends, [SIZE, SIZE, 2 * SIZE, 3 * SIZE]);
        assert_eq!(buffer.bytes().len(), SIZE + 300);
        // A record that is larger than the buffer.
        buffer.fill(&mut zeros, 3 * SIZE).unwrap();
        assert_eq!(zeros.position, 3 * SIZE + buffer.bytes().len() - SIZE - 300);
        assert_eq!(
            buffer.offset() as usize + buffer.bytes().len(),
            zeros.position
        );
    }
}
