//! Several meters of one interface, each with a socket of its own.
//!
//! The kernel deals packets out to the sockets of a group (`PACKET_FANOUT`), and nothing is shared: for a
//! wire that one reader cannot follow. What differs from [`parallel`](crate::parallel): the kernel hashes
//! outer headers and puts fragments of IPv4 together, and flows come in the order in which the meters give
//! them.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::capture::{CaptureError, LinkType, Live, Origin, Read, Stop};
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
    hauls: Receiver<Message>,
    interface: String,
    /// Ends the capture of all sockets: what they have captured is metered.
    stop_capture: Stop,
    /// Ends the meters: what their sockets have captured is dropped.
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    ready: VecDeque<Flow>,
    /// The last that each meter said.
    said: Vec<Said>,
    state: State,
}

/// What comes from the thread of a meter.
enum Message {
    Haul(Box<Haul>),
    /// It ended with this panic.
    Panicked {
        meter: usize,
        message: String,
    },
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

/// The work of a meter's thread.
type Work = Box<dyn FnOnce(&SyncSender<Message>) + Send>;

impl Fanout {
    /// Starts a thread for each meter and its socket.
    pub(crate) fn start(
        meters: Vec<(Live, Meter)>,
        plugins: &Plugins,
        queue_bytes: usize,
        interface: String,
        stop_capture: Stop,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let count = meters.len() as u64;
        let work = meters
            .into_iter()
            .enumerate()
            .map(|(number, (live, mut meter))| {
                meter.count_from(number as u64, count);
                let one = One {
                    number,
                    origin: Origin::Live(Box::new(live)),
                    meter,
                    plugins: plugins.clone(),
                    pending: None,
                    load: Load::Normal,
                    most_bytes: queue_bytes / 2 / (HAULS + 1 + count as usize),
                    stop: stop.clone(),
                };
                Box::new(move |giver: &SyncSender<Message>| one.run(giver)) as Work
            });
        Self::with(work.collect(), interface, stop_capture, stop)
    }

    fn with(
        work: Vec<Work>,
        interface: String,
        stop_capture: Stop,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (giver, hauls) = sync_channel(HAULS);
        let count = work.len();
        let mut fanout = Self {
            hauls,
            interface,
            stop_capture,
            stop,
            threads: Vec::new(),
            ready: VecDeque::new(),
            said: (0..count).map(|_| Said::default()).collect(),
            state: State {
                packets_per_meter: vec![0; count],
                plugins: vec![Vec::new(); count],
                ..State::default()
            },
        };
        for (meter, work) in work.into_iter().enumerate() {
            let giver = giver.clone();
            let thread = thread::Builder::new().name(format!("flowloom-meter-{meter}"));
            fanout.threads.push(thread.spawn(move || {
                // What the panic leaves behind is dropped with the work.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&giver))) {
                    let message = words_of(panic.as_ref());
                    let _ = giver.send(Message::Panicked { meter, message });
                }
            })?);
        }
        Ok(fanout)
    }

    /// The capture of all others ends too: their flows come out, and the run fails.
    fn end_after_panic(&mut self, meter: usize, message: String) {
        let said = &mut self.said[meter];
        said.last = true;
        said.memory = 0;
        let error = CaptureError::MeterPanicked {
            interface: self.interface.clone(),
            meter,
            message,
            flows: std::mem::take(&mut said.flows_live),
        };
        tracing::error!("{error}");
        self.state.problems.push(error);
        self.stop_capture.stop();
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
        match self.hauls.recv() {
            Ok(Message::Haul(haul)) => {
                self.ready = haul.flows;
                self.state.problems.extend(haul.problems);
                self.said[haul.meter] = haul.said;
                self.sum();
            }
            Ok(Message::Panicked { meter, message }) => {
                self.end_after_panic(meter, message);
                self.sum();
            }
            // All threads have ended.
            Err(_) => self.state.finished = true,
        }
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
    /// Bytes of plugins' values after which a haul is full.
    most_bytes: usize,
    stop: Arc<AtomicBool>,
}

impl One {
    fn run(mut self, giver: &SyncSender<Message>) {
        let mut problems = Vec::new();
        let mut told = Instant::now();
        loop {
            let last = self.read(&mut problems);
            if last {
                self.meter.finish();
            }
            loop {
                let (flows, is_all) = self.flows();
                if flows.is_empty() && !last && told.elapsed() < REPORT {
                    break;
                }
                told = Instant::now();
                let haul = Box::new(Haul {
                    meter: self.number,
                    flows,
                    problems: std::mem::take(&mut problems),
                    said: self.say(last && is_all),
                });
                if giver.send(Message::Haul(haul)).is_err() {
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

    /// Flows that are ready, as many as a haul may have; says whether they are all.
    fn flows(&mut self) -> (VecDeque<Flow>, bool) {
        let (mut flows, mut bytes) = (VecDeque::new(), 0);
        while flows.len() < MOST_FLOWS && bytes < self.most_bytes {
            let Some(flow) = self.meter.next_flow() else {
                return (flows, true);
            };
            bytes += flow.outputs.bytes();
            flows.push_back(flow);
        }
        (flows, false)
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

/// What a panic said.
fn words_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::testing::flows;

    fn haul(meter: usize, flows: Vec<Flow>, last: bool) -> Message {
        Message::Haul(Box::new(Haul {
            meter,
            flows: flows.into(),
            problems: Vec::new(),
            said: Said {
                flows_live: 7,
                last,
                ..Said::default()
            },
        }))
    }

    #[test]
    fn a_meter_that_panics_ends_the_run_and_the_flows_of_the_others_come_out() {
        let stop = Stop::default();
        let captures = stop.clone();
        let fails = |giver: &SyncSender<Message>| {
            giver.send(haul(0, flows(3), false)).unwrap();
            panic!("as the test asked for");
        };
        let goes_on = move |giver: &SyncSender<Message>| {
            // It captures until it is asked to end, and has flows left then.
            while !captures.is_stopped() {
                giver.send(haul(1, Vec::new(), false)).unwrap();
            }
            giver.send(haul(1, flows(5), false)).unwrap();
            giver.send(haul(1, flows(2), true)).unwrap();
        };
        let work: Vec<Work> = vec![Box::new(fails), Box::new(goes_on)];
        let mut fanout = Fanout::with(work, "eth0".into(), stop, Arc::default()).unwrap();
        let mut came = 0;
        while !fanout.state().finished {
            fanout.gather();
            came += std::iter::from_fn(|| fanout.ready()).count();
        }
        assert_eq!(came, 3 + 5 + 2);
        let [problem] = &fanout.state().problems[..] else {
            panic!("{:?}", fanout.state().problems);
        };
        assert!(!problem.is_damage());
        assert_eq!(
            problem.to_string(),
            "meter 0 of eth0 panicked: as the test asked for; its live flows, 7 when it last said so, are \
             lost, and the run ends"
        );
        // What is live is in the other meter.
        assert_eq!(fanout.state().flows_live, 7);
    }

    #[test]
    fn meters_that_all_panic_end_the_run_as_well() {
        fn fail(_: &SyncSender<Message>) {
            panic!("no {}", "more");
        }
        let fails = || Box::new(fail) as Work;
        let (stop, work) = (Stop::default(), vec![fails(), fails()]);
        let mut fanout = Fanout::with(work, "eth0".into(), stop, Arc::default()).unwrap();
        fanout.stop();
        let problems = &fanout.state().problems;
        assert_eq!(problems.len(), 2);
        assert!(problems[0].to_string().contains(" panicked: no more; "));
    }
}
