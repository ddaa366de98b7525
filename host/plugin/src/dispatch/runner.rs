//! One generation of a plugin on one meter: its instance, and the delivery of events to it.
//!
//! # States
//!
//! [`Health`] holds the state; its module has the diagram of all transitions. The runner drives them:
//!
//! | from | cause | function | to |
//! |---|---|---|---|
//! | | before the run: an instance is given | `new` | Running |
//! | | while packets flow: an instance is ready or opens | `start` | Running |
//! | | it cannot be opened | `start`, `record_trap` | BackOff, with a trial |
//! | Running, Trial | a call fails | `call`, `record_trap` | BackOff, with a trial |
//! | Running | the CPU budget is exceeded | `call`, `charge` | BackOff, without a trial |
//! | BackOff | a flow begins after the back-off, and an instance opens | `begin_flow`, `restart_instance` | Trial, or Running without a trial |
//! | BackOff | the same, but no instance opens | `restart_instance`, `record_trap` | BackOff, longer |
//! | Trial | a flow begins after the time of the trial | `begin_flow` | Running |
//! | any | the 20th trap in a row | `record_trap` | Quarantined |
//! | any | the capture ends | `restart` | Running, or BackOff if no instance opens |
//!
//! # Which flows the instance holds
//!
//! [`HeldFlows`] knows them.
//!
//! - A flow that an earlier instance held, or that began during a back-off, receives no events, and its values are null
//!   (`flows_lost`). A trap does not visit the flows that the instance held.
//! - Neither does a flow that began when the plugin had reached its flow limit, or its share of an overloaded meter
//!   (`flows_skipped`, `flows_shed`).
//!
//! # Delivery
//!
//! `EventDelivery` is chosen once per generation. With `Calls`, every event is a call. With `Columns`, events are
//! collected in a [`Batch`] until `flush`.
//!
//! - During a trial, and for the first event after a back-off, a batch has at most one event (`room`).
//!   `trial_event` is that event. An error in the log then names its packet and flow.
//! - Without an instance the batch stays empty: no flow is held.
//! - Every entry into the instance goes through `call`, which measures and charges it.

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use flowloom_core::flow::Answer;
use flowloom_core::record::{FlowPacket, FlowView};
use flowloom_core::time::Time;
use flowloom_core::value::UdpValue;

use super::batch::{Batch, EventKind};
use super::event::Event;
use super::held_flows::{End, HeldFlows};
use super::outputs::{self, BadOutput};
use super::record::EventValues;
use crate::contract::feature::Verdict;
use crate::error::Trap;
use crate::load::manifest::Manifest;
use crate::load::plugin::Plugin;
use crate::sandbox::instance::Instance;
use crate::supervise::call_clock::CallClock;
use crate::supervise::cpu_budget::{BudgetVerdict, CpuBudget};
use crate::supervise::health::Health;
use crate::supervise::load_share::LoadShare;
use crate::supervise::report::PluginReport;
use crate::thread_time::thread_time;

/// One generation of a plugin on one meter.
pub(crate) struct PluginRunner {
    plugin: Arc<Plugin>,
    /// `None` during a back-off and in quarantine.
    instance: Option<Instance>,
    /// The flows that the instance holds.
    held: HeldFlows,
    health: Health,
    /// The time of the last packet that was delivered.
    now: Time,
    /// The only event of the batch during a trial.
    trial_event: Option<Event>,
    delivery: EventDelivery,
    /// The number of packets of a flow that the plugin receives, from the manifest.
    packets_per_flow: u64,
    clock: CallClock,
    budget: Option<CpuBudget>,
    load_share: LoadShare,
    /// Whether the log already says which values are not accepted.
    has_warned: bool,
    report: PluginReport,
}

/// How events are delivered.
enum EventDelivery {
    Columns(Batch),
    Calls(EventValues),
}

impl PluginRunner {
    /// Creates a runner before packets flow.
    pub(crate) fn new(plugin: Arc<Plugin>, instance: Instance) -> Self {
        Self::build(plugin, Some(instance), 0)
    }

    /// Creates a runner while packets flow, for flows from the packet `ordinal` on.
    ///
    /// Usually a spare instance is ready. If there is none and none can be opened, this counts as a trap.
    pub(crate) fn start(plugin: Arc<Plugin>, now: Time, ordinal: u64) -> Self {
        let opened = plugin.instance();
        let mut runner = Self::build(plugin, None, u64::MAX);
        runner.now = now;
        match opened {
            Ok(instance) => {
                runner.instance = Some(instance);
                runner.held.restart(ordinal);
            }
            Err(error) => runner.record_trap(Event::Start, &error.problem),
        }
        runner
    }

    fn build(plugin: Arc<Plugin>, instance: Option<Instance>, first_flow: u64) -> Self {
        let manifest = plugin.manifest();
        let delivery = match plugin.by_event() {
            true => EventDelivery::Calls(EventValues::new(manifest, plugin.pseudonyms())),
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
            held: HeldFlows::new(first_flow, plugin.max_flows()),
            health: Health::default(),
            now: Time::EPOCH,
            trial_event: None,
            has_warned: false,
            delivery,
            packets_per_flow: manifest.packets_per_flow,
            clock: CallClock::default(),
            budget: plugin.budget(),
            load_share: LoadShare::default(),
            report,
            plugin,
        }
    }

    /// Returns the operator's name for the plugin.
    pub(crate) fn name(&self) -> &str {
        self.plugin.name()
    }

    /// Returns the number of the generation. Later generations have larger numbers.
    pub(crate) fn generation(&self) -> u64 {
        self.plugin.generation()
    }

    /// Returns whether this is the runner of the generation `plugin`.
    pub(crate) fn runs(&self, plugin: &Arc<Plugin>) -> bool {
        Arc::ptr_eq(&self.plugin, plugin)
    }

    /// Returns whether the plugin receives batches of events.
    pub(crate) fn has_batches(&self) -> bool {
        matches!(self.delivery, EventDelivery::Columns(_))
    }

    /// Sets whether the meter is overloaded. During overload, the plugin receives no new flows if it uses too
    /// much of the meter's time.
    pub(crate) fn set_overload(&mut self, is_overloaded: bool) {
        self.load_share.evaluate(is_overloaded, self.report.time);
    }

    /// Calls `finish` of the plugin. No event follows.
    pub(crate) fn finish(&mut self) {
        let by_event = matches!(self.delivery, EventDelivery::Calls(_));
        self.call(0, Event::Finish, |instance, _| instance.finish(by_event));
    }

    /// Starts again with a new instance and state Running, for the next capture. Flow ids start again. The
    /// counters continue.
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

    /// Returns the counters so far.
    pub(crate) fn report(&self) -> PluginReport {
        let mut report = self.report.clone();
        report.state = self.health.state();
        if let Some(instance) = &self.instance {
            report.memory = instance.memory();
            report.lines_dropped += instance.lines_dropped();
            report.flows_held = self.held.count();
        }
        report
    }

    /// Returns whether each packet must be delivered before the next one is metered.
    ///
    /// This is necessary if the plugin can cut the flow, or if it reads flow fields as they are after this
    /// packet.
    pub(crate) fn needs_each_packet(&self) -> bool {
        let manifest = self.plugin.manifest();
        matches!(self.delivery, EventDelivery::Calls(_))
            || !manifest.at_init.is_empty()
            || !manifest.at_update.is_empty()
    }

    /// Returns how many further events fit before a flush.
    ///
    /// It is one event during a trial, and one while the next event may start a trial.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        match &self.delivery {
            EventDelivery::Columns(batch) if self.health.is_on_trial() => {
                usize::from(batch.len() == 0)
            }
            EventDelivery::Columns(batch) if self.health.is_in_back_off() => batch.room().min(1),
            EventDelivery::Columns(batch) => batch.room(),
            EventDelivery::Calls(_) => usize::MAX,
        }
    }

    /// Copies the packet fields of the packets that were delivered from this chunk. Must be called before the
    /// chunk is dropped.
    #[inline]
    pub(crate) fn read_fields(&mut self, chunk: &[FlowPacket<'_>]) {
        if let EventDelivery::Columns(batch) = &mut self.delivery {
            batch.read_fields(chunk);
        }
    }

    /// Delivers packets of a chunk. Returns whether the plugin cuts a flow.
    ///
    /// The caller has checked that there is `room` for them. `view` returns the flow if there is only one
    /// packet.
    pub(crate) fn deliver<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        packets: Range<usize>,
        view: Option<&dyn Fn() -> FlowView<'f>>,
    ) -> bool {
        let part = &chunk[packets.clone()];
        // No flow of the part ends before its last packet: the end of a flow delivers the packets before it.
        for flow_packet in part.iter().filter(|packet| packet.nth == 1) {
            self.begin_flow(flow_packet);
        }
        if let Some(last) = part.last() {
            self.now = last.time;
        }
        if let EventDelivery::Columns(batch) = &mut self.delivery {
            let (held, packets_per_flow) = (&self.held, self.packets_per_flow);
            let is_selected =
                |packet: &FlowPacket<'_>| packet.nth <= packets_per_flow && held.holds(packet);
            let before = batch.len();
            batch.push_packets(
                packets.clone(),
                is_selected,
                self.plugin.manifest(),
                chunk,
                view,
            );
            // The room of a batch is one packet during a trial.
            if self.health.is_on_trial() && batch.len() > before {
                self.trial_event = chunk[packets].last().map(Event::of);
            }
            return false;
        }
        let mut cuts = false;
        for flow_packet in part {
            if flow_packet.nth > self.packets_per_flow || !self.held.holds(flow_packet) {
                continue;
            }
            let Some(view) = view else {
                unreachable!("the dispatcher passes a view if a plugin is called per event")
            };
            cuts |= self.call_packet(flow_packet, view);
        }
        cuts
    }

    /// Handles the first packet of a flow: opens an instance if there is none, and adds the flow to those that the
    /// instance holds, if it is to hold it.
    #[inline]
    fn begin_flow(&mut self, flow_packet: &FlowPacket<'_>) {
        self.now = flow_packet.time;
        if self.instance.is_none() && !self.restart_instance(flow_packet.ordinal) {
            return;
        }
        self.health.complete_trial(self.now);
        if self.load_share.is_over {
            self.report.flows_shed += 1;
            self.held.shed(flow_packet);
        } else if !self.held.begin(flow_packet) {
            self.report.flows_skipped += 1;
        }
    }

    /// Calls `init` or `update` for one packet. Returns whether the plugin cuts the flow.
    fn call_packet<'f>(
        &mut self,
        flow_packet: &FlowPacket<'_>,
        flow: &dyn Fn() -> FlowView<'f>,
    ) -> bool {
        let (kind, event) = (EventKind::of(flow_packet), Event::of(flow_packet));
        let verdict = self.call(1, event, |instance, (manifest, delivery)| {
            let EventDelivery::Calls(events) = delivery else {
                unreachable!("a plugin that receives batches is not called per packet")
            };
            let fields = match kind {
                EventKind::Init => &manifest.at_init,
                _ => &manifest.at_update,
            };
            let (id, packet) = (flow_packet.flow_id, events.packet(flow_packet));
            events.of_packet(manifest, flow_packet, fields, flow, |values| match kind {
                EventKind::Init => instance.init(id, packet, values),
                _ => instance.update(id, packet, values),
            })
        });
        let cuts = verdict == Some(Verdict::Cut) && self.plugin.manifest().cuts_flows;
        self.report.flows_cut += u64::from(cuts);
        cuts
    }

    /// Delivers the end of a flow.
    ///
    /// A plugin that receives single events is called here. The result is the values of its outputs, and how
    /// many bytes of them are not numbers: at most `room`. For a plugin that receives batches, the result is
    /// `None`, and `waiting` is the index of the flow among the flows that wait for a flush.
    pub(crate) fn expire(
        &mut self,
        slot: u32,
        flow: &FlowView<'_>,
        waiting: u32,
        room: usize,
    ) -> Option<(Vec<UdpValue>, u32)> {
        match self.held.end(flow.record.id, slot) {
            End::Held => {}
            End::NotHeld => return None,
            End::OfEarlierInstance => {
                self.report.flows_lost += 1;
                return None;
            }
        }
        let event = Event::Expire {
            flow: flow.record.id,
        };
        if let EventDelivery::Columns(batch) = &mut self.delivery {
            batch.push_expire(slot, self.plugin.manifest(), flow, waiting);
            if self.health.is_on_trial() {
                self.trial_event = Some(event);
            }
            return None;
        }
        let max_bytes = self.plugin.spec().limits.output;
        let accepted = self.call(1, event, |instance, (manifest, delivery)| {
            let EventDelivery::Calls(events) = delivery else {
                unreachable!("the delivery was checked above")
            };
            let (id, fields) = (flow.record.id, &manifest.at_expire);
            let values = events.of_flow(fields, flow, |values| instance.expire(id, values))?;
            Ok(outputs::accept_record(&manifest.outputs, values, max_bytes))
        });
        let Some(accepted) = accepted else {
            self.report.flows_lost += 1;
            return None;
        };
        self.report.bad_outputs += accepted.bad;
        self.warn_once(accepted.reason);
        self.report.outputs_too_large += accepted.too_large;
        let bytes = accepted.row_bytes.first().copied().unwrap_or_default();
        if bytes as usize > room {
            self.report.flows_overflowed += 1;
            return None;
        }
        Some((accepted.values, bytes))
    }

    /// Calls the plugin with its batch, and clears the batch.
    ///
    /// `chunk` is the current chunk, whose packet fields may not have been copied yet. `waiting` is the number
    /// of flows that wait. The result has the values of those that ended in the batch. At most `room` bytes of
    /// it are not numbers.
    pub(crate) fn flush(
        &mut self,
        chunk: &[FlowPacket<'_>],
        waiting: usize,
        room: usize,
    ) -> Option<Answer> {
        let EventDelivery::Columns(batch) = &mut self.delivery else {
            return None;
        };
        batch.read_fields(chunk);
        let events = batch.len();
        if events == 0 {
            return None;
        }
        let event = self.trial_event.take().unwrap_or(Event::Batch { events });
        let max_bytes = self.plugin.spec().limits.output;
        let answer = self.call(events as u64, event, |instance, (manifest, delivery)| {
            let EventDelivery::Columns(batch) = delivery else {
                unreachable!("the delivery was checked above")
            };
            let columns = batch.lower(manifest.packed, |batch| instance.process(batch))?;
            let (outputs, rows) = (&manifest.outputs, batch.ended().len());
            Ok(outputs::accept_columns(outputs, columns, rows, max_bytes))
        });
        let EventDelivery::Columns(batch) = &mut self.delivery else {
            return None;
        };
        let ended = batch.ended();
        let mut reason = None;
        let answer = match answer {
            Some(accepted) => {
                self.report.bad_outputs += accepted.bad;
                reason = accepted.reason;
                self.report.outputs_too_large += accepted.too_large;
                let answer = Answer::new(accepted.values, accepted.row_bytes, ended, waiting);
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
        self.warn_once(reason);
        answer
    }

    /// Opens a new instance for flows from the packet `ordinal` on, if the back-off has ended. Returns whether
    /// there is one.
    fn restart_instance(&mut self, ordinal: u64) -> bool {
        if !self.health.may_start(self.now) {
            return false;
        }
        match self.plugin.instance() {
            Ok(instance) => {
                tracing::info!("plugin {}: opened a new instance", self.plugin.name());
                self.instance = Some(instance);
                self.held.restart(ordinal);
                self.health.started(self.now);
                true
            }
            Err(error) => {
                self.record_trap(Event::Start, &error.problem);
                false
            }
        }
    }

    /// Calls the instance, if there is one, and discards it if the call fails.
    ///
    /// `call` includes the work of the host for the plugin, such as checking its values. Its time is charged to
    /// the plugin.
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
        let started = self.clock.start(events, is_exact);
        let answer = call(instance, (self.plugin.manifest(), &mut self.delivery));
        let (timed_calls, passed) = self.clock.stop(&started, instance.late_time());
        self.report.time += passed;
        self.report.calls += 1;
        self.report.events += events;
        match answer {
            Ok(answer) => {
                if self.budget.is_some() {
                    let cpu = before.map(|before| thread_time().saturating_sub(before));
                    let events = events * u64::from(timed_calls);
                    self.charge(events, cpu.unwrap_or(passed), event);
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
                self.record_trap(event, &trap);
                self.report.last_trap = Some(trap);
                None
            }
        }
    }

    /// Discards the instance, and with it the slots of all flows.
    fn drop_instance(&mut self) {
        self.held.restart(u64::MAX);
        if let Some(instance) = self.instance.take() {
            self.report.memory = instance.memory();
            self.report.lines_dropped += instance.lines_dropped();
        }
    }

    /// Charges the time of a call to the CPU budget. If the budget is exceeded, a back-off begins.
    ///
    /// Calls during a trial are not charged: single events cost more.
    fn charge(&mut self, events: u64, used: Duration, event: Event) {
        let Some(budget) = self.budget.as_mut().filter(|_| !self.health.is_on_trial()) else {
            return;
        };
        let allowed = budget.ns_per_event;
        match budget.spend(events, used, self.now) {
            Some(BudgetVerdict::Exceeds(taken)) => {
                self.drop_instance();
                self.report.excesses += 1;
                let reason = Trap::TooSlow { taken, allowed };
                let back_off = self.health.exceeded(self.now);
                self.begin_back_off(event, &reason, back_off);
                self.report.last_trap = Some(reason);
            }
            Some(BudgetVerdict::Within) => self.health.within_budget(),
            None => {}
        }
    }

    /// Logs the back-off, and has a new instance opened meanwhile.
    fn begin_back_off(&self, event: Event, reason: &dyn fmt::Display, back_off: Duration) {
        let name = self.plugin.name();
        self.plugin.prepare_spare();
        tracing::error!(
            "plugin {name}: stopped {event}: {reason}; the flows that it held have null values; \
             back-off: {} s",
            back_off.as_secs()
        );
    }

    /// Logs why a value is not accepted, the first time. Further ones are only counted.
    fn warn_once(&mut self, reason: Option<BadOutput>) {
        let Some(reason) = reason.filter(|_| !self.has_warned) else {
            return;
        };
        self.has_warned = true;
        let reason = reason.text(&self.plugin.manifest().outputs);
        tracing::warn!(
            "plugin {}: {reason}; the value is null, and further ones are only counted",
            self.plugin.name()
        );
    }

    /// Records a trap, and logs the back-off or the quarantine that follows.
    fn record_trap(&mut self, event: Event, reason: &dyn fmt::Display) {
        self.report.traps += 1;
        let name = self.plugin.name();
        match self.health.trapped(self.now) {
            Some(back_off) => self.begin_back_off(event, reason, back_off),
            None => tracing::error!(
                "plugin {name}: stopped {event}: {reason}; quarantine: it trapped too many times in a \
                 row, and gets no new flows until the capture ends"
            ),
        }
    }
}
