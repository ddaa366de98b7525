//! Reading and decompression of a capture in a thread of its own, some blocks ahead.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::input::Input;

/// The bytes before the data of a block. The rest of the previous block, a part of a record, is copied there.
const HEADROOM: usize = 64 << 10;
/// The bytes of a block. As those of one read: larger blocks leave the CPU cache before they are metered.
const SIZE: usize = 512 << 10;
/// The blocks that are read and not yet used, and all blocks.
const AHEAD: usize = 3;
/// The time that the reader of blocks waits. Then it can be stopped.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// A capture that is read ahead.
pub(crate) struct ReadAhead {
    blocks: Receiver<Block>,
    /// Blocks whose memory can be used again.
    used: SyncSender<Vec<u8>>,
    /// The bytes read from the file, before decompression.
    bytes_read: u64,
    /// What follows the last block, once it has arrived.
    end: Option<BlockEnd>,
    is_dropped: Arc<AtomicBool>,
}

/// A block of decompressed bytes.
struct Block {
    memory: Vec<u8>,
    /// The end of the data, which begins after the headroom.
    end: usize,
    bytes_read: u64,
    follows: BlockEnd,
}

/// What follows a block.
enum BlockEnd {
    Block,
    End,
    Error {
        error: io::Error,
        is_compression: bool,
    },
}

/// The error of a read.
pub(crate) struct ReadError {
    pub(crate) error: io::Error,
    /// Whether the decompressor failed.
    pub(crate) is_compression: bool,
}

impl ReadAhead {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// The system refuses to start a thread.
    pub(crate) fn start(input: Input) -> io::Result<Self> {
        let (send, blocks) = sync_channel(AHEAD);
        let (used, recycled) = sync_channel(AHEAD + 2);
        let is_dropped = Arc::new(AtomicBool::new(false));
        let dropped = is_dropped.clone();
        thread::Builder::new()
            .name("flowloom-read".into())
            .spawn(move || read_blocks(input, &send, &recycled, &dropped))?;
        Ok(Self {
            blocks,
            used,
            bytes_read: 0,
            end: None,
            is_dropped,
        })
    }

    /// Returns the bytes read from the file, before decompression, up to the last block that was used.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Replaces `memory` by the next block. The bytes from `start` to `end` are kept before it. Returns the new start and
    /// end, and the number of new bytes, which is 0 at the end of the capture.
    ///
    /// An error of kind `WouldBlock` means that no block has arrived for a while. The next call continues.
    pub(crate) fn next(
        &mut self,
        memory: &mut Vec<u8>,
        start: usize,
        end: usize,
    ) -> Result<(usize, usize, usize), ReadError> {
        if let Some(follows) = self.end.take() {
            return match follows {
                BlockEnd::Error {
                    error,
                    is_compression,
                } => Err(ReadError {
                    error,
                    is_compression,
                }),
                _ => {
                    self.end = Some(BlockEnd::End);
                    Ok((start, end, 0))
                }
            };
        }
        let block = match self.blocks.recv_timeout(MAX_WAIT) {
            Ok(block) => block,
            Err(reason) => {
                let kind = match reason {
                    RecvTimeoutError::Timeout => io::ErrorKind::WouldBlock,
                    RecvTimeoutError::Disconnected => io::ErrorKind::Other,
                };
                return Err(ReadError {
                    error: kind.into(),
                    is_compression: false,
                });
            }
        };
        self.bytes_read = block.bytes_read;
        if !matches!(block.follows, BlockEnd::Block) {
            self.end = Some(block.follows);
        }
        let count = block.end - HEADROOM;
        if count == 0 {
            let _ = self.used.try_send(block.memory);
            return self.next(memory, start, end);
        }
        let kept = end - start;
        let mut next = block.memory;
        if kept <= HEADROOM {
            next[HEADROOM - kept..HEADROOM].copy_from_slice(&memory[start..end]);
            std::mem::swap(memory, &mut next);
            if next.len() == HEADROOM + SIZE {
                let _ = self.used.try_send(next);
            }
            return Ok((HEADROOM - kept, block.end, count));
        }
        // A record larger than the headroom: its bytes are put together in a larger buffer.
        memory.copy_within(start..end, 0);
        memory.truncate(kept);
        memory.extend_from_slice(&next[HEADROOM..block.end]);
        let _ = self.used.try_send(next);
        Ok((0, kept + count, count))
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }
}

/// Reads blocks until the capture ends, or nobody wants them.
fn read_blocks(
    mut input: Input,
    blocks: &SyncSender<Block>,
    recycled: &Receiver<Vec<u8>>,
    is_dropped: &AtomicBool,
) {
    loop {
        let mut memory = recycled
            .try_recv()
            .unwrap_or_else(|_| vec![0; HEADROOM + SIZE]);
        let mut end = HEADROOM;
        let follows = loop {
            if end == memory.len() {
                break BlockEnd::Block;
            }
            match input.read(&mut memory[end..]) {
                Ok(0) => break BlockEnd::End,
                Ok(count) => end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if input.is_pause(&error) => {
                    if is_dropped.load(Ordering::Relaxed) {
                        return;
                    }
                }
                Err(error) => {
                    let is_compression = input.is_compression(&error);
                    break BlockEnd::Error {
                        error,
                        is_compression,
                    };
                }
            }
        };
        let is_last = !matches!(follows, BlockEnd::Block);
        let block = Block {
            memory,
            end,
            bytes_read: input.bytes_read(),
            follows,
        };
        if blocks.send(block).is_err() || is_last {
            return;
        }
    }
}
