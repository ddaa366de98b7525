//! The thread of a meter among several.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

use super::round::{Harvest, Portion, Tally};
use crate::flow::{CHUNK, Flow};
use crate::load::Load;
use crate::shard::Shard;

/// How often a meter tells what its plugins did.
const REPORT: Duration = Duration::from_secs(1);
/// Flows that it gives together, at least, where many end with the capture.
const PIECE: usize = 1_024;

/// A meter's thread.
pub(super) fn work(
    mut shard: Shard,
    to_do: &Receiver<Portion>,
    done: &SyncSender<Harvest>,
    used: &Sender<Portion>,
    emptied: &Receiver<VecDeque<Flow>>,
) {
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
            let reports = last && !has_more || reported.elapsed() >= REPORT;
            let empty = emptied.try_recv().unwrap_or_default();
            let harvest = Harvest {
                flows: std::mem::replace(shard.ready(), empty),
                has_more,
                packets: std::mem::take(&mut packets),
                plugins: reports.then(|| {
                    reported = Instant::now();
                    shard.plugins()
                }),
                tally: Tally::of(&shard),
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

fn meter(shard: &mut Shard, portion: &Portion) {
    let mut passes = portion.passes.iter().copied().peekable();
    let mut at = 0;
    while at < portion.packets.len() {
        portion.prefetch(at + CHUNK);
        let (len, mut chunk) = portion.chunk(at);
        shard.push_between(&mut chunk[..len], &mut passes);
        at += len;
    }
    for (time_ms, ordinal) in passes {
        shard.pass(time_ms, ordinal);
    }
}
