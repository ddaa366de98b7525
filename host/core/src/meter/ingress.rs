//! The first stage of metering: decodes packets and gives them a time, an ordinal and a hash.

use super::boundary::Boundary;
use super::counters::Counters;
use super::part::Part;
use super::settings::Settings;
use crate::decode::{Decoder, IgnoreReason};
use crate::link_type::{LinkType, RawPacket};
use crate::record::{DecodedChunk, DecodedPacket, KeyHasher};
use crate::time::Time;

/// Decodes the packets of a source, in order, for one or several workers.
pub struct Ingress {
    decoder: Decoder,
    hasher: KeyHasher,
    /// The latest time of all metered packets so far. No later packet gets an earlier time.
    pub(super) clock: Time,
    /// The counters of packets. `flows` and `evicted` are always 0 here.
    pub counters: Counters,
    /// The ordinal of the next packet.
    pub next: u64,
    /// The ordinal of the first packet of a capture.
    first: u64,
    /// The difference between successive ordinals.
    step: u64,
    /// The part of the run, if it is not the whole, and the hasher that its shard depends on.
    part: Option<(Part, KeyHasher)>,
    /// The unknown link types of ignored packets, each once.
    pub unknown_links: Vec<LinkType>,
}

impl Ingress {
    /// Creates an ingress. The workers must use the same `hasher`.
    pub fn new(settings: &Settings, hasher: KeyHasher) -> Self {
        Self {
            decoder: Decoder::new(settings.decode_tunnels),
            hasher,
            clock: Time::EPOCH,
            counters: Counters::default(),
            next: 0,
            first: 0,
            step: 1,
            part: None,
            unknown_links: Vec::new(),
        }
    }

    /// Fills `chunk` with the next packets that can be metered. Ignored packets are counted.
    ///
    /// Returns `false` if `packets` is exhausted.
    #[inline]
    pub fn fill<'a>(
        &mut self,
        chunk: &mut DecodedChunk<'a>,
        packets: &mut impl Iterator<Item = RawPacket<'a>>,
    ) -> bool {
        chunk.fill(packets, |raw, decoded| {
            self.decode(&raw, decoded).then_some(raw.data)
        })
    }

    /// Decodes a packet and sets its time, ordinal and hash. Returns whether it can be metered.
    #[inline]
    pub(super) fn decode(&mut self, raw: &RawPacket<'_>, decoded: &mut DecodedPacket) -> bool {
        let ordinal = self.next;
        self.next += self.step;
        self.counters.packets += 1;
        let result =
            self.decoder
                .decode_into(&mut decoded.packet, raw.link, raw.data, raw.wire_len);
        if let Err(reason) = result {
            self.ignore(reason, raw.link);
            return false;
        }
        let is_late = raw.time < self.clock;
        self.clock = self.clock.max(raw.time);
        if let Some((part, hasher)) = &self.part
            && !part.shard.has(hasher.hash(&decoded.packet))
        {
            self.counters.other_shards += 1;
            return false;
        }
        self.counters.metered += 1;
        self.counters.clamped += u64::from(is_late);
        decoded.time = self.clock;
        decoded.ordinal = ordinal;
        decoded.hash = self.hasher.hash(&decoded.packet);
        true
    }

    /// Resets the state that the boundary resets.
    pub fn end_at(&mut self, boundary: Boundary) {
        self.clock = Time::EPOCH;
        if boundary == Boundary::Capture {
            self.next = self.first;
        }
    }

    /// Sets the ordinals of packets to `first`, `first + step`, and so on, in this and later captures.
    pub fn set_ordinals(&mut self, first: u64, step: u64) {
        (self.first, self.next, self.step) = (first, first, step);
    }

    /// Restricts the run to a part. No packet may have been decoded.
    pub fn set_part(&mut self, part: Part) {
        self.next = part.first_ordinal;
        self.part = (part.shard.of > 1).then(|| (part, KeyHasher::fixed()));
    }

    fn ignore(&mut self, reason: IgnoreReason, link: LinkType) {
        self.counters.ignored[reason.index()] += 1;
        if reason == IgnoreReason::UnknownLinkType && !self.unknown_links.contains(&link) {
            self.unknown_links.push(link);
        }
    }
}
