//! The front of the meters: decodes packets and stamps them with time, ordinal and hash.

use super::boundary::Boundary;
use super::counters::Counters;
use super::settings::Settings;
use crate::decode::{Decoder, IgnoreReason};
use crate::link_type::{LinkType, RawPacket};
use crate::record::{DecodedChunk, DecodedPacket, KeyHasher};
use crate::time::Time;

/// Sees every packet of a run, in order, however many meters there are behind it.
pub struct Ingress {
    decoder: Decoder,
    hasher: KeyHasher,
    /// The largest time of any metered packet so far: no later packet is given less.
    clock: Time,
    pub counters: Counters,
    /// The ordinal of the next packet.
    pub next: u64,
    /// The ordinal of a capture's first packet.
    first: u64,
    /// From one to the next.
    step: u64,
    /// Link types of packets that could not be decoded for it, each once.
    pub unknown_links: Vec<LinkType>,
}

impl Ingress {
    pub fn new(settings: &Settings, hasher: KeyHasher) -> Self {
        Self {
            decoder: Decoder::new(settings.decode_tunnels),
            hasher,
            clock: Time::EPOCH,
            counters: Counters::default(),
            next: 0,
            first: 0,
            step: 1,
            unknown_links: Vec::new(),
        }
    }

    /// Decodes and stamps the next packets that are to be metered; says whether there may be more.
    #[inline]
    pub fn fill<'a>(
        &mut self,
        chunk: &mut DecodedChunk<'a>,
        packets: &mut impl Iterator<Item = RawPacket<'a>>,
    ) -> bool {
        chunk.fill(packets, |raw, decoded| {
            self.take(&raw, decoded).then_some(raw.data)
        })
    }

    /// Decodes and stamps a packet; says whether it is to be metered.
    #[inline]
    fn take(&mut self, raw: &RawPacket<'_>, decoded: &mut DecodedPacket) -> bool {
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
        self.counters.metered += 1;
        self.counters.clamped += u64::from(raw.time < self.clock);
        self.clock = self.clock.max(raw.time);
        decoded.time = self.clock;
        decoded.ordinal = ordinal;
        decoded.hash = self.hasher.hash(&decoded.packet);
        true
    }

    /// Begins anew what a boundary says.
    pub fn cross(&mut self, boundary: Boundary) {
        self.clock = Time::EPOCH;
        if boundary == Boundary::Capture {
            self.next = self.first;
        }
    }

    /// Gives packets the ordinals from `first` on, by steps.
    pub fn count_from(&mut self, first: u64, step: u64) {
        (self.first, self.next, self.step) = (first, first, step);
    }

    fn ignore(&mut self, reason: IgnoreReason, link: LinkType) {
        self.counters.ignored[reason.index()] += 1;
        if reason == IgnoreReason::UnknownLinkType && !self.unknown_links.contains(&link) {
            self.unknown_links.push(link);
        }
    }
}
