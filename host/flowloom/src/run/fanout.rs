//! Several meters on one interface, each with its own socket.
//!
//! The kernel distributes packets to the sockets of a group (`PACKET_FANOUT`), and the meters share nothing.
//! This is for links that are too fast for one reader. There are two differences from
//! [`parallel`](crate::run::parallel). The kernel hashes outer headers and reassembles IPv4 fragments. Flows
//! have the order in which the meters send them.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use flowloom_core::flow::Flow;
use flowloom_core::link_type::LinkType;
use flowloom_core::meter::Counters;
use flowloom_plugin::{PluginReport, thread_time};

use super::meter::Meter;
use super::plugin_updates::PluginUpdates;
use super::source_meter::SourceMeter;
use super::status::{CpuTime, ParallelMeters, Progress, State};
use crate::capture::{CaptureError, LiveCapture, PacketSource, StopSignal};

/// The interval at which a meter sends its status if it has no flows to send.
const STATUS_INTERVAL: Duration = Duration::from_millis(100);
/// The maximum number of flows in one output.
const MAX_FLOWS: usize = 4_096;
/// The capacity of the channel that all meters share, in messages.
const CHANNEL_CAPACITY: usize = 8;

/// The running meters.
pub(crate) struct Fanout {
    outputs: Receiver<Message>,
    interface: String,
    /// Ends the capture of all sockets. Packets that they have captured are still metered.
    stop_capture: StopSignal,
    /// Ends the meters. Packets that their sockets have captured are dropped.
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    ready: VecDeque<Flow>,
    /// The last status of each meter.
    status: Vec<MeterStatus>,
    state: State,
}

/// A message from the thread of a meter.
enum Message {
    FanoutOutput(Box<FanoutOutput>),
    /// The thread panicked. It sends nothing further.
    Panicked {
        meter: usize,
        message: String,
    },
}

/// Ended flows of a meter, with its status.
struct FanoutOutput {
    meter: usize,
    flows: VecDeque<Flow>,
    problems: Vec<CaptureError>,
    status: MeterStatus,
}

/// The status of a meter.
#[derive(Default)]
struct MeterStatus {
    counters: Counters,
    progress: Progress,
    unknown_links: Vec<LinkType>,
    undissected: u64,
    flows_live: u64,
    /// In bytes.
    memory: u64,
    plugins: Vec<PluginReport>,
    /// The processor time of the thread so far.
    cpu_time: Duration,
    /// Whether this is the last status of the meter.
    last: bool,
}

/// The function that a meter's thread runs.
type Work = Box<dyn FnOnce(&SyncSender<Message>) + Send>;

impl Fanout {
    /// Starts a thread for each meter and its socket.
    pub(crate) fn start(
        meters: Vec<(LiveCapture, Meter)>,
        plugins: &PluginUpdates,
        queue_bytes: usize,
        interface: String,
        stop_capture: StopSignal,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let count = meters.len() as u64;
        let work = meters
            .into_iter()
            .enumerate()
            .map(|(number, (live, mut meter))| {
                meter.set_ordinals(number as u64, count);
                let origin = PacketSource::Live(Box::new(live));
                let meter = FanoutMeter {
                    number,
                    source: SourceMeter::new(origin, meter, plugins.clone()),
                    max_bytes: queue_bytes / 2 / (CHANNEL_CAPACITY + 1 + count as usize),
                    stop: stop.clone(),
                };
                Box::new(move |sender: &SyncSender<Message>| meter.run(sender)) as Work
            });
        Self::with(work.collect(), interface, stop_capture, stop)
    }

    /// Starts a thread for each element of `work`.
    fn with(
        work: Vec<Work>,
        interface: String,
        stop_capture: StopSignal,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (sender, outputs) = sync_channel(CHANNEL_CAPACITY);
        let count = work.len();
        let mut fanout = Self {
            outputs,
            interface,
            stop_capture,
            stop,
            threads: Vec::new(),
            ready: VecDeque::new(),
            status: (0..count).map(|_| MeterStatus::default()).collect(),
            state: State {
                packets_per_meter: vec![0; count],
                plugins: vec![Vec::new(); count],
                ..State::default()
            },
        };
        for (meter, work) in work.into_iter().enumerate() {
            let sender = sender.clone();
            let thread = thread::Builder::new().name(format!("flowloom-meter-{meter}"));
            fanout.threads.push(thread.spawn(move || {
                // No state is used after the panic: `work` is dropped.
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&sender))) {
                    let message = panic_message(panic.as_ref());
                    let _ = sender.send(Message::Panicked { meter, message });
                }
            })?);
        }
        Ok(fanout)
    }

    /// Handles the panic of a meter: ends the capture of the other meters. Their flows are still returned, and
    /// the run fails.
    fn end_after_panic(&mut self, meter: usize, message: String) {
        let status = &mut self.status[meter];
        status.last = true;
        status.memory = 0;
        let error = CaptureError::MeterPanicked {
            interface: self.interface.clone(),
            meter,
            message,
            flows: std::mem::take(&mut status.flows_live),
        };
        tracing::error!("{error}");
        self.state.problems.push(error);
        self.stop_capture.stop();
    }

    /// Recomputes the state from the last status of each meter.
    fn sum(&mut self) {
        let status = &self.status;
        let sum = |of: fn(&MeterStatus) -> u64| status.iter().map(of).sum();
        let state = &mut self.state;
        state.counters = status
            .iter()
            .fold(Counters::default(), |sum, status| sum.and(&status.counters));
        state.progress = status
            .iter()
            .fold(Progress::default(), |sum, status| sum.and(&status.progress));
        state.undissected = sum(|status| status.undissected);
        state.flows_live = sum(|status| status.flows_live);
        state.memory = sum(|status| status.memory);
        state.packets_per_meter = status
            .iter()
            .map(|status| status.counters.metered)
            .collect();
        state.plugins = status.iter().map(|status| status.plugins.clone()).collect();
        for link in status.iter().flat_map(|status| &status.unknown_links) {
            if !state.unknown_links.contains(link) {
                state.unknown_links.push(*link);
            }
        }
        state.cpu_time = CpuTime {
            reader: None,
            reader_turns: None,
            meters: status.iter().map(|status| status.cpu_time).collect(),
        };
        state.finished = status.iter().all(|status| status.last);
    }

    /// Stops the meters, and unblocks those that wait to send.
    fn disconnect(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        (_, self.outputs) = sync_channel(0);
    }
}

impl ParallelMeters for Fanout {
    fn ready(&mut self) -> Option<Flow> {
        self.ready.pop_front()
    }

    fn gather(&mut self) {
        match self.outputs.recv() {
            Ok(Message::FanoutOutput(output)) => {
                self.ready = output.flows;
                self.state.problems.extend(output.problems);
                self.status[output.meter] = output.status;
                self.sum();
            }
            Ok(Message::Panicked { meter, message }) => {
                self.end_after_panic(meter, message);
                self.sum();
            }
            // All senders are gone, so all threads have ended.
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

/// One meter and its socket.
struct FanoutMeter {
    number: usize,
    source: SourceMeter,
    /// An output takes further flows until its plugin values have this number of bytes.
    max_bytes: usize,
    stop: Arc<AtomicBool>,
}

impl FanoutMeter {
    /// Meters packets and sends outputs, until the capture ends or the receiver is gone.
    fn run(mut self, sender: &SyncSender<Message>) {
        let mut problems = Vec::new();
        let mut last_sent = Instant::now();
        loop {
            let last = self.read(&mut problems);
            if last {
                self.source.meter.end();
            }
            loop {
                let (flows, none_left) = self.flows();
                if flows.is_empty() && !last && last_sent.elapsed() < STATUS_INTERVAL {
                    break;
                }
                last_sent = Instant::now();
                let output = Box::new(FanoutOutput {
                    meter: self.number,
                    flows,
                    problems: std::mem::take(&mut problems),
                    status: self.status(last && none_left),
                });
                if sender.send(Message::FanoutOutput(output)).is_err() {
                    return;
                }
                if none_left {
                    break;
                }
            }
            if last {
                return;
            }
        }
    }

    /// Reads once from the socket. Returns whether this was the last read.
    fn read(&mut self, problems: &mut Vec<CaptureError>) -> bool {
        match self.source.read() {
            _ if self.stop.load(Ordering::Relaxed) => true,
            Ok(is_end) => is_end,
            Err(error) => {
                tracing::warn!("{error}");
                problems.push(error);
                false
            }
        }
    }

    /// Takes flows that are ready, up to the limits of an output. Returns whether none is left.
    fn flows(&mut self) -> (VecDeque<Flow>, bool) {
        let (mut flows, mut bytes) = (VecDeque::new(), 0);
        while flows.len() < MAX_FLOWS && bytes < self.max_bytes {
            let Some(flow) = self.source.meter.next_flow() else {
                return (flows, true);
            };
            bytes += flow.outputs.bytes();
            flows.push_back(flow);
        }
        (flows, false)
    }

    fn status(&self, last: bool) -> MeterStatus {
        MeterStatus {
            counters: self.source.meter.counters(),
            progress: Progress::of(&self.source.origin),
            unknown_links: self.source.meter.unknown_links().to_vec(),
            undissected: self.source.meter.undissected(),
            flows_live: self.source.meter.live_flows() as u64,
            memory: self.source.meter.memory() as u64,
            plugins: self.source.meter.plugins(),
            cpu_time: thread_time(),
            last,
        }
    }
}

/// Returns the message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use flowloom_core::meter::testing::flows;

    use super::*;

    fn output(meter: usize, flows: Vec<Flow>, last: bool) -> Message {
        Message::FanoutOutput(Box::new(FanoutOutput {
            meter,
            flows: flows.into(),
            problems: Vec::new(),
            status: MeterStatus {
                flows_live: 7,
                last,
                ..MeterStatus::default()
            },
        }))
    }

    #[test]
    fn a_panic_of_a_meter_ends_the_run_after_the_flows_of_the_others() {
        let stop = StopSignal::default();
        let captures = stop.clone();
        let fails = |sender: &SyncSender<Message>| {
            sender.send(output(0, flows(3), false)).unwrap();
            panic!("injected by the test");
        };
        let continues = move |sender: &SyncSender<Message>| {
            // This meter captures until it is told to end. It then still has flows.
            while !captures.is_stopped() {
                sender.send(output(1, Vec::new(), false)).unwrap();
            }
            sender.send(output(1, flows(5), false)).unwrap();
            sender.send(output(1, flows(2), true)).unwrap();
        };
        let work: Vec<Work> = vec![Box::new(fails), Box::new(continues)];
        let mut fanout = Fanout::with(work, "eth0".into(), stop, Arc::default()).unwrap();
        let mut count_of_flows = 0;
        while !fanout.state().finished {
            fanout.gather();
            count_of_flows += std::iter::from_fn(|| fanout.ready()).count();
        }
        assert_eq!(count_of_flows, 3 + 5 + 2);
        let [problem] = &fanout.state().problems[..] else {
            panic!("{:?}", fanout.state().problems);
        };
        assert!(!problem.is_damage());
        assert_eq!(
            problem.to_string(),
            "meter 0 of 'eth0' panicked: injected by the test; the run ends, and the live flows of this \
             meter are lost (last known number: 7)"
        );
        // Only the live flows of the other meter remain.
        assert_eq!(fanout.state().flows_live, 7);
    }

    #[test]
    fn panics_of_all_meters_end_the_run() {
        fn fail(_: &SyncSender<Message>) {
            panic!("no {}", "more");
        }
        let fails = || Box::new(fail) as Work;
        let (stop, work) = (StopSignal::default(), vec![fails(), fails()]);
        let mut fanout = Fanout::with(work, "eth0".into(), stop, Arc::default()).unwrap();
        fanout.stop();
        let problems = &fanout.state().problems;
        assert_eq!(problems.len(), 2);
        assert!(problems[0].to_string().contains(" panicked: no more; "));
    }
}
