//! The plugins of one meter: shows them the events of its flows and collects their values.
//!
//! A flow is shown, from its first packet to its last, to the set of plugins that was the current one
//! when it began. So a plugin can be replaced at any packet: flows that began before finish with the
//! generation that knows them.

use std::sync::Arc;
use std::time::Duration;

use flowloom_core::flow::{Answer, Flow, ReadyFlows, Table};
use flowloom_core::meter::Extension;
use flowloom_core::record::{FlowPacket, FlowView};
use flowloom_core::schema::Schema;
use flowloom_core::time::Time;

use super::batch::MOST_EVENTS;
use super::runner::PluginRunner;
use crate::config::limits::MAX_ANSWER_BYTES;
use crate::error::PluginError;
use crate::load::plugin::Plugin;
use crate::load::registry::PluginSet;
use crate::supervise::report::PluginReport;

/// Generations of one plugin that may have flows at once: each has memory of its own.
const MOST_GENERATIONS: usize = 4;
/// How long flows of a plugin that was replaced may still take to end, in packets' time.
const DRAIN: Duration = Duration::from_secs(60);

/// All plugins of a meter.
pub struct PluginDispatcher {
    /// Every generation that is in some set, at a place that does not change.
    runners: Vec<Option<PluginRunner>>,
    /// What earlier generations did, by name.
    past: Vec<PluginReport>,
    /// Sets whose flows are still live, the oldest first; the last is the current one.
    sets: Vec<ActiveSet>,
    /// Ended flows whose values are still in some batch.
    waiting: ReadyFlows,
    /// Bytes of values that flows which wait may hold.
    most_bytes: usize,
    has_batches: bool,
    /// Whether some plugin has to be shown a packet before the next one is metered.
    is_prompt: bool,
    /// How many packets of the chunk under way were shown.
    shown: usize,
    /// The latest time at which a flow began.
    now: Time,
    /// Whether there is a set without flows, or past its time.
    has_drained: bool,
}

/// A set of plugins and its flows.
struct ActiveSet {
    /// The ids of its flows begin here, and end where the next set's begin.
    since: u64,
    schema: Arc<Schema>,
    members: Vec<Member>,
    /// Flows of it that are live.
    flows: u64,
    /// When its flows have had their time, once another set is current.
    until: Option<Time>,
}

impl ActiveSet {
    fn is_current(&self) -> bool {
        self.until.is_none()
    }

    /// Whether its flows have had their time.
    fn is_late(&self, now: Time) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// A plugin in a set.
struct Member {
    name: String,
    /// Its place in `runners`; none once it was given up.
    at: Option<usize>,
    /// Where its values stand among a flow's.
    first_output: usize,
}

impl PluginDispatcher {
    /// Opens an instance of every plugin. Flows that wait may hold `most_bytes` of values, and one answer of
    /// each plugin at least.
    pub fn open(set: &PluginSet, most_bytes: usize) -> Result<Self, PluginError> {
        let mut dispatcher = Self {
            runners: Vec::new(),
            past: Vec::new(),
            sets: Vec::new(),
            waiting: ReadyFlows::default(),
            most_bytes,
            has_batches: false,
            is_prompt: false,
            shown: 0,
            now: Time::EPOCH,
            has_drained: false,
        };
        for plugin in set.plugins() {
            let instance = plugin.instance()?;
            dispatcher.add_runner(PluginRunner::new(plugin.clone(), instance));
        }
        dispatcher.begin(set, 0);
        Ok(dispatcher)
    }

    /// Shows flows that begin with the packet of this ordinal, or later, to another set of plugins.
    ///
    /// It says no where a plugin has too many generations with live flows: then it is to be asked
    /// again later, and in between nothing changes.
    pub fn switch(&mut self, set: &PluginSet, ordinal: u64, ready: &mut ReadyFlows) -> bool {
        self.flush(&[], ready);
        let is_new = |plugin: &&Arc<Plugin>| self.find(plugin).is_none();
        let is_crowded = |plugin: &Arc<Plugin>| {
            let generations = self.runners.iter().flatten();
            generations
                .filter(|runner| runner.name() == plugin.name())
                .count()
                >= MOST_GENERATIONS
        };
        if set.plugins().iter().filter(is_new).any(is_crowded) {
            return false;
        }
        let until = self.now.after(DRAIN);
        self.current_mut().until = Some(until);
        self.has_drained |= self.current().flows == 0;
        for plugin in set.plugins() {
            if self.find(plugin).is_none() {
                self.add_runner(PluginRunner::start(plugin.clone(), self.now, ordinal));
            }
        }
        self.begin(set, ordinal);
        self.flush(&[], ready);
        true
    }

    fn show<'f>(
        &mut self,
        chunk: &[FlowPacket<'_>],
        view: Option<&dyn Fn() -> FlowView<'f>>,
        ready: &mut ReadyFlows,
    ) -> bool {
        let mut cuts = false;
        while self.shown < chunk.len() && !self.is_empty() {
            let room = self.make_room(&chunk[..self.shown], ready);
            let next = self.shown..chunk.len().min(self.shown + room);
            let set = index(&self.sets, chunk[next.start].flow_id);
            for member in &self.sets[set].members {
                // Every plugin sees the packet, whatever another one decides.
                if let Some(runner) = member.runner(&mut self.runners) {
                    cuts |= runner.show(chunk, next.clone(), view);
                }
            }
            self.shown = next.end;
        }
        cuts
    }

    /// Bytes of values that flows which wait may hold. Whoever takes flows away comes after every answer at
    /// the earliest.
    fn most_bytes(&self) -> usize {
        self.most_bytes
            .max((self.runners.len() + 1) * MAX_ANSWER_BYTES)
    }

    /// Gives the waiting flows their values, of the runner plugins in their order.
    fn give(&mut self, mut answers: Vec<Option<Answer>>) {
        for (at, answer) in answers.iter_mut().enumerate() {
            if let Some(answer) = answer
                && answer.is_large()
            {
                self.move_values(at, answer);
            }
        }
        let answers: Vec<_> = answers.into_iter().map(|a| a.map(Arc::new)).collect();
        let table = |set: &ActiveSet| {
            let mut table = Table::new(set.schema.udps().len());
            for member in &set.members {
                if let Some(Some(answer)) = member.at.map(|at| &answers[at]) {
                    table.put(member.first_output, answer);
                }
            }
            Arc::new(table)
        };
        let tables: Vec<_> = self.sets.iter().map(table).collect();
        let mut row = 0;
        self.waiting.for_each(|flow| {
            let table = &tables[index(&self.sets, flow.record.id)];
            flow.outputs.share(table.clone(), row);
            row += 1;
        });
    }

    /// Moves the values that are no numbers out of the answer of the plugin at this place, to the flow
    /// that each is of.
    fn move_values(&mut self, at: usize, answer: &mut Answer) {
        let mut values = answer.take_values();
        let (sets, mut row) = (&self.sets, 0);
        self.waiting.for_each(|flow| {
            let set = &sets[index(sets, flow.record.id)];
            let member = set.members.iter().find(|member| member.at == Some(at));
            if let Some(member) = member {
                let columns = (member.first_output, set.schema.udps().len());
                values.move_row(answer, row, columns, &mut flow.outputs);
            }
            row += 1;
        });
    }

    /// What each plugin did so far: those of the current set, then those that were removed.
    pub fn reports(&self) -> Vec<PluginReport> {
        let mut reports = Vec::new();
        let current = self.current().members.iter();
        reports.extend(current.map(|member| PluginReport {
            name: member.name.clone(),
            ..PluginReport::default()
        }));
        // Generations stand in the order in which they began, except where a place was used again.
        let mut generations: Vec<_> = self.runners.iter().flatten().collect();
        generations.sort_by_key(|runner| runner.number());
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

    /// Where a plugin of this generation is.
    fn find(&self, plugin: &Arc<Plugin>) -> Option<usize> {
        self.runners
            .iter()
            .position(|runner| runner.as_ref().is_some_and(|runner| runner.is(plugin)))
    }

    fn add_runner(&mut self, runner: PluginRunner) {
        match self.runners.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(runner),
            None => self.runners.push(Some(runner)),
        }
    }

    /// Makes a set the current one; its plugins are runner.
    fn begin(&mut self, set: &PluginSet, since: u64) {
        let columns = set.schema().udps();
        let member = |plugin: &Arc<Plugin>| Member {
            name: plugin.name().to_owned(),
            at: self.find(plugin),
            first_output: columns
                .iter()
                .position(|column| column.plugin() == plugin.name())
                .unwrap_or_default(),
        };
        self.sets.push(ActiveSet {
            since,
            schema: set.schema().clone(),
            members: set.plugins().iter().map(member).collect(),
            flows: 0,
            until: None,
        });
        self.take_stock();
    }

    /// What follows from which plugins are runner.
    fn take_stock(&mut self) {
        let runner = || self.runners.iter().flatten();
        self.has_batches = runner().any(PluginRunner::has_batches);
        self.is_prompt = runner().any(PluginRunner::is_prompt);
        if runner().next().is_none() {
            self.runners.clear();
        }
    }

    fn has_late_set(&self) -> bool {
        self.sets.iter().any(|set| set.is_late(self.now))
    }

    /// Drops sets without flows, and generations that no flow is shown to any more. All batches were
    /// delivered.
    fn retire(&mut self) {
        self.has_drained = false;
        self.sets.retain(|set| set.flows > 0 || set.is_current());
        for at in 0..self.runners.len() {
            let is_shown = |set: &ActiveSet| {
                !set.is_late(self.now) && set.members.iter().any(|member| member.at == Some(at))
            };
            if self.sets.iter().any(is_shown) {
                continue;
            }
            for member in self.sets.iter_mut().flat_map(|set| &mut set.members) {
                member.at = member.at.filter(|its| *its != at);
            }
            let Some(mut runner) = self.runners[at].take() else {
                continue;
            };
            runner.finish();
            tracing::info!("plugin {}: an earlier version is done", runner.name());
            let mut report = runner.report();
            // They are counted as abandoned when they end, and its memory is given back.
            (report.flows_held, report.memory) = (0, 0);
            remember(&mut self.past, report);
        }
        for set in &mut self.sets {
            // Of a late set nothing is left that could be given up.
            if set.is_late(self.now) {
                set.until = Some(Time::MAX);
            }
        }
        self.take_stock();
    }

    /// Makes room for an event; says for how many packets in a row there is. All batches are delivered
    /// together, so that a flow waits for one boundary only.
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
        // A plugin that has trapped, or holds as many flows as it may, has no events for its flows,
        // which are not to wait for ever.
        let waiting = MOST_EVENTS.saturating_sub(self.waiting.len());
        // The next packet may be of a flow of another set.
        let most = if self.sets.len() > 1 {
            waiting.min(1)
        } else {
            waiting
        };
        let runner = self.runners.iter().flatten();
        runner.map(PluginRunner::room).fold(most, usize::min)
    }
}

impl Extension for PluginDispatcher {
    fn schema(&self) -> &Arc<Schema> {
        &self.current().schema
    }

    fn schema_of(&self, flow: u64) -> &Arc<Schema> {
        &self.sets[index(&self.sets, flow)].schema
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.runners.is_empty()
    }

    #[inline]
    fn prefetch(&self, slot: u32) {
        for runner in self.runners.iter().flatten() {
            runner.prefetch(slot);
        }
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
        self.is_prompt && self.show(chunk, Some(view), ready)
    }

    #[inline]
    fn take(&mut self, chunk: &[FlowPacket<'_>], ready: &mut ReadyFlows) {
        self.show(chunk, None, ready);
        self.shown = 0;
        for runner in self.runners.iter_mut().flatten() {
            runner.read(chunk);
        }
    }

    fn expire(
        &mut self,
        slot: u32,
        mut flow: Flow,
        chunk: &[FlowPacket<'_>],
        ready: &mut ReadyFlows,
    ) {
        self.show(chunk, None, ready);
        self.make_room(chunk, ready);
        let waiting = self.waiting.len() as u32;
        let set = index(&self.sets, flow.record.id);
        self.sets[set].flows -= 1;
        self.has_drained |= self.sets[set].flows == 0 && !self.sets[set].is_current();
        let most_bytes = self.most_bytes();
        for member in &self.sets[set].members {
            let Some(runner) = member.runner(&mut self.runners) else {
                count_abandoned(&mut self.past, &member.name);
                continue;
            };
            let held = self.waiting.bytes() + ready.bytes() + flow.outputs.bytes();
            let room = most_bytes.saturating_sub(held);
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
        let mut room = self.most_bytes().saturating_sub(held);
        let answer = |runner: &mut Option<PluginRunner>| {
            let answer = runner.as_mut()?.flush(chunk, waiting, room)?;
            room -= answer.bytes();
            Some(answer)
        };
        let answers: Vec<_> = self.runners.iter_mut().map(answer).collect();
        if waiting > 0 && answers.iter().any(Option::is_some) {
            self.give(answers);
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
        (current.since, current.flows) = (0, 0);
        let members: Vec<_> = current
            .members
            .iter()
            .filter_map(|member| member.at)
            .collect();
        for (at, place) in self.runners.iter_mut().enumerate() {
            match place {
                Some(runner) if members.contains(&at) => runner.restart(),
                _ => {
                    if let Some(runner) = place.take() {
                        let mut report = runner.report();
                        (report.flows_held, report.memory) = (0, 0);
                        remember(&mut self.past, report);
                    }
                }
            }
        }
        (self.now, self.has_drained) = (Time::EPOCH, false);
        self.take_stock();
    }

    fn set_overload(&mut self, on: bool) {
        for runner in self.runners.iter_mut().flatten() {
            runner.set_overload(on);
        }
    }
}

/// Which set a flow is of.
#[inline]
fn index(sets: &[ActiveSet], flow: u64) -> usize {
    let last = sets.len() - 1;
    match last {
        0 => 0,
        _ => sets.iter().rposition(|set| set.since <= flow).unwrap_or(0),
    }
}

/// Adds what a generation did to what earlier ones of its plugin did.
fn remember(past: &mut Vec<PluginReport>, report: PluginReport) {
    match past.iter_mut().find(|past| past.name == report.name) {
        Some(past) => past.add(report),
        None => past.push(report),
    }
}

/// Counts a flow whose generation of this plugin was given up.
#[cold]
fn count_abandoned(past: &mut [PluginReport], plugin: &str) {
    if let Some(past) = past.iter_mut().find(|past| past.name == plugin) {
        past.flows_abandoned += 1;
    }
}

impl Member {
    #[inline]
    fn runner<'a>(&self, runner: &'a mut [Option<PluginRunner>]) -> Option<&'a mut PluginRunner> {
        runner[self.at?].as_mut()
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
    fn one_that_cannot_be_opened_again_is_one_more_trap() {
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
        // The first traps, the second comes within its pause of a second, the third after it, and the
        // fourth within the next one.
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
