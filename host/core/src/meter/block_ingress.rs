//! The first stage of metering for blocks of packets that are decoded at the same time.
//!
//! A [`BlockIngress`] decodes a block as if it were the first of its capture: the clock starts at 0. Afterwards,
//! [`IngressTotals`] adds the blocks in their order. Only then is it known whether earlier packets have later times.

use super::counters::Counters;
use super::ingress::Ingress;
use super::part::Part;
use super::settings::Settings;
use crate::link_type::{LinkType, RawPacket};
use crate::record::{DecodedChunk, KeyHasher};
use crate::time::Time;

/// Decodes blocks of packets. The ordinal of the first packet of a block must be known.
pub struct BlockIngress {
    ingress: Ingress,
    /// The times given to the packets that are late within the block, in order. They never decrease.
    late: Vec<Time>,
}

impl BlockIngress {
    /// Creates an ingress. The workers and the ingresses of other blocks must use the same `hasher`.
    pub fn new(settings: &Settings, hasher: KeyHasher) -> Self {
        Self {
            ingress: Ingress::new(settings, hasher),
            late: Vec::new(),
        }
    }

    /// Restricts the run to a part. No packet may have been decoded.
    pub fn set_part(&mut self, part: Part) {
        self.ingress.set_part(part);
    }

    /// Begins a block whose first packet has this ordinal.
    pub fn begin(&mut self, ordinal: u64) {
        self.ingress.clock = Time::EPOCH;
        self.ingress.counters = Counters::default();
        self.ingress.next = ordinal;
        self.ingress.unknown_links.clear();
        self.late.clear();
    }

    /// Fills `chunk` with the next packets of the block, like [`Ingress::fill`]. Their times are only those that the
    /// block determines.
    #[inline]
    pub fn fill<'a>(
        &mut self,
        chunk: &mut DecodedChunk<'a>,
        packets: &mut impl Iterator<Item = RawPacket<'a>>,
    ) -> bool {
        chunk.fill(packets, |raw, decoded| {
            let clamped = self.ingress.counters.clamped;
            let is_metered = self.ingress.decode(&raw, decoded);
            if self.ingress.counters.clamped > clamped {
                self.late.push(decoded.time);
            }
            is_metered.then_some(raw.data)
        })
    }
}

/// The sums over the blocks of a run so far.
#[derive(Default)]
pub struct IngressTotals {
    /// The latest time of all metered packets so far. No later packet gets an earlier time.
    clock: Time,
    counters: Counters,
    unknown_links: Vec<LinkType>,
}

impl IngressTotals {
    /// Returns the earliest time that packets of the next block may have.
    pub fn clock(&self) -> Time {
        self.clock
    }

    /// Adds the next block. The caller has given [`clock`](Self::clock) to `delayed` packets of the block that had an
    /// earlier time.
    pub fn add(&mut self, block: &BlockIngress, delayed: u64) {
        // The block has counted some of the delayed packets itself.
        let counted = block.late.partition_point(|time| *time < self.clock) as u64;
        let ingress = &block.ingress;
        self.counters = self.counters.and(&ingress.counters);
        self.counters.clamped += delayed - counted;
        self.clock = self.clock.max(ingress.clock);
        for link in &ingress.unknown_links {
            if !self.unknown_links.contains(link) {
                self.unknown_links.push(*link);
            }
        }
    }

    /// Resets the clock at a boundary.
    pub fn restart_clock(&mut self) {
        self.clock = Time::EPOCH;
    }

    /// Returns the counters of packets so far. `flows` and `evicted` are always 0 here.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the unknown link types of ignored packets so far, each once.
    pub fn unknown_links(&self) -> &[LinkType] {
        &self.unknown_links
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Shard;

    /// Returns an IPv4 packet without payload whose source address ends in `host`.
    fn ipv4(host: u8) -> Vec<u8> {
        vec![
            0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, host, 192, 0, 2, 200,
        ]
    }

    /// Returns times in ns, data and link types of packets: late and early ones, ignored ones and unknown link types.
    fn packets() -> Vec<(u64, Vec<u8>, u16)> {
        let mut state = 1_u64;
        (0..200)
            .map(|n: u64| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let random = state >> 33;
                // Ignored packets have the latest times. They must not change the clock.
                match random % 8 {
                    0 => (u64::MAX, vec![0x45], 101),
                    1 => (n, ipv4(1), 9_999 + (random as u16 >> 8) % 3),
                    _ => (n + random % 50, ipv4(random as u8), 101),
                }
            })
            .collect()
    }

    type Metered = (Time, u64, u32);

    fn raw((ns, data, link): &(u64, Vec<u8>, u16)) -> RawPacket<'_> {
        RawPacket {
            time: Time::from_ns(*ns),
            link: LinkType(*link),
            wire_len: 20,
            data,
        }
    }

    /// Decodes the packets one after another.
    fn in_one(
        packets: &[(u64, Vec<u8>, u16)],
        hasher: KeyHasher,
        part: Part,
    ) -> (Vec<Metered>, Ingress) {
        let mut ingress = Ingress::new(&Settings::default(), hasher);
        ingress.set_part(part);
        let (mut chunk, mut metered) = (DecodedChunk::default(), Vec::new());
        let mut packets = packets.iter().map(raw);
        let mut has_more = true;
        while has_more {
            has_more = ingress.fill(&mut chunk, &mut packets);
            metered.extend(chunk.iter().map(|(p, _)| (p.time, p.ordinal, p.hash)));
        }
        (metered, ingress)
    }

    #[test]
    fn blocks_give_the_times_ordinals_and_counters_of_one_ingress() {
        let (packets, hasher) = (packets(), KeyHasher::new());
        for shard in [Shard { index: 0, of: 1 }, Shard { index: 1, of: 3 }] {
            let part = Part {
                first_ordinal: 77,
                shard,
                ..Part::default()
            };
            let (expected, ingress) = in_one(&packets, hasher, part);
            assert!(ingress.counters.clamped > 20 && ingress.unknown_links.len() == 3);
            for len in [1, 2, 3, 17, 50, 199, 200] {
                let mut block = BlockIngress::new(&Settings::default(), hasher);
                block.set_part(part);
                let (mut totals, mut found) = (IngressTotals::default(), Vec::new());
                let mut ordinal = 77;
                for packets in packets.chunks(len) {
                    block.begin(ordinal);
                    ordinal += packets.len() as u64;
                    let (mut chunk, mut packets) =
                        (DecodedChunk::default(), packets.iter().map(raw));
                    let (mut has_more, mut delayed) = (true, 0);
                    while has_more {
                        has_more = block.fill(&mut chunk, &mut packets);
                        for (packet, _) in chunk.iter() {
                            delayed += u64::from(packet.time < totals.clock());
                            let time = packet.time.max(totals.clock());
                            found.push((time, packet.ordinal, packet.hash));
                        }
                    }
                    totals.add(&block, delayed);
                }
                assert_eq!(found, expected, "{len}");
                assert_eq!(totals.counters(), ingress.counters, "{len}");
                assert_eq!(totals.unknown_links(), ingress.unknown_links, "{len}");
                assert_eq!(totals.clock(), ingress.clock, "{len}");
            }
        }
    }
}
