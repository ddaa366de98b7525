//! The memory that a capture is read into.

use std::io::{self, Read};

/// What one read(2) asks for. Large enough that the system call costs nothing a packet, small
/// enough that the packets are still in the cache when the meter comes to them.
const SIZE: usize = if cfg!(fuzzing) { 64 } else { 512 * 1024 };

/// A window on a stream of bytes: what was read and is not yet taken.
pub(crate) struct Block {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    /// Where in the stream `start` is.
    offset: u64,
}

impl Block {
    pub(crate) fn new() -> Self {
        Self {
            memory: vec![0; SIZE],
            start: 0,
            end: 0,
            offset: 0,
        }
    }

    /// What was read and is not yet taken.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// Where in the stream the first of [`bytes`](Self::bytes) stands.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Drops the first `count` of [`bytes`](Self::bytes).
    pub(crate) fn take(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
        self.offset += count as u64;
    }

    /// Forgets everything: another stream begins.
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        self.offset = 0;
    }

    /// Reads once, behind what is there; `need` is how many bytes there have to be for the reading
    /// to go on. Returns how many came, 0 at the end of the stream.
    ///
    /// A record larger than the block makes it grow, doubling as its bytes really arrive: a length
    /// that is only claimed costs no memory.
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
                // A signal came: not an error of the file.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
