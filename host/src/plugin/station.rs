//! The plugins of one meter: shows them the events of its flows and collects their values.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Batch, Kind, MOST_EVENTS};
use super::bindings::feature::Verdict;
use super::budget::Budget;
use super::error::{PluginError, Trap};
use super::health::{Health, PluginState};
use super::instance::Instance;
use super::record::{self, Records};
use super::registry::Plugin;
use super::{manifest::Manifest, outputs};
use crate::flow::slab::{Places, Segmented};
use crate::flow::{Arrival, Flow, FlowView, Schema};
use crate::time::Time;
use crate::value::UdpValue;

/// What one plugin did in a run.
#[derive(Clone, Debug, Default)]
pub struct PluginReport {
    /// The operator's name for it.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// How it is doing; of several meters, where it is doing worst.
    pub state: PluginState,
    /// Events it was shown.
    pub events: u64,
    /// Calls into it.
    pub calls: u64,
    /// Time that these calls took.
    pub time: Duration,
    /// Calls that failed.
    pub traps: u64,
    /// How the last of them failed.
    pub last_trap: Option<Trap>,
    /// Flows whose values are null because it held them when it trapped, or because they began before
    /// it was started again.
    pub flows_lost: u64,
    /// Flows that were not offered to it because it held as many as it may.
    pub flows_skipped: u64,
    /// Flows that were not offered to it because it took too much of a meter that could not keep up.
    pub flows_shed: u64,
    /// Values that were not what it declared; they are null.
    pub bad_outputs: u64,
    /// Bytes of memory and tables its instances had at last.
    pub memory: usize,
}

impl PluginReport {
    /// What the plugins did on all meters, of which each has reported on all plugins.
    pub(crate) fn sum(meters: Vec<Vec<Self>>) -> Vec<Self> {
        let add = |mut sum: Vec<Self>, reports: Vec<Self>| {
            for (sum, report) in sum.iter_mut().zip(reports) {
                sum.state = sum.state.max(report.state);
                sum.events += report.events;
                sum.calls += report.calls;
                sum.time += report.time;
                sum.traps += report.traps;
                sum.last_trap = report.last_trap.or(sum.last_trap.take());
                sum.flows_lost += report.flows_lost;
                sum.flows_skipped += report.flows_skipped;
                sum.flows_shed += report.flows_shed;
                sum.bad_outputs += report.bad_outputs;
                sum.memory += report.memory;
            }
            sum
        };
        meters.into_iter().reduce(add).unwrap_or_default()
    }
}

/// All plugins of a meter.
pub(crate) struct Station {
    hosted: Vec<Hosted>,
    /// Ended flows whose values are still in some batch.
    waiting: VecDeque<Flow>,
    has_batches: bool,
    /// Whether any plugin is shown packets' bytes, of which a batch may be full.
    has_bytes: bool,
    /// Events in the fullest batch.
    fullest: usize,
}

struct Hosted {
    plugin: Arc<Plugin>,
    schema: Arc<Schema>,
    /// None from a trap until it is started again.
    instance: Option<Instance>,
    /// The first packet that the instance may have seen: flows that began before are not its own.
    since: u64,
    health: Health,
    /// The time of the last packet.
    now: Time,
    /// The last event, while it is on trial.
    event: Option<Event>,
    shape: Shape,
    /// For each place in the flow table the slot of its flow in the instance, plus one; 0 where the
    /// instance does not hold the flow.
    slots: Segmented<u32>,
    free: Places,
    /// As in its manifest.
    packets_per_flow: u64,
    /// Where its values stand among a flow's.
    first_output: usize,
    report: PluginReport,
    budget: Budget,
}

/// How events are delivered.
enum Shape {
    Columns(Batch),
    Records(Records),
}

/// What a call into a plugin was about. Packets and flows by the ordinal of the packet.
#[derive(Clone, Copy)]
enum Event {
    Packet { kind: Kind, packet: u64, flow: u64 },
    Expire { flow: u64 },
    Batch { events: usize },
    Start,
    Finish,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { kind, packet, flow } => {
                let name = match kind {
                    Kind::Init => "init",
                    _ => "update",
                };
                write!(f, "in {name}, packet {packet} of flow {flow}")
            }
            Self::Expire { flow } => write!(f, "in expire of flow {flow}"),
            Self::Batch { events } => write!(f, "in a batch of {events} events"),
            Self::Start => f.write_str("when it was started again"),
            Self::Finish => f.write_str("in finish"),
        }
    }
}

impl Event {
    fn of(kind: Kind, arrival: &Arrival<'_>, flow: FlowView<'_>) -> Self {
        Self::Packet {
            kind,
            packet: arrival.ordinal,
            flow: flow.record.id,
        }
    }
}

impl Station {
    /// Opens an instance of every plugin. `schema` is that of the flows.
    pub(crate) fn open(plugins: &[Arc<Plugin>], schema: &Arc<Schema>) -> Result<Self, PluginError> {
        let mut first_output = 0;
        let mut hosted = Vec::new();
        for plugin in plugins {
            let instance = plugin.open(schema)?;
            hosted.push(Hosted::new(plugin.clone(), schema, instance, first_output));
            first_output += plugin.manifest().outputs.len();
        }
        let has_batches = hosted
            .iter()
            .any(|hosted| matches!(hosted.shape, Shape::Columns(_)));
        Ok(Self {
            hosted,
            waiting: VecDeque::new(),
            has_batches,
            has_bytes: plugins.iter().any(|plugin| {
                plugin.manifest().packet_bytes > 0 || plugin.manifest().payload_bytes > 0
            }),
            fullest: 0,
        })
    }

    /// Shows the first packet of the flow at `place`; says whether a plugin cuts the flow.
    pub(crate) fn init(
        &mut self,
        place: u32,
        arrival: &Arrival<'_>,
        flow: FlowView<'_>,
        ready: &mut VecDeque<Flow>,
    ) -> bool {
        if self.hosted.is_empty() {
            return false;
        }
        self.make_room(Some(arrival), ready);
        // Every plugin sees the packet, whatever another one decides.
        let mut cut = false;
        for hosted in &mut self.hosted {
            cut |= hosted.init(place, arrival, flow);
            self.fullest = self.fullest.max(hosted.pending());
        }
        cut
    }

    /// Shows a later packet, as `init`.
    #[inline]
    pub(crate) fn update(
        &mut self,
        place: u32,
        arrival: &Arrival<'_>,
        flow: FlowView<'_>,
        ready: &mut VecDeque<Flow>,
    ) -> bool {
        if self.hosted.is_empty() {
            return false;
        }
        self.show_update(place, arrival, flow, ready)
    }

    /// Apart, so that the path of a packet that nobody is shown stays short.
    #[inline(never)]
    fn show_update(
        &mut self,
        place: u32,
        arrival: &Arrival<'_>,
        flow: FlowView<'_>,
        ready: &mut VecDeque<Flow>,
    ) -> bool {
        self.make_room(Some(arrival), ready);
        let mut cut = false;
        for hosted in &mut self.hosted {
            cut |= hosted.update(place, arrival, flow);
            self.fullest = self.fullest.max(hosted.pending());
        }
        cut
    }

    /// Shows the end of the flow at `place`, which is ready as soon as all its values are there.
    pub(crate) fn expire(&mut self, place: u32, mut flow: Flow, ready: &mut VecDeque<Flow>) {
        self.make_room(None, ready);
        let waiting = self.waiting.len() as u32;
        let mut udps = std::mem::take(&mut flow.udps);
        for hosted in &mut self.hosted {
            hosted.expire(place, flow.view(), waiting, &mut udps);
            self.fullest = self.fullest.max(hosted.pending());
        }
        flow.udps = udps;
        if self.has_batches {
            self.waiting.push_back(flow);
        } else {
            ready.push_back(flow);
        }
    }

    /// Delivers all batches: every ended flow is ready.
    pub(crate) fn flush(&mut self, ready: &mut VecDeque<Flow>) {
        for hosted in &mut self.hosted {
            hosted.flush(&mut self.waiting);
        }
        self.fullest = 0;
        match ready.is_empty() {
            // Flows are large.
            true => std::mem::swap(ready, &mut self.waiting),
            false => ready.append(&mut self.waiting),
        }
    }

    /// While the meter cannot keep up, plugins that take too much of its time are offered no flows.
    pub(crate) fn relieve(&mut self, on: bool) {
        for hosted in &mut self.hosted {
            hosted.budget.look(on, hosted.report.time);
        }
    }

    /// Delivers all batches and tells every plugin that it was the last.
    pub(crate) fn finish(&mut self, ready: &mut VecDeque<Flow>) {
        self.flush(ready);
        for hosted in &mut self.hosted {
            let by_event = matches!(hosted.shape, Shape::Records(_));
            hosted.call(0, Event::Finish, |instance, _| instance.finish(by_event));
        }
    }

    /// What each plugin did so far.
    pub(crate) fn reports(&self) -> Vec<PluginReport> {
        let report = |hosted: &Hosted| {
            let mut report = hosted.report.clone();
            report.state = hosted.health.state();
            if let Some(instance) = &hosted.instance {
                report.memory = instance.memory();
            }
            report
        };
        self.hosted.iter().map(report).collect()
    }

    /// All batches are delivered together, so that a flow waits for one boundary only.
    #[inline]
    fn make_room(&mut self, arrival: Option<&Arrival<'_>>, ready: &mut VecDeque<Flow>) {
        // A plugin that has trapped, or holds as many flows as it may, has no events for its flows,
        // which are not to wait for ever.
        let is_full = self.fullest >= MOST_EVENTS
            || self.waiting.len() >= MOST_EVENTS
            || self.has_bytes
                && arrival.is_some_and(|arrival| {
                    self.hosted.iter().any(|hosted| hosted.is_full_for(arrival))
                });
        if is_full {
            self.flush(ready);
        }
    }
}

impl Hosted {
    fn new(
        plugin: Arc<Plugin>,
        schema: &Arc<Schema>,
        instance: Instance,
        first_output: usize,
    ) -> Self {
        let manifest = plugin.manifest();
        let shape = match plugin.by_event() {
            true => Shape::Records(Records::new(manifest)),
            false => Shape::Columns(Batch::new(manifest)),
        };
        let report = PluginReport {
            name: plugin.name().to_owned(),
            version: manifest.version.clone(),
            ..PluginReport::default()
        };
        Self {
            schema: schema.clone(),
            instance: Some(instance),
            since: 0,
            health: Health::default(),
            now: Time::EPOCH,
            event: None,
            shape,
            slots: Segmented::default(),
            free: Places::default(),
            packets_per_flow: manifest.packets_per_flow,
            first_output,
            report,
            budget: Budget::default(),
            plugin,
        }
    }

    /// Events in its batch, which is full with one while it is on trial.
    #[inline]
    fn pending(&self) -> usize {
        match &self.shape {
            Shape::Columns(batch) if self.health.is_on_trial() => batch.len() * MOST_EVENTS,
            Shape::Columns(batch) => batch.len(),
            Shape::Records(_) => 0,
        }
    }

    #[inline]
    fn is_full_for(&self, arrival: &Arrival<'_>) -> bool {
        match &self.shape {
            Shape::Columns(batch) => batch.is_full_for(self.plugin.manifest(), arrival),
            Shape::Records(_) => false,
        }
    }

    fn init(&mut self, place: u32, arrival: &Arrival<'_>, flow: FlowView<'_>) -> bool {
        self.slots.reach(place);
        self.slots[place] = 0;
        self.now = arrival.time;
        if self.instance.is_none() && !self.start(arrival.ordinal) {
            return false;
        }
        self.health.pass(self.now);
        if self.budget.is_over {
            self.report.flows_shed += 1;
            return false;
        }
        if self.free.taken() >= self.plugin.spec().limits.flows() {
            self.report.flows_skipped += 1;
            return false;
        }
        let slot = self.free.take();
        self.slots[place] = slot + 1;
        self.packet(Kind::Init, slot, arrival, flow)
    }

    #[inline]
    fn update(&mut self, place: u32, arrival: &Arrival<'_>, flow: FlowView<'_>) -> bool {
        self.now = arrival.time;
        match self.slots[place] {
            0 => false,
            _ if flow.record.packets() > self.packets_per_flow => false,
            // An instance before this one held it.
            _ if flow.record.id < self.since => false,
            slot => self.packet(Kind::Update, slot - 1, arrival, flow),
        }
    }

    #[inline]
    fn packet(&mut self, kind: Kind, slot: u32, arrival: &Arrival<'_>, flow: FlowView<'_>) -> bool {
        if let Shape::Columns(batch) = &mut self.shape {
            if self.instance.is_some() {
                batch.packet(kind, slot, self.plugin.manifest(), arrival, flow);
                if self.health.is_on_trial() {
                    self.event = Some(Event::of(kind, arrival, flow));
                }
            }
            return false;
        }
        let event = Event::of(kind, arrival, flow);
        let verdict = self.call(1, event, |instance, (manifest, shape)| {
            let Shape::Records(records) = shape else {
                unreachable!("columns were handled above")
            };
            let fields = if kind == Kind::Init {
                &manifest.at_init
            } else {
                &manifest.at_update
            };
            records.packet(manifest, arrival, |packet| {
                record::flow(fields, flow, |flow| match kind {
                    Kind::Init => instance.init(packet, flow),
                    _ => instance.update(packet, flow),
                })
            })
        });
        verdict == Some(Verdict::Cut) && self.plugin.manifest().cuts_flows
    }

    fn expire(&mut self, place: u32, flow: FlowView<'_>, waiting: u32, udps: &mut [UdpValue]) {
        let slot = std::mem::take(&mut self.slots[place]);
        if self.instance.is_none() || flow.record.id < self.since {
            self.report.flows_lost += 1;
            return;
        }
        // It was not offered: the instance held as many as it may.
        let Some(slot) = slot.checked_sub(1) else {
            return;
        };
        self.free.give_back(slot);
        let event = Event::Expire {
            flow: flow.record.id,
        };
        if let Shape::Columns(batch) = &mut self.shape {
            batch.expire(slot, self.plugin.manifest(), flow, waiting);
            if self.health.is_on_trial() {
                self.event = Some(event);
            }
            return;
        }
        let plugin = self.plugin.clone();
        let manifest = plugin.manifest();
        match self.call(1, event, |instance, _| {
            record::flow(&manifest.at_expire, flow, |flow| instance.expire(flow))
        }) {
            Some(values) => {
                let into = &mut udps[self.first_output..][..manifest.outputs.len()];
                self.report.bad_outputs += outputs::record(&manifest.outputs, values, into);
            }
            None => self.report.flows_lost += 1,
        }
    }

    fn flush(&mut self, waiting: &mut VecDeque<Flow>) {
        let events = match &self.shape {
            Shape::Columns(batch) if batch.len() > 0 => batch.len(),
            _ => return,
        };
        let event = self.event.take().unwrap_or(Event::Batch { events });
        let answer = self.call(events as u64, event, |instance, (manifest, shape)| {
            let Shape::Columns(batch) = shape else {
                unreachable!("records were handled above")
            };
            batch.lower(manifest.packed, |batch| instance.process(batch))
        });
        let Shape::Columns(batch) = &mut self.shape else {
            return;
        };
        match answer {
            Some(columns) => {
                let outputs = &self.plugin.manifest().outputs;
                self.report.bad_outputs += outputs::columns(
                    outputs,
                    &columns,
                    batch.waiting.len(),
                    |row, output, value| {
                        waiting[batch.waiting[row] as usize].udps[self.first_output + output] =
                            value;
                    },
                );
            }
            None => self.report.flows_lost += batch.waiting.len() as u64,
        }
        batch.clear();
    }

    /// Makes a fresh instance for the flows from this packet on, if its pause is over; says whether
    /// there is one.
    fn start(&mut self, ordinal: u64) -> bool {
        if !self.health.may_start(self.now) {
            return false;
        }
        match self.plugin.open(&self.schema) {
            Ok(instance) => {
                tracing::info!("plugin {}: started again", self.plugin.name());
                self.instance = Some(instance);
                self.since = ordinal;
                self.free = Places::default();
                self.health.started(self.now);
                true
            }
            Err(error) => {
                self.stopped(Event::Start, &error.problem);
                false
            }
        }
    }

    /// Calls the instance, if it is there, and throws it away if it traps.
    fn call<T>(
        &mut self,
        events: u64,
        event: Event,
        call: impl FnOnce(&mut Instance, (&Manifest, &mut Shape)) -> Result<T, Trap>,
    ) -> Option<T> {
        let instance = self.instance.as_mut()?;
        let start = Instant::now();
        let answer = call(instance, (self.plugin.manifest(), &mut self.shape));
        self.report.time += start.elapsed();
        self.report.calls += 1;
        self.report.events += events;
        match answer {
            Ok(answer) => Some(answer),
            Err(trap) => {
                self.report.memory = instance.memory();
                self.instance = None;
                self.stopped(event, &trap);
                self.report.last_trap = Some(trap);
                None
            }
        }
    }

    /// Takes note of what went wrong, and says it.
    fn stopped(&mut self, event: Event, why: &dyn fmt::Display) {
        self.report.traps += 1;
        let name = self.plugin.name();
        match self.health.trapped(self.now) {
            Some(pause) => tracing::error!(
                "plugin {name}: stopped {event}: {why}; flows that it held have no values of it, and \
                 flows that begin {} s later are its own again",
                pause.as_secs()
            ),
            None => tracing::error!(
                "plugin {name}: stopped {event}: {why}; it has trapped too often and is not started \
                 again"
            ),
        }
    }
}
