//! The flows of one meter and the plugins that are shown them.

use std::iter::Peekable;
use std::sync::Arc;

use super::boundary::Boundary;
use super::classifier::Classifier;
use super::extension::Extension;
use super::overload::OverloadLevel;
use super::settings::{AccountingMode, Settings};
use crate::flow::{Flow, Outputs, ReadyFlows};
use crate::record::{CHUNK, Ended, Expiration, FlowPacket, FlowView, KeyHasher};
use crate::schema::Schema;
use crate::table::{FlowTable, Lookup};

/// Flows that end together once all do: their memory is used again by the next ones while it is
/// still in the cache.
const END_BATCH: usize = 256;

/// Flows that end together: all that were live at the end, or at a boundary.
struct EndingFlows {
    flows: Vec<u32>,
    /// How many of them have ended.
    ended: usize,
    /// What begins anew afterwards; nothing at the end.
    boundary: Option<Boundary>,
}

/// Where flows that are ready go while a meter is at work: one packet can end any number of flows.
pub struct Outlet {
    /// Bytes of plugins' values that may be ready.
    pub most_bytes: usize,
    /// Takes flows until they hold no more than that.
    pub take: Box<dyn FnMut(&mut ReadyFlows) + Send>,
}

/// A meter behind the ingress: gets the packets of its flows, in order.
pub struct MeterWorker<E, C> {
    accounting_mode: AccountingMode,
    max_flows: usize,
    table: FlowTable,
    classifier: Option<C>,
    extension: E,
    ready: ReadyFlows,
    outlet: Option<Outlet>,
    /// Flows that end together, if some do.
    ending: Option<EndingFlows>,
    flows: u64,
    evicted: u64,
    overload: OverloadLevel,
    /// Flows that were not dissected because of it.
    undissected: u64,
}

impl<E: Extension, C: Classifier> MeterWorker<E, C> {
    /// Makes one of `meters` workers. The hashes of packets come from this hasher.
    pub fn new(
        settings: &Settings,
        hasher: KeyHasher,
        meters: usize,
        extension: E,
        classifier: Option<C>,
    ) -> Self {
        Self {
            accounting_mode: settings.accounting_mode,
            max_flows: usize::try_from(settings.max_flows.div_ceil(meters as u64))
                .unwrap_or(usize::MAX),
            table: FlowTable::new(settings.timeouts(), settings.analyses(), hasher),
            classifier,
            extension,
            ready: ReadyFlows::default(),
            outlet: None,
            ending: None,
            flows: 0,
            evicted: 0,
            overload: OverloadLevel::Normal,
            undissected: 0,
        }
    }

    /// Meters at most [`CHUNK`] packets.
    #[inline]
    pub fn push(&mut self, chunk: &mut [FlowPacket<'_>]) {
        self.prefetch(chunk);
        for at in 0..chunk.len() {
            self.meter(chunk, at);
        }
        self.extension.take(chunk, &mut self.ready);
    }

    /// Meters packets among those of other meters, whose times end idle flows of this one too.
    pub fn push_between(
        &mut self,
        chunk: &mut [FlowPacket<'_>],
        passes: &mut Peekable<impl Iterator<Item = (u64, u64)>>,
    ) {
        self.prefetch(chunk);
        for at in 0..chunk.len() {
            let next = chunk[at].ordinal;
            while let Some((time_ms, ordinal)) = passes.next_if(|(_, ordinal)| *ordinal < next) {
                self.pass_among(time_ms, ordinal, &chunk[..at]);
            }
            self.meter(chunk, at);
        }
        self.extension.take(chunk, &mut self.ready);
    }

    #[inline]
    fn prefetch(&self, chunk: &[FlowPacket<'_>]) {
        match self.extension.is_empty() {
            true => self.table.prefetch(chunk, |_| ()),
            false => self
                .table
                .prefetch(chunk, |slot| self.extension.prefetch(slot)),
        }
    }

    /// Ends the flows that are idle at this time, which the packet of this ordinal tells.
    pub fn pass(&mut self, time_ms: u64, ordinal: u64) {
        self.pass_among(time_ms, ordinal, &[]);
    }

    #[inline]
    fn pass_among(&mut self, time_ms: u64, ordinal: u64, chunk: &[FlowPacket<'_>]) {
        if self.table.has_due(time_ms) {
            let slots = self.table.take_idle(time_ms);
            self.end_idle(&slots, ordinal, chunk);
            self.table.recycle(slots);
        }
    }

    /// Gives up what this load asks for, from now on.
    pub fn set_overload(&mut self, level: OverloadLevel) {
        self.overload = level;
        self.extension.set_overload(level >= OverloadLevel::High);
    }

    /// Delivers what waits for plugins.
    pub fn flush(&mut self) {
        self.extension.flush(&[], &mut self.ready);
    }

    /// Begins to end all flows. Nothing may be pushed until [`end_more`](Self::end_more) has ended them
    /// all; without a boundary nothing at all.
    pub fn end_all(&mut self, boundary: Option<Boundary>) {
        match &mut self.ending {
            // The run is stopped while flows end at a boundary: there are no others.
            Some(ending) => ending.boundary = boundary,
            None => {
                self.ending = Some(EndingFlows {
                    flows: self.table.take_all(),
                    ended: 0,
                    boundary,
                });
            }
        }
    }

    /// Ends some more of them; says whether there were any, or something else to do.
    pub fn end_more(&mut self) -> bool {
        let Some(mut ending) = self.ending.take() else {
            return false;
        };
        let some = ending.flows.len().min(ending.ended + END_BATCH);
        self.end_idle(&ending.flows[ending.ended..some], u64::MAX, &[]);
        ending.ended = some;
        if some < ending.flows.len() {
            self.ending = Some(ending);
        } else {
            self.cross(ending.boundary);
            self.table.recycle(ending.flows);
        }
        true
    }

    /// Begins anew what a boundary says, once all flows have ended.
    fn cross(&mut self, boundary: Option<Boundary>) {
        match boundary {
            None => self.extension.finish(&mut self.ready),
            Some(Boundary::ClockStep) => {
                self.extension.flush(&[], &mut self.ready);
                self.table.restart(self.table.capture());
            }
            Some(Boundary::Capture) => {
                self.extension.finish(&mut self.ready);
                self.extension.restart();
                self.table.restart(self.table.capture() + 1);
                if let Some(classifier) = &mut self.classifier {
                    classifier.restart();
                }
            }
        }
    }

    /// Flows that have ended, in the order of [`Ended`].
    pub fn ready(&mut self) -> &mut ReadyFlows {
        &mut self.ready
    }

    /// The columns of flows that begin now.
    pub fn schema(&self) -> &Arc<Schema> {
        self.extension.schema()
    }

    /// Returns the extension.
    pub fn extension(&self) -> &E {
        &self.extension
    }

    /// Returns the extension, the classifier and the flows that are ready, to change what is added to flows.
    pub fn parts(&mut self) -> (&mut E, Option<&mut C>, &mut ReadyFlows) {
        (
            &mut self.extension,
            self.classifier.as_mut(),
            &mut self.ready,
        )
    }

    /// How many flows have ended.
    pub fn flows(&self) -> u64 {
        self.flows
    }

    /// How many of them had to, because the table was full.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// How many flows were not dissected because of the load.
    pub fn undissected(&self) -> u64 {
        self.undissected
    }

    pub fn live_flows(&self) -> usize {
        self.table.len()
    }

    pub fn memory(&self) -> usize {
        self.table.memory() + self.classifier.as_ref().map_or(0, C::memory)
    }

    #[inline]
    fn meter(&mut self, chunk: &mut [FlowPacket<'_>], at: usize) {
        let flow_packet = &chunk[at];
        let (time_ms, ordinal) = (flow_packet.time_ms(), flow_packet.ordinal);
        self.pass_among(time_ms, ordinal, &chunk[..at]);
        let slot = match self.table.look_up(&mut chunk[at]) {
            Lookup::Found(slot) => slot,
            Lookup::Expired(slot, expiration) => {
                let ended = Ended::by_its_packet(ordinal);
                self.end(slot, expiration, ended, &chunk[..at]);
                self.table.reopen(slot, &chunk[at]);
                self.extension.begin_flow(&chunk[at]);
                slot
            }
            Lookup::Absent => {
                self.make_room(ordinal, &chunk[..at]);
                self.extension.begin_flow(&chunk[at]);
                self.table.open(&chunk[at])
            }
        };
        let closed = self.count(slot, &chunk[at]);
        let mut cut = false;
        if !self.extension.is_empty() {
            chunk[at].assign_flow(slot, self.table.record(slot));
            let view = || view(&self.table, &self.classifier, slot);
            cut = self.extension.packet(&chunk[..=at], &view, &mut self.ready);
        }
        if cut || closed {
            let expiration = match cut {
                true => Expiration::Cut,
                false => Expiration::Closed,
            };
            let ended = Ended::by_its_packet(ordinal);
            self.end(slot, expiration, ended, &chunk[..=at]);
            self.table.remove(slot);
        }
    }

    /// Counts a packet; says whether it closes the flow's connection.
    #[inline]
    fn count(&mut self, slot: u32, flow_packet: &FlowPacket<'_>) -> bool {
        let size = self.accounting_mode.size(&flow_packet.packet);
        self.table.count(slot, flow_packet, size);
        if let Some(classifier) = &mut self.classifier {
            let n = self.table.record(slot).packets();
            if n == 1 && self.overload == OverloadLevel::Highest {
                classifier.skip(slot);
                self.undissected += 1;
            } else {
                classifier.see(slot, n, flow_packet);
            }
        }
        self.table.closes(slot, flow_packet)
    }

    /// Ends the oldest flow where there is no room for one more.
    fn make_room(&mut self, ordinal: u64, chunk: &[FlowPacket<'_>]) {
        if self.max_flows > 0
            && self.table.len() >= self.max_flows
            && let Some(oldest) = self.table.longest_idle()
        {
            self.evicted += 1;
            let ended = Ended::by_another(ordinal);
            self.end(oldest, Expiration::Evicted, ended, chunk);
            self.table.remove(oldest);
        }
    }

    /// Ends flows that are out of the wheel.
    fn end_idle(&mut self, slots: &[u32], ordinal: u64, chunk: &[FlowPacket<'_>]) {
        for slots in slots.chunks(CHUNK) {
            // Nobody has looked at them for a while.
            self.table
                .prefetch_ends(slots, |slot| self.extension.prefetch(slot));
            for &slot in slots {
                self.end(slot, Expiration::Idle, Ended::by_another(ordinal), chunk);
                self.table.release(slot);
            }
            self.let_out();
        }
    }

    /// Has flows that are ready taken while more of them end, where somebody else can take them.
    pub fn set_outlet(&mut self, outlet: Outlet) {
        self.outlet = Some(outlet);
    }

    /// Lets the flows that are ready go if they hold too many bytes.
    #[inline]
    pub fn let_out(&mut self) {
        if let Some(outlet) = &mut self.outlet
            && self.ready.bytes() > outlet.most_bytes
        {
            (outlet.take)(&mut self.ready);
        }
    }

    /// Hands on a flow that has ended; its slot is still taken. `chunk` has the packets so far, which
    /// plugins may not have been shown yet.
    fn end(&mut self, slot: u32, expiration: Expiration, ended: Ended, chunk: &[FlowPacket<'_>]) {
        self.flows += 1;
        let (record, statistics, splt) = self.table.take_flow(slot);
        let schema = self.extension.schema_of(record.id).clone();
        let flow = Flow {
            record,
            statistics,
            splt,
            application: self
                .classifier
                .as_mut()
                .and_then(|classifier| classifier.take(slot)),
            expiration,
            capture: self.table.capture(),
            ended,
            outputs: Outputs::default(),
            schema,
            replaced: None,
        };
        self.extension.expire(slot, flow, chunk, &mut self.ready);
    }
}

/// All that is known of a live flow.
#[inline]
fn view<'a>(
    table: &'a FlowTable,
    classifier: &'a Option<impl Classifier>,
    slot: u32,
) -> FlowView<'a> {
    let view = table.view(slot);
    match classifier {
        Some(classifier) => view.with_application(classifier.application(slot)),
        None => view,
    }
}
