//! The thread of a meter among several.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use flowloom_core::flow::{Flow, ReadyFlows};
use flowloom_core::meter::{Outlet, OverloadLevel};
use flowloom_core::record::CHUNK;

use super::batch::{WorkItem, WorkResult, WorkerStats};
use crate::concurrency::sync::Mutex;
use crate::concurrency::sync::mpsc::{Receiver, Sender, SyncSender};
use crate::run::meter::{Worker, switch};

/// How often a meter tells what its plugins did.
const REPORT: Duration = Duration::from_secs(1);
/// Flows that it gives together, at least, where many end with the capture.
const PIECE: usize = 1_024;

/// A meter's thread. Flows with more than `most_bytes` of plugins' values go out in several pieces, also
/// in the middle of a batch: the meter then waits until somebody takes them.
///
/// That cannot block for ever. A meter waits for the reader of its own channel alone, who takes all pieces
/// of a batch from every meter before the next batch's first, and whoever it waits for is at work on the
/// same batch: the reader of packets deals a batch out to all meters before the next one.
pub(super) fn work(
    mut worker: Worker,
    to_do: &Receiver<WorkItem>,
    done: &SyncSender<WorkResult>,
    used: &Sender<WorkItem>,
    emptied: Receiver<VecDeque<Flow>>,
    most_bytes: usize,
) {
    let emptied = Arc::new(Mutex::new(emptied));
    worker.set_outlet(outlet(done.clone(), emptied.clone(), most_bytes));
    let (mut reported, mut overload) = (Instant::now(), OverloadLevel::Normal);
    let mut plugins = None;
    for mut item in to_do {
        let mut packets = item.packets.len() as u64;
        let last = item.last;
        plugins = item.plugins.take().or(plugins);
        plugins = plugins.filter(|plugins| !switch(&mut worker, plugins, item.first));
        if item.overload != OverloadLevel::Normal || overload != item.overload {
            overload = item.overload;
            worker.set_overload(overload);
        }
        meter(&mut worker, &item);
        let boundary = item.boundary.take();
        let ends = last || boundary.is_some();
        match ends {
            true => worker.end_all(boundary),
            false => worker.flush(),
        }
        item.clear();
        // The reader may be gone already; then there is nobody to fill it again.
        let _ = used.send(item);
        let mut has_more = ends;
        loop {
            while has_more && worker.ready().len() < PIECE {
                has_more = worker.end_more();
            }
            worker.let_out();
            let reports = last && !has_more || reported.elapsed() >= REPORT;
            let result = WorkResult {
                flows: worker.ready().take_all(empty(&emptied)),
                has_more,
                packets: std::mem::take(&mut packets),
                plugins: reports.then(|| {
                    reported = Instant::now();
                    worker.extension().reports()
                }),
                stats: Some(WorkerStats::of(&worker)),
            };
            if done.send(result).is_err() {
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

/// Where flows go in the middle of a batch.
fn outlet(
    done: SyncSender<WorkResult>,
    emptied: Arc<Mutex<Receiver<VecDeque<Flow>>>>,
    most_bytes: usize,
) -> Outlet {
    let take = move |ready: &mut ReadyFlows| {
        while ready.bytes() > most_bytes {
            let result = WorkResult {
                flows: ready.take_piece(most_bytes, empty(&emptied)),
                has_more: true,
                packets: 0,
                plugins: None,
                stats: None,
            };
            // Once there is nobody to take them the meter finds out at the end of the batch.
            let _ = done.send(result);
        }
    };
    Outlet {
        most_bytes,
        take: Box::new(take),
    }
}

/// Memory of flows that were taken.
fn empty(emptied: &Mutex<Receiver<VecDeque<Flow>>>) -> VecDeque<Flow> {
    let emptied = emptied.lock().unwrap_or_else(PoisonError::into_inner);
    emptied.try_recv().unwrap_or_default()
}

fn meter(worker: &mut Worker, item: &WorkItem) {
    let mut passes = item.passes.iter().copied().peekable();
    let mut at = 0;
    while at < item.packets.len() {
        item.prefetch(at + CHUNK);
        let (len, mut chunk) = item.chunk(at);
        worker.push_between(&mut chunk[..len], &mut passes);
        worker.let_out();
        at += len;
    }
    for (time_ms, ordinal) in passes {
        worker.pass(time_ms, ordinal);
    }
}
