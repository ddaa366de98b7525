//! Several meters of one interface, each with a socket of its own.
//!
//! The kernel deals packets out to the sockets of a group (`PACKET_FANOUT`), and nothing is shared: for a
//! wire that one reader cannot follow. What differs from [`parallel`](crate::parallel): the kernel hashes
//! outer headers and puts fragments of IPv4 together, and flows come in the order in which the meters give
//! them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::capture::{CaptureError, LinkType, Live, Origin, Read};
use crate::flow::Flow;
use crate::load::Load;
use crate::meter::{Accounts, Meter};
use crate::parallel::{Progress, Several, State};
use crate::plugin::{PluginReport, PluginSet};
use crate::running::Plugins;
use crate::streamer::Busy;
use crate::time::thread_time;

/// How often a meter says how it is doing when it has no flows to give.
const REPORT: Duration = Duration::from_millis(100);
/// Flows that a meter gives at once.
const MOST_FLOWS: usize = 4_096;
/// Hauls on their way from all meters.
const HAULS: usize = 8;

/// The meters at work.
pub(crate) struct Fanout {
    hauls: Receiver<Haul>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    ready: VecDeque<Flow>,
    /// The last that each meter said.
    said: Vec<Said>,
    state: State,
}

/// What a meter gives.
struct Haul {
    meter: usize,
    flows: VecDeque<Flow>,
    problems: Vec<CaptureError>,
    said: Said,
}

/// How a meter is doing.
#[derive(Default)]
struct Said {
    accounts: Accounts,
    progress: Progress,
    unknown_links: Vec<LinkType>,
    undissected: u64,
    flows_live: u64,
    memory: u64,
    plugins: Vec<PluginReport>,
    busy: Duration,
    last: bool,
}

impl Fanout {
    /// Starts a thread for each meter and its socket.
    pub(crate) fn start(meters: Vec<(Live, Meter)>, plugins: &Plugins) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (giver, hauls) = sync_channel(HAULS);
        let (count, mut threads) = (meters.len(), Vec::new());
        for (number, (live, mut meter)) in meters.into_iter().enumerate() {
            meter.count_from(number as u64, count as u64);
            let one = One {
                number,
                origin: Origin::Live(Box::new(live)),
                meter,
                plugins: plugins.clone(),
                pending: None,
                load: Load::Normal,
                stop: stop.clone(),
                giver: giver.clone(),
            };
            threads.push(thread::spawn(move || one.run()));
        }
        Self {
            hauls,
            stop,
            threads,
            ready: VecDeque::new(),
            said: (0..count).map(|_| Said::default()).collect(),
            state: State {
                packets_per_meter: vec![0; count],
                plugins: vec![Vec::new(); count],
                ..State::default()
            },
        }
    }

    fn sum(&mut self) {
        let said = &self.said;
        let sum = |of: fn(&Said) -> u64| said.iter().map(of).sum();
        let state = &mut self.state;
        state.accounts = said
            .iter()
            .fold(Accounts::default(), |sum, said| sum.and(&said.accounts));
        state.progress = said
            .iter()
            .fold(Progress::default(), |sum, said| sum.and(&said.progress));
        state.undissected = sum(|said| said.undissected);
        state.flows_live = sum(|said| said.flows_live);
        state.memory = sum(|said| said.memory);
        state.packets_per_meter = said.iter().map(|said| said.accounts.metered).collect();
        state.plugins = said.iter().map(|said| said.plugins.clone()).collect();
        for link in said.iter().flat_map(|said| &said.unknown_links) {
            if !state.unknown_links.contains(link) {
                state.unknown_links.push(*link);
            }
        }
        state.busy = Busy {
            reader: None,
            meters: said.iter().map(|said| said.busy).collect(),
        };
        state.finished = said.iter().all(|said| said.last);
    }

    fn disconnect(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        (_, self.hauls) = sync_channel(0);
    }
}

impl Several for Fanout {
    fn ready(&mut self) -> Option<Flow> {
        self.ready.pop_front()
    }

    fn gather(&mut self) {
        let Ok(haul) = self.hauls.recv() else {
            // A thread that went away without a word has panicked: so does the caller.
            self.disconnect();
            for thread in self.threads.drain(..) {
                if let Err(panic) = thread.join() {
                    std::panic::resume_unwind(panic);
                }
            }
            self.state.finished = true;
            return;
        };
        self.ready = haul.flows;
        self.state.problems.extend(haul.problems);
        self.said[haul.meter] = haul.said;
        self.sum();
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while !self.state.finished {
            self.gather();
        }
        self.ready.clear();
    }

    fn state(&self) -> &State {
        &self.state
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        self.disconnect();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One meter with its socket.
struct One {
    number: usize,
    origin: Origin,
    meter: Meter,
    plugins: Plugins,
    /// Plugins that the meter could not go over to yet.
    pending: Option<Arc<PluginSet>>,
    load: Load,
    stop: Arc<AtomicBool>,
    giver: SyncSender<Haul>,
}

impl One {
    fn run(mut self) {
        let mut problems = Vec::new();
        let mut told = Instant::now();
        loop {
            let last = self.read(&mut problems);
            if last {
                self.meter.finish();
            }
            loop {
                let flows: VecDeque<_> = std::iter::from_fn(|| self.meter.next_flow())
                    .take(MOST_FLOWS)
                    .collect();
                let is_all = flows.len() < MOST_FLOWS;
                if flows.is_empty() && !last && told.elapsed() < REPORT {
                    break;
                }
                told = Instant::now();
                let haul = Haul {
                    meter: self.number,
                    flows,
                    problems: std::mem::take(&mut problems),
                    said: self.say(last && is_all),
                };
                if self.giver.send(haul).is_err() {
                    return;
                }
                if is_all {
                    break;
                }
            }
            if last {
                return;
            }
        }
    }

    /// Reads once; says whether that was the last time.
    fn read(&mut self, problems: &mut Vec<CaptureError>) -> bool {
        let load = self.origin.load();
        if load != Load::Normal || self.load != load {
            self.load = load;
            self.meter.relieve(load);
        }
        match self.origin.read() {
            _ if self.stop.load(Ordering::Relaxed) => return true,
            Ok(Read::Packets(packets)) => {
                self.pending = self.plugins.changed().or(self.pending.take());
                self.pending = self
                    .pending
                    .take()
                    .filter(|plugins| !self.meter.set_plugins(plugins));
                self.meter.push(packets.iter());
            }
            Ok(Read::Pause(Some(now))) => self.meter.advance(now),
            Ok(Read::Pause(None)) => self.meter.flush(),
            Ok(Read::Boundary(boundary)) => self.meter.cross(boundary),
            Ok(Read::End) => return true,
            Err(error) => {
                tracing::warn!("{error}");
                problems.push(error);
            }
        }
        false
    }

    fn say(&self, last: bool) -> Said {
        Said {
            accounts: self.meter.accounts(),
            progress: Progress::of(&self.origin),
            unknown_links: self.meter.unknown_links().to_vec(),
            undissected: self.meter.undissected(),
            flows_live: self.meter.live_flows() as u64,
            memory: self.meter.memory() as u64,
            plugins: self.meter.plugins(),
            busy: thread_time(),
            last,
        }
    }
}
