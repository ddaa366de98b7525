//! One capture, from its header to its end or its damage.

use std::io;

use super::block::Block;
use super::format::{Format, HEAD, Stop, Unknown};
use super::input::{Input, Source, read_full};
use super::packets::Record;
use super::{CaptureError, Damage};

/// A capture that is being read.
pub(super) struct Reading {
    name: String,
    input: Input,
    format: Format,
    /// Packets found so far.
    packets: u64,
    /// Bytes at the start of the block that were handed out by the last call.
    taken: usize,
}

impl Reading {
    /// Opens a source and reads its header.
    pub(super) fn begin(source: Source, block: &mut Block) -> Result<Self, CaptureError> {
        let name = source.name();
        let mut input = open(source, &name)?;
        block.clear();
        while block.bytes().len() < HEAD {
            match block.fill(&mut input, HEAD) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    let offset = block.bytes().len() as u64;
                    return Err(unreadable(&name, offset, 1, &input, error));
                }
            }
        }
        let format = format_of(block.bytes(), &name)?;
        Ok(Self {
            taken: format.header_len(),
            name,
            input,
            format,
            packets: 0,
        })
    }

    /// Finds at least one packet; `false` if the capture ended where a record ends.
    pub(super) fn next(
        &mut self,
        block: &mut Block,
        records: &mut Vec<Record>,
    ) -> Result<bool, CaptureError> {
        block.take(self.taken);
        self.taken = 0;
        loop {
            let walked = self.format.walk(block.bytes(), records);
            if !records.is_empty() {
                // Whatever stopped the walk will stop the next one in the same place.
                self.taken = walked.taken;
                self.packets += records.len() as u64;
                return Ok(true);
            }
            block.take(walked.taken);
            let need = match walked.stop {
                Stop::Full => continue,
                Stop::Need(need) => need,
                Stop::Damage(damage) => return Err(self.damaged(block, damage)),
            };
            let have = block.bytes().len();
            match block.fill(&mut self.input, need) {
                Ok(0) if have == 0 => return Ok(false),
                Ok(0) => return Err(self.damaged(block, Damage::Cut { have, need })),
                Ok(_) => {}
                Err(error) => {
                    let offset = block.offset() + have as u64;
                    let packet = self.packets + 1;
                    return Err(unreadable(&self.name, offset, packet, &self.input, error));
                }
            }
        }
    }

    /// What errors call the capture.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes read of the file as it is on disk.
    pub(super) fn bytes_read(&self) -> u64 {
        self.input.bytes_read()
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

/// Looks whether a source is a capture at all.
pub(super) fn check(source: Source) -> Result<(), CaptureError> {
    let name = source.name();
    let mut input = open(source, &name)?;
    let mut head = [0; HEAD];
    let len =
        read_full(&mut input, &mut head).map_err(|error| unreadable(&name, 0, 1, &input, error))?;
    format_of(&head[..len], &name).map(drop)
}

fn open(source: Source, name: &str) -> Result<Input, CaptureError> {
    source.open().map_err(|error| CaptureError::Open {
        capture: name.into(),
        error,
    })
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

/// What failed while reading: the data's fault, or the system's.
fn unreadable(
    name: &str,
    offset: u64,
    packet: u64,
    input: &Input,
    error: io::Error,
) -> CaptureError {
    let capture = name.to_owned();
    if input.is_compression(&error) {
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
