//! One meter: ingress and worker in one thread.

use std::sync::Arc;

use super::boundary::Boundary;
use super::classifier::{Classifier, NoClassifier};
use super::counters::Counters;
use super::extension::{Extension, NoExtension};
use super::ingress::Ingress;
use super::overload::OverloadLevel;
use super::settings::Settings;
use super::worker::MeterWorker;
use crate::flow::{Flow, ReadyFlows};
use crate::link_type::{LinkType, RawPacket};
use crate::record::{DecodedChunk, KeyHasher};
use crate::schema::Schema;
use crate::time::Time;

/// Meters packets into flows.
///
/// It reads no clock, opens no file and starts no thread.
///
/// ```
/// use flowloom_core::link_type::{LinkType, RawPacket};
/// use flowloom_core::meter::{Meter, Settings};
/// use flowloom_core::time::Time;
///
/// let mut meter = Meter::new(Settings::default());
/// // An IPv4 packet without anything in it, protocol 255.
/// let data = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
/// meter.push([RawPacket { time: Time::EPOCH, link: LinkType(101), wire_len: 20, data }]);
/// meter.finish();
/// let flow = meter.next_flow().expect("a flow");
/// assert_eq!(flow.id(), 0);
/// ```
pub struct Meter<E = NoExtension, C = NoClassifier> {
    ingress: Ingress,
    worker: MeterWorker<E, C>,
}

impl Meter {
    /// Makes a meter without plugins and without dissection.
    pub fn new(settings: Settings) -> Self {
        Self::with(&settings, NoExtension::new(settings.schema()), None)
    }
}

impl<E: Extension, C: Classifier> Meter<E, C> {
    /// Makes a meter whose flows get what the extension and the classifier add to them.
    pub fn with(settings: &Settings, extension: E, classifier: Option<C>) -> Self {
        let hasher = KeyHasher::new();
        Self {
            ingress: Ingress::new(settings, hasher),
            worker: MeterWorker::new(settings, hasher, 1, extension, classifier),
        }
    }

    /// Returns the extension.
    pub fn extension(&self) -> &E {
        self.worker.extension()
    }

    /// As [`MeterWorker::parts`].
    pub fn parts(&mut self) -> (&mut E, Option<&mut C>, &mut ReadyFlows) {
        self.worker.parts()
    }

    /// Returns the ordinal of the next packet.
    pub fn next_ordinal(&self) -> u64 {
        self.ingress.next
    }

    /// Gives packets the ordinals from `first` on, by steps: those between are other meters'.
    pub fn count_from(&mut self, first: u64, step: u64) {
        self.ingress.count_from(first, step);
    }

    /// The columns of flows that begin now.
    pub fn schema(&self) -> &Arc<Schema> {
        self.worker.schema()
    }

    /// Meters some packets, in this order.
    pub fn push<'a>(&mut self, packets: impl IntoIterator<Item = RawPacket<'a>>) {
        let mut packets = packets.into_iter();
        let mut chunk = DecodedChunk::default();
        loop {
            let has_more = self.ingress.fill(&mut chunk, &mut packets);
            self.worker.push(&mut chunk.flow_packets()[..chunk.len()]);
            if !has_more {
                return;
            }
        }
    }

    /// Lets time pass without packets: flows that are idle by then end, and what waits for plugins is
    /// delivered. Packets may still come with earlier times.
    pub fn advance(&mut self, now: Time) {
        self.worker.pass(now.ms(), self.ingress.next);
        self.flush();
    }

    /// Delivers what waits for plugins, as no more may come for a while.
    pub fn flush(&mut self) {
        self.worker.flush();
    }

    /// Gives up what this load asks for, from now on: for a source that loses packets when they are
    /// not metered quickly enough.
    pub fn set_overload(&mut self, level: OverloadLevel) {
        self.worker.set_overload(level);
    }

    /// How many flows were not dissected because of the load.
    pub fn undissected(&self) -> u64 {
        self.worker.undissected()
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then gives: once it has given the last one,
    /// [`counters`](Self::counters) and what plugins did is complete. Nothing may be pushed
    /// afterwards.
    pub fn finish(&mut self) {
        self.worker.end_all(None);
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then gives; once it has given the last one,
    /// what the boundary says begins anew. Until then nothing may be pushed.
    pub fn cross(&mut self, boundary: Boundary) {
        self.worker.end_all(Some(boundary));
        self.ingress.cross(boundary);
    }

    /// The next flow that has ended.
    ///
    /// They come in the order of the packets that ended them. Of those that one packet ended, the
    /// ones it does not belong to come first, in the order of their ids.
    pub fn next_flow(&mut self) -> Option<Flow> {
        loop {
            match self.worker.ready().pop() {
                Some(flow) => return Some(flow),
                None if self.worker.end_more() => {}
                None => return None,
            }
        }
    }

    /// What became of the packets so far.
    pub fn counters(&self) -> Counters {
        Counters {
            flows: self.worker.flows(),
            evicted: self.worker.evicted(),
            ..self.ingress.counters
        }
    }

    /// Link types of packets that were ignored for it.
    pub fn unknown_links(&self) -> &[LinkType] {
        &self.ingress.unknown_links
    }

    /// How many flows are live.
    pub fn live_flows(&self) -> usize {
        self.worker.live_flows()
    }

    /// Bytes that the flow table and the dissector hold for live flows.
    pub fn memory(&self) -> usize {
        self.worker.memory()
    }
}
