//! Packets between decoding and metering.

use std::array;
use std::ops::Deref;

use super::flow_record::{Direction, Record};
use crate::decode::Packet;
use crate::time::Time;

/// The maximum number of packets that are looked up together, so that their memory accesses overlap.
pub const CHUNK: usize = 16;

/// A decoded packet with its time, ordinal and hash.
#[derive(Clone, Debug, Default)]
pub struct DecodedPacket {
    /// The decoded headers.
    pub packet: Packet,
    /// The time of capture, but not earlier than the time of the packet before it.
    pub time: Time,
    /// The number of the packet among all packets of its capture.
    pub ordinal: u64,
    /// The hash of the flow key.
    pub hash: u32,
}

impl DecodedPacket {
    /// Returns the time in ms since 1970-01-01 UTC, truncated.
    #[inline]
    pub fn time_ms(&self) -> u64 {
        self.time.ms()
    }
}

/// A packet in a meter, with its position in its flow.
///
/// The meter sets `direction` and `delta_ms` when it has found the flow. It sets `slot`, `flow_id` and `nth`
/// when it has counted the packet.
#[derive(Clone, Copy, Debug)]
pub struct FlowPacket<'a> {
    decoded: &'a DecodedPacket,
    /// The captured bytes.
    pub frame: &'a [u8],
    /// The direction in the flow.
    pub direction: Direction,
    /// The time since the previous packet of the flow, of either direction, in ms; 0 for the first packet.
    pub delta_ms: u64,
    /// The slot of the flow in the flow table. It is valid while the flow is live.
    pub slot: u32,
    /// The id of the flow.
    pub flow_id: u64,
    /// The number of the packet in the flow, from 1.
    pub nth: u64,
}

impl<'a> FlowPacket<'a> {
    /// Creates a packet that has no flow yet.
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

    /// Sets the flow of the packet. The packet is already counted in `flow`, which has this `slot`.
    #[inline]
    pub(crate) fn assign_flow(&mut self, slot: u32, flow: &Record) {
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

/// Up to [`CHUNK`] packets that are decoded together, and their captured bytes.
#[derive(Default)]
pub struct DecodedChunk<'a> {
    decoded: [DecodedPacket; CHUNK],
    frames: [&'a [u8]; CHUNK],
    len: usize,
}

impl<'a> DecodedChunk<'a> {
    /// Replaces the packets of the chunk with the next ones of `packets`.
    ///
    /// `decode` decodes a packet and returns its captured bytes, or `None` to skip the packet. Returns `false`
    /// if `packets` is exhausted.
    #[inline]
    pub fn fill<T>(
        &mut self,
        packets: &mut impl Iterator<Item = T>,
        mut decode: impl FnMut(T, &mut DecodedPacket) -> Option<&'a [u8]>,
    ) -> bool {
        self.len = 0;
        while self.len < CHUNK {
            let Some(packet) = packets.next() else {
                return false;
            };
            if let Some(frame) = decode(packet, &mut self.decoded[self.len]) {
                self.frames[self.len] = frame;
                self.len += 1;
            }
        }
        true
    }

    /// Returns the packets and their captured bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&DecodedPacket, &'a [u8])> {
        let frames = self.frames[..self.len].iter().copied();
        self.decoded.iter().zip(frames)
    }

    /// Returns the number of packets.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether the chunk contains no packet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the packets as input for a meter. Only the first [`len`](Self::len) elements are valid.
    #[inline]
    pub fn flow_packets(&self) -> [FlowPacket<'_>; CHUNK] {
        array::from_fn(|index| FlowPacket::new(&self.decoded[index], self.frames[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_the_next_packets_that_are_not_skipped() {
        let data: Vec<u8> = (0..40).collect();
        let mut frames = data.chunks(1);
        let mut chunk = DecodedChunk::default();
        assert!(chunk.is_empty());
        for (expected, has_more) in [(0..32, true), (32..40, false), (40..40, false)] {
            // Odd numbers are skipped.
            let more = chunk.fill(&mut frames, |frame, decoded| {
                decoded.ordinal = frame[0].into();
                (frame[0] % 2 == 0).then_some(frame)
            });
            assert_eq!(more, has_more);
            let expected: Vec<u64> = expected.step_by(2).collect();
            assert_eq!(
                (chunk.len(), chunk.is_empty()),
                (expected.len(), expected.is_empty())
            );
            let all = chunk.iter().map(|(decoded, frame)| {
                assert_eq!(decoded.ordinal, u64::from(frame[0]));
                decoded.ordinal
            });
            assert_eq!(all.collect::<Vec<_>>(), expected);
            let packets = &chunk.flow_packets()[..chunk.len()];
            let ordinals: Vec<_> = packets.iter().map(|packet| packet.ordinal).collect();
            assert_eq!(ordinals, expected);
        }
    }
}
