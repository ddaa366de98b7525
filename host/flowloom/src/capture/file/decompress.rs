//! Decompressing, up to the very place where compressed data is damaged.
//!
//! The readers of `flate2` and `zstd` forget what a failing call had produced. Here all of it comes
//! out first and the error after it, so how much of a damaged capture is read depends on the
//! capture alone, not on the portions in which it arrives.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// A compressed format, a portion at a time.
pub(crate) trait Codec {
    /// Takes some of `input` and makes some of `output`.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step;

    /// Whether the data may end here: nothing is begun that is not finished.
    fn may_end(&self) -> bool;
}

pub(crate) struct Step {
    /// Bytes of the input that are done with.
    taken: usize,
    /// Bytes of the output that are made, those before an error included.
    made: usize,
    /// Whether there was nothing to work on.
    is_idle: bool,
    result: io::Result<()>,
}

/// The decompressed bytes of `R`.
pub(crate) struct Decompressed<R, C> {
    input: R,
    codec: C,
    /// What the data before was good for is out; this is said next.
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

    /// The compressed bytes.
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
            self.input.consume(step.taken);
            self.failed = step.result.err();
            if step.made > 0 {
                return Ok(step.made);
            }
            if is_end && step.is_idle && self.failed.is_none() && !self.codec.may_end() {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the compressed data ends early",
                ));
            }
        }
    }
}

/// gzip (RFC 1952), any number of members.
pub(crate) struct Gzip {
    member: Decompress,
    is_between: bool,
}

impl Gzip {
    /// The largest window of the format, as a power of two.
    const WINDOW_BITS: u8 = 15;

    pub(crate) fn new() -> Self {
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
        let taken = (self.member.total_in() - before.0) as usize;
        let made = (self.member.total_out() - before.1) as usize;
        let step = Step {
            taken,
            made,
            is_idle: taken == 0 && made == 0,
            // What exactly the decoder says of it depends on the portions in which data came.
            result: status.as_ref().map(drop).map_err(|_| {
                let what = "it is not valid deflate data, or its checksum is another";
                io::Error::new(io::ErrorKind::InvalidData, what)
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

/// Zstandard (RFC 8878), any number of frames.
pub(crate) struct Zstd {
    decoder: Decoder<'static>,
    /// How much the decoder gets in the next call: never a block and the beginning of another, as
    /// a call that fails at the second one loses the first.
    portion: usize,
    /// What has come of the portion. It is shown as a whole, as what a call that fails has made
    /// depends on what it was shown.
    pending: Vec<u8>,
    /// The decoder may still have output, which comes before anything else for the same reason.
    has_output: bool,
    is_between: bool,
}

impl Zstd {
    /// The beginning of a frame that says how long its header is.
    const FRAME_START: usize = 5;
    const BLOCK_HEADER: usize = 3;
    /// No block is larger; a frame to be skipped may be, and may come in pieces.
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

    /// Shows the decoder some input.
    fn show(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let is_empty = input.is_empty();
        let most = output.len();
        let mut input = InBuffer::around(input);
        let mut output = OutBuffer::around(output);
        let result = self.decoder.run(&mut input, &mut output).map(|wanted| {
            self.is_between = wanted == 0;
            self.portion = match wanted {
                0 => Self::FRAME_START,
                // With a block, the decoder would like to have the header of the next one.
                more if more > Self::BLOCK_HEADER => (more - Self::BLOCK_HEADER).min(Self::BLOCK),
                rest => rest,
            };
        });
        let made = output.pos();
        self.has_output = made == most;
        Step {
            taken: input.pos(),
            made,
            is_idle: is_empty && made == 0,
            result,
        }
    }
}

impl Codec for Zstd {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.has_output {
            let step = self.show(&[], output);
            if step.made > 0 || step.result.is_err() {
                return step;
            }
        }
        if self.pending.is_empty() && input.len() >= self.portion {
            return self.show(&input[..self.portion], output);
        }
        let missing = self.portion.saturating_sub(self.pending.len());
        let more = input.len().min(missing);
        self.pending.extend_from_slice(&input[..more]);
        if 0 < more && more < missing {
            return Step {
                taken: more,
                made: 0,
                is_idle: false,
                result: Ok(()),
            };
        }
        let mut pending = std::mem::take(&mut self.pending);
        let step = self.show(&pending, output);
        pending.drain(..step.taken);
        self.pending = pending;
        Step {
            taken: more,
            ..step
        }
    }

    fn may_end(&self) -> bool {
        self.is_between && self.pending.is_empty()
    }
}
