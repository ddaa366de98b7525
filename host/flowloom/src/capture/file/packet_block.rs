//! Packets with the bytes that they were found in, apart from their source.

use super::file_range::FileRange;
use super::read_buffer::ReadBuffer;
use crate::capture::packets::{Packets, Record};

/// A block of packets of one of several threads that read a source in turn.
///
/// In its turn, a thread exchanges the memory of its block with that of the source. Before its next
/// turn, it can read the bytes that it will then need.
pub(crate) struct PacketBlock {
    pub(super) buffer: ReadBuffer,
    pub(super) records: Vec<Record>,
    /// Where the bytes of the next turn begin, if they can be read before it.
    pub(super) next: Option<FileRange>,
    /// Where the bytes in `buffer` begin, if they were read before the turn.
    pub(super) prepared: Option<FileRange>,
}

impl PacketBlock {
    pub(crate) fn new() -> Self {
        Self {
            buffer: ReadBuffer::new(),
            records: Vec::new(),
            next: None,
            prepared: None,
        }
    }

    pub(crate) fn packets(&self) -> Packets<'_> {
        Packets::new(self.buffer.bytes(), &self.records)
    }

    /// Reads the bytes of the next turn, if it is known where they begin. Removes the packets.
    pub(crate) fn prepare(&mut self) {
        self.records.clear();
        if let Some(next) = self.next.take() {
            self.buffer.fill_from(&next);
            self.prepared = Some(next);
        }
    }
}
