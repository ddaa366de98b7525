//! Packets in memory, to be metered over and over.

use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use flowloom::Time;
use flowloom::capture::{CaptureError, Files, LinkType, RawPacket};

use super::new::CAPTURE;

/// Bytes of packets that are kept; what comes after them in a capture is left out.
const MOST_BYTES: usize = 512 << 20;

/// How often the built-in capture is repeated.
const TIMES: u64 = 4_000;
/// Later than the packets of one round, and than the idle timeout: each round's flows are new.
const APART_NS: u64 = 60_000_000_000;

/// Packets in memory.
pub(super) struct Traffic {
    /// What it is, for people.
    pub(super) name: String,
    packets: Vec<Kept>,
    bytes: Vec<u8>,
}

struct Kept {
    time: Time,
    link: LinkType,
    wire_len: u32,
    data: Range<usize>,
}

impl Traffic {
    /// A capture's packets, as many as there is room for.
    pub(super) fn of(source: &Path) -> Result<Self, CaptureError> {
        let mut traffic = Self::empty(source.display().to_string());
        if traffic.read(Files::open([source])?)? {
            traffic.name += &format!(" (its first {} packets)", traffic.packets.len());
        }
        Ok(traffic)
    }

    /// A small capture, over and over: a few flows at a time, each of them short.
    pub(super) fn built_in() -> Result<Self, CaptureError> {
        let name = format!("built-in: a TLS connection, {TIMES} times");
        let mut traffic = Self::empty(name);
        traffic.read(Files::from_reader(
            "the built-in capture",
            Cursor::new(CAPTURE),
        ))?;
        let once = traffic.packets.len();
        for round in 1..TIMES {
            for n in 0..once {
                let packet = &traffic.packets[n];
                let again = Kept {
                    time: Time::from_ns(packet.time.ns().saturating_add(round * APART_NS)),
                    data: packet.data.clone(),
                    ..*packet
                };
                traffic.packets.push(again);
            }
        }
        Ok(traffic)
    }

    fn empty(name: String) -> Self {
        Self {
            name,
            packets: Vec::new(),
            bytes: Vec::new(),
        }
    }

    /// Whether the capture has more than there is room for.
    fn read(&mut self, mut files: Files) -> Result<bool, CaptureError> {
        while let Some(packets) = files.read()? {
            for packet in packets.iter() {
                if self.bytes.len() + packet.data.len() > MOST_BYTES {
                    return Ok(true);
                }
                let begin = self.bytes.len();
                self.bytes.extend_from_slice(packet.data);
                self.packets.push(Kept {
                    time: packet.time,
                    link: packet.link,
                    wire_len: packet.wire_len,
                    data: begin..self.bytes.len(),
                });
            }
        }
        Ok(false)
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn packets(&self) -> impl Iterator<Item = RawPacket<'_>> {
        self.packets.iter().map(|packet| RawPacket {
            time: packet.time,
            link: packet.link,
            wire_len: packet.wire_len,
            data: &self.bytes[packet.data.clone()],
        })
    }
}
