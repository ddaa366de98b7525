//! Packets on their way through the meter.

use std::array;
use std::ops::Deref;

use super::flow_record::{Direction, Record};
use crate::decode::Packet;
use crate::time::Time;

/// Packets that are looked up together: the waits for memory overlap.
pub const CHUNK: usize = 16;

/// A decoded packet with its time, ordinal and hash.
#[derive(Clone, Debug, Default)]
pub struct DecodedPacket {
    pub packet: Packet,
    /// After the clamp.
    pub time: Time,
    /// Its number among all packets of the run.
    pub ordinal: u64,
    /// Of its flow key.
    pub hash: u32,
}

impl DecodedPacket {
    #[inline]
    pub fn time_ms(&self) -> u64 {
        self.time.ms()
    }
}

/// A packet that comes to a meter, and later is found to belong to a flow.
#[derive(Clone, Copy, Debug)]
pub struct FlowPacket<'a> {
    decoded: &'a DecodedPacket,
    /// The captured bytes.
    pub frame: &'a [u8],
    pub direction: Direction,
    /// Since the flow's previous packet, of either direction; 0 for the first.
    pub delta_ms: u64,
    /// Its flow's slot in the table, while that is live.
    pub slot: u32,
    pub flow_id: u64,
    /// Which packet of the flow it is; the first is 1.
    pub nth: u64,
}

impl<'a> FlowPacket<'a> {
    #[inline]
    pub fn new(decoded: &'a DecodedPacket, frame: &'a [u8]) -> Self {
        Self {
            decoded,
            frame,
            direction: Direction::SrcToDst,
            delta_ms: 0,
            slot: 0,
            flow_id: 0,
            nth: 0,
        }
    }

    /// It has been counted in the flow at `slot`.
    #[inline]
    pub fn counted(&mut self, slot: u32, flow: &Record) {
        self.slot = slot;
        self.flow_id = flow.id;
        self.nth = flow.packets();
    }
}

impl Deref for FlowPacket<'_> {
    type Target = DecodedPacket;

    #[inline]
    fn deref(&self) -> &DecodedPacket {
        self.decoded
    }
}

/// Packets that are decoded together, and their captured bytes.
#[derive(Default)]
pub struct DecodedChunk<'a> {
    decoded: [DecodedPacket; CHUNK],
    frames: [&'a [u8]; CHUNK],
    len: usize,
}

impl<'a> DecodedChunk<'a> {
    /// Takes other packets: of each frame what `stamp` makes of it, if it takes it. Says whether there may
    /// be more.
    #[inline]
    pub fn fill<T>(
        &mut self,
        packets: &mut impl Iterator<Item = T>,
        mut stamp: impl FnMut(T, &mut DecodedPacket) -> Option<&'a [u8]>,
    ) -> bool {
        self.len = 0;
        while self.len < CHUNK {
            let Some(packet) = packets.next() else {
                return false;
            };
            if let Some(frame) = stamp(packet, &mut self.decoded[self.len]) {
                self.frames[self.len] = frame;
                self.len += 1;
            }
        }
        true
    }

    pub fn iter(&self) -> impl Iterator<Item = (&DecodedPacket, &'a [u8])> {
        let frames = self.frames[..self.len].iter().copied();
        self.decoded.iter().zip(frames)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The packets as they come to a meter; those at `len` and behind it are none.
    #[inline]
    pub fn flow_packets(&self) -> [FlowPacket<'_>; CHUNK] {
        array::from_fn(|at| FlowPacket::new(&self.decoded[at], self.frames[at]))
    }
}
