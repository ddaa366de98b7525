//! Packets in memory, for repeated measurements.

use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use flowloom::Time;
use flowloom::capture::{CaptureError, Files, LinkType, RawPacket};

use super::new::CAPTURE;

/// Maximum number of bytes of packets. Later packets of a capture are left out.
const MAX_BYTES: usize = 512 << 20;

/// Number of repetitions of the built-in capture.
const REPETITIONS: u64 = 4_000;
/// Time between repetitions. It exceeds the duration of the capture and the idle timeout, so that each repetition
/// has new flows.
const INTERVAL_NS: u64 = 60_000_000_000;

/// Packets in memory.
pub(super) struct Traffic {
    /// Description for users.
    pub(super) name: String,
    packets: Vec<StoredPacket>,
    bytes: Vec<u8>,
}

struct StoredPacket {
    time: Time,
    link: LinkType,
    wire_len: u32,
    /// Range of its bytes in [`Traffic::bytes`].
    data: Range<usize>,
}

impl Traffic {
    /// Reads the packets of a capture, up to [`MAX_BYTES`].
    pub(super) fn of(source: &Path) -> Result<Self, CaptureError> {
        let mut traffic = Self::empty(source.display().to_string());
        if traffic.read(Files::open([source])?)? {
            traffic.name += &format!(" (its first {} packets)", traffic.packets.len());
        }
        Ok(traffic)
    }

    /// Returns a small capture, repeated: short flows, a few at a time.
    pub(super) fn built_in() -> Result<Self, CaptureError> {
        let name = format!("built-in: a TLS connection, {REPETITIONS} times");
        let mut traffic = Self::empty(name);
        traffic.read(Files::from_reader(
            "the built-in capture",
            Cursor::new(CAPTURE),
        ))?;
        let once = traffic.packets.len();
        for round in 1..REPETITIONS {
            for n in 0..once {
                let packet = &traffic.packets[n];
                let again = StoredPacket {
                    time: Time::from_ns(packet.time.ns().saturating_add(round * INTERVAL_NS)),
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

    /// Reads packets. Returns whether the capture has more than [`MAX_BYTES`].
    fn read(&mut self, mut files: Files) -> Result<bool, CaptureError> {
        while let Some(packets) = files.read()? {
            for packet in packets.iter() {
                if self.bytes.len() + packet.data.len() > MAX_BYTES {
                    return Ok(true);
                }
                let begin = self.bytes.len();
                self.bytes.extend_from_slice(packet.data);
                self.packets.push(StoredPacket {
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
