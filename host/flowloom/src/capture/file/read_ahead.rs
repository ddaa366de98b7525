//! Another thread reads and decompresses a capture before its bytes are needed.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::block_size::{HEADROOM, SIZE};
use super::input::Input;

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
                let error = match reason {
                    RecvTimeoutError::Timeout => io::ErrorKind::WouldBlock.into(),
                    RecvTimeoutError::Disconnected => {
                        io::Error::other("the thread that reads it has failed")
                    }
                };
                return Err(ReadError {
                    error,
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
                    // What has arrived does not wait for the rest of the block.
                    if end > HEADROOM {
                        break BlockEnd::Block;
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::capture::file::input::Source;
    use crate::capture::file::read_buffer::ReadBuffer;

    fn start(reader: impl Read + Send + 'static) -> ReadAhead {
        let source = Source::Reader {
            name: "test".into(),
            reader: Box::new(reader),
        };
        ReadAhead::start(source.open().unwrap()).unwrap()
    }

    /// Waits for the next block. Returns the number of new bytes, or the error.
    fn take(buffer: &mut ReadBuffer, ahead: &mut ReadAhead) -> Result<usize, String> {
        loop {
            match buffer.take_block(ahead) {
                Ok(count) => return Ok(count),
                Err(read) if read.error.kind() == io::ErrorKind::WouldBlock => {}
                Err(read) => return Err(format!("{} {}", read.is_compression, read.error)),
            }
        }
    }

    fn numbers(count: usize) -> Vec<u8> {
        (0..count).map(|n| (n * n / 7) as u8).collect()
    }

    #[test]
    fn blocks_are_adjacent_whatever_is_kept_of_them() {
        let data = numbers(3 * SIZE + 12_345);
        for kept in [0, 1, 100, HEADROOM, HEADROOM + 1, SIZE] {
            let (mut ahead, mut buffer) = (start(io::Cursor::new(data.clone())), ReadBuffer::new());
            let mut found = Vec::new();
            while take(&mut buffer, &mut ahead).unwrap() > 0 {
                let count = buffer.bytes().len().saturating_sub(kept);
                found.extend_from_slice(&buffer.bytes()[..count]);
                buffer.consume(count);
            }
            found.extend_from_slice(buffer.bytes());
            assert!(found == data, "{kept}");
            assert_eq!(ahead.bytes_read(), data.len() as u64);
            // The end is the same again.
            assert_eq!(take(&mut buffer, &mut ahead), Ok(0));
        }
    }

    #[test]
    fn an_error_follows_all_bytes_before_it() {
        struct Fails(usize);
        impl Read for Fails {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                match self.0 {
                    0 => Err(io::Error::from_raw_os_error(libc::EIO)),
                    left => {
                        let count = left.min(into.len()).min(1_000);
                        self.0 -= count;
                        Ok(count)
                    }
                }
            }
        }
        let (mut ahead, mut buffer) = (start(Fails(SIZE + 5)), ReadBuffer::new());
        assert_eq!(take(&mut buffer, &mut ahead), Ok(SIZE));
        buffer.consume(SIZE);
        assert_eq!(take(&mut buffer, &mut ahead), Ok(5));
        let error = take(&mut buffer, &mut ahead).unwrap_err();
        assert!(error.starts_with("false Input/output error"), "{error}");
        assert_eq!(buffer.bytes().len(), 5);
    }

    #[test]
    fn a_damaged_stream_is_told_from_an_error_of_the_system() {
        let compressed = zstd::encode_all(&numbers(3 * SIZE)[..], 1).unwrap();
        let (mut ahead, mut buffer) = (
            start(io::Cursor::new(compressed[..compressed.len() / 2].to_vec())),
            ReadBuffer::new(),
        );
        let error = loop {
            match take(&mut buffer, &mut ahead) {
                Ok(_) => buffer.consume(buffer.bytes().len()),
                Err(error) => break error,
            }
        };
        assert!(error.starts_with("true "), "{error}");
    }

    #[test]
    fn a_reader_that_is_dropped_ends_its_thread() {
        struct Endless(Arc<AtomicBool>);
        impl Read for Endless {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                Ok(into.len())
            }
        }
        impl Drop for Endless {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let is_ended = Arc::new(AtomicBool::new(false));
        let (mut ahead, mut buffer) = (start(Endless(is_ended.clone())), ReadBuffer::new());
        assert_eq!(take(&mut buffer, &mut ahead), Ok(SIZE));
        drop(ahead);
        for _ in 0..1_000 {
            if is_ended.load(Ordering::Relaxed) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the thread still runs");
    }
}
