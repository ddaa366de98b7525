//! Several meters in parallel, fed by readers.
//!
//! The readers decode every packet once and give it an ordinal. They choose the meter by a hash of the flow
//! key, which is the same in both directions. Every meter has its own flow table and plugin instances, and
//! the meters share nothing.
//!
//! Files have as many readers as meters, but not more than cores. The readers take blocks of the file in turn. Every other
//! source has one reader.
//!
//! Work proceeds in batches. Each meter receives its [`WorkItem`] of a batch. The caller's thread merges the
//! flows of all meters into one order, which does not depend on the number of meters.

mod batch;
mod frame_window;
mod output_turn;
mod reader;
mod ring;
mod source_turn;
mod work;

#[cfg(all(test, not(shuttle)))]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::meter::{BlockIngress, Part, Settings};
use flowloom_core::record::KeyHasher;

use super::meter::{MeterError, worker};
use super::parallel::batch::{PacketBatch, WorkResult, WorkerStats};
use super::parallel::frame_window::FrameWindow;
use super::parallel::output_turn::{OutputTurn, WorkerQueue};
use super::parallel::reader::Reader;
use super::parallel::source_turn::SourceTurn;
use super::parallel::work::{Channels, work};
use super::plugin_updates::PluginUpdates;
use super::status::{ParallelMeters, State};
use crate::capture::{PacketSource, cores};
use crate::concurrency::sync::atomic::{AtomicBool, Ordering};
use crate::concurrency::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use crate::concurrency::thread::{self, JoinHandle};
use crate::dissect::Ndpi;

/// The capacity of the channels to and from each meter. While a meter works on one batch, the readers fill others.
const BATCHES_AHEAD: usize = 3;

/// The maximum number of results of a meter with flows in memory: those in the channel, the one that the caller
/// takes flows from, and the one that the meter fills.
const MAX_RESULTS: usize = BATCHES_AHEAD + 2;

/// The running meters and their readers.
pub(crate) struct Parallel {
    batches: Receiver<PacketBatch>,
    results: Vec<Receiver<WorkResult>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// The last result of each meter.
    outputs: Vec<WorkerOutput>,
    state: State,
}

/// The last result of a meter.
struct WorkerOutput {
    /// In the order in which they ended.
    flows: VecDeque<Flow>,
    /// Returns empty queues to the meter, which reuses their memory.
    recycle: Sender<VecDeque<Flow>>,
    /// Whether further results of the same batch follow.
    has_more: bool,
    stats: WorkerStats,
}

impl WorkerOutput {
    fn new(recycle: Sender<VecDeque<Flow>>) -> Self {
        Self {
            flows: VecDeque::new(),
            recycle,
            has_more: false,
            stats: WorkerStats::default(),
        }
    }
}

impl Parallel {
    /// Starts readers of `origin` and `meters` meters, each in its own thread.
    pub(crate) fn start(
        origin: PacketSource,
        settings: Settings,
        meters: usize,
        plugins: PluginUpdates,
        ndpi: Option<&Ndpi>,
        part: Part,
    ) -> Result<Self, MeterError> {
        let mut workers = Vec::new();
        let hasher = KeyHasher::new();
        let set = &plugins.set;
        for _ in 0..meters {
            let mut worker = worker(&settings, hasher, meters, set, ndpi)?;
            worker.set_first_capture(part.first_capture);
            workers.push(worker);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (mut queues, mut results, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let mut outputs = Vec::new();
        let thread = |name| thread::Builder::new().name(name);
        for (number, worker) in workers.into_iter().enumerate() {
            let (item_sender, items) = sync_channel(BATCHES_AHEAD);
            let (result_sender, result) = sync_channel(BATCHES_AHEAD);
            let (recycle_items, recycled_items) = channel();
            let (recycle_flows, recycled_flows) = channel();
            let max_bytes = settings.flow_bytes(meters) / MAX_RESULTS;
            let channels = Channels {
                items,
                results: result_sender,
                recycle_items,
                recycled_flows,
            };
            let meter = thread(format!("flowloom-meter-{number}"))
                .spawn(move || work(worker, channels, max_bytes));
            threads.push(meter.map_err(MeterError::Thread)?);
            outputs.push(WorkerOutput::new(recycle_flows));
            queues.push(WorkerQueue {
                items: item_sender,
                recycled_items,
            });
            results.push(result);
        }
        let (batch_sender, batches) = sync_channel(BATCHES_AHEAD);
        let readers = match origin.suits_several_readers() {
            true => meters.min(cores()),
            false => 1,
        };
        let output = OutputTurn::new(queues, batch_sender, readers);
        let source = SourceTurn {
            origin,
            readers,
            window: FrameWindow::of(plugins.set.plugins(), &settings),
            settings,
            plugins,
            next_ordinal: part.first_ordinal,
            stop: stop.clone(),
        };
        let ingress = || {
            let mut ingress = BlockIngress::new(&settings, hasher);
            ingress.set_part(part);
            ingress
        };
        for (number, reader) in Reader::all(meters, source, output, ingress)
            .into_iter()
            .enumerate()
        {
            let reader = thread(format!("flowloom-reader-{number}")).spawn(move || reader.run());
            threads.push(reader.map_err(MeterError::Thread)?);
        }
        Ok(Self {
            batches,
            results,
            stop,
            threads,
            outputs,
            state: State {
                packets_per_meter: vec![0; meters],
                plugins: vec![Vec::new(); meters],
                ..State::default()
            },
        })
    }

    /// Waits for the next result of a meter. All its previous flows must have been taken.
    fn receive(&mut self, meter: usize) {
        let Some(Ok(result)) = self.results.get(meter).map(Receiver::recv) else {
            return self.propagate_panic();
        };
        self.state.packets_per_meter[meter] += result.packets;
        if let Some(plugins) = result.plugins {
            self.state.plugins[meter] = plugins;
        }
        let output = &mut self.outputs[meter];
        let taken = std::mem::replace(&mut output.flows, result.flows);
        // The meter may have ended already.
        let _ = output.recycle.send(taken);
        output.has_more = result.has_more;
        output.stats = result.stats.unwrap_or(output.stats);
    }

    /// Recomputes the state from the last status of each meter.
    fn sum(&mut self) {
        let stats = || self.outputs.iter().map(|output| output.stats);
        let sum = |of: fn(WorkerStats) -> u64| stats().map(of).sum();
        self.state.counters.flows = sum(|stats| stats.ended);
        self.state.counters.evicted = sum(|stats| stats.evicted);
        self.state.undissected = sum(|stats| stats.undissected);
        self.state.flows_live = sum(|stats| stats.flows_live);
        self.state.memory = sum(|stats| stats.memory);
        self.state.cpu_time.meters = stats().map(|stats| stats.cpu_time).collect();
    }

    /// Handles a thread that ended without its last message: it has panicked. Continues the panic in the
    /// caller's thread.
    fn propagate_panic(&mut self) {
        self.disconnect();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        self.state.finished = true;
        for output in &mut self.outputs {
            output.flows.clear();
            output.has_more = false;
        }
    }

    /// Stops the threads, and unblocks those that wait to send.
    fn disconnect(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.results.clear();
        (_, self.batches) = sync_channel(0);
    }
}

impl ParallelMeters for Parallel {
    fn ready(&mut self) -> Option<Flow> {
        for meter in 0..self.outputs.len() {
            while self.outputs[meter].flows.is_empty() && self.outputs[meter].has_more {
                self.receive(meter);
                self.sum();
            }
        }
        // The flows of each meter are in order, so the next flow is at the front of one of the queues.
        let flows = self.outputs.iter_mut().map(|output| &mut output.flows);
        let next_flows = flows.filter_map(|flows| {
            let next = flows.front()?;
            Some(((next.ended, next.record.id), flows))
        });
        let (_, flows) = next_flows.min_by_key(|(next, _)| *next)?;
        flows.pop_front()
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        loop {
            while self.ready().is_some() {}
            if self.state.finished {
                return;
            }
            self.gather();
        }
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn gather(&mut self) {
        let Ok(batch) = self.batches.recv() else {
            return self.propagate_panic();
        };
        for meter in 0..self.outputs.len() {
            self.receive(meter);
        }
        self.sum();
        let state = &mut self.state;
        let before = std::mem::replace(&mut state.counters, batch.counters);
        state.counters.flows = before.flows;
        state.counters.evicted = before.evicted;
        state.progress = batch.progress;
        state.cpu_time.reader = Some(batch.cpu_time);
        state.cpu_time.reader_turns = Some(batch.turn_time);
        state.problems.extend(batch.problems);
        state.unknown_links = batch.unknown_links;
        state.finished |= batch.last;
    }
}

impl Drop for Parallel {
    fn drop(&mut self) {
        self.disconnect();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
