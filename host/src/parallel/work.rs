//! The thread of a meter among several.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::round::{Harvest, Portion, Tally};
use crate::flow::{CHUNK, Flow, ReadyFlows};
use crate::load::Load;
use crate::shard::{Outlet, Shard};

/// How often a meter tells what its plugins did.
const REPORT: Duration = Duration::from_secs(1);
/// Flows that it gives together, at least, where many end with the capture.
const PIECE: usize = 1_024;

/// A meter's thread. Flows with more than `most_bytes` of plugins' values go out in several pieces, also
/// in the middle of a round: the meter then waits until somebody takes them.
///
/// That cannot block for ever. A meter waits for the reader of its own channel alone, who takes all pieces
/// of a round from every meter before the next round's first, and whoever it waits for is at work on the
/// same round: the reader of packets deals a round out to all meters before the next one.
pub(super) fn work(
    mut shard: Shard,
    to_do: &Receiver<Portion>,
    done: &SyncSender<Harvest>,
    used: &Sender<Portion>,
    emptied: Receiver<VecDeque<Flow>>,
    most_bytes: usize,
) {
    let emptied = Arc::new(Mutex::new(emptied));
    shard.set_outlet(outlet(done.clone(), emptied.clone(), most_bytes));
    let (mut reported, mut loaded) = (Instant::now(), Load::Normal);
    let mut plugins = None;
    for mut portion in to_do {
        let mut packets = portion.packets.len() as u64;
        let last = portion.last;
        plugins = portion.plugins.take().or(plugins);
        plugins = plugins.filter(|plugins| !shard.switch(plugins, portion.first));
        if portion.load != Load::Normal || loaded != portion.load {
            loaded = portion.load;
            shard.relieve(loaded);
        }
        meter(&mut shard, &portion);
        let boundary = portion.boundary.take();
        let ends = last || boundary.is_some();
        match ends {
            true => shard.end_all(boundary),
            false => shard.flush(),
        }
        portion.clear();
        // The reader may be gone already; then there is nobody to fill it again.
        let _ = used.send(portion);
        let mut has_more = ends;
        loop {
            while has_more && shard.ready().len() < PIECE {
                has_more = shard.end_more();
            }
            shard.let_out();
            let reports = last && !has_more || reported.elapsed() >= REPORT;
            let harvest = Harvest {
                flows: shard.ready().take_all(empty(&emptied)),
                has_more,
                packets: std::mem::take(&mut packets),
                plugins: reports.then(|| {
                    reported = Instant::now();
                    shard.plugins()
                }),
                tally: Some(Tally::of(&shard)),
            };
            if done.send(harvest).is_err() {
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

/// Where flows go in the middle of a round.
fn outlet(
    done: SyncSender<Harvest>,
    emptied: Arc<Mutex<Receiver<VecDeque<Flow>>>>,
    most_bytes: usize,
) -> Outlet {
    let take = move |ready: &mut ReadyFlows| {
        while ready.bytes() > most_bytes {
            let harvest = Harvest {
                flows: ready.take_piece(most_bytes, empty(&emptied)),
                has_more: true,
                packets: 0,
                plugins: None,
                tally: None,
            };
            // Once there is nobody to take them the meter finds out at the end of the round.
            let _ = done.send(harvest);
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

fn meter(shard: &mut Shard, portion: &Portion) {
    let mut passes = portion.passes.iter().copied().peekable();
    let mut at = 0;
    while at < portion.packets.len() {
        portion.prefetch(at + CHUNK);
        let (len, mut chunk) = portion.chunk(at);
        shard.push_between(&mut chunk[..len], &mut passes);
        shard.let_out();
        at += len;
    }
    for (time_ms, ordinal) in passes {
        shard.pass(time_ms, ordinal);
    }
}
