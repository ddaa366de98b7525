//! The table of live flows. It finds the flow of a packet and the flows that are idle.

use super::hash_index::HashIndex;
use super::prefetch::{prefetch, prefetch_all};
use super::slab::{SegmentedVec, SlotAllocator};
use super::timing_wheel::TimingWheel;
use crate::record::{
    AlignedStatistics, Expiration, FlowPacket, FlowView, KeyHasher, Record, Splt, Statistics,
    TcpClose,
};

/// The timeouts of flows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// The idle timeout in ms.
    pub(crate) idle_ms: u64,
    /// The active timeout in ms.
    pub(crate) active_ms: u64,
}

/// The optional data of flows, in addition to the counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Analyses {
    /// Statistics of sizes, times and TCP flags.
    pub(crate) statistics: bool,
    /// The number of packets in the sequence of packet lengths and times; 0 disables it.
    pub(crate) splt: u16,
    /// The closing state of TCP connections.
    pub(crate) tcp_close: bool,
}

/// The result of a lookup.
pub(crate) enum Lookup {
    /// The slot of the packet's flow.
    Found(u32),
    /// The slot of a flow with the same key that must end before the packet is counted, and the reason.
    Expired(u32, Expiration),
    /// No live flow has the key of the packet.
    Absent,
}

/// The live flows of one meter.
#[derive(Debug)]
pub(crate) struct FlowTable {
    timeouts: Timeouts,
    hasher: KeyHasher,
    index: HashIndex,
    slots: SlotAllocator,
    records: SegmentedVec<Record>,
    /// The statistics of the flows, by slot; `None` without statistical analysis.
    statistics: Option<SegmentedVec<AlignedStatistics>>,
    /// The sequences of packet lengths and times, by slot; empty without SPLT analysis.
    splt: SegmentedVec<Splt>,
    /// The heap memory of the elements of `splt` in bytes.
    splt_heap_bytes: usize,
    /// The number of packets of a flow that `splt` stores.
    splt_packets: u16,
    /// The closing states of TCP connections, by slot; `None` if they are not needed.
    tcp_close: Option<SegmentedVec<TcpClose>>,
    wheel: TimingWheel,
    /// An empty list whose memory is reused.
    due: Vec<u32>,
    /// The number of the current capture in the run, from 0.
    capture: u32,
}

impl FlowTable {
    /// Creates an empty table. The hashes of packets must come from `hasher`.
    pub(crate) fn new(timeouts: Timeouts, analyses: Analyses, hasher: KeyHasher) -> Self {
        Self {
            timeouts,
            hasher,
            index: HashIndex::new(),
            slots: SlotAllocator::default(),
            records: SegmentedVec::default(),
            statistics: analyses.statistics.then(SegmentedVec::default),
            splt: SegmentedVec::default(),
            splt_heap_bytes: 0,
            splt_packets: analyses.splt,
            tcp_close: analyses.tcp_close.then(SegmentedVec::default),
            wheel: TimingWheel::new(timeouts.idle_ms),
            due: Vec::new(),
            capture: 0,
        }
    }

    /// Prefetches the index entries and flow records that these packets will touch, so that their memory
    /// accesses overlap.
    #[inline]
    pub(crate) fn prefetch(&self, flow_packets: &[FlowPacket<'_>]) {
        for flow_packet in flow_packets {
            self.index.prefetch(flow_packet.hash);
        }
        for flow_packet in flow_packets {
            if let Some(slot) = self.index.peek(flow_packet.hash) {
                self.prefetch_flow(slot);
            }
        }
    }

    /// Prefetches what the ends of the flows in these slots will touch, like [`prefetch`](Self::prefetch).
    #[inline]
    pub(crate) fn prefetch_ends(&self, slots: &[u32]) {
        for &slot in slots {
            self.prefetch_flow(slot);
        }
        for &slot in slots {
            let hash = self.hasher.hash_of(&self.records[slot]);
            self.index.prefetch(hash);
        }
    }

    #[inline]
    fn prefetch_flow(&self, slot: u32) {
        prefetch_all(&self.records[slot]);
        if let Some(statistics) = &self.statistics {
            prefetch_all(&statistics[slot]);
        }
        if self.splt_packets > 0 {
            prefetch(&self.splt[slot]);
        }
    }

    /// Finds the live flow of a packet. If it is found, sets the direction and the time difference of the
    /// packet.
    #[inline]
    pub(crate) fn look_up(&self, flow_packet: &mut FlowPacket<'_>) -> Lookup {
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

    /// Creates the flow that a packet opens, and returns its slot. The packet is not counted yet.
    pub(crate) fn open(&mut self, flow_packet: &FlowPacket<'_>) -> u32 {
        let slot = self.slots.take();
        let record = Record::open(&flow_packet.packet, flow_packet.ordinal, Default::default());
        self.records.put(slot, record);
        self.open_analyses(slot);
        self.index.insert(flow_packet.hash, slot);
        let deadline = flow_packet.time_ms().saturating_add(self.timeouts.idle_ms);
        self.wheel.schedule(&mut self.records, slot, deadline);
        slot
    }

    /// Creates a flow in the slot of a flow with the same key that has just ended.
    ///
    /// The slot stays in its bucket of the wheel, because a deadline may be too early.
    pub(crate) fn reopen(&mut self, slot: u32, flow_packet: &FlowPacket<'_>) {
        let bucket = self.records[slot].bucket;
        self.records[slot] = Record::open(&flow_packet.packet, flow_packet.ordinal, bucket);
        self.open_analyses(slot);
    }

    fn open_analyses(&mut self, slot: u32) {
        if let Some(statistics) = &mut self.statistics {
            statistics.put(slot, AlignedStatistics::default());
        }
        if let Some(tcp_close) = &mut self.tcp_close {
            tcp_close.put(slot, TcpClose::default());
        }
        if self.splt_packets > 0 {
            self.splt.put(slot, Splt::new(self.splt_packets));
        }
    }

    /// Counts a packet of the flow. `size` is its size in the measure of the accounting mode.
    #[inline]
    pub(crate) fn count(&mut self, slot: u32, flow_packet: &FlowPacket<'_>, size: u32) {
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
            let before = splt.heap_bytes();
            splt.add(direction, size, flow_packet.delta_ms);
            self.splt_heap_bytes += splt.heap_bytes() - before;
        }
        record.count(direction, time_ms, size);
    }

    /// Records a packet of the flow in its TCP closing state. Returns whether the packet closes the connection.
    ///
    /// Returns false if closing states are disabled.
    #[inline]
    pub(crate) fn closes(&mut self, slot: u32, flow_packet: &FlowPacket<'_>) -> bool {
        self.tcp_close.as_mut().is_some_and(|tcp_close| {
            tcp_close[slot].closes_with(
                flow_packet.direction,
                &flow_packet.packet,
                flow_packet.frame,
            )
        })
    }

    /// Returns the data of a live flow, without its application.
    #[inline]
    pub(crate) fn view(&self, slot: u32) -> FlowView<'_> {
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
            identity: None,
        }
    }

    /// Takes the data of a flow that ends. The slot must be released afterwards.
    // In line, so that the data is copied once.
    #[inline(always)]
    pub(crate) fn take_flow(&mut self, slot: u32) -> (Record, Option<Box<Statistics>>, Splt) {
        let statistics = self
            .statistics
            .as_ref()
            .map(|statistics| Box::new(statistics[slot].0.clone()));
        let splt = match self.splt_packets {
            0 => Splt::default(),
            _ => std::mem::take(&mut self.splt[slot]),
        };
        self.splt_heap_bytes -= splt.heap_bytes();
        (self.records[slot].clone(), statistics, splt)
    }

    /// Removes a flow that is scheduled in the wheel, and releases its slot.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.wheel.remove(&mut self.records, slot);
        self.release(slot);
    }

    /// Releases the slot of a flow that is not scheduled in the wheel, and removes the flow from the index.
    pub(crate) fn release(&mut self, slot: u32) {
        let hash = self.hasher.hash_of(&self.records[slot]);
        self.index.remove(hash, slot);
        self.slots.give_back(slot);
    }

    /// Returns whether [`take_idle`](Self::take_idle) at this time would read any flow.
    #[inline]
    pub(crate) fn has_due(&self, time_ms: u64) -> bool {
        self.wheel.has_due(time_ms)
    }

    /// Removes the flows that are idle at this time from the wheel. Returns their slots, in the order of the
    /// flow ids.
    ///
    /// The caller must [release](Self::release) each slot after it has read the flow.
    pub(crate) fn take_idle(&mut self, time_ms: u64) -> Vec<u32> {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(&mut self.records, time_ms, &mut due);
        due.retain(|&slot| {
            let deadline = self.deadline(slot);
            let is_idle = deadline <= time_ms;
            if !is_idle {
                self.wheel.schedule(&mut self.records, slot, deadline);
            }
            is_idle
        });
        self.sort_by_id(due)
    }

    /// Returns the slot of the flow whose last packet is the oldest, within one tick of the wheel.
    pub(crate) fn longest_idle(&mut self) -> Option<u32> {
        while let Some((slot, bucket_ms)) = self.wheel.first_scheduled(&mut self.records) {
            let deadline = self.deadline(slot);
            if deadline <= bucket_ms {
                return Some(slot);
            }
            self.wheel.remove(&mut self.records, slot);
            self.wheel.schedule(&mut self.records, slot, deadline);
        }
        None
    }

    /// Returns the time in ms at which the flow becomes idle if no further packet arrives.
    fn deadline(&self, slot: u32) -> u64 {
        let last_seen_ms = self.records[slot].last_seen_ms();
        last_seen_ms.saturating_add(self.timeouts.idle_ms)
    }

    /// Removes all flows from the wheel and the index, and returns their slots like
    /// [`take_idle`](Self::take_idle).
    pub(crate) fn take_all(&mut self) -> Vec<u32> {
        let mut all = std::mem::take(&mut self.due);
        self.wheel.take_all(&mut self.records, &mut all);
        self.index = HashIndex::new();
        self.sort_by_id(all)
    }

    /// Resets the time to 0 and sets the number of the capture. No flow may be live.
    pub(crate) fn restart(&mut self, capture: u32) {
        debug_assert_eq!(self.len(), 0);
        self.wheel.restart();
        self.capture = capture;
    }

    /// Returns the number of the current capture in the run, from 0.
    pub(crate) fn capture(&self) -> u32 {
        self.capture
    }

    /// Keeps the memory of a list from [`take_idle`](Self::take_idle) or [`take_all`](Self::take_all) for
    /// reuse.
    pub(crate) fn recycle(&mut self, mut list: Vec<u32>) {
        list.clear();
        self.due = list;
    }

    fn sort_by_id(&self, mut slots: Vec<u32>) -> Vec<u32> {
        // Flows that had few packets become idle in the order of their ids.
        if !slots.is_sorted_by_key(|&slot| self.records[slot].id) {
            // Reads every id only once, because the records are usually not in the cache.
            slots.sort_by_cached_key(|&slot| self.records[slot].id);
        }
        slots
    }

    /// Returns the record of a live flow.
    #[inline]
    pub(crate) fn record(&self, slot: u32) -> &Record {
        &self.records[slot]
    }

    /// Returns the number of live flows.
    pub(crate) fn len(&self) -> usize {
        self.slots.taken()
    }

    /// Returns the memory for live flows in bytes.
    pub(crate) fn memory(&self) -> usize {
        let statistics = self.statistics.as_ref().map_or(0, SegmentedVec::memory);
        let splt = self.splt.memory() + self.splt_heap_bytes;
        let tcp_close = self.tcp_close.as_ref().map_or(0, SegmentedVec::memory);
        let wheel = self.wheel.memory();
        self.index.memory() + self.records.memory() + wheel + statistics + splt + tcp_close
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Packet;
    use crate::record::DecodedPacket;
    use crate::time::Time;

    fn packet(hasher: KeyHasher, port: u16, ms: u64) -> DecodedPacket {
        let packet = Packet {
            src_port: port,
            ..Packet::default()
        };
        DecodedPacket {
            hash: hasher.hash(&packet),
            packet,
            time: Time::from_ns(ms * 1_000_000),
            ordinal: port.into(),
        }
    }

    fn table(analyses: Analyses) -> (FlowTable, KeyHasher) {
        let timeouts = Timeouts {
            idle_ms: 15_000,
            active_ms: 1_800_000,
        };
        let hasher = KeyHasher::new();
        (FlowTable::new(timeouts, analyses, hasher), hasher)
    }

    /// Opens a flow if there is none, and counts a packet.
    fn count(table: &mut FlowTable, decoded: &DecodedPacket) -> u32 {
        let mut packet = FlowPacket::new(decoded, &[]);
        let slot = match table.look_up(&mut packet) {
            Lookup::Found(slot) => slot,
            Lookup::Absent => table.open(&packet),
            Lookup::Expired(..) => panic!("no flow expires"),
        };
        table.count(slot, &packet, 60);
        slot
    }

    #[test]
    fn memory_is_that_of_all_parts_of_live_flows() {
        let memory = |analyses: Analyses, packets: u64| {
            let (mut table, hasher) = table(analyses);
            let empty = table.memory();
            for port in [1, 2] {
                for ms in 0..packets {
                    count(&mut table, &packet(hasher, port, ms));
                }
            }
            let live = table.memory() - empty;
            for slot in [0, 1] {
                let (_, statistics, splt) = table.take_flow(slot);
                assert_eq!(statistics.is_some(), analyses.statistics);
                assert_eq!(
                    splt.steps(crate::record::SpltValue::Size).count() as u64,
                    packets.min(analyses.splt.into())
                );
                table.remove(slot);
            }
            // The records stay, without the memory of their own.
            (live, live - (table.memory() - empty))
        };
        let none = Analyses::default();
        let statistics = Analyses {
            statistics: true,
            ..none
        };
        let tcp_close = Analyses {
            tcp_close: true,
            ..none
        };
        let splt = Analyses { splt: 5, ..none };
        let plain = memory(none, 4).0;
        // A record and an entry in the timing wheel for each flow.
        assert_eq!(plain, 2 * (size_of::<Record>() + 4));
        let added = |analyses, packets| {
            let (live, freed) = memory(analyses, packets);
            (live - plain, freed)
        };
        assert_eq!(added(statistics, 4), (2 * 128, 0));
        assert_eq!(added(tcp_close, 4), (2 * size_of::<TcpClose>(), 0));
        assert_eq!(added(splt, 3), (2 * 64, 0));
        // The fourth packet allocates memory of 12 bytes for each of eight packets.
        assert_eq!(added(splt, 4), (2 * (64 + 8 * 12), 2 * 8 * 12));
        assert_eq!(added(splt, 9), (2 * (64 + 8 * 12), 2 * 8 * 12));
    }

    #[test]
    fn the_oldest_flow_is_the_one_whose_last_packet_is() {
        let (mut table, hasher) = table(Analyses::default());
        assert_eq!(table.longest_idle(), None);
        let slots = [1, 2, 3].map(|n| count(&mut table, &packet(hasher, n, 1_000 * u64::from(n))));
        assert_eq!(table.longest_idle(), Some(slots[0]));
        count(&mut table, &packet(hasher, 1, 2_500));
        assert_eq!(table.longest_idle(), Some(slots[1]));
        table.remove(slots[1]);
        assert_eq!(table.longest_idle(), Some(slots[0]));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn idle_flows_come_in_the_order_of_their_ids() {
        let (mut table, hasher) = table(Analyses::default());
        for port in [5, 3, 4] {
            count(&mut table, &packet(hasher, port, 0));
        }
        count(&mut table, &packet(hasher, 4, 1_000));
        let ids = |table: &FlowTable, slots: &[u32]| -> Vec<_> {
            slots.iter().map(|&slot| table.record(slot).id).collect()
        };
        assert!(!table.has_due(9));
        assert!(table.has_due(15_000));
        let idle = table.take_idle(15_000);
        assert_eq!(ids(&table, &idle), [3, 5]);
        idle.iter().for_each(|&slot| table.release(slot));
        table.recycle(idle);
        assert_eq!(table.take_idle(15_999), [0_u32; 0]);
        let all = table.take_all();
        assert_eq!(ids(&table, &all), [4]);
        all.iter().for_each(|&slot| table.release(slot));
        table.restart(7);
        assert_eq!((table.len(), table.capture()), (0, 7));
    }

    #[test]
    fn the_view_of_a_live_flow_has_its_analyses() {
        let analyses = Analyses {
            statistics: true,
            splt: 2,
            tcp_close: false,
        };
        let (mut with, hasher) = table(analyses);
        with.restart(3);
        let slot = count(&mut with, &packet(hasher, 1, 0));
        let view = with.view(slot);
        assert_eq!((view.record.packets(), view.capture), (1, 3));
        assert_eq!(view.splt.map(Splt::missing), Some(1));
        assert!(view.statistics.is_some());
        let (mut without, hasher) = table(Analyses::default());
        let slot = count(&mut without, &packet(hasher, 1, 0));
        let view = without.view(slot);
        assert!(view.splt.is_none() && view.statistics.is_none());
    }
}
