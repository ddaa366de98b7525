//! Several meters side by side, fed by one reader.
//!
//! The reader decodes every packet once, stamps it, and deals packets out by a symmetric hash of
//! their flow keys; every meter has its own flow table and plugin instances, and nothing is shared.
//! Work goes in rounds: each meter gets its portion of a round, and what they all give back is put
//! into one order, which does not depend on how many meters there are.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::capture::{CaptureError, Dropped, LinkType, Origin, Read};
use crate::decode::Packet;
use crate::dissect::{Dissector, NdpiFiles};
use crate::flow::{Arrival, CHUNK, Flow};
use crate::front::Front;
use crate::load::Load;
use crate::meter::{Accounts, MeterError, Settings};
use crate::plugin::{Grants, Plugin, PluginReport, PluginSet};
use crate::running::Plugins;
use crate::shard::Shard;
use crate::streamer::Busy;
use crate::time::{Time, thread_time};

/// Packets of a round for each meter: some full batches of events, so that waking threads up costs
/// little a packet.
const ROUND_PACKETS: usize = if cfg!(fuzzing) { 4 } else { 4_096 };
/// Bytes of a round for each meter, for plugins that want to see packets.
const ROUND_BYTES: usize = 1 << 20;
/// Rounds on their way to each meter: while it works on one, the reader fills the others.
const ROUNDS_AHEAD: usize = 3;

/// How often a meter tells what its plugins did.
const REPORT: Duration = Duration::from_secs(1);

/// Bytes of a TCP header without options, the longest transport header that fields are read from.
const TCP_HEADER: usize = 20;

/// What one meter is to do in a round.
#[derive(Default)]
struct Portion {
    packets: Vec<Dealt>,
    /// The bytes of packets that plugins may be shown.
    bytes: Vec<u8>,
    /// Times at which flows of any meter may fall idle, and the ordinals of the packets that tell.
    passes: Vec<(u64, u64)>,
    /// What is to be given up.
    load: Load,
    /// The ordinal of the round's first packet.
    first: u64,
    /// The plugins for flows that begin from here on, where they change.
    plugins: Option<Arc<PluginSet>>,
    /// Nothing comes after it.
    last: bool,
}

/// A packet that was dealt out.
struct Dealt {
    packet: Packet,
    time: Time,
    ordinal: u64,
    hash: u32,
    start: usize,
    len: usize,
}

/// What one meter gives back after a round.
struct Harvest {
    flows: VecDeque<Flow>,
    ended: u64,
    evicted: u64,
    /// Packets of the round.
    packets: u64,
    undissected: u64,
    flows_live: u64,
    memory: u64,
    /// After the last round, and about every second.
    plugins: Option<Vec<PluginReport>>,
    /// Processor time of its thread so far.
    busy: Duration,
}

/// What the reader says of a round.
struct Round {
    accounts: Accounts,
    progress: Progress,
    problems: Vec<CaptureError>,
    unknown_links: Vec<LinkType>,
    /// Processor time of the reader's thread so far.
    busy: Duration,
    last: bool,
}

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes_read: u64,
    pub(crate) total_bytes: Option<u64>,
    pub(crate) packets_read: u64,
    pub(crate) packets_filtered: u64,
    pub(crate) packets_dropped: Option<Dropped>,
}

impl Progress {
    pub(crate) fn of(origin: &Origin) -> Self {
        Self {
            bytes_read: origin.bytes_read(),
            total_bytes: origin.total_bytes(),
            packets_read: origin.packets_read(),
            packets_filtered: origin.packets_filtered(),
            packets_dropped: origin.dropped(),
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
    /// What each meter gave in the last round, in order.
    ready: Vec<VecDeque<Flow>>,
    state: State,
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
        let set = &plugins.set;
        for _ in 0..meters {
            let dissector = Dissector::new(settings.n_dissections, ndpi_files, set.plugins())?;
            shards.push(Shard::new(&settings, meters, set, dissector)?);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (mut tables, mut harvests, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for shard in shards {
            let (portions, to_do) = sync_channel(ROUNDS_AHEAD);
            let (done, harvest) = sync_channel(ROUNDS_AHEAD);
            let (used, empty) = channel();
            threads.push(thread::spawn(move || work(shard, &to_do, &done, &used)));
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
            front: Front::new(&settings),
            tables,
            shows: Shows::of(plugins.set.plugins(), &settings),
            settings,
            plugins,
            passed_ms: None,
            stop: stop.clone(),
        };
        threads.push(thread::spawn(move || reader.run(&announce)));
        Ok(Self {
            rounds,
            harvests,
            stop,
            threads,
            ready: Vec::new(),
            state: State {
                packets_per_meter: vec![0; meters],
                plugins: vec![Vec::new(); meters],
                ..State::default()
            },
        })
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
        // Each meter's flows are in order.
        let next =
            |flows: &&mut VecDeque<Flow>| flows.front().map(|flow| (flow.ended, flow.record.id));
        let flows = self.ready.iter_mut().filter(|flows| !flows.is_empty());
        flows.min_by_key(next)?.pop_front()
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while !self.state.finished {
            self.ready.clear();
            self.gather();
        }
        self.ready.clear();
    }

    fn state(&self) -> &State {
        &self.state
    }

    fn gather(&mut self) {
        let Ok(round) = self.rounds.recv() else {
            return self.panic();
        };
        let (mut ended, mut evicted) = (0, 0);
        let mut busy = Vec::new();
        self.ready.clear();
        let (mut undissected, mut flows_live, mut memory) = (0, 0, 0);
        for (meter, harvest) in self.harvests.iter().enumerate() {
            let Ok(harvest) = harvest.recv() else {
                return self.panic();
            };
            self.state.packets_per_meter[meter] += harvest.packets;
            if let Some(plugins) = harvest.plugins {
                self.state.plugins[meter] = plugins;
            }
            undissected += harvest.undissected;
            flows_live += harvest.flows_live;
            memory += harvest.memory;
            self.ready.push(harvest.flows);
            ended += harvest.ended;
            evicted += harvest.evicted;
            busy.push(harvest.busy);
        }
        let state = &mut self.state;
        state.accounts = Accounts {
            flows: ended,
            evicted,
            ..round.accounts
        };
        state.progress = round.progress;
        state.busy = Busy {
            reader: Some(round.busy),
            meters: busy,
        };
        state.problems.extend(round.problems);
        state.unknown_links = round.unknown_links;
        state.undissected = undissected;
        state.flows_live = flows_live;
        state.memory = memory;
        state.finished = round.last;
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

/// One meter's side of the reader.
struct Table {
    portion: Portion,
    portions: SyncSender<Portion>,
    /// Portions that the meter is done with.
    empty: Receiver<Portion>,
}

struct Reader {
    origin: Origin,
    front: Front,
    tables: Vec<Table>,
    settings: Settings,
    plugins: Plugins,
    /// What the meters are given of frames.
    shows: Shows,
    /// The last time that was passed on to the meters, in ms.
    passed_ms: Option<u64>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn run(mut self, announce: &SyncSender<Round>) {
        loop {
            let mut problems = Vec::new();
            let last = self.fill(&mut problems);
            for table in &mut self.tables {
                let next = table.empty.try_recv().unwrap_or_default();
                let mut portion = std::mem::replace(&mut table.portion, next);
                portion.last = last;
                portion.load = self.origin.load();
                if table.portions.send(portion).is_err() {
                    return;
                }
            }
            let (accounts, progress) = (self.front.accounts, Progress::of(&self.origin));
            if announce
                .send(Round {
                    accounts,
                    progress,
                    problems,
                    unknown_links: self.front.unknown_links.clone(),
                    busy: thread_time(),
                    last,
                })
                .is_err()
                || last
            {
                return;
            }
        }
    }

    /// Deals out the packets of a round; says whether it is the last.
    fn fill(&mut self, problems: &mut Vec<CaptureError>) -> bool {
        let meters = self.tables.len();
        let changed = self.plugins.changed();
        if let Some(set) = &changed {
            // Flows of the plugins before are shown theirs until they end.
            self.shows.widen(Shows::of(set.plugins(), &self.settings));
        }
        for table in &mut self.tables {
            table.portion.first = self.front.next;
            table.portion.plugins.clone_from(&changed);
        }
        let (mut packets, mut bytes) = (0, 0);
        while packets < ROUND_PACKETS * meters && bytes < ROUND_BYTES * meters {
            if self.stop.load(Ordering::Relaxed) {
                return true;
            }
            let found = match self.origin.read() {
                Ok(Read::Packets(found)) => found,
                // The meters deliver what waits at the end of a round.
                Ok(Read::Pause(now)) => {
                    if let Some(now) = now {
                        let pass = (now.ms(), self.front.next);
                        for table in &mut self.tables {
                            table.portion.passes.push(pass);
                        }
                    }
                    return false;
                }
                Ok(Read::End) => return true,
                Err(error) => {
                    tracing::warn!("{error}");
                    problems.push(error);
                    continue;
                }
            };
            let mut arrival = Arrival::default();
            for raw in found.iter() {
                if !self.front.take(&raw, &mut arrival) {
                    continue;
                }
                let time_ms = arrival.time_ms();
                if self.passed_ms != Some(time_ms) {
                    self.passed_ms = Some(time_ms);
                    for table in &mut self.tables {
                        table.portion.passes.push((time_ms, arrival.ordinal));
                    }
                }
                // The upper bits of the product: those of the hash itself choose within the table.
                let spread = arrival.hash.wrapping_mul(0x9E37_79B1);
                let meter = ((u64::from(spread) * meters as u64) >> 32) as usize;
                let shown = self.shows.of_frame(&arrival);
                self.tables[meter].portion.add(&arrival, shown);
                packets += 1;
                bytes += shown.len();
            }
        }
        false
    }
}

impl Portion {
    fn add(&mut self, arrival: &Arrival<'_>, shown: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(shown);
        self.packets.push(Dealt {
            packet: Packet {
                ip_end: shown.len() as u32,
                ..arrival.packet.clone()
            },
            time: arrival.time,
            ordinal: arrival.ordinal,
            hash: arrival.hash,
            start,
            len: shown.len(),
        });
    }

    fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
        self.passes.clear();
    }
}

/// How much of a frame the meters look at.
#[derive(Clone, Copy)]
struct Shows {
    nothing: bool,
    payload: usize,
    bytes: usize,
}

impl Shows {
    fn widen(&mut self, other: Self) {
        *self = Self {
            nothing: self.nothing && other.nothing,
            payload: self.payload.max(other.payload),
            bytes: self.bytes.max(other.bytes),
        };
    }

    /// The plugins' share, and what the meters themselves read.
    fn of(plugins: &[Arc<Plugin>], settings: &Settings) -> Self {
        let most = |bytes: fn(&Plugin) -> u32| {
            plugins
                .iter()
                .map(|plugin| bytes(plugin))
                .max()
                .unwrap_or(0) as usize
        };
        Self {
            nothing: plugins.is_empty() && !settings.end_on_fin && settings.n_dissections == 0,
            payload: most(|plugin| plugin.manifest().payload_bytes),
            bytes: match settings.n_dissections {
                0 => most(|plugin| plugin.manifest().packet_bytes),
                _ => Grants::MOST_BYTES as usize,
            },
        }
    }

    /// The headers, which packet fields are read from, and as many bytes as are asked for.
    fn of_frame<'a>(&self, arrival: &Arrival<'a>) -> &'a [u8] {
        if self.nothing {
            return &[];
        }
        let packet = &arrival.packet;
        // A TCP header may say that it is shorter than what is read of it.
        let end = (packet.transport_at as usize + TCP_HEADER)
            .max(packet.payload_at as usize + self.payload)
            .max(packet.ip_at as usize + self.bytes);
        &arrival.frame[..end.min(packet.ip_end as usize)]
    }
}

/// A meter's thread.
fn work(
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
