//! The plugins of one meter: delivers the events of its flows and collects their values.
//!
//! A flow belongs to the set of plugins that was current when it began. All its events go to the plugins of that
//! set. A plugin can therefore be replaced at any packet: earlier flows finish with their own generation.
//!
//! # Sets
//!
//! ```text
//!    open, switch          switch                   last flow ends
//!  ──────────────> current ──────> draining ───────────────────────> dropped
//!                                     │                                 ^
//!                                     │ 60 s of packet time             │ last flow ends
//!                                     └────────────────────> late ──────┘
//! ```
//!
//! | state | `until` | its flows |
//! |---|---|---|
//! | current | `None` | begin here, and receive events |
//! | draining | a time in the future | receive events until they end |
//! | late | passed, then `Time::MAX` | receive no events of generations that only this set has (`flows_abandoned`) |
//!
//! - `sets` is never empty. It is ordered by `first_flow`, and only the last set is current.
//! - A flow belongs to the last set whose `first_flow` is not above the flow id (`set_index`). Flow ids increase,
//!   so no table from flows to sets is needed.
//! - `flows` counts the live flows of a set. A set without live flows is dropped, unless it is current.
//! - `has_drained` is true if a set may have become droppable or late. `flush` then calls `retire`, because a
//!   generation can only be removed while its batch is empty.
//!
//! # Generations
//!
//! A generation is one [`PluginRunner`]. Sets share it if the plugin did not change between them.
//!
//! - `switch` adds the generations that are new. If a plugin already has `MAX_GENERATIONS`, it changes nothing and
//!   returns false, and the caller tries again later.
//! - `retire` removes a generation when every set that has it is dropped or late. Its counters move to `past`.
//! - The index of a generation in `runners` does not change while it exists. Another generation may use it later.
//! - `restart`, between captures, drops all sets but the current one, and starts the generations of that one again.
//!
//! # Delivery
//!
//! - `delivered` is the number of packets of the current chunk that plugins have received.
//! - While there is more than one set, packets are delivered one at a time, because the next may belong to another
//!   set.
//! - All batches are flushed together. An ended flow (`waiting`) therefore waits for one flush only, and leaves it
//!   with the values of all its plugins.
//! - The index of a flow in `waiting` is what a batch keeps of it. `waiting` is empty after each flush.

use std::sync::Arc;
use std::time::Duration;

use flowloom_core::flow::{Answer, Flow, ReadyFlows, Table};
use flowloom_core::meter::Extension;
use flowloom_core::record::{FlowPacket, FlowView};
use flowloom_core::schema::Schema;
use flowloom_core::time::Time;

use super::batch::MAX_EVENTS;
use super::runner::PluginRunner;
use crate::config::limits::MAX_ANSWER_BYTES;
use crate::error::PluginError;
use crate::load::plugin::Plugin;
use crate::load::registry::PluginSet;
use crate::supervise::report::PluginReport;

/// Generations of one plugin that may have live flows at once. Each has its own memory.
const MAX_GENERATIONS: usize = 4;
/// How long flows of a replaced generation may still receive events, in packet time.
const DRAIN_TIME: Duration = Duration::from_secs(60);

/// Delivers the events of one meter to all its plugins, and collects their values.
pub struct PluginDispatcher {
    /// The generations of all sets. An index stays valid while the generation exists.
    runners: Vec<Option<PluginRunner>>,
    /// Counters of removed generations, one entry for each plugin name.
    past: Vec<PluginReport>,
    /// Sets with live flows, the oldest first. The last one is the current set.
    sets: Vec<ActiveSet>,
    /// Ended flows whose values are still due from some batch.
    waiting: ReadyFlows,
    /// The maximum number of bytes of values that waiting flows hold.
    max_bytes: usize,
    has_batches: bool,
    /// Whether some plugin must receive each packet before the next one is metered.
    needs_each_packet: bool,
    /// Packets of the current chunk that were delivered.
    delivered: usize,
    /// The time at which the newest flow began.
    now: Time,
    /// Whether a set may be without live flows, or late.
    has_drained: bool,
}

/// A set of plugins, and the flows that began with it.
struct ActiveSet {
    /// The smallest id of its flows. Ids of the next set's flows begin at that set's `first_flow`.
    first_flow: u64,
    schema: Arc<Schema>,
    members: Vec<Member>,
    /// The number of its live flows.
    flows: u64,
    /// When its flows stop receiving events; `None` for the current set.
    until: Option<Time>,
}

impl ActiveSet {
    fn is_current(&self) -> bool {
        self.until.is_none()
    }

    /// Returns whether the time for its flows has passed.
    fn is_late(&self, now: Time) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// A plugin in a set.
struct Member {
    name: String,
    /// The index in `runners`; `None` after the generation was removed.
    runner: Option<usize>,
    /// The index of its first output among the plugin columns of a flow.
    first_output: usize,
}

impl PluginDispatcher {
    /// Opens an instance of every plugin.
    ///
    /// Flows that wait may hold `max_bytes` of values, and always at least one answer of each plugin.
    ///
    /// # Errors
    ///
    /// An instance cannot be opened.
    pub fn open(set: &PluginSet, max_bytes: usize) -> Result<Self, PluginError> {
        let mut dispatcher = Self {
            runners: Vec::new(),
            past: Vec::new(),
            sets: Vec::new(),
            waiting: ReadyFlows::default(),
            max_bytes,
            has_batches: false,
            needs_each_packet: false,
            delivered: 0,
            now: Time::EPOCH,
            has_drained: false,
        };
        for plugin in set.plugins() {
            let instance = plugin.instance()?;
            dispatcher.add_runner(PluginRunner::new(plugin.clone(), instance));
        }
        dispatcher.begin_set(set, 0);
        Ok(dispatcher)
    }

    /// Switches flows with the id `ordinal` or a later one to another set of plugins.
    ///
    /// Returns false if a plugin has too many generations with live flows. Nothing has changed then, and the
    /// caller must try again later.
    pub fn switch(&mut self, set: &PluginSet, ordinal: u64, ready: &mut ReadyFlows) -> bool {
        self.flush(&[], ready);
        let is_new = |plugin: &&Arc<Plugin>| self.find(plugin).is_none();
        let is_crowded = |plugin: &Arc<Plugin>| {
            let generations = self.runners.iter().flatten();
            generations
                .filter(|runner| runner.name() == plugin.name())
                .count()
                >= MAX_GENERATIONS
        };
        if set.plugins().iter().filter(is_new).any(is_crowded) {
            return false;
        }
        let until = self.now.after(DRAIN_TIME);
        self.current_mut().until = Some(until);
        self.has_drained |= self.current().flows == 0;
        for plugin in set.plugins() {
            if self.find(plugin).is_none() {
                self.add_runner(PluginRunner::start(plugin.clone(), self.now, ordinal));
            }
        }
        self.begin_set(set, ordinal);
        self.flush(&[], ready);
        true
    }

    /// Delivers the packets of the chunk that were not delivered yet. Returns whether a plugin cuts a flow.
    fn deliver<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        view: Option<&dyn Fn() -> FlowView<'f>>,
        ready: &mut ReadyFlows,
    ) -> bool {
        let mut cuts = false;
        while self.delivered < chunk.len() && !self.is_empty() {
            let room = self.make_room(&chunk[..self.delivered], ready);
            let next = self.delivered..chunk.len().min(self.delivered + room);
            let set = set_index(&self.sets, chunk[next.start].flow_id);
            for member in &self.sets[set].members {
                // A cut does not keep the packet from the plugins that follow.
                if let Some(runner) = member.runner(&mut self.runners) {
                    cuts |= runner.deliver(chunk, next.clone(), view);
                }
            }
            self.delivered = next.end;
        }
        cuts
    }

    /// Returns the maximum number of bytes of values that waiting flows hold.
    ///
    /// It is at least one answer of each plugin and one more, because flows are taken away only after an
    /// answer.
    fn max_bytes(&self) -> usize {
        self.max_bytes
            .max((self.runners.len() + 1) * MAX_ANSWER_BYTES)
    }

    /// Distributes answers to the waiting flows. `answers` has one entry for each entry of `runners`.
    fn distribute(&mut self, mut answers: Vec<Option<Answer>>) {
        for (runner, answer) in answers.iter_mut().enumerate() {
            if let Some(answer) = answer
                && answer.is_large()
            {
                self.move_values(runner, answer);
            }
        }
        let answers: Vec<_> = answers.into_iter().map(|a| a.map(Arc::new)).collect();
        let table = |set: &ActiveSet| {
            let mut table = Table::new(set.schema.udps().len());
            for member in &set.members {
                if let Some(Some(answer)) = member.runner.map(|runner| &answers[runner]) {
                    table.put(member.first_output, answer);
                }
            }
            Arc::new(table)
        };
        let tables: Vec<_> = self.sets.iter().map(table).collect();
        let mut row = 0;
        self.waiting.for_each(|flow| {
            let table = &tables[set_index(&self.sets, flow.record.id)];
            flow.outputs.share(table.clone(), row);
            row += 1;
        });
    }

    /// Moves the values that are not numbers out of an answer, each to the flow that it belongs to. `runner` is
    /// the index of the plugin.
    fn move_values(&mut self, runner: usize, answer: &mut Answer) {
        let mut values = answer.take_values();
        let (sets, mut row) = (&self.sets, 0);
        self.waiting.for_each(|flow| {
            let set = &sets[set_index(sets, flow.record.id)];
            let mut members = set.members.iter();
            if let Some(member) = members.find(|member| member.runner == Some(runner)) {
                let columns = (member.first_output, set.schema.udps().len());
                values.move_row(answer, row, columns, &mut flow.outputs);
            }
            row += 1;
        });
    }

    /// Returns the counters of each plugin: those of the current set, then those of removed plugins.
    pub fn reports(&self) -> Vec<PluginReport> {
        let mut reports = Vec::new();
        let current = self.current().members.iter();
        reports.extend(current.map(|member| PluginReport {
            name: member.name.clone(),
            ..PluginReport::default()
        }));
        // An index may have been used again, so the order of `runners` is not that of the generations.
        let mut generations: Vec<_> = self.runners.iter().flatten().collect();
        generations.sort_by_key(|runner| runner.generation());
        let live = generations.into_iter().map(PluginRunner::report);
        for report in self.past.iter().cloned().chain(live) {
            match reports.iter_mut().find(|sum| sum.name == report.name) {
                Some(sum) => sum.add(report),
                None => reports.push(report),
            }
        }
        reports
    }

    fn current(&self) -> &ActiveSet {
        &self.sets[self.sets.len() - 1]
    }

    fn current_mut(&mut self) -> &mut ActiveSet {
        let last = self.sets.len() - 1;
        &mut self.sets[last]
    }

    /// Returns the index of the generation `plugin`.
    fn find(&self, plugin: &Arc<Plugin>) -> Option<usize> {
        self.runners
            .iter()
            .position(|runner| runner.as_ref().is_some_and(|runner| runner.runs(plugin)))
    }

    fn add_runner(&mut self, runner: PluginRunner) {
        match self.runners.iter_mut().find(|entry| entry.is_none()) {
            Some(entry) => *entry = Some(runner),
            None => self.runners.push(Some(runner)),
        }
    }

    /// Makes `set` the current set, for flows from the id `first_flow` on. Its plugins have runners.
    fn begin_set(&mut self, set: &PluginSet, first_flow: u64) {
        let columns = set.schema().udps();
        let member = |plugin: &Arc<Plugin>| Member {
            name: plugin.name().to_owned(),
            runner: self.find(plugin),
            first_output: columns
                .iter()
                .position(|column| column.plugin() == plugin.name())
                .unwrap_or_default(),
        };
        self.sets.push(ActiveSet {
            first_flow,
            schema: set.schema().clone(),
            members: set.plugins().iter().map(member).collect(),
            flows: 0,
            until: None,
        });
        self.update_properties();
    }

    /// Updates the fields that depend on which runners exist.
    fn update_properties(&mut self) {
        let runners = || self.runners.iter().flatten();
        self.has_batches = runners().any(PluginRunner::has_batches);
        self.needs_each_packet = runners().any(PluginRunner::needs_each_packet);
        // An empty list tells the meter that there is nothing to call.
        if runners().next().is_none() {
            self.runners.clear();
        }
    }

    fn has_late_set(&self) -> bool {
        self.sets.iter().any(|set| set.is_late(self.now))
    }

    /// Drops sets without live flows, and removes generations whose sets are all dropped or late. The caller
    /// has flushed all batches.
    fn retire(&mut self) {
        self.has_drained = false;
        self.sets.retain(|set| set.flows > 0 || set.is_current());
        for index in 0..self.runners.len() {
            let is_in_use = |set: &ActiveSet| {
                let mut members = set.members.iter();
                !set.is_late(self.now) && members.any(|member| member.runner == Some(index))
            };
            if self.sets.iter().any(is_in_use) {
                continue;
            }
            for member in self.sets.iter_mut().flat_map(|set| &mut set.members) {
                member.runner = member.runner.filter(|runner| *runner != index);
            }
            let Some(mut runner) = self.runners[index].take() else {
                continue;
            };
            runner.finish();
            tracing::info!("plugin {}: removed an earlier version", runner.name());
            let mut report = runner.report();
            // Its live flows are counted as abandoned when they end. Its memory is free.
            (report.flows_held, report.memory) = (0, 0);
            add_to_past(&mut self.past, report);
        }
        for set in &mut self.sets {
            // All generations that only this set had are removed: it must not become late again.
            if set.is_late(self.now) {
                set.until = Some(Time::MAX);
            }
        }
        self.update_properties();
    }

    /// Makes room for at least one event. Returns how many packets in a row fit.
    ///
    /// All batches are flushed together, so that a flow waits for one flush only.
    #[inline]
    fn make_room(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) -> usize {
        let room = self.room();
        if room > 0 && !self.has_drained {
            return room;
        }
        self.flush(chunk, ready);
        self.room()
    }

    #[inline]
    fn room(&self) -> usize {
        // A plugin without an instance or at its flow limit has no events for ended flows, so its batch may
        // never fill. The number of waiting flows is therefore limited too.
        let waiting = MAX_EVENTS.saturating_sub(self.waiting.len());
        // The next packet may belong to a flow of another set.
        let limit = if self.sets.len() > 1 {
            waiting.min(1)
        } else {
            waiting
        };
        let runners = self.runners.iter().flatten();
        runners.map(PluginRunner::room).fold(limit, usize::min)
    }
}

impl Extension for PluginDispatcher {
    fn schema(&self) -> &Arc<Schema> {
        &self.current().schema
    }

    fn schema_of(&self, flow: u64) -> &Arc<Schema> {
        &self.sets[set_index(&self.sets, flow)].schema
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.runners.is_empty()
    }

    #[inline]
    fn needs_each_packet(&self) -> bool {
        self.needs_each_packet
    }

    #[inline]
    fn begin_flow(&mut self, flow_packet: &FlowPacket<'_>) {
        self.now = flow_packet.time;
        self.current_mut().flows += 1;
        self.has_drained |= self.sets.len() > 1 && self.has_late_set();
    }

    #[inline]
    fn packet<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        view: &dyn Fn() -> FlowView<'f>,
        ready: &mut ReadyFlows,
    ) -> bool {
        self.deliver(chunk, Some(view), ready)
    }

    #[inline]
    fn take(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        self.deliver(chunk, None, ready);
        self.delivered = 0;
        for runner in self.runners.iter_mut().flatten() {
            runner.read_fields(chunk);
        }
    }

    fn expire(
        &mut self,
        slot: u32,
        mut flow: Flow,
        chunk: &[FlowPacket<'_>],
        ready: &mut ReadyFlows,
    ) {
        self.deliver(chunk, None, ready);
        self.make_room(chunk, ready);
        let waiting = self.waiting.len() as u32;
        let set = set_index(&self.sets, flow.record.id);
        self.sets[set].flows -= 1;
        self.has_drained |= self.sets[set].flows == 0 && !self.sets[set].is_current();
        let max_bytes = self.max_bytes();
        for member in &self.sets[set].members {
            let Some(runner) = member.runner(&mut self.runners) else {
                count_abandoned(&mut self.past, &member.name);
                continue;
            };
            let held = self.waiting.bytes() + ready.bytes() + flow.outputs.bytes();
            let room = max_bytes.saturating_sub(held);
            if let Some((values, bytes)) = runner.expire(slot, &flow.view(), waiting, room) {
                let columns = flow.schema.udps().len();
                let first = member.first_output;
                flow.outputs.put(columns, first, values, bytes);
            }
        }
        if self.has_batches {
            self.waiting.push(flow);
        } else {
            ready.push(flow);
        }
    }

    fn flush(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        let waiting = self.waiting.len();
        let held = self.waiting.bytes() + ready.bytes();
        let mut room = self.max_bytes().saturating_sub(held);
        let answer = |runner: &mut Option<PluginRunner>| {
            let answer = runner.as_mut()?.flush(chunk, waiting, room)?;
            room -= answer.bytes();
            Some(answer)
        };
        let answers: Vec<_> = self.runners.iter_mut().map(answer).collect();
        if waiting > 0 && answers.iter().any(Option::is_some) {
            self.distribute(answers);
        }
        ready.append(&mut self.waiting);
        if self.has_drained {
            self.retire();
        }
    }

    fn finish(&mut self, ready: &mut ReadyFlows) {
        self.flush(&[], ready);
        for runner in self.runners.iter_mut().flatten() {
            runner.finish();
        }
    }

    fn restart(&mut self) {
        self.sets.drain(..self.sets.len() - 1);
        let current = self.current_mut();
        (current.first_flow, current.flows) = (0, 0);
        let members: Vec<_> = current
            .members
            .iter()
            .filter_map(|member| member.runner)
            .collect();
        for (index, entry) in self.runners.iter_mut().enumerate() {
            match entry {
                Some(runner) if members.contains(&index) => runner.restart(),
                _ => {
                    if let Some(runner) = entry.take() {
                        let mut report = runner.report();
                        (report.flows_held, report.memory) = (0, 0);
                        add_to_past(&mut self.past, report);
                    }
                }
            }
        }
        (self.now, self.has_drained) = (Time::EPOCH, false);
        self.update_properties();
    }

    fn set_overload(&mut self, is_overloaded: bool) {
        for runner in self.runners.iter_mut().flatten() {
            runner.set_overload(is_overloaded);
        }
    }
}

/// Returns the index of the set that a flow belongs to.
#[inline]
fn set_index(sets: &[ActiveSet], flow: u64) -> usize {
    let last = sets.len() - 1;
    match last {
        0 => 0,
        _ => sets
            .iter()
            .rposition(|set| set.first_flow <= flow)
            .unwrap_or(0),
    }
}

/// Adds the counters of a removed generation to those of earlier ones of its plugin.
fn add_to_past(past: &mut Vec<PluginReport>, report: PluginReport) {
    match past.iter_mut().find(|past| past.name == report.name) {
        Some(past) => past.add(report),
        None => past.push(report),
    }
}

/// Counts a flow that ended after its generation of the plugin was removed.
#[cold]
fn count_abandoned(past: &mut [PluginReport], plugin: &str) {
    if let Some(past) = past.iter_mut().find(|past| past.name == plugin) {
        past.flows_abandoned += 1;
    }
}

impl Member {
    #[inline]
    fn runner<'a>(&self, runners: &'a mut [Option<PluginRunner>]) -> Option<&'a mut PluginRunner> {
        runners[self.runner?].as_mut()
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::link_type::{LinkType, RawPacket};
    use flowloom_core::meter::{Meter, NoClassifier, Settings};

    use super::*;
    use crate::load::plugin::tests::load;
    use crate::supervise::health::PluginState;

    #[test]
    fn an_instance_that_cannot_be_opened_after_a_back_off_counts_as_a_trap() {
        let mut plugin = load();
        plugin.set_memory(3 << 16);
        let (settings, set) = (Settings::default(), [Arc::new(plugin)]);
        let set = PluginSet::new(&settings.schema(), &set);
        let dispatcher = PluginDispatcher::open(&set, 1 << 20).unwrap();
        let mut meter = Meter::with(&settings, dispatcher, None::<NoClassifier>);
        let packet = |seconds: u64, host| {
            let mut data = [
                0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
            ];
            data[19] = host;
            (Time::from_ns(seconds * 1_000_000_000), data)
        };
        // Flow 1 traps. Flow 2 begins within the back-off of 1 s. Flow 3 begins after it, and no instance
        // opens. Flow 4 begins within the next back-off.
        for (time, data) in [packet(1, 1), packet(1, 2), packet(2, 3), packet(3, 4)] {
            meter.push([RawPacket {
                time,
                link: LinkType(101),
                wire_len: 20,
                data: &data,
            }]);
        }
        meter.finish();
        let mut flows = 0;
        while meter.next_flow().is_some() {
            flows += 1;
        }
        let report = meter.extension().reports().remove(0);
        assert_eq!((flows, report.traps, report.flows_lost), (4, 2, 4));
        assert_eq!((report.calls, report.state), (1, PluginState::Restarting));
    }
}
