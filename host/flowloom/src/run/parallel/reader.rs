//! The reader, which decodes every packet once and distributes packets to the meters in batches.

use std::sync::Arc;

use flowloom_core::meter::{Boundary, Ingress, Settings};
use flowloom_core::record::{DecodedChunk, DecodedPacket};
use flowloom_plugin::thread_time;

use super::batch::{PacketBatch, WorkItem};
use super::frame_window::FrameWindow;
use crate::capture::{CaptureError, PacketSource, SourceEvent};
use crate::concurrency::sync::atomic::{AtomicBool, Ordering};
use crate::concurrency::sync::mpsc::{Receiver, SyncSender};
use crate::run::plugin_updates::PluginUpdates;
use crate::run::status::Progress;

/// The maximum number of packets of a batch, per meter. This is several full batches of plugin events, so that
/// the cost per packet of waking threads is low.
const BATCH_PACKETS: usize = if cfg!(any(fuzzing, shuttle)) {
    4
} else {
    4_096
};
/// The maximum number of packet bytes of a batch, per meter. A block of packets may exceed it.
const BATCH_BYTES: usize = 1 << 20;

/// The reader's side of one meter.
pub(super) struct WorkerQueue {
    /// The item of the current batch.
    pub(super) item: WorkItem,
    pub(super) items: SyncSender<WorkItem>,
    /// Empty work items from the meter, whose memory is reused.
    pub(super) recycled_items: Receiver<WorkItem>,
}

/// Reads packets and distributes them.
pub(super) struct Reader {
    pub(super) origin: PacketSource,
    pub(super) ingress: Ingress,
    pub(super) queues: Vec<WorkerQueue>,
    pub(super) settings: Settings,
    pub(super) plugins: PluginUpdates,
    /// The part of each frame that is copied for the meters.
    pub(super) window: FrameWindow,
    /// The last packet time that was added to the work items, in ms; `None` at the start of a capture.
    pub(super) last_time_ms: Option<u64>,
    /// The boundary after the current batch.
    pub(super) boundary: Option<Boundary>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Reader {
    /// Reads batches until the source ends, the run is stopped or a receiver is gone.
    pub(super) fn run(mut self, batches: &SyncSender<PacketBatch>) {
        loop {
            let mut problems = Vec::new();
            let last = self.fill(&mut problems);
            let boundary = self.boundary.take();
            if let Some(boundary) = boundary {
                self.ingress.end_at(boundary);
                self.last_time_ms = None;
            }
            for queue in &mut self.queues {
                let next = queue.recycled_items.try_recv().unwrap_or_default();
                let mut item = std::mem::replace(&mut queue.item, next);
                item.last = last;
                item.boundary = boundary;
                item.overload = self.origin.overload();
                if queue.items.send(item).is_err() {
                    return;
                }
            }
            let (counters, progress) = (self.ingress.counters, Progress::of(&self.origin));
            if batches
                .send(PacketBatch {
                    counters,
                    progress,
                    problems,
                    unknown_links: self.ingress.unknown_links.clone(),
                    cpu_time: thread_time(),
                    last,
                })
                .is_err()
                || last
            {
                return;
            }
        }
    }

    /// Fills the work items of a batch. Returns whether the batch is the last.
    fn fill(&mut self, problems: &mut Vec<CaptureError>) -> bool {
        let meters = self.queues.len();
        let changed = self.plugins.changed();
        if let Some(set) = &changed {
            // Plugins of earlier sets receive their bytes until their flows end, so the window never shrinks.
            self.window
                .widen(FrameWindow::of(set.plugins(), &self.settings));
        }
        for queue in &mut self.queues {
            queue.item.first = self.ingress.next;
            queue.item.plugins.clone_from(&changed);
        }
        let (mut packets, mut bytes) = (0, 0);
        while packets < BATCH_PACKETS * meters && bytes < BATCH_BYTES * meters {
            if self.stop.load(Ordering::Relaxed) {
                return true;
            }
            let found = match self.origin.read() {
                Ok(SourceEvent::Packets(found)) => found,
                // The meters deliver waiting events at the end of a batch, so a pause ends the batch.
                Ok(SourceEvent::Pause(now)) => {
                    if let Some(now) = now {
                        let time = (now.ms(), self.ingress.next);
                        for queue in &mut self.queues {
                            queue.item.times.push(time);
                        }
                    }
                    return false;
                }
                Ok(SourceEvent::Boundary(boundary)) => {
                    self.boundary = Some(boundary);
                    return false;
                }
                Ok(SourceEvent::End) => return true,
                Err(error) => {
                    tracing::warn!("{error}");
                    problems.push(error);
                    continue;
                }
            };
            let (mut found, mut chunk) = (found.iter(), DecodedChunk::default());
            let mut has_more = true;
            while has_more {
                has_more = self.ingress.fill(&mut chunk, &mut found);
                for (decoded, frame) in chunk.iter() {
                    packets += 1;
                    bytes += distribute(
                        &mut self.queues,
                        &mut self.last_time_ms,
                        self.window,
                        decoded,
                        frame,
                    );
                }
            }
        }
        false
    }
}

/// Adds a packet to the item of its meter, and its time to the items of all meters. Returns the number of bytes
/// that were copied.
#[inline]
fn distribute(
    queues: &mut [WorkerQueue],
    last_time_ms: &mut Option<u64>,
    window: FrameWindow,
    decoded: &DecodedPacket,
    frame: &[u8],
) -> usize {
    let time_ms = decoded.time_ms();
    if *last_time_ms != Some(time_ms) {
        *last_time_ms = Some(time_ms);
        for queue in &mut *queues {
            queue.item.times.push((time_ms, decoded.ordinal));
        }
    }
    // Uses the upper bits of the product. Each meter uses the bits of the hash itself within its flow table.
    let spread = decoded.hash.wrapping_mul(0x9E37_79B1);
    let meter = ((u64::from(spread) * queues.len() as u64) >> 32) as usize;
    let bytes = window.of_frame(&decoded.packet, frame);
    queues[meter].item.add(decoded, bytes);
    bytes.len()
}
