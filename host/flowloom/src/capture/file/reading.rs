//! One capture, from its header to its end or its damage.

use std::io;

use super::block::Block;
use super::format::{Format, HEAD, Stop, Unknown};
use super::input::{Input, Source};
use crate::capture::packets::Record;
use crate::capture::{CaptureError, Damage};

/// A capture that is being read.
pub(crate) struct Reading {
    name: String,
    input: Input,
    /// None until the header was read.
    format: Option<Format>,
    /// Packets found so far.
    packets: u64,
    /// Bytes at the start of the block that were handed out by the last call.
    taken: usize,
}

/// What came of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At least one packet.
    Packets,
    /// Nothing came for a while; only of a pipe.
    Pause,
    /// The capture ended where a record ends.
    End,
}

impl Reading {
    /// Opens a source, whose bytes go into an empty block.
    pub(crate) fn begin(source: Source) -> Result<Self, CaptureError> {
        let name = source.name();
        let input = source.open().map_err(|error| CaptureError::Open {
            capture: name.clone(),
            error,
        })?;
        Ok(Self {
            name,
            input,
            format: None,
            packets: 0,
            taken: 0,
        })
    }

    /// Finds some packets.
    pub(crate) fn next(
        &mut self,
        block: &mut Block,
        records: &mut Vec<Record>,
    ) -> Result<Next, CaptureError> {
        block.take(self.taken);
        self.taken = 0;
        let Some(format) = &mut self.format else {
            return match self.read_header(block)? {
                true => self.next(block, records),
                false => Ok(Next::Pause),
            };
        };
        loop {
            let walked = format.walk(block.bytes(), records);
            if !records.is_empty() {
                // Whatever stopped the walk will stop the next one in the same place.
                self.taken = walked.taken;
                self.packets += records.len() as u64;
                return Ok(Next::Packets);
            }
            block.take(walked.taken);
            let need = match walked.stop {
                Stop::Full => continue,
                Stop::Need(need) => need,
                Stop::Damage(damage) => return Err(self.damaged(block, damage)),
            };
            let have = block.bytes().len();
            match block.fill(&mut self.input, need) {
                Ok(0) if have == 0 => return Ok(Next::End),
                Ok(0) => return Err(self.damaged(block, Damage::Cut { have, need })),
                Ok(_) => {}
                Err(error) if self.input.is_pause(&error) => return Ok(Next::Pause),
                Err(error) => {
                    let offset = block.offset() + have as u64;
                    return Err(self.unreadable(offset, self.packets + 1, error));
                }
            }
        }
    }

    /// Reads the header; says whether it is complete.
    pub(crate) fn read_header(&mut self, block: &mut Block) -> Result<bool, CaptureError> {
        while block.bytes().len() < HEAD {
            match block.fill(&mut self.input, HEAD) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if self.input.is_pause(&error) => return Ok(false),
                Err(error) => {
                    let offset = block.bytes().len() as u64;
                    return Err(self.unreadable(offset, 1, error));
                }
            }
        }
        let format = format_of(block.bytes(), &self.name)?;
        block.take(format.header_len());
        self.format = Some(format);
        Ok(true)
    }

    /// Whether its writer may be slow, and whether packets may be live.
    pub(crate) fn is_pipe(&self) -> bool {
        self.input.is_pipe()
    }

    /// What errors call the capture.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes read of the file as it is on disk.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.input.bytes_read()
    }

    /// What failed while reading: the data's fault, or the system's.
    fn unreadable(&self, offset: u64, packet: u64, error: io::Error) -> CaptureError {
        let capture = self.name.clone();
        if self.input.is_compression(&error) {
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

    fn damaged(&self, block: &Block, damage: Damage) -> CaptureError {
        CaptureError::Damaged {
            capture: self.name.clone(),
            offset: block.offset(),
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
    let mut head = [0; HEAD];
    let len = bytes.len().min(HEAD);
    head[..len].copy_from_slice(&bytes[..len]);
    match Format::of(&head) {
        // The magic is there, and what follows it is not.
        Ok(_) | Err(Unknown::Version { .. }) if len < HEAD => {
            Err(CaptureError::HeaderCut { capture, len })
        }
        Ok(format) => Ok(format),
        Err(Unknown::Magic) => Err(CaptureError::NotACapture {
            capture,
            first: bytes[..len.min(8)].to_vec(),
        }),
        Err(Unknown::Version {
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
