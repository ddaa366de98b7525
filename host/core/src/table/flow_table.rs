//! The table of live flows: finds a packet's flow, and knows which flows have fallen idle.

use super::hash_index::Index;
use super::prefetch::{prefetch, prefetch_all};
use super::slab::{SegmentedVec, SlotAllocator};
use super::timing_wheel::TimingWheel;
use crate::record::{
    Aligned, Closing, Expiration, FlowPacket, FlowView, KeyHasher, Record, Splt, Statistics,
};

/// When flows end by themselves, in ms.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub idle_ms: u64,
    pub active_ms: u64,
}

/// What is kept of flows beyond the counters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Analyses {
    pub statistics: bool,
    /// Sequence of lengths and times of so many packets; 0 keeps none.
    pub splt: u16,
    /// How TCP connections close.
    pub closing: bool,
}

/// Whom a packet finds in the table.
pub enum Lookup {
    /// Its flow, at this slot.
    Found(u32),
    /// A flow of its key that has to end before it, and why.
    Expired(u32, Expiration),
    Absent,
}

#[derive(Debug)]
pub struct FlowTable {
    timeouts: Timeouts,
    hasher: KeyHasher,
    index: Index,
    slots: SlotAllocator,
    records: SegmentedVec<Record>,
    /// Of the flow in the same slot of `records`, where they are wanted.
    statistics: Option<SegmentedVec<Aligned>>,
    splt: SegmentedVec<Splt>,
    /// Bytes that these have beside themselves.
    splt_beside: usize,
    /// How many packets of a flow `splt` has room for.
    splt_packets: u16,
    closing: Option<SegmentedVec<Closing>>,
    wheel: TimingWheel,
    due: Vec<u32>,
    /// The number of the capture that flows are of.
    capture: u32,
}

impl FlowTable {
    /// For packets whose hashes are this hasher's.
    pub fn new(timeouts: Timeouts, analyses: Analyses, hasher: KeyHasher) -> Self {
        Self {
            timeouts,
            hasher,
            index: Index::new(),
            slots: SlotAllocator::default(),
            records: SegmentedVec::default(),
            statistics: analyses.statistics.then(SegmentedVec::default),
            splt: SegmentedVec::default(),
            splt_beside: 0,
            splt_packets: analyses.splt,
            closing: analyses.closing.then(SegmentedVec::default),
            wheel: TimingWheel::new(timeouts.idle_ms),
            due: Vec::new(),
            capture: 0,
        }
    }

    /// Has brought what the metering of these packets will read, all at once: the waits for memory overlap.
    /// Nothing is found or changed. `also` is told the slots, to do the same with what it has at them.
    #[inline]
    pub fn prefetch(&self, flow_packets: &[FlowPacket<'_>], also: impl Fn(u32)) {
        for flow_packet in flow_packets {
            self.index.prefetch(flow_packet.hash);
        }
        for flow_packet in flow_packets {
            if let Some(slot) = self.index.peek(flow_packet.hash) {
                self.prefetch_flow(slot, &also);
            }
        }
    }

    /// Has brought what the ends of the flows at these slots will read, as `prefetch`.
    #[inline]
    pub fn prefetch_ends(&self, slots: &[u32], also: impl Fn(u32)) {
        for &slot in slots {
            self.prefetch_flow(slot, &also);
        }
        for &slot in slots {
            let hash = self.hasher.hash_of(&self.records[slot]);
            self.index.prefetch(hash);
        }
    }

    #[inline]
    fn prefetch_flow(&self, slot: u32, also: &impl Fn(u32)) {
        prefetch_all(&self.records[slot]);
        also(slot);
        if let Some(statistics) = &self.statistics {
            prefetch_all(&statistics[slot]);
        }
        if self.splt_packets > 0 {
            prefetch(&self.splt[slot]);
        }
    }

    /// Finds the live flow of a packet and tells the packet its slot in it.
    #[inline]
    pub fn look_up(&self, flow_packet: &mut FlowPacket<'_>) -> Lookup {
        let (packet, time_ms) = (&flow_packet.packet, flow_packet.time_ms());
        let mut found = None;
        let slot = self.index.find(flow_packet.hash, |slot| {
            let record = &self.records[slot];
            found = record
                .direction_of(packet)
                .map(|direction| (record, direction));
            found.is_some()
        });
        let (Some(slot), Some((record, direction))) = (slot, found) else {
            return Lookup::Absent;
        };
        let delta_ms = time_ms - record.last_seen_ms();
        if delta_ms >= self.timeouts.idle_ms {
            return Lookup::Expired(slot, Expiration::Idle);
        }
        if time_ms - record.first_seen_ms() >= self.timeouts.active_ms {
            return Lookup::Expired(slot, Expiration::Active);
        }
        flow_packet.direction = direction;
        flow_packet.delta_ms = delta_ms;
        Lookup::Found(slot)
    }

    /// A new flow, opened by this packet, which is not counted yet.
    pub fn open(&mut self, flow_packet: &FlowPacket<'_>) -> u32 {
        let slot = self.slots.take();
        self.records.reach(slot);
        self.records[slot] =
            Record::open(&flow_packet.packet, flow_packet.ordinal, Default::default());
        self.open_analyses(slot);
        self.index.insert(flow_packet.hash, slot);
        let deadline = flow_packet.time_ms().saturating_add(self.timeouts.idle_ms);
        self.wheel.put(&mut self.records, slot, deadline);
        slot
    }

    /// A new flow in the slot of one with the same key that has just ended. It stays where it is in
    /// the wheel, whose deadlines may be early.
    pub fn reopen(&mut self, slot: u32, flow_packet: &FlowPacket<'_>) {
        let bucket = self.records[slot].bucket;
        self.records[slot] = Record::open(&flow_packet.packet, flow_packet.ordinal, bucket);
        self.open_analyses(slot);
    }

    fn open_analyses(&mut self, slot: u32) {
        if let Some(statistics) = &mut self.statistics {
            statistics.reach(slot);
            statistics[slot] = Aligned::default();
        }
        if let Some(closing) = &mut self.closing {
            closing.reach(slot);
            closing[slot] = Closing::default();
        }
        if self.splt_packets > 0 {
            self.splt.reach(slot);
            self.splt[slot] = Splt::new(self.splt_packets);
        }
    }

    /// Counts a packet of the flow, `size` being what the accounting mode measures.
    #[inline]
    pub fn count(&mut self, slot: u32, flow_packet: &FlowPacket<'_>, size: u32) {
        let record = &mut self.records[slot];
        let (direction, time_ms) = (flow_packet.direction, flow_packet.time_ms());
        if let Some(statistics) = &mut self.statistics {
            statistics[slot].0.add(
                record,
                direction,
                time_ms,
                size,
                flow_packet.packet.tcp_flags,
            );
        }
        if record.packets() < self.splt_packets.into() {
            let splt = &mut self.splt[slot];
            let before = splt.beside();
            splt.add(direction, size, flow_packet.delta_ms);
            self.splt_beside += splt.beside() - before;
        }
        record.count(direction, time_ms, size);
    }

    /// Whether a packet of the flow closes its connection; never where that is not wanted.
    #[inline]
    pub fn closes(&mut self, slot: u32, flow_packet: &FlowPacket<'_>) -> bool {
        self.closing.as_mut().is_some_and(|closing| {
            closing[slot].ends_with(
                flow_packet.direction,
                &flow_packet.packet,
                flow_packet.frame,
            )
        })
    }

    /// All that is known of a live flow.
    #[inline]
    pub fn view(&self, slot: u32) -> FlowView<'_> {
        FlowView {
            record: &self.records[slot],
            statistics: self
                .statistics
                .as_ref()
                .map(|statistics| &statistics[slot].0),
            splt: (self.splt_packets > 0).then(|| &self.splt[slot]),
            application: None,
            expiration: Expiration::Idle,
            capture: self.capture,
        }
    }

    /// All that is known of a flow that ends, to be kept.
    pub fn take(&mut self, slot: u32) -> (Record, Option<Box<Statistics>>, Splt) {
        let statistics = self
            .statistics
            .as_ref()
            .map(|statistics| Box::new(statistics[slot].0.clone()));
        let splt = match self.splt_packets {
            0 => Splt::default(),
            _ => std::mem::take(&mut self.splt[slot]),
        };
        self.splt_beside -= splt.beside();
        (self.records[slot].clone(), statistics, splt)
    }

    /// Takes out a flow before its time.
    pub fn remove(&mut self, slot: u32) {
        self.wheel.remove(&mut self.records, slot);
        self.forget(slot);
    }

    /// Gives a flow's slot back once it has left the wheel.
    pub fn forget(&mut self, slot: u32) {
        let hash = self.hasher.hash_of(&self.records[slot]);
        self.index.remove(hash, slot);
        self.slots.give_back(slot);
    }

    /// Whether `idle_at` would look at any flow.
    #[inline]
    pub fn is_behind(&self, time_ms: u64) -> bool {
        self.wheel.is_behind(time_ms)
    }

    /// Takes the flows that are idle at this time out of the wheel, in the order of their ids. Each
    /// has to be forgotten once it has been read.
    pub fn idle_at(&mut self, time_ms: u64) -> Vec<u32> {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(&mut self.records, time_ms, &mut due);
        due.retain(|&slot| {
            let deadline = self.deadline(slot);
            let is_idle = deadline <= time_ms;
            if !is_idle {
                self.wheel.put(&mut self.records, slot, deadline);
            }
            is_idle
        });
        self.in_order(due)
    }

    /// The flow that has seen no packet for longest, to within a tick of the wheel.
    pub fn oldest(&mut self) -> Option<u32> {
        while let Some((slot, bucket_ms)) = self.wheel.first(&mut self.records) {
            let deadline = self.deadline(slot);
            if deadline <= bucket_ms {
                return Some(slot);
            }
            self.wheel.remove(&mut self.records, slot);
            self.wheel.put(&mut self.records, slot, deadline);
        }
        None
    }

    /// When the flow is idle unless packets come.
    fn deadline(&self, slot: u32) -> u64 {
        let last_seen_ms = self.records[slot].last_seen_ms();
        last_seen_ms.saturating_add(self.timeouts.idle_ms)
    }

    /// Takes all flows out of the wheel, as `idle_at`, and lets none be found any more.
    pub fn all(&mut self) -> Vec<u32> {
        let mut all = std::mem::take(&mut self.due);
        self.wheel.take_all(&mut self.records, &mut all);
        self.index = Index::new();
        self.in_order(all)
    }

    /// Lets time begin anew once no flow is live, and with another capture also its number.
    pub fn restart(&mut self, capture: u32) {
        debug_assert_eq!(self.len(), 0);
        self.wheel.restart();
        self.capture = capture;
    }

    /// The number of the capture that flows are of.
    pub fn capture(&self) -> u32 {
        self.capture
    }

    /// Gives back the memory of a list that `idle_at` or `all` gave.
    pub fn recycle(&mut self, mut list: Vec<u32>) {
        list.clear();
        self.due = list;
    }

    fn in_order(&self, mut slots: Vec<u32>) -> Vec<u32> {
        // Every id is read once, for it is not in the cache.
        slots.sort_by_cached_key(|&slot| self.records[slot].id);
        slots
    }

    #[inline]
    pub fn record(&self, slot: u32) -> &Record {
        &self.records[slot]
    }

    /// How many flows are live.
    pub fn len(&self) -> usize {
        self.slots.taken()
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        let statistics = self.statistics.as_ref().map_or(0, SegmentedVec::memory);
        let splt = self.splt.memory() + self.splt_beside;
        let closing = self.closing.as_ref().map_or(0, SegmentedVec::memory);
        let wheel = self.wheel.memory();
        self.index.memory() + self.records.memory() + wheel + statistics + splt + closing
    }
}
