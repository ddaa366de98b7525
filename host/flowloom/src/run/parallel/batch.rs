//! What goes between the reader and the meters: a batch's packets to each meter, and back what they made
//! of them.

use std::array;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flowloom_core::flow::Flow;
use flowloom_core::link_type::LinkType;
use flowloom_core::meter::{Boundary, Counters, OverloadLevel};
use flowloom_core::record::{CHUNK, DecodedPacket, FlowPacket};
use flowloom_core::table::prefetch_all;
use flowloom_plugin::{PluginReport, PluginSet, thread_time};

use crate::capture::CaptureError;
use crate::run::meter::Worker;
use crate::run::status::Progress;

/// What one meter is to do in a batch.
#[derive(Default)]
pub(super) struct WorkItem {
    pub(super) packets: Vec<BatchPacket>,
    /// The bytes of packets that plugins may be shown.
    pub(super) bytes: Vec<u8>,
    /// Times at which flows of any meter may fall idle, and the ordinals of the packets that tell.
    pub(super) passes: Vec<(u64, u64)>,
    /// The overload level from this batch on.
    pub(super) overload: OverloadLevel,
    /// The ordinal of the batch's first packet.
    pub(super) first: u64,
    /// The plugins for flows that begin from here on, where they change.
    pub(super) plugins: Option<Arc<PluginSet>>,
    /// What begins anew behind it.
    pub(super) boundary: Option<Boundary>,
    /// Nothing comes after it.
    pub(super) last: bool,
}

/// A packet of a work item.
pub(super) struct BatchPacket {
    decoded: DecodedPacket,
    /// Where its bytes are in those of the item.
    start: u32,
    len: u32,
}

/// It goes from one processor to another: two cache lines.
const _: () = assert!(size_of::<BatchPacket>() == 128);

impl WorkItem {
    pub(super) fn add(&mut self, decoded: &DecodedPacket, shown: &[u8]) {
        let (start, len) = (self.bytes.len() as u32, shown.len() as u32);
        self.bytes.extend_from_slice(shown);
        self.packets.push(BatchPacket {
            decoded: decoded.clone(),
            start,
            len,
        });
        if let Some(packet) = self.packets.last_mut() {
            packet.decoded.packet.ip_end = len;
        }
    }

    /// The packets at `at` and behind it that are looked up together: how many there are, and they.
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

    /// Has brought the packets at `at` and behind it that are looked up together.
    #[inline]
    pub(super) fn prefetch(&self, at: usize) {
        let packets = self.packets.get(at..).unwrap_or_default();
        packets.iter().take(CHUNK).for_each(prefetch_all);
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
        self.passes.clear();
    }
}

/// What one meter gives back after a batch.
pub(super) struct WorkResult {
    pub(super) flows: VecDeque<Flow>,
    /// Whether more of the same batch comes: at the end all flows do, which are many.
    pub(super) has_more: bool,
    /// Packets of the batch, with its last flows.
    pub(super) packets: u64,
    /// After the last batch, and about every second.
    pub(super) plugins: Option<Vec<PluginReport>>,
    /// None where the meter is in the middle of the batch.
    pub(super) stats: Option<WorkerStats>,
}

/// How a meter is doing.
#[derive(Clone, Copy, Default)]
pub(super) struct WorkerStats {
    pub(super) ended: u64,
    pub(super) evicted: u64,
    pub(super) undissected: u64,
    pub(super) flows_live: u64,
    pub(super) memory: u64,
    /// Processor time of its thread so far.
    pub(super) busy: Duration,
}

impl WorkerStats {
    pub(super) fn of(worker: &Worker) -> Self {
        Self {
            ended: worker.flows(),
            evicted: worker.evicted(),
            undissected: worker.undissected(),
            flows_live: worker.live_flows() as u64,
            memory: worker.memory() as u64,
            busy: thread_time(),
        }
    }
}

/// What the reader says of a batch.
pub(super) struct PacketBatch {
    pub(super) counters: Counters,
    pub(super) progress: Progress,
    pub(super) problems: Vec<CaptureError>,
    pub(super) unknown_links: Vec<LinkType>,
    /// Processor time of the reader's thread so far.
    pub(super) busy: Duration,
    pub(super) last: bool,
}
