//! The messages of the parallel meters.
//!
//! A reader sends a [`WorkItem`] per batch to each meter, and a [`PacketBatch`] to the caller's thread. A
//! meter sends one or more [`WorkResult`]s per batch to the caller's thread.

use std::array;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flowloom_core::flow::Flow;
use flowloom_core::link_type::LinkType;
use flowloom_core::meter::{Boundary, Counters, OverloadLevel};
use flowloom_core::record::{CHUNK, DecodedPacket, FlowPacket};
use flowloom_core::table::prefetch_all;
use flowloom_core::time::Time;
use flowloom_plugin::{PluginReport, PluginSet, thread_time};

use crate::capture::CaptureError;
use crate::run::meter::Worker;
use crate::run::status::Progress;

/// The part of a batch for one meter.
#[derive(Default)]
pub(super) struct WorkItem {
    pub(super) packets: Vec<BatchPacket>,
    /// The bytes of these packets that plugins, the dissector or the meter may read, one packet after another.
    pub(super) bytes: Vec<u8>,
    /// Times in ms, in order: each new time of the packets of all meters, with the ordinal of its first packet,
    /// and the time of a pause, with the ordinal of the next packet. The meter ends flows that are idle by then.
    pub(super) times: Vec<(u64, u64)>,
    /// The overload level from this batch on.
    pub(super) overload: OverloadLevel,
    /// The ordinal of the batch's first packet.
    pub(super) first: u64,
    /// The plugins for flows that begin with this batch or later, if they change.
    pub(super) plugins: Option<Arc<PluginSet>>,
    /// The boundary after this batch.
    pub(super) boundary: Option<Boundary>,
    /// Whether this is the last batch.
    pub(super) last: bool,
}

/// A packet of a work item.
pub(super) struct BatchPacket {
    decoded: DecodedPacket,
    /// The offset of its bytes in [`WorkItem::bytes`].
    start: u32,
    len: u32,
}

/// Two cache lines, because every packet moves from one core to another.
const _: () = assert!(size_of::<BatchPacket>() == 128);

impl WorkItem {
    /// Adds a packet. `window` is the start of its frame, which may be shorter than the frame.
    pub(super) fn add(&mut self, decoded: &DecodedPacket, window: &[u8]) {
        let (start, len) = (self.bytes.len() as u32, window.len() as u32);
        self.bytes.extend_from_slice(window);
        self.packets.push(BatchPacket {
            decoded: decoded.clone(),
            start,
            len,
        });
        if let Some(packet) = self.packets.last_mut() {
            packet.decoded.packet.ip_end = len;
        }
    }

    /// Gives the time `clock` to the packets that have an earlier one. Returns their number.
    ///
    /// The times of the packets must not decrease.
    pub(super) fn delay(&mut self, clock: Time) -> u64 {
        let early = |packet: &&mut BatchPacket| packet.decoded.time < clock;
        let packets = self.packets.iter_mut().take_while(early);
        packets.map(|packet| packet.decoded.time = clock).count() as u64
    }

    /// Returns the chunk of packets from index `at` on, and their number. Elements behind this number repeat the
    /// last packet.
    ///
    /// There must be a packet at `at`.
    pub(super) fn chunk(&self, at: usize) -> (usize, [FlowPacket<'_>; CHUNK]) {
        let packets = &self.packets[at..];
        let len = packets.len().min(CHUNK);
        let flow_packet = |n: usize| {
            let BatchPacket {
                decoded,
                start,
                len,
            } = &packets[n.min(len - 1)];
            FlowPacket::new(decoded, &self.bytes[*start as usize..][..*len as usize])
        };
        (len, array::from_fn(flow_packet))
    }

    /// Prefetches the chunk of packets from index `at` on. Has no effect behind the last packet.
    #[inline]
    pub(super) fn prefetch(&self, at: usize) {
        let packets = self.packets.get(at..).unwrap_or_default();
        packets.iter().take(CHUNK).for_each(prefetch_all);
    }

    /// Removes the packets and keeps the memory for reuse.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
        self.times.clear();
    }
}

/// A result of one meter for a batch.
pub(super) struct WorkResult {
    pub(super) flows: VecDeque<Flow>,
    /// Whether further results of the same batch follow. At the end of a capture, all flows end, in several
    /// results.
    pub(super) has_more: bool,
    /// The number of packets that the meter received in this batch. One result of a batch has it, the others
    /// have 0.
    pub(super) packets: u64,
    /// The reports of plugins: about once a second, and in the last result of the run.
    pub(super) plugins: Option<Vec<PluginReport>>,
    /// `None` in the middle of a batch.
    pub(super) stats: Option<WorkerStats>,
}

/// The status of a meter.
#[derive(Clone, Copy, Default)]
pub(super) struct WorkerStats {
    /// The number of flows that have ended.
    pub(super) ended: u64,
    pub(super) evicted: u64,
    pub(super) undissected: u64,
    pub(super) flows_live: u64,
    /// In bytes.
    pub(super) memory: u64,
    /// The processor time of its thread so far.
    pub(super) cpu_time: Duration,
}

impl WorkerStats {
    pub(super) fn of(worker: &Worker) -> Self {
        Self {
            ended: worker.flows(),
            evicted: worker.evicted(),
            undissected: worker.undissected(),
            flows_live: worker.live_flows() as u64,
            memory: worker.memory() as u64,
            cpu_time: thread_time(),
        }
    }
}

/// The counters and problems of the readers after a batch.
pub(super) struct PacketBatch {
    pub(super) counters: Counters,
    pub(super) progress: Progress,
    /// The errors of this batch. The other fields are totals of the run so far.
    pub(super) problems: Vec<CaptureError>,
    pub(super) unknown_links: Vec<LinkType>,
    /// The processor time of the readers' threads so far.
    pub(super) cpu_time: Duration,
    /// The part of it that only one reader at a time can use.
    pub(super) turn_time: Duration,
    pub(super) last: bool,
}
