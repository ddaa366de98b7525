//! Decompressing, up to the very place where compressed data is damaged.
//!
//! The readers of `flate2` and `zstd` forget what a failing call had produced. Here all of it comes
//! out first and the error after it, so how much of a damaged capture is read depends on the
//! capture alone, not on the portions in which it arrives.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// A compressed format, a portion at a time.
pub(super) trait Codec {
    /// Takes some of `input` and makes some of `output`.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step;

    /// Whether the data may end here: nothing is begun that is not finished.
    fn may_end(&self) -> bool;
}

pub(super) struct Step {
    /// Bytes of the input that are done with.
    taken: usize,
    /// Bytes of the output that are made, those before an error included.
    made: usize,
    result: io::Result<()>,
}

/// The decompressed bytes of `R`.
pub(super) struct Decompressed<R, C> {
    input: R,
    codec: C,
    /// What the data before was good for is out; this is said next.
    failed: Option<io::Error>,
}

impl<R: BufRead, C: Codec> Decompressed<R, C> {
    pub(super) fn new(input: R, codec: C) -> Self {
        Self {
            input,
            codec,
            failed: None,
        }
    }

    /// The compressed bytes.
    pub(super) fn get_ref(&self) -> &R {
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
            self.input.consume(step.taken);
            self.failed = step.result.err();
            if step.made > 0 {
                return Ok(step.made);
            }
            if is_end && self.failed.is_none() {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the compressed data ends early",
                ));
            }
        }
    }
}

/// gzip (RFC 1952), any number of members.
pub(super) struct Gzip {
    member: Decompress,
    is_between: bool,
}

impl Gzip {
    /// The largest window of the format, as a power of two.
    const WINDOW_BITS: u8 = 15;

    pub(super) fn new() -> Self {
        Self {
            member: Decompress::new_gzip(Self::WINDOW_BITS),
            is_between: true,
        }
    }
}

impl Codec for Gzip {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        self.is_between = false;
        let before = (self.member.total_in(), self.member.total_out());
        let status = self.member.decompress(input, output, FlushDecompress::None);
        let step = Step {
            taken: (self.member.total_in() - before.0) as usize,
            made: (self.member.total_out() - before.1) as usize,
            result: status
                .as_ref()
                .map(drop)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string())),
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

/// Zstandard (RFC 8878), any number of frames.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
    /// How much the decoder gets in the next call: never a block and the beginning of another, as
    /// a call that fails at the second one loses the first.
    portion: usize,
    is_between: bool,
}

impl Zstd {
    /// The beginning of a frame that says how long its header is.
    const FRAME_START: usize = 5;
    const BLOCK_HEADER: usize = 3;

    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            decoder: Decoder::new()?,
            portion: Self::FRAME_START,
            is_between: true,
        })
    }
}

impl Codec for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let mut input = InBuffer::around(&input[..input.len().min(self.portion)]);
        let mut output = OutBuffer::around(output);
        let result = self.decoder.run(&mut input, &mut output).map(|wanted| {
            self.is_between = wanted == 0;
            self.portion = match wanted {
                0 => Self::FRAME_START,
                // With a block, the decoder would like to have the header of the next one.
                more if more > Self::BLOCK_HEADER => more - Self::BLOCK_HEADER,
                rest => rest,
            };
        });
        Step {
            taken: input.pos(),
            made: output.pos(),
            result,
        }
    }

    fn may_end(&self) -> bool {
        self.is_between
    }
}
