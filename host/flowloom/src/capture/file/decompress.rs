//! Decompression up to the exact position of damage.
//!
//! The readers of `flate2` and `zstd` discard the output of a failing call. [`Decompressed`] first
//! returns all output and then the error. The part of a damaged capture that is read thus depends
//! only on the capture, not on the sizes of the reads.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// A decompressor that works in steps.
pub(crate) trait Codec {
    /// Consumes a part of `input` and writes a part of `output`.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> StepResult;

    /// Returns whether the data may end here, because no member or frame is incomplete.
    fn may_end(&self) -> bool;
}

pub(crate) struct StepResult {
    /// Bytes of the input that were consumed.
    consumed: usize,
    /// Bytes of the output that were written, including those before an error.
    produced: usize,
    /// Whether the step neither consumed nor produced anything.
    is_idle: bool,
    result: io::Result<()>,
}

/// A reader of the decompressed bytes of `R`.
pub(crate) struct Decompressed<R, C> {
    input: R,
    codec: C,
    /// An error to return from the next read, after the output that preceded it.
    failed: Option<io::Error>,
}

impl<R: BufRead, C: Codec> Decompressed<R, C> {
    pub(crate) fn new(input: R, codec: C) -> Self {
        Self {
            input,
            codec,
            failed: None,
        }
    }

    /// Returns the reader of the compressed bytes.
    pub(crate) fn get_ref(&self) -> &R {
        &self.input
    }
}

impl<R: BufRead, C: Codec> Read for Decompressed<R, C> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(error) = self.failed.take() {
                return Err(error);
            }
            let input = self.input.fill_buf()?;
            let is_end = input.is_empty();
            if into.is_empty() || (is_end && self.codec.may_end()) {
                return Ok(0);
            }
            let step = self.codec.step(input, into);
            self.input.consume(step.consumed);
            self.failed = step.result.err();
            if step.produced > 0 {
                return Ok(step.produced);
            }
            if is_end && step.is_idle && self.failed.is_none() && !self.codec.may_end() {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it ends early",
                ));
            }
        }
    }
}

/// gzip (RFC 1952) with any number of members.
pub(crate) struct Gzip {
    member: Decompress,
    is_between: bool,
}

impl Gzip {
    /// The base-2 logarithm of the largest window of the format.
    const WINDOW_BITS: u8 = 15;

    pub(crate) fn new() -> Self {
        Self {
            member: Decompress::new_gzip(Self::WINDOW_BITS),
            is_between: true,
        }
    }
}

impl Codec for Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> StepResult {
        self.is_between = false;
        let before = (self.member.total_in(), self.member.total_out());
        let status = self.member.decompress(input, output, FlushDecompress::None);
        let consumed = (self.member.total_in() - before.0) as usize;
        let produced = (self.member.total_out() - before.1) as usize;
        let step = StepResult {
            consumed,
            produced,
            is_idle: consumed == 0 && produced == 0,
            // The decoder's own message depends on the sizes of the reads.
            result: status.as_ref().map(drop).map_err(|_| {
                let message = "it is not valid deflate data, or its checksum is wrong";
                io::Error::new(io::ErrorKind::InvalidData, message)
            }),
        };
        if let Ok(Status::StreamEnd) = status {
            self.member.reset(true);
            self.is_between = true;
        }
        step
    }

    fn may_end(&self) -> bool {
        self.is_between
    }
}

/// Zstandard (RFC 8878) with any number of frames.
pub(crate) struct Zstd {
    decoder: Decoder<'static>,
    /// The number of bytes that the decoder gets in the next call.
    ///
    /// It never covers a block and the start of another one. A call that fails at the second block
    /// would lose the first.
    portion: usize,
    /// The bytes of the current portion that have arrived.
    ///
    /// The decoder gets the portion as a whole, because the output of a failing call depends on its
    /// input.
    pending: Vec<u8>,
    /// Whether the decoder may still have output. It has to be returned before the decoder gets
    /// more input, for the same reason.
    has_output: bool,
    is_between: bool,
}

impl Zstd {
    /// The number of bytes that determine the length of the frame header.
    const FRAME_START: usize = 5;
    const BLOCK_HEADER: usize = 3;
    /// The maximum size of a block. A skippable frame may be larger and may be passed in pieces.
    const BLOCK: usize = 128 * 1024;

    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new()?,
            portion: Self::FRAME_START,
            pending: Vec::new(),
            has_output: false,
            is_between: true,
        })
    }

    /// Passes some input to the decoder.
    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> StepResult {
        let is_empty = input.is_empty();
        let most = output.len();
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        let result = self.decoder.run(&mut input, &mut output).map(|wanted| {
            self.is_between = wanted == 0;
            self.portion = match wanted {
                0 => Self::FRAME_START,
                // Together with a block, the decoder requests the header of the next one.
                more if more > Self::BLOCK_HEADER => (more - Self::BLOCK_HEADER).min(Self::BLOCK),
                rest => rest,
            };
        });
        let produced = output.pos();
        self.has_output = produced == most;
        StepResult {
            consumed: input.pos(),
            produced,
            is_idle: is_empty && produced == 0,
            result,
        }
    }
}

impl Codec for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> StepResult {
        if self.has_output {
            let step = self.decode(&[], output);
            if step.produced > 0 || step.result.is_err() {
                return step;
            }
        }
        if self.pending.is_empty() && input.len() >= self.portion {
            return self.decode(&input[..self.portion], output);
        }
        let missing = self.portion.saturating_sub(self.pending.len());
        let more = input.len().min(missing);
        self.pending.extend_from_slice(&input[..more]);
        if 0 < more && more < missing {
            return StepResult {
                consumed: more,
                produced: 0,
                is_idle: false,
                result: Ok(()),
            };
        }
        let mut pending = std::mem::take(&mut self.pending);
        let step = self.decode(&pending, output);
        pending.drain(..step.consumed);
        self.pending = pending;
        StepResult {
            consumed: more,
            ..step
        }
    }

    fn may_end(&self) -> bool {
        self.is_between && self.pending.is_empty()
    }
}
