//! Several meters side by side, fed by one reader.
//!
//! The reader decodes every packet once, stamps it, and deals packets out by a symmetric hash of
//! their flow keys; every meter has its own flow table and plugin instances, and nothing is shared.
//! Work goes in rounds: each meter gets its portion of a round, and what they all give back is put
//! into one order, which does not depend on how many meters there are.

mod reader;
mod round;
mod shows;
mod work;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use self::reader::{Reader, Table};
use self::round::{Harvest, Portion, Round, Tally};
use self::shows::Shows;
use self::work::work;
use crate::capture::{CaptureError, Dropped, LinkType, Origin};
use crate::dissect::NdpiFiles;
use crate::flow::{Flow, KeyHasher};
use crate::front::Front;
use crate::meter::{Accounts, MeterError, Settings};
use crate::plugin::PluginReport;
use crate::running::Plugins;
use crate::shard::Shard;
use crate::streamer::Busy;

/// Rounds on their way to each meter: while it works on one, the reader fills the others.
const ROUNDS_AHEAD: usize = 3;

/// Pieces of a meter's flows that can be there at a time: those on their way, the one that is given out,
/// and the one that is being made.
const PIECES: usize = ROUNDS_AHEAD + 2;

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

/// Several meters at work, in threads of their own.
pub(crate) trait Several: Send {
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
    rounds: Receiver<Round>,
    harvests: Vec<Receiver<Harvest>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    /// What each meter gave in the last round, and how it is doing.
    given: Vec<Given>,
    state: State,
}

/// What a meter gave.
struct Given {
    /// In order.
    flows: VecDeque<Flow>,
    /// To the meter, which uses its memory again.
    emptied: Sender<VecDeque<Flow>>,
    /// Whether more of the round comes.
    has_more: bool,
    tally: Tally,
}

impl Given {
    fn new(emptied: Sender<VecDeque<Flow>>) -> Self {
        Self {
            flows: VecDeque::new(),
            emptied,
            has_more: false,
            tally: Tally::default(),
        }
    }
}

/// What is known by the rounds that are done.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) accounts: Accounts,
    pub(crate) progress: Progress,
    pub(crate) problems: Vec<CaptureError>,
    pub(crate) unknown_links: Vec<LinkType>,
    pub(crate) undissected: u64,
    pub(crate) flows_live: u64,
    pub(crate) memory: u64,
    pub(crate) packets_per_meter: Vec<u64>,
    /// Of each meter.
    pub(crate) plugins: Vec<Vec<PluginReport>>,
    pub(crate) busy: Busy,
    pub(crate) finished: bool,
}

impl Parallel {
    /// Starts `meters` meters over some captures, or an interface.
    pub(crate) fn start(
        origin: Origin,
        settings: Settings,
        meters: usize,
        plugins: Plugins,
        ndpi_files: &NdpiFiles,
    ) -> Result<Self, MeterError> {
        let mut shards = Vec::new();
        let hasher = KeyHasher::new();
        let set = &plugins.set;
        for _ in 0..meters {
            shards.push(Shard::new(&settings, hasher, meters, set, ndpi_files)?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (mut tables, mut harvests, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        let mut given = Vec::new();
        let thread = |name| thread::Builder::new().name(name);
        for (number, shard) in shards.into_iter().enumerate() {
            let (portions, to_do) = sync_channel(ROUNDS_AHEAD);
            let (done, harvest) = sync_channel(ROUNDS_AHEAD);
            let (used, empty) = channel();
            let (empty_flows, emptied) = channel();
            let most_bytes = settings.flow_bytes(meters) / PIECES;
            let meter = thread(format!("flowloom-meter-{number}"))
                .spawn(move || work(shard, &to_do, &done, &used, emptied, most_bytes));
            threads.push(meter.map_err(MeterError::Thread)?);
            given.push(Given::new(empty_flows));
            tables.push(Table {
                portion: Portion::default(),
                portions,
                empty,
            });
            harvests.push(harvest);
        }
        let (announce, rounds) = sync_channel(ROUNDS_AHEAD);
        let reader = Reader {
            origin,
            front: Front::new(&settings, hasher),
            tables,
            shows: Shows::of(plugins.set.plugins(), &settings),
            settings,
            plugins,
            passed_ms: None,
            boundary: None,
            stop: stop.clone(),
        };
        let reader = thread("flowloom-reader".into()).spawn(move || reader.run(&announce));
        threads.push(reader.map_err(MeterError::Thread)?);
        Ok(Self {
            rounds,
            harvests,
            stop,
            threads,
            given,
            state: State {
                packets_per_meter: vec![0; meters],
                plugins: vec![Vec::new(); meters],
                ..State::default()
            },
        })
    }

    /// Waits for the next that a meter gives; its flows of before were taken.
    fn receive(&mut self, meter: usize) {
        let Some(Ok(harvest)) = self.harvests.get(meter).map(Receiver::recv) else {
            return self.panic();
        };
        self.state.packets_per_meter[meter] += harvest.packets;
        if let Some(plugins) = harvest.plugins {
            self.state.plugins[meter] = plugins;
        }
        let given = &mut self.given[meter];
        let emptied = std::mem::replace(&mut given.flows, harvest.flows);
        // At the end the meter may be gone.
        let _ = given.emptied.send(emptied);
        given.has_more = harvest.has_more;
        given.tally = harvest.tally.unwrap_or(given.tally);
    }

    /// Adds up how the meters are doing.
    fn sum(&mut self) {
        let tallies = || self.given.iter().map(|given| given.tally);
        let sum = |of: fn(Tally) -> u64| tallies().map(of).sum();
        self.state.accounts.flows = sum(|tally| tally.ended);
        self.state.accounts.evicted = sum(|tally| tally.evicted);
        self.state.undissected = sum(|tally| tally.undissected);
        self.state.flows_live = sum(|tally| tally.flows_live);
        self.state.memory = sum(|tally| tally.memory);
        self.state.busy.meters = tallies().map(|tally| tally.busy).collect();
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
        for given in &mut self.given {
            given.flows.clear();
            given.has_more = false;
        }
    }

    /// Whoever waits to send to us finds the channels gone.
    fn disconnect(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.harvests.clear();
        (_, self.rounds) = sync_channel(0);
    }
}

impl Several for Parallel {
    fn ready(&mut self) -> Option<Flow> {
        for meter in 0..self.given.len() {
            while self.given[meter].flows.is_empty() && self.given[meter].has_more {
                self.receive(meter);
                self.sum();
            }
        }
        // Each meter's flows are in order.
        let flows = self.given.iter_mut().map(|given| &mut given.flows);
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
        let Ok(round) = self.rounds.recv() else {
            return self.panic();
        };
        for meter in 0..self.given.len() {
            self.receive(meter);
        }
        self.sum();
        let state = &mut self.state;
        state.accounts = Accounts {
            flows: state.accounts.flows,
            evicted: state.accounts.evicted,
            ..round.accounts
        };
        state.progress = round.progress;
        state.busy.reader = Some(round.busy);
        state.problems.extend(round.problems);
        state.unknown_links = round.unknown_links;
        state.finished |= round.last;
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
