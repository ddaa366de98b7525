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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use self::batch::{PacketBatch, WorkItem, WorkResult, WorkerStats};
use self::frame_window::FrameWindow;
use self::reader::{Reader, WorkerQueue};
use self::work::work;
use crate::capture::{CaptureError, Dropped, LinkType, Origin};
use crate::dissect::NdpiFiles;
use crate::flow::{Flow, KeyHasher};
use crate::ingress::Ingress;
use crate::meter::{Counters, MeterError, Settings};
use crate::plugin::PluginReport;
use crate::plugin_updates::PluginUpdates;
use crate::streamer::CpuTime;
use crate::worker::MeterWorker;

/// Rounds on their way to each meter: while it works on one, the reader fills the others.
const BATCHES_AHEAD: usize = 3;

/// Pieces of a meter's flows that can be there at a time: those on their way, the one that the caller takes flows from,
/// and the one that is being made.
const PIECES: usize = BATCHES_AHEAD + 2;

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes_read: u64,
    pub(crate) total_bytes: Option<u64>,
    pub(crate) packets_read: u64,
    pub(crate) packets_filtered: u64,
    pub(crate) packets_dropped: Option<Dropped>,
    pub(crate) captures: u64,
    pub(crate) files_skipped: u64,
    pub(crate) clock_steps: u64,
}

impl Progress {
    pub(crate) fn of(origin: &Origin) -> Self {
        Self {
            bytes_read: origin.bytes_read(),
            total_bytes: origin.total_bytes(),
            packets_read: origin.packets_read(),
            packets_filtered: origin.packets_filtered(),
            packets_dropped: origin.dropped(),
            captures: origin.captures(),
            files_skipped: origin.files_skipped(),
            clock_steps: origin.clock_steps(),
        }
    }

    /// That of another part of the same.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self {
            bytes_read: self.bytes_read + other.bytes_read,
            total_bytes: None,
            packets_read: self.packets_read + other.packets_read,
            packets_filtered: self.packets_filtered + other.packets_filtered,
            packets_dropped: match (self.packets_dropped, other.packets_dropped) {
                (Some(one), Some(other)) => Some(one.and(other)),
                (one, other) => one.or(other),
            },
            // All parts are of one interface, whose clock is one.
            captures: self.captures.max(other.captures),
            files_skipped: self.files_skipped.max(other.files_skipped),
            clock_steps: self.clock_steps.max(other.clock_steps),
        }
    }
}

/// Several meters that run in their own threads.
pub(crate) trait ParallelMeters: Send {
    /// A flow that has ended, in the order of [`Meter::next_flow`](crate::Meter::next_flow) if they keep
    /// one.
    fn ready(&mut self) -> Option<Flow>;

    /// Waits for more; the flows of before were taken.
    fn gather(&mut self);

    /// Stops reading and ends all flows: what comes out is counted and dropped.
    fn stop(&mut self);

    /// What is known by now.
    fn state(&self) -> &State;
}

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

/// What is known by the batches that are done.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) counters: Counters,
    pub(crate) progress: Progress,
    pub(crate) problems: Vec<CaptureError>,
    pub(crate) unknown_links: Vec<LinkType>,
    pub(crate) undissected: u64,
    pub(crate) flows_live: u64,
    pub(crate) memory: u64,
    pub(crate) packets_per_meter: Vec<u64>,
    /// Of each meter.
    pub(crate) plugins: Vec<Vec<PluginReport>>,
    pub(crate) cpu_time: CpuTime,
    pub(crate) finished: bool,
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
            workers.push(MeterWorker::new(
                &settings, hasher, meters, set, ndpi_files,
            )?);
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
