//! One meter: ingress and worker in one thread.

use std::sync::Arc;

use super::boundary::Boundary;
use super::classifier::{Classifier, NoClassifier};
use super::counters::Counters;
use super::extension::{Extension, NoExtension};
use super::ingress::Ingress;
use super::overload::OverloadLevel;
use super::part::Part;
use super::settings::Settings;
use super::worker::MeterWorker;
use crate::flow::{Flow, ReadyFlows};
use crate::link_type::{LinkType, RawPacket};
use crate::record::{DecodedChunk, KeyHasher};
use crate::schema::Schema;
use crate::time::Time;

/// Meters packets into flows.
///
/// A meter reads no clock, opens no file and starts no thread.
///
/// ```
/// use flowloom_core::link_type::{LinkType, RawPacket};
/// use flowloom_core::meter::{Meter, Settings};
/// use flowloom_core::time::Time;
///
/// let mut meter = Meter::new(Settings::default());
/// // An IPv4 packet without a payload, protocol 255.
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
    /// Creates a meter without plugins and without dissection.
    pub fn new(settings: Settings) -> Self {
        Self::with(&settings, NoExtension::new(settings.schema()), None)
    }
}

impl<E: Extension, C: Classifier> Meter<E, C> {
    /// Creates a meter whose flows have the values of the extension and the applications of the classifier.
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

    /// Returns mutable references to the extension, the classifier and the ended flows, like
    /// [`MeterWorker::parts_mut`].
    pub fn parts_mut(&mut self) -> (&mut E, Option<&mut C>, &mut ReadyFlows) {
        self.worker.parts_mut()
    }

    /// Returns the ordinal of the next packet.
    pub fn next_ordinal(&self) -> u64 {
        self.ingress.next
    }

    /// Sets the ordinals of packets to `first`, `first + step`, and so on. Other meters use the ordinals
    /// between them.
    pub fn set_ordinals(&mut self, first: u64, step: u64) {
        self.ingress.set_ordinals(first, step);
    }

    /// Restricts the run to a part of a larger one. No packet may have been pushed.
    pub fn set_part(&mut self, part: Part) {
        self.ingress.set_part(part);
        self.worker.set_first_capture(part.first_capture);
    }

    /// Returns the columns of flows that begin from now on.
    pub fn schema(&self) -> &Arc<Schema> {
        self.worker.schema()
    }

    /// Meters packets, in the given order.
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

    /// Advances to the time `now` without a packet. Ends the flows that are idle by then, and delivers waiting
    /// events to plugins.
    ///
    /// Later packets may have earlier times.
    pub fn advance(&mut self, now: Time) {
        self.worker.pass(now.ms(), self.ingress.next);
        self.flush();
    }

    /// Delivers waiting events to plugins. A source calls this before a pause without packets.
    pub fn flush(&mut self) {
        self.worker.flush();
    }

    /// Sets the overload level from now on. This is for sources that lose packets if the meter is too slow.
    pub fn set_overload(&mut self, level: OverloadLevel) {
        self.worker.set_overload(level);
    }

    /// Returns the number of flows that were not dissected because of overload.
    pub fn undissected(&self) -> u64 {
        self.worker.undissected()
    }

    /// Ends all flows. [`next_flow`](Self::next_flow) then returns them.
    ///
    /// After `next_flow` has returned the last flow, [`counters`](Self::counters) and the results of plugins are
    /// complete. No packet may be pushed after this call.
    pub fn finish(&mut self) {
        self.worker.end_all(None);
    }

    /// Ends all flows at a boundary. [`next_flow`](Self::next_flow) then returns them.
    ///
    /// After `next_flow` has returned the last flow, the state that the boundary resets is reset. No packet may
    /// be pushed before that.
    pub fn end_at(&mut self, boundary: Boundary) {
        self.worker.end_all(Some(boundary));
        self.ingress.end_at(boundary);
    }

    /// Returns the next ended flow.
    ///
    /// The flows are in the order of the packets that ended them. If one packet ends several flows, the flows
    /// that it does not belong to come first, in the order of their ids.
    pub fn next_flow(&mut self) -> Option<Flow> {
        loop {
            match self.worker.ready().pop() {
                Some(flow) => return Some(flow),
                None if self.worker.end_more() => {}
                None => return None,
            }
        }
    }

    /// Moves flows that have ended to the end of `to`: at most `most`, in the order of [`next_flow`](Self::next_flow).
    /// It moves none if no flow is ready.
    pub fn take_flows(&mut self, most: usize, to: &mut Vec<Flow>) {
        while self.worker.ready().is_empty() {
            if !self.worker.end_more() {
                return;
            }
        }
        self.worker.ready().take_some(most, to);
    }

    /// Returns the counters of packets and flows so far.
    pub fn counters(&self) -> Counters {
        Counters {
            flows: self.worker.flows(),
            evicted: self.worker.evicted(),
            ..self.ingress.counters
        }
    }

    /// Returns the unknown link types of ignored packets, each once.
    pub fn unknown_links(&self) -> &[LinkType] {
        &self.ingress.unknown_links
    }

    /// Returns the number of live flows.
    pub fn live_flows(&self) -> usize {
        self.worker.live_flows()
    }

    /// Returns the memory of the flow table and the dissector for live flows, in bytes.
    pub fn memory(&self) -> usize {
        self.worker.memory()
    }
}
