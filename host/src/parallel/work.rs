//! The thread of a meter among several.

use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

use super::round::{Harvest, Portion};
use crate::flow::{Arrival, CHUNK};
use crate::load::Load;
use crate::shard::Shard;
use crate::time::thread_time;

/// How often a meter tells what its plugins did.
const REPORT: Duration = Duration::from_secs(1);

/// A meter's thread.
pub(super) fn work(
    mut shard: Shard,
    to_do: &Receiver<Portion>,
    done: &SyncSender<Harvest>,
    used: &Sender<Portion>,
) {
    let (mut reported, mut loaded) = (Instant::now(), Load::Normal);
    let mut plugins = None;
    for mut portion in to_do {
        let packets = portion.packets.len() as u64;
        let last = portion.last;
        plugins = portion.plugins.take().or(plugins);
        plugins = plugins.filter(|plugins| !shard.switch(plugins, portion.first));
        if portion.load != Load::Normal || loaded != portion.load {
            loaded = portion.load;
            shard.relieve(loaded);
        }
        meter(&mut shard, &mut portion);
        if last {
            shard.finish();
            while shard.end_more() {}
        } else {
            shard.flush();
        }
        let harvest = Harvest {
            flows: std::mem::take(shard.ready()),
            ended: shard.flows(),
            evicted: shard.evicted(),
            packets,
            undissected: shard.undissected(),
            flows_live: shard.live_flows() as u64,
            memory: shard.memory() as u64,
            plugins: (last || reported.elapsed() >= REPORT).then(|| {
                reported = Instant::now();
                shard.plugins()
            }),
            busy: thread_time(),
        };
        portion.clear();
        // The reader may be gone already; then there is nobody to fill it again.
        let _ = used.send(portion);
        if done.send(harvest).is_err() || last {
            return;
        }
    }
}

fn meter(shard: &mut Shard, portion: &mut Portion) {
    let mut passes = portion.passes.drain(..).peekable();
    for dealt in portion.packets.chunks(CHUNK) {
        let mut chunk: [Arrival<'_>; CHUNK] = Default::default();
        for (arrival, dealt) in chunk.iter_mut().zip(dealt) {
            arrival.packet.clone_from(&dealt.packet);
            arrival.frame = &portion.bytes[dealt.start..][..dealt.len];
            arrival.time = dealt.time;
            arrival.ordinal = dealt.ordinal;
            arrival.hash = dealt.hash;
        }
        shard.push_between(&mut chunk[..dealt.len()], &mut passes);
    }
    for (time_ms, ordinal) in passes {
        shard.pass(time_ms, ordinal);
    }
}
