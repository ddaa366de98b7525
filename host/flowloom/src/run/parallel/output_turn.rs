//! The second turn of a reader: completes the times of a decoded batch and sends it to the meters, in the order of the
//! batches.

use std::mem;
use std::time::Duration;

use flowloom_core::meter::{BlockIngress, IngressTotals};
use flowloom_plugin::thread_time;

use super::batch::{PacketBatch, WorkItem};
use super::source_turn::BatchHead;
use crate::concurrency::sync::mpsc::{Receiver, SyncSender};

/// The side of one meter's channels that the readers have.
pub(super) struct WorkerQueue {
    pub(super) items: SyncSender<WorkItem>,
    /// Empty work items from the meter, whose memory is reused.
    pub(super) recycled_items: Receiver<WorkItem>,
}

/// The sums over all batches so far, and the channels that batches are sent through.
pub(super) struct OutputTurn {
    totals: IngressTotals,
    /// The last packet time that the meters got, in ms; `None` at the start of a capture.
    last_time_ms: Option<u64>,
    queues: Vec<WorkerQueue>,
    batches: SyncSender<PacketBatch>,
    /// The processor time of each reader so far.
    cpu_times: Vec<Duration>,
    /// The processor time of all turns so far.
    turn_time: Duration,
}

/// A batch whose packets are decoded.
pub(super) struct DecodedBatch<'a> {
    pub(super) head: BatchHead,
    pub(super) ingress: &'a BlockIngress,
    /// The item of each meter. After sending, they are empty.
    pub(super) items: &'a mut [WorkItem],
    /// Each new time of the packets of all meters in ms, with the ordinal of its first packet.
    pub(super) times: &'a mut Vec<(u64, u64)>,
}

impl OutputTurn {
    /// Creates the state before the first batch.
    pub(super) fn new(
        queues: Vec<WorkerQueue>,
        batches: SyncSender<PacketBatch>,
        readers: usize,
    ) -> Self {
        Self {
            totals: IngressTotals::default(),
            last_time_ms: None,
            queues,
            batches,
            cpu_times: vec![Duration::ZERO; readers],
            turn_time: Duration::ZERO,
        }
    }

    /// Sends a batch of this reader. Returns whether all receivers exist.
    pub(super) fn send(&mut self, reader: usize, batch: DecodedBatch<'_>) -> bool {
        let start = thread_time();
        let DecodedBatch {
            mut head,
            ingress,
            items,
            times,
        } = batch;
        let clock = self.totals.clock();
        let delayed = items.iter_mut().map(|item| item.delay(clock)).sum();
        self.totals.add(ingress, delayed);
        let new_times = join(times, clock.ms(), self.last_time_ms);
        self.last_time_ms = new_times.last().map(|(ms, _)| *ms).or(self.last_time_ms);
        if head.boundary.is_some() {
            self.totals.restart_clock();
            self.last_time_ms = None;
        }
        for (queue, item) in self.queues.iter().zip(items) {
            let next = queue.recycled_items.try_recv().unwrap_or_default();
            let mut item = mem::replace(item, next);
            item.times.extend_from_slice(new_times);
            item.times
                .extend(head.pause.map(|now| (now.ms(), head.end)));
            item.first = head.first;
            item.plugins.clone_from(&head.plugins);
            item.overload = head.overload;
            item.boundary = head.boundary;
            item.last = head.last;
            if queue.items.send(item).is_err() {
                return false;
            }
        }
        let now = thread_time();
        self.cpu_times[reader] = now;
        self.turn_time += head.turn_time + now.saturating_sub(start);
        self.batches
            .send(PacketBatch {
                counters: self.totals.counters(),
                progress: head.progress,
                problems: mem::take(&mut head.problems),
                unknown_links: self.totals.unknown_links().to_vec(),
                cpu_time: self.cpu_times.iter().sum(),
                turn_time: self.turn_time,
                last: head.last,
            })
            .is_ok()
    }
}

/// Completes the times of a batch: none is less than `clock_ms`, each is new, and the first differs from `last_ms`, the
/// last time before the batch.
fn join(times: &mut Vec<(u64, u64)>, clock_ms: u64, last_ms: Option<u64>) -> &[(u64, u64)] {
    let delayed = times.partition_point(|(ms, _)| *ms < clock_ms);
    if delayed > 0 {
        for (ms, _) in &mut times[..delayed] {
            *ms = clock_ms;
        }
        times.dedup_by_key(|(ms, _)| *ms);
    }
    match times.first() {
        Some((first, _)) if Some(*first) == last_ms => &times[1..],
        _ => times,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_batch_continue_those_before_it() {
        for (times, clock, last, expected) in [
            (vec![(5, 0), (7, 3)], 4, None, vec![(5, 0), (7, 3)]),
            (vec![(5, 0), (7, 3)], 5, Some(5), vec![(7, 3)]),
            // The last time can be less than the clock, which packets of other shards set too.
            (
                vec![(5, 0), (6, 1), (9, 3)],
                7,
                Some(5),
                vec![(7, 0), (9, 3)],
            ),
            (vec![(5, 0), (6, 1), (9, 3)], 7, Some(7), vec![(9, 3)]),
            (
                vec![(5, 0), (7, 1), (9, 3)],
                7,
                Some(6),
                vec![(7, 0), (9, 3)],
            ),
            (vec![(5, 0), (6, 1)], 8, Some(8), vec![]),
            (vec![], 8, Some(8), vec![]),
        ] {
            let mut joined = times.clone();
            assert_eq!(join(&mut joined, clock, last), expected, "{times:?}");
        }
    }
}
