//! One generation of a plugin on one meter.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowloom_core::flow::Answer;
use flowloom_core::record::{FlowPacket, FlowView};
use flowloom_core::table::{SegmentedVec, SlotAllocator, prefetch};
use flowloom_core::time::Time;
use flowloom_core::value::UdpValue;

use super::batch::{Batch, Kind, Shown};
use super::outputs;
use super::record::{self, Records};
use crate::contract::feature::Verdict;
use crate::error::Trap;
use crate::load::manifest::Manifest;
use crate::load::plugin::Plugin;
use crate::sandbox::instance::Instance;
use crate::supervise::cpu_budget::{BudgetVerdict, CpuBudget};
use crate::supervise::health::Health;
use crate::supervise::load_share::LoadShare;
use crate::supervise::report::PluginReport;
use crate::thread_time::thread_time;

/// One generation of a plugin on one meter: its instance, and the events that it is to be shown.
pub(crate) struct PluginRunner {
    plugin: Arc<Plugin>,
    /// None from a trap until it is started again.
    instance: Option<Instance>,
    /// The first packet that the instance may have seen: flows that began before are not its own. None is
    /// while there is no instance.
    since: u64,
    health: Health,
    /// The time of the last packet.
    now: Time,
    /// The last event, while it is on trial.
    event: Option<Event>,
    delivery: EventDelivery,
    /// For each flow_slot in the flow table the slot of its flow in the instance, plus one; 0 where the
    /// instance does not hold the flow.
    slots: SegmentedVec<u32>,
    free: SlotAllocator,
    /// As in its manifest.
    packets_per_flow: u64,
    /// Flows that the instance may hold.
    most_flows: usize,
    budget: Option<CpuBudget>,
    share: LoadShare,
    report: PluginReport,
}

/// How events are delivered.
enum EventDelivery {
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
    fn of(kind: Kind, flow_packet: &FlowPacket<'_>) -> Self {
        Self::Packet {
            kind,
            packet: flow_packet.ordinal,
            flow: flow_packet.flow_id,
        }
    }
}

impl PluginRunner {
    pub(crate) fn new(plugin: Arc<Plugin>, instance: Instance) -> Self {
        Self::with(plugin, Some(instance), 0)
    }

    /// One that begins while packets flow, with the packet of this ordinal. An instance is ready; if it
    /// is not, and cannot be opened, it is as if it had trapped.
    pub(crate) fn start(plugin: Arc<Plugin>, now: Time, ordinal: u64) -> Self {
        let opened = plugin.instance();
        let mut runner = Self::with(plugin, None, u64::MAX);
        runner.now = now;
        match opened {
            Ok(instance) => (runner.instance, runner.since) = (Some(instance), ordinal),
            Err(error) => runner.stopped(Event::Start, &error.problem),
        }
        runner
    }

    fn with(plugin: Arc<Plugin>, instance: Option<Instance>, since: u64) -> Self {
        let manifest = plugin.manifest();
        let delivery = match plugin.by_event() {
            true => EventDelivery::Records(Records::new(manifest, plugin.pseudonyms())),
            false => EventDelivery::Columns(Batch::new(manifest, plugin.pseudonyms())),
        };
        let report = PluginReport {
            name: plugin.name().to_owned(),
            version: manifest.version.clone(),
            generations: 1,
            image: plugin.image_bytes(),
            ..PluginReport::default()
        };
        Self {
            instance,
            since,
            health: Health::default(),
            now: Time::EPOCH,
            event: None,
            delivery,
            slots: SegmentedVec::default(),
            free: SlotAllocator::default(),
            packets_per_flow: manifest.packets_per_flow,
            budget: plugin.budget(),
            most_flows: plugin.max_flows(),
            share: LoadShare::default(),
            report,
            plugin,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.plugin.name()
    }

    /// Later generations have larger numbers.
    pub(crate) fn number(&self) -> u64 {
        self.plugin.generation()
    }

    /// Whether it is of this generation.
    pub(crate) fn is(&self, plugin: &Arc<Plugin>) -> bool {
        Arc::ptr_eq(&self.plugin, plugin)
    }

    /// Whether it gets batches of events.
    pub(crate) fn has_batches(&self) -> bool {
        matches!(self.delivery, EventDelivery::Columns(_))
    }

    /// While the meter cannot keep up (`on`), it is offered no flows if it takes too much of its time.
    pub(crate) fn set_overload(&mut self, on: bool) {
        self.share.look(on, self.report.time);
    }

    /// Tells it that nothing comes any more.
    pub(crate) fn finish(&mut self) {
        let by_event = matches!(self.delivery, EventDelivery::Records(_));
        self.call(0, Event::Finish, |instance, _| instance.finish(by_event));
    }

    /// Begins anew with a fresh instance, for flows whose ids begin anew; what it did so far is kept.
    pub(crate) fn restart(&mut self) {
        self.drop_instance();
        let fresh = Self::start(self.plugin.clone(), Time::EPOCH, 0);
        let mut before = std::mem::replace(self, fresh).report;
        before.memory = 0;
        let mut report = self.report.clone();
        report.generations = 0;
        before.add(report);
        self.report = before;
    }

    /// What it did so far.
    pub(crate) fn report(&self) -> PluginReport {
        let mut report = self.report.clone();
        report.state = self.health.state();
        if let Some(instance) = &self.instance {
            report.memory = instance.memory();
            report.lines_dropped += instance.lines_dropped();
            report.flows_held = self.free.taken() as u64;
        }
        report
    }

    /// Whether it has to be shown a packet before the next one is metered: it may cut the flow, or sees
    /// what is known of the flow by then.
    pub(crate) fn is_prompt(&self) -> bool {
        let manifest = self.plugin.manifest();
        matches!(self.delivery, EventDelivery::Records(_))
            || !manifest.at_init.is_empty()
            || !manifest.at_update.is_empty()
    }

    /// For how many events in a row there is room: for one where it is on trial, or may be with the next.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        match &self.delivery {
            EventDelivery::Columns(batch) if self.health.is_on_trial() => {
                usize::from(batch.len() == 0)
            }
            EventDelivery::Columns(batch) if self.health.is_pausing() => batch.room().min(1),
            EventDelivery::Columns(batch) => batch.room(),
            EventDelivery::Records(_) => usize::MAX,
        }
    }

    /// Has brought what packets of the flow at this flow_slot will read.
    #[inline]
    pub(crate) fn prefetch(&self, flow_slot: u32) {
        if let Some(slot) = self.slots.get(flow_slot) {
            prefetch(slot);
        }
    }

    /// Reads what it was given of this chunk, before it goes.
    #[inline]
    pub(crate) fn read(&mut self, chunk: &[FlowPacket<'_>]) {
        if let EventDelivery::Columns(batch) = &mut self.delivery {
            batch.read(chunk);
        }
    }

    /// Shows it some packets of a chunk, for which there is room; says whether it cuts a flow. `view` is of
    /// the flow where there is only one.
    pub(crate) fn show<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        packets: Range<usize>,
        view: Option<&dyn Fn() -> FlowView<'f>>,
    ) -> bool {
        let (mut shown, mut now) = (Shown::default(), self.now);
        for (at, flow_packet) in packets.clone().zip(&chunk[packets]) {
            let (kind, slot) = match flow_packet.nth {
                1 => (Kind::Init, self.begin(flow_packet)),
                nth => {
                    let slot = self.slots[flow_packet.slot].checked_sub(1);
                    // An instance before this one held it, or it has seen enough of it.
                    let is_over = flow_packet.flow_id < self.since || nth > self.packets_per_flow;
                    (Kind::Update, slot.filter(|_| !is_over))
                }
            };
            if let Some(slot) = slot {
                shown.push(at, kind, slot);
            }
            now = flow_packet.time;
        }
        self.now = now;
        if let EventDelivery::Columns(batch) = &mut self.delivery {
            batch.packets(&shown, self.plugin.manifest(), chunk, view);
            if self.health.is_on_trial() {
                let last = shown.iter().last();
                self.event = last.map(|(at, kind)| Event::of(kind, &chunk[at]));
            }
            return false;
        }
        let mut cuts = false;
        for (at, kind) in shown.iter() {
            let Some(view) = view else {
                unreachable!("who is called for each packet is shown one at a time")
            };
            cuts |= self.call_packet(kind, &chunk[at], &view());
        }
        cuts
    }

    /// The slot of a flow that begins, if it is to hold it.
    #[inline(never)]
    fn begin(&mut self, flow_packet: &FlowPacket<'_>) -> Option<u32> {
        self.slots.reach(flow_packet.slot);
        self.slots[flow_packet.slot] = 0;
        self.now = flow_packet.time;
        if self.instance.is_none() && !self.start_again(flow_packet.ordinal) {
            return None;
        }
        self.health.pass(self.now);
        if self.share.is_over {
            self.report.flows_shed += 1;
            return None;
        }
        if self.free.taken() >= self.most_flows {
            self.report.flows_skipped += 1;
            return None;
        }
        let slot = self.free.take();
        self.slots[flow_packet.slot] = slot + 1;
        Some(slot)
    }

    /// Calls it for one packet.
    fn call_packet(
        &mut self,
        kind: Kind,
        flow_packet: &FlowPacket<'_>,
        flow: &FlowView<'_>,
    ) -> bool {
        let event = Event::of(kind, flow_packet);
        let verdict = self.call(1, event, |instance, (manifest, delivery)| {
            let EventDelivery::Records(records) = delivery else {
                unreachable!("columns are not called for one packet")
            };
            let fields = if kind == Kind::Init {
                &manifest.at_init
            } else {
                &manifest.at_update
            };
            records.packet(manifest, flow_packet, |packet| {
                record::flow(fields, flow, |flow| match kind {
                    Kind::Init => instance.init(packet, flow),
                    _ => instance.update(packet, flow),
                })
            })
        });
        let cuts = verdict == Some(Verdict::Cut) && self.plugin.manifest().cuts_flows;
        self.report.flows_cut += u64::from(cuts);
        cuts
    }

    /// Shows the end of a flow, which is the `waiting`-th of those that wait for batches. If it is called
    /// for this flow alone, it gives the values for the outputs that it declared, and how many bytes of
    /// them are not numbers: at most `room`.
    pub(crate) fn expire(
        &mut self,
        flow_slot: u32,
        flow: &FlowView<'_>,
        waiting: u32,
        room: usize,
    ) -> Option<(Vec<UdpValue>, u32)> {
        let slot = std::mem::take(&mut self.slots[flow_slot]);
        if flow.record.id < self.since {
            self.report.flows_lost += 1;
            return None;
        }
        // It was not offered: the instance held as many as it may.
        let slot = slot.checked_sub(1)?;
        self.free.give_back(slot);
        let event = Event::Expire {
            flow: flow.record.id,
        };
        if let EventDelivery::Columns(batch) = &mut self.delivery {
            batch.expire(slot, self.plugin.manifest(), flow, waiting);
            if self.health.is_on_trial() {
                self.event = Some(event);
            }
            return None;
        }
        let most = self.plugin.spec().limits.output;
        let taken = self.call(1, event, |instance, (manifest, _)| {
            let values = record::flow(&manifest.at_expire, flow, |flow| instance.expire(flow))?;
            Ok(outputs::record(&manifest.outputs, values, most))
        });
        let Some(taken) = taken else {
            self.report.flows_lost += 1;
            return None;
        };
        self.report.bad_outputs += taken.bad;
        self.report.outputs_too_large += taken.too_large;
        let bytes = taken.row_bytes.first().copied().unwrap_or_default();
        if bytes as usize > room {
            self.report.flows_overflowed += 1;
            return None;
        }
        Some((taken.values, bytes))
    }

    /// Delivers its batch, with what is not read yet of this chunk, and answers for those of so many
    /// waiting flows that ended in it. At most `room` bytes of the answer are not numbers.
    pub(crate) fn flush(
        &mut self,
        chunk: &[FlowPacket<'_>],
        waiting: usize,
        room: usize,
    ) -> Option<Answer> {
        let EventDelivery::Columns(batch) = &mut self.delivery else {
            return None;
        };
        batch.read(chunk);
        let events = batch.len();
        if events == 0 {
            return None;
        }
        let event = self.event.take().unwrap_or(Event::Batch { events });
        let most = self.plugin.spec().limits.output;
        let answer = self.call(events as u64, event, |instance, (manifest, delivery)| {
            let EventDelivery::Columns(batch) = delivery else {
                unreachable!("records were handled above")
            };
            let columns = batch.lower(manifest.packed, |batch| instance.process(batch))?;
            let (outputs, rows) = (&manifest.outputs, batch.ended().len());
            Ok(outputs::columns(outputs, columns, rows, most))
        });
        let EventDelivery::Columns(batch) = &mut self.delivery else {
            return None;
        };
        let ended = batch.ended();
        let answer = match answer {
            Some(taken) => {
                self.report.bad_outputs += taken.bad;
                self.report.outputs_too_large += taken.too_large;
                let answer = Answer::new(taken.values, taken.row_bytes, ended, waiting);
                let fits = answer.bytes() <= room;
                if !fits {
                    self.report.flows_overflowed += ended.len() as u64;
                }
                fits.then_some(answer)
            }
            None => {
                self.report.flows_lost += ended.len() as u64;
                None
            }
        };
        batch.clear();
        answer
    }

    /// Makes a fresh instance for the flows from this packet on, if its pause is over; says whether
    /// there is one.
    fn start_again(&mut self, ordinal: u64) -> bool {
        if !self.health.may_start(self.now) {
            return false;
        }
        match self.plugin.instance() {
            Ok(instance) => {
                tracing::info!("plugin {}: started again", self.plugin.name());
                self.instance = Some(instance);
                self.since = ordinal;
                self.free = SlotAllocator::default();
                self.health.started(self.now);
                true
            }
            Err(error) => {
                self.stopped(Event::Start, &error.problem);
                false
            }
        }
    }

    /// Calls the instance, if it is there, and throws it away if it traps. What `call` does before and
    /// after it on the plugin's behalf, such as checking its values, is billed to the plugin as well.
    fn call<T>(
        &mut self,
        events: u64,
        event: Event,
        call: impl FnOnce(&mut Instance, (&Manifest, &mut EventDelivery)) -> Result<T, Trap>,
    ) -> Option<T> {
        let instance = self.instance.as_mut()?;
        instance.at(self.now);
        let is_exact = self.budget.as_ref().is_some_and(|budget| budget.is_exact);
        let before = is_exact.then(thread_time);
        let start = Instant::now();
        let answer = call(instance, (self.plugin.manifest(), &mut self.delivery));
        let passed = start.elapsed();
        self.report.time += passed;
        self.report.calls += 1;
        self.report.events += events;
        match answer {
            Ok(answer) => {
                if self.budget.is_some() {
                    let cpu = before.map(|before| thread_time().saturating_sub(before));
                    self.spend(events, cpu.unwrap_or(passed), event);
                }
                Some(answer)
            }
            Err(trap) => {
                self.drop_instance();
                match trap {
                    Trap::Deadline { .. } => self.report.traps_of_time += 1,
                    Trap::Memory { .. } => self.report.traps_of_memory += 1,
                    _ => {}
                }
                self.stopped(event, &trap);
                self.report.last_trap = Some(trap);
                None
            }
        }
    }

    fn drop_instance(&mut self) {
        self.since = u64::MAX;
        if let Some(instance) = self.instance.take() {
            self.report.memory = instance.memory();
            self.report.lines_dropped += instance.lines_dropped();
        }
    }

    /// Takes note of the time that a call took, and leaves the plugin alone if it is too much in the long
    /// run. One that is on trial is called with single events, which takes more.
    fn spend(&mut self, events: u64, taken: Duration, event: Event) {
        let Some(budget) = self.budget.as_mut().filter(|_| !self.health.is_on_trial()) else {
            return;
        };
        let allowed = budget.ns_per_event;
        match budget.spend(events, taken, self.now) {
            Some(BudgetVerdict::Exceeds(taken)) => {
                self.drop_instance();
                self.report.excesses += 1;
                let why = Trap::TooSlow { taken, allowed };
                let pause = self.health.exceeded(self.now);
                self.rest(event, &why, pause);
                self.report.last_trap = Some(why);
            }
            Some(BudgetVerdict::Keeps) => self.health.keeps_to_its_time(),
            None => {}
        }
    }

    /// Says that it is left alone for a while.
    fn rest(&self, event: Event, why: &dyn fmt::Display, pause: Duration) {
        let name = self.plugin.name();
        self.plugin.prepare_spare();
        tracing::error!(
            "plugin {name}: stopped {event}: {why}; flows that it held have no values of it, and flows \
             that begin {} s later are its own again",
            pause.as_secs()
        );
    }

    /// Takes note of what went wrong, and says it.
    fn stopped(&mut self, event: Event, why: &dyn fmt::Display) {
        self.report.traps += 1;
        let name = self.plugin.name();
        match self.health.trapped(self.now) {
            Some(pause) => self.rest(event, why, pause),
            None => tracing::error!(
                "plugin {name}: stopped {event}: {why}; it has trapped too often and is not started \
                 again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::EventTime;
    use crate::config::run_context::RunContext;
    use crate::load::plugin::tests::load;

    #[test]
    fn work_of_the_host_on_its_behalf_is_billed_to_the_plugin() {
        let mut runner = PluginRunner::start(Arc::new(load()), Time::EPOCH, 0);
        runner.budget = CpuBudget::new(EventTime::Ns(1_000_000), RunContext::default());
        // The guest is not called at all.
        let answer = runner.call(100, Event::Batch { events: 100 }, |_, _| {
            let start = thread_time();
            while thread_time() - start < Duration::from_millis(101) {}
            Ok(())
        });
        assert_eq!(answer, Some(()));
        let report = runner.report();
        assert_eq!((report.calls, report.events, report.excesses), (1, 100, 1));
        assert!(
            matches!(
                report.last_trap,
                Some(Trap::TooSlow {
                    allowed: 1_000_000,
                    ..
                })
            ),
            "{:?}",
            report.last_trap
        );
        assert!(runner.instance.is_none());
    }
}
