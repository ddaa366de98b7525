//! The thread of one of several meters.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use flowloom_core::flow::{Flow, ReadyFlows};
use flowloom_core::meter::{FlowReceiver, OverloadLevel};
use flowloom_core::record::CHUNK;

use super::batch::{WorkItem, WorkResult, WorkerStats};
use crate::concurrency::sync::Mutex;
use crate::concurrency::sync::mpsc::{Receiver, Sender, SyncSender};
use crate::run::meter::{Worker, switch};

/// The interval of plugin reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// At the end of a capture, a result has at least this number of flows, if there are enough.
const MIN_FLOWS: usize = 1_024;

/// The channels of a meter's thread.
pub(super) struct Channels {
    /// Items from the readers.
    pub(super) items: Receiver<WorkItem>,
    /// Results for the caller's thread.
    pub(super) results: SyncSender<WorkResult>,
    /// Returns empty items to the readers, which reuse their memory.
    pub(super) recycle_items: Sender<WorkItem>,
    /// Empty queues from the caller's thread, whose memory is reused.
    pub(super) recycled_flows: Receiver<VecDeque<Flow>>,
}

/// Runs a meter until the last batch, or until the caller's thread is gone.
///
/// Flows with more than `max_bytes` bytes of plugin values are sent in several results, also in the middle of a
/// batch. The meter then waits until the caller's thread has received them.
///
/// The meter cannot wait forever. It waits only for the receiver of its own channel. That receiver takes all
/// results of a batch from every meter before the first result of the next batch. If the receiver waits for
/// another meter, that meter has its item of the same batch, because one reader at a time sends a batch to all
/// meters.
pub(super) fn work(mut worker: Worker, channels: Channels, max_bytes: usize) {
    let Channels {
        items,
        results,
        recycle_items,
        recycled_flows,
    } = channels;
    let recycled_flows = Arc::new(Mutex::new(recycled_flows));
    worker.set_flow_receiver(flow_receiver(
        results.clone(),
        recycled_flows.clone(),
        max_bytes,
    ));
    let (mut reported, mut overload) = (Instant::now(), OverloadLevel::Normal);
    let mut plugins = None;
    for mut item in &items {
        let mut packets = item.packets.len() as u64;
        let last = item.last;
        plugins = item.plugins.take().or(plugins);
        plugins = plugins.filter(|plugins| !switch(&mut worker, plugins, item.first));
        if item.overload != OverloadLevel::Normal || overload != item.overload {
            overload = item.overload;
            worker.set_overload(overload);
        }
        meter_item(&mut worker, &item);
        let boundary = item.boundary.take();
        let ends = last || boundary.is_some();
        match ends {
            true => worker.end_all(boundary),
            false => worker.flush(),
        }
        item.clear();
        // The readers may have ended already.
        let _ = recycle_items.send(item);
        let mut has_more = ends;
        loop {
            while has_more && worker.ready().len() < MIN_FLOWS {
                has_more = worker.end_more();
            }
            worker.drain_to_receiver();
            let reports = last && !has_more || reported.elapsed() >= REPORT_INTERVAL;
            let result = WorkResult {
                flows: worker.ready().take_all(recycled(&recycled_flows)),
                has_more,
                packets: std::mem::take(&mut packets),
                plugins: reports.then(|| {
                    reported = Instant::now();
                    worker.extension().reports()
                }),
                stats: Some(WorkerStats::of(&worker)),
            };
            if results.send(result).is_err() {
                return;
            }
            if !has_more {
                break;
            }
        }
        if last {
            return;
        }
    }
}

/// Returns the receiver that sends flows in the middle of a batch.
fn flow_receiver(
    results: SyncSender<WorkResult>,
    recycled_flows: Arc<Mutex<Receiver<VecDeque<Flow>>>>,
    max_bytes: usize,
) -> FlowReceiver {
    let take = move |ready: &mut ReadyFlows| {
        while ready.bytes() > max_bytes {
            let result = WorkResult {
                flows: ready.take_piece(max_bytes, recycled(&recycled_flows)),
                has_more: true,
                packets: 0,
                plugins: None,
                stats: None,
            };
            // If the receiver is gone, the meter ends when it sends the last result of the batch.
            let _ = results.send(result);
        }
    };
    FlowReceiver {
        max_bytes,
        take: Box::new(take),
    }
}

/// Returns an empty queue, with the memory of one that the caller's thread has emptied if there is one.
fn recycled(queues: &Mutex<Receiver<VecDeque<Flow>>>) -> VecDeque<Flow> {
    let queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
    queues.try_recv().unwrap_or_default()
}

/// Meters the packets of an item, and ends flows that are idle at its times.
fn meter_item(worker: &mut Worker, item: &WorkItem) {
    let mut times = item.times.iter().copied().peekable();
    let mut at = 0;
    while at < item.packets.len() {
        item.prefetch(at + CHUNK);
        let (len, mut chunk) = item.chunk(at);
        worker.push_between(&mut chunk[..len], &mut times);
        worker.drain_to_receiver();
        at += len;
    }
    for (time_ms, ordinal) in times {
        worker.pass(time_ms, ordinal);
    }
}
