//! The second stage of metering: counts packets in flows, and ends flows.

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

/// The number of flows that end in one step when all flows end. The next step reuses their memory while it is
/// still in the cache.
const END_BATCH: usize = 256;

/// The flows that were live at the end of the run or at a boundary. They end step by step.
struct EndingFlows {
    /// The slots of the flows, in the order of their ids.
    slots: Vec<u32>,
    /// The number of flows that have ended.
    ended: usize,
    /// The boundary; `None` at the end of the run.
    boundary: Option<Boundary>,
}

/// Takes ended flows in the middle of a batch, because one packet can end any number of flows.
pub struct FlowReceiver {
    /// The maximum bytes of plugin values that may be ready. Above this, `take` is called.
    pub max_bytes: usize,
    /// Takes flows until the plugin values of the others have at most `max_bytes` bytes.
    pub take: Box<dyn FnMut(&mut ReadyFlows) + Send>,
}

/// Counts decoded packets in flows and ends flows. It receives the packets of its flows in order.
pub struct MeterWorker<E, C> {
    accounting_mode: AccountingMode,
    max_flows: usize,
    table: FlowTable,
    classifier: Option<C>,
    extension: E,
    /// Ended flows whose values are complete.
    ready: ReadyFlows,
    flow_receiver: Option<FlowReceiver>,
    /// The flows that are ending after [`end_all`](Self::end_all); `None` if all have ended.
    ending: Option<EndingFlows>,
    /// The number of flows that ended.
    flows: u64,
    /// The number of flows that ended because the table was full.
    evicted: u64,
    overload: OverloadLevel,
    /// The number of flows that were not dissected because of overload.
    undissected: u64,
}

impl<E: Extension, C: Classifier> MeterWorker<E, C> {
    /// Creates one of `meters` workers. The hashes of packets must come from `hasher`.
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
            flow_receiver: None,
            ending: None,
            flows: 0,
            evicted: 0,
            overload: OverloadLevel::Normal,
            undissected: 0,
        }
    }

    /// Meters a chunk of at most [`CHUNK`] packets.
    #[inline]
    pub fn push(&mut self, chunk: &mut [FlowPacket<'_>]) {
        self.table.prefetch(chunk);
        for index in 0..chunk.len() {
            self.meter(chunk, index);
        }
        self.extension.take(chunk, &mut self.ready);
    }

    /// Meters a chunk of packets, and ends flows that are idle by the times of packets of other meters.
    ///
    /// `passes` contains the times in ms and the ordinals of the packets of other meters, in order. This function
    /// consumes those before the last packet of the chunk.
    pub fn push_between(
        &mut self,
        chunk: &mut [FlowPacket<'_>],
        passes: &mut Peekable<impl Iterator<Item = (u64, u64)>>,
    ) {
        self.table.prefetch(chunk);
        for index in 0..chunk.len() {
            let next = chunk[index].ordinal;
            while let Some((time_ms, ordinal)) = passes.next_if(|(_, ordinal)| *ordinal < next) {
                self.pass_among(time_ms, ordinal, &chunk[..index]);
            }
            self.meter(chunk, index);
        }
        self.extension.take(chunk, &mut self.ready);
    }

    /// Ends the flows that are idle at this time. `ordinal` is the ordinal of the packet that has the time.
    pub fn pass(&mut self, time_ms: u64, ordinal: u64) {
        self.pass_among(time_ms, ordinal, &[]);
    }

    /// Ends the flows that are idle at this time. `chunk` contains the packets of the chunk so far.
    #[inline]
    fn pass_among(&mut self, time_ms: u64, ordinal: u64, chunk: &[FlowPacket<'_>]) {
        if self.table.has_due(time_ms) {
            let slots = self.table.take_idle(time_ms);
            self.end_idle(&slots, ordinal, chunk);
            self.table.recycle(slots);
        }
    }

    /// Sets the overload level from now on.
    pub fn set_overload(&mut self, level: OverloadLevel) {
        self.overload = level;
        self.extension.set_overload(level >= OverloadLevel::High);
    }

    /// Delivers waiting events to plugins.
    pub fn flush(&mut self) {
        self.extension.flush(&[], &mut self.ready);
    }

    /// Begins to end all flows, at a boundary or at the end of the run.
    ///
    /// No packet may be pushed until [`end_more`](Self::end_more) has returned false. Without a boundary, no
    /// packet may be pushed afterwards either.
    pub fn end_all(&mut self, boundary: Option<Boundary>) {
        match &mut self.ending {
            // The run was stopped while flows end at a boundary. No other flows are live.
            Some(ending) => ending.boundary = boundary,
            None => {
                self.ending = Some(EndingFlows {
                    slots: self.table.take_all(),
                    ended: 0,
                    boundary,
                });
            }
        }
    }

    /// Ends some more flows after [`end_all`](Self::end_all), and resets state after the last one. Returns whether
    /// there was anything to do.
    pub fn end_more(&mut self) -> bool {
        let Some(mut ending) = self.ending.take() else {
            return false;
        };
        let end = ending.slots.len().min(ending.ended + END_BATCH);
        self.end_idle(&ending.slots[ending.ended..end], u64::MAX, &[]);
        ending.ended = end;
        if end < ending.slots.len() {
            self.ending = Some(ending);
        } else {
            self.end_at(ending.boundary);
            self.table.recycle(ending.slots);
        }
        true
    }

    /// Resets the state that the boundary resets. All flows must have ended.
    fn end_at(&mut self, boundary: Option<Boundary>) {
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

    /// Returns the ended flows whose values are complete, in the order of [`Ended`].
    pub fn ready(&mut self) -> &mut ReadyFlows {
        &mut self.ready
    }

    /// Returns the columns of flows that begin from now on.
    pub fn schema(&self) -> &Arc<Schema> {
        self.extension.schema()
    }

    /// Returns the extension.
    pub fn extension(&self) -> &E {
        &self.extension
    }

    /// Returns mutable references to the extension, the classifier and the ended flows.
    ///
    /// The caller uses them to change the plugins and the dissection.
    pub fn parts_mut(&mut self) -> (&mut E, Option<&mut C>, &mut ReadyFlows) {
        (
            &mut self.extension,
            self.classifier.as_mut(),
            &mut self.ready,
        )
    }

    /// Sets the number of the first capture. No packet may have been metered.
    pub fn set_first_capture(&mut self, capture: u32) {
        self.table.restart(capture);
    }

    /// Returns the number of flows that ended.
    pub fn flows(&self) -> u64 {
        self.flows
    }

    /// Returns the number of flows that ended because the table was full.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Returns the number of flows that were not dissected because of overload.
    pub fn undissected(&self) -> u64 {
        self.undissected
    }

    /// Returns the number of live flows.
    pub fn live_flows(&self) -> usize {
        self.table.len()
    }

    /// Returns the memory of the flow table and the classifier for live flows, in bytes.
    pub fn memory(&self) -> usize {
        self.table.memory() + self.classifier.as_ref().map_or(0, C::memory)
    }

    /// Meters the packet at `index` of the chunk.
    #[inline]
    fn meter(&mut self, chunk: &mut [FlowPacket<'_>], index: usize) {
        let flow_packet = &chunk[index];
        let (time_ms, ordinal) = (flow_packet.time_ms(), flow_packet.ordinal);
        self.pass_among(time_ms, ordinal, &chunk[..index]);
        let slot = match self.table.look_up(&mut chunk[index]) {
            Lookup::Found(slot) => slot,
            Lookup::Expired(slot, expiration) => {
                let ended = Ended::by_its_packet(ordinal);
                self.end(slot, expiration, ended, &chunk[..index]);
                self.table.reopen(slot, &chunk[index]);
                self.extension.begin_flow(&chunk[index]);
                slot
            }
            Lookup::Absent => {
                self.make_room(ordinal, &chunk[..index]);
                self.extension.begin_flow(&chunk[index]);
                self.table.open(&chunk[index])
            }
        };
        let closed = self.count(slot, &chunk[index]);
        let mut cut = false;
        if !self.extension.is_empty() {
            chunk[index].assign_flow(slot, self.table.record(slot));
            if self.extension.needs_each_packet() {
                let view = || view(&self.table, &self.classifier, slot);
                cut = self
                    .extension
                    .packet(&chunk[..=index], &view, &mut self.ready);
            }
        }
        if cut || closed {
            let expiration = match cut {
                true => Expiration::Cut,
                false => Expiration::Closed,
            };
            let ended = Ended::by_its_packet(ordinal);
            self.end(slot, expiration, ended, &chunk[..=index]);
            self.table.remove(slot);
        }
    }

    /// Counts a packet in its flow and dissects it. Returns whether it closes the TCP connection.
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

    /// Ends the oldest flow if the table is full.
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

    /// Ends flows that are no longer scheduled in the wheel, and releases their slots.
    fn end_idle(&mut self, slots: &[u32], ordinal: u64, chunk: &[FlowPacket<'_>]) {
        for slots in slots.chunks(CHUNK) {
            // The flows had no packet for a while, so they are usually not in the cache.
            self.table.prefetch_ends(slots);
            for &slot in slots {
                self.end(slot, Expiration::Idle, Ended::by_another(ordinal), chunk);
                self.table.release(slot);
            }
            self.drain_to_receiver();
        }
    }

    /// Sets the receiver that takes ended flows while further flows end. This requires another thread that
    /// receives them.
    pub fn set_flow_receiver(&mut self, flow_receiver: FlowReceiver) {
        self.flow_receiver = Some(flow_receiver);
    }

    /// Calls the receiver if the ended flows have too many bytes of plugin values.
    #[inline]
    pub fn drain_to_receiver(&mut self) {
        if let Some(flow_receiver) = &mut self.flow_receiver
            && self.ready.bytes() > flow_receiver.max_bytes
        {
            (flow_receiver.take)(&mut self.ready);
        }
    }

    /// Ends a flow and passes it to the extension. The slot stays allocated.
    ///
    /// `chunk` contains the packets of the chunk so far. Plugins may not have received them yet.
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
            identity: None,
            replaced: None,
        };
        self.extension.expire(slot, flow, chunk, &mut self.ready);
    }
}

/// Returns the data of a live flow, with its current application.
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
