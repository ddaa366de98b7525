//! Several meters in parallel, fed by one reader.
//!
//! The reader decodes every packet once, stamps it, and deals packets out by a symmetric hash of
//! their flow keys; every meter has its own flow table and plugin instances, and nothing is shared.
//! Work goes in batches: each meter gets its item of a batch, and what they all give back is put
//! into one order, which does not depend on how many meters there are.

mod batch;
mod frame_window;
mod reader;
mod work;

use std::collections::VecDeque;
use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::meter::{Counters, Ingress, Settings};
use flowloom_core::record::KeyHasher;

use super::meter::{MeterError, worker};
use super::parallel::batch::{PacketBatch, WorkItem, WorkResult, WorkerStats};
use super::parallel::frame_window::FrameWindow;
use super::parallel::reader::{Reader, WorkerQueue};
use super::parallel::work::work;
use super::plugin_updates::PluginUpdates;
use super::status::{ParallelMeters, State};
use crate::capture::Origin;
use crate::concurrency::sync::atomic::{AtomicBool, Ordering};
use crate::concurrency::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use crate::concurrency::thread::{self, JoinHandle};
use crate::dissect::NdpiFiles;

/// Rounds on their way to each meter: while it works on one, the reader fills the others.
const BATCHES_AHEAD: usize = 3;

/// Pieces of a meter's flows that can be there at a time: those on their way, the one that the caller takes flows from,
/// and the one that is being made.
const PIECES: usize = BATCHES_AHEAD + 2;

/// The meters and their reader, at work.
pub(crate) struct Parallel {
    batches: Receiver<PacketBatch>,
    results: Vec<Receiver<WorkResult>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// What each meter gave in the last batch, and how it is doing.
    outputs: Vec<WorkerOutput>,
    state: State,
}

/// What a meter gave.
struct WorkerOutput {
    /// In order.
    flows: VecDeque<Flow>,
    /// To the meter, which uses its memory again.
    emptied: Sender<VecDeque<Flow>>,
    /// Whether more of the batch comes.
    has_more: bool,
    stats: WorkerStats,
}

impl WorkerOutput {
    fn new(emptied: Sender<VecDeque<Flow>>) -> Self {
        Self {
            flows: VecDeque::new(),
            emptied,
            has_more: false,
            stats: WorkerStats::default(),
        }
    }
}

impl Parallel {
    /// Starts `meters` meters over some captures, or an interface.
    pub(crate) fn start(
        origin: Origin,
        settings: Settings,
        meters: usize,
        plugins: PluginUpdates,
        ndpi_files: &NdpiFiles,
    ) -> Result<Self, MeterError> {
        let mut workers = Vec::new();
        let hasher = KeyHasher::new();
        let set = &plugins.set;
        for _ in 0..meters {
            workers.push(worker(&settings, hasher, meters, set, ndpi_files)?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (mut queues, mut results, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let mut outputs = Vec::new();
        let thread = |name| thread::Builder::new().name(name);
        for (number, worker) in workers.into_iter().enumerate() {
            let (items, to_do) = sync_channel(BATCHES_AHEAD);
            let (done, result) = sync_channel(BATCHES_AHEAD);
            let (used, empty) = channel();
            let (empty_flows, emptied) = channel();
            let most_bytes = settings.flow_bytes(meters) / PIECES;
            let meter = thread(format!("flowloom-meter-{number}"))
                .spawn(move || work(worker, &to_do, &done, &used, emptied, most_bytes));
            threads.push(meter.map_err(MeterError::Thread)?);
            outputs.push(WorkerOutput::new(empty_flows));
            queues.push(WorkerQueue {
                item: WorkItem::default(),
                items,
                empty,
            });
            results.push(result);
        }
        let (announce, batches) = sync_channel(BATCHES_AHEAD);
        let reader = Reader {
            origin,
            ingress: Ingress::new(&settings, hasher),
            queues,
            window: FrameWindow::of(plugins.set.plugins(), &settings),
            settings,
            plugins,
            passed_ms: None,
            boundary: None,
            stop: stop.clone(),
        };
        let reader = thread("flowloom-reader".into()).spawn(move || reader.run(&announce));
        threads.push(reader.map_err(MeterError::Thread)?);
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

    /// Waits for the next that a meter gives; its flows of before were taken.
    fn receive(&mut self, meter: usize) {
        let Some(Ok(result)) = self.results.get(meter).map(Receiver::recv) else {
            return self.panic();
        };
        self.state.packets_per_meter[meter] += result.packets;
        if let Some(plugins) = result.plugins {
            self.state.plugins[meter] = plugins;
        }
        let outputs = &mut self.outputs[meter];
        let emptied = std::mem::replace(&mut outputs.flows, result.flows);
        // At the end the meter may be gone.
        let _ = outputs.emptied.send(emptied);
        outputs.has_more = result.has_more;
        outputs.stats = result.stats.unwrap_or(outputs.stats);
    }

    /// Adds up how the meters are doing.
    fn sum(&mut self) {
        let stats = || self.outputs.iter().map(|outputs| outputs.stats);
        let sum = |of: fn(WorkerStats) -> u64| stats().map(of).sum();
        self.state.counters.flows = sum(|stats| stats.ended);
        self.state.counters.evicted = sum(|stats| stats.evicted);
        self.state.undissected = sum(|stats| stats.undissected);
        self.state.flows_live = sum(|stats| stats.flows_live);
        self.state.memory = sum(|stats| stats.memory);
        self.state.cpu_time.meters = stats().map(|stats| stats.busy).collect();
    }

    /// A thread that went away without a word has panicked: so does the caller.
    fn panic(&mut self) {
        self.disconnect();
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
        self.state.finished = true;
        for outputs in &mut self.outputs {
            outputs.flows.clear();
            outputs.has_more = false;
        }
    }

    /// Whoever waits to send to us finds the channels gone.
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
        // Each meter's flows are in order.
        let flows = self.outputs.iter_mut().map(|outputs| &mut outputs.flows);
        let some = flows.filter_map(|flows| {
            let next = flows.front()?;
            Some(((next.ended, next.record.id), flows))
        });
        let (_, flows) = some.min_by_key(|(next, _)| *next)?;
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
            return self.panic();
        };
        for meter in 0..self.outputs.len() {
            self.receive(meter);
        }
        self.sum();
        let state = &mut self.state;
        state.counters = Counters {
            flows: state.counters.flows,
            evicted: state.counters.evicted,
            ..batch.counters
        };
        state.progress = batch.progress;
        state.cpu_time.reader = Some(batch.busy);
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
