//! The reader: decodes every packet once and deals them out, in batches.

use std::sync::Arc;

use flowloom_core::meter::{Boundary, Ingress, Settings};
use flowloom_core::record::{DecodedChunk, DecodedPacket};
use flowloom_plugin::thread_time;

use super::batch::{PacketBatch, WorkItem};
use super::frame_window::FrameWindow;
use crate::capture::{CaptureError, Origin, Read};
use crate::concurrency::sync::atomic::{AtomicBool, Ordering};
use crate::concurrency::sync::mpsc::{Receiver, SyncSender};
use crate::run::plugin_updates::PluginUpdates;
use crate::run::status::Progress;

/// Packets of a batch for each meter: some full batches of events, so that waking threads up costs
/// little a packet.
const BATCH_PACKETS: usize = if cfg!(any(fuzzing, shuttle)) {
    4
} else {
    4_096
};
/// Bytes of a batch for each meter, for plugins that want to see packets.
const BATCH_BYTES: usize = 1 << 20;

/// One meter's side of the reader.
pub(super) struct WorkerQueue {
    pub(super) item: WorkItem,
    pub(super) items: SyncSender<WorkItem>,
    /// Portions that the meter is done with.
    pub(super) empty: Receiver<WorkItem>,
}

pub(super) struct Reader {
    pub(super) origin: Origin,
    pub(super) ingress: Ingress,
    pub(super) queues: Vec<WorkerQueue>,
    pub(super) settings: Settings,
    pub(super) plugins: PluginUpdates,
    /// How much of each frame the meters get.
    pub(super) window: FrameWindow,
    /// The last time that was passed on to the meters, in ms.
    pub(super) passed_ms: Option<u64>,
    /// What begins anew behind this batch.
    pub(super) boundary: Option<Boundary>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Reader {
    pub(super) fn run(mut self, announce: &SyncSender<PacketBatch>) {
        loop {
            let mut problems = Vec::new();
            let last = self.fill(&mut problems);
            let boundary = self.boundary.take();
            if let Some(boundary) = boundary {
                self.ingress.cross(boundary);
                self.passed_ms = None;
            }
            for queue in &mut self.queues {
                let next = queue.empty.try_recv().unwrap_or_default();
                let mut item = std::mem::replace(&mut queue.item, next);
                item.last = last;
                item.boundary = boundary;
                item.overload = self.origin.overload();
                if queue.items.send(item).is_err() {
                    return;
                }
            }
            let (counters, progress) = (self.ingress.counters, Progress::of(&self.origin));
            if announce
                .send(PacketBatch {
                    counters,
                    progress,
                    problems,
                    unknown_links: self.ingress.unknown_links.clone(),
                    busy: thread_time(),
                    last,
                })
                .is_err()
                || last
            {
                return;
            }
        }
    }

    /// Deals out the packets of a batch; says whether it is the last.
    fn fill(&mut self, problems: &mut Vec<CaptureError>) -> bool {
        let meters = self.queues.len();
        let changed = self.plugins.changed();
        if let Some(set) = &changed {
            // Flows of the plugins before are shown theirs until they end.
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
                Ok(Read::Packets(found)) => found,
                // The meters deliver what waits at the end of a batch.
                Ok(Read::Pause(now)) => {
                    if let Some(now) = now {
                        let pass = (now.ms(), self.ingress.next);
                        for queue in &mut self.queues {
                            queue.item.passes.push(pass);
                        }
                    }
                    return false;
                }
                Ok(Read::Boundary(boundary)) => {
                    self.boundary = Some(boundary);
                    return false;
                }
                Ok(Read::End) => return true,
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
                    bytes += deal(
                        &mut self.queues,
                        &mut self.passed_ms,
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

/// Gives a packet to its meter, and its time to all; returns how many of its bytes went with it.
#[inline]
fn deal(
    queues: &mut [WorkerQueue],
    passed_ms: &mut Option<u64>,
    window: FrameWindow,
    decoded: &DecodedPacket,
    frame: &[u8],
) -> usize {
    let time_ms = decoded.time_ms();
    if *passed_ms != Some(time_ms) {
        *passed_ms = Some(time_ms);
        for queue in &mut *queues {
            queue.item.passes.push((time_ms, decoded.ordinal));
        }
    }
    // The upper bits of the product: those of the hash itself choose within the queue.
    let spread = decoded.hash.wrapping_mul(0x9E37_79B1);
    let meter = ((u64::from(spread) * queues.len() as u64) >> 32) as usize;
    let shown = window.of_frame(&decoded.packet, frame);
    queues[meter].item.add(decoded, shown);
    shown.len()
}
