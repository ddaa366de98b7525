//! What plugins did in a run.

use std::time::Duration;

use super::health::PluginState;
use crate::error::Trap;

/// What one plugin did in a run, over all its generations and meters.
#[derive(Clone, Debug, Default)]
pub struct PluginReport {
    /// The operator's name for it.
    pub name: String,
    /// Its own version; of several generations, the newest one's.
    pub version: String,
    /// How it is doing; of several meters, where it is doing worst.
    pub state: PluginState,
    /// Generations that flows began with: one, and one more for each time that it was replaced. Of
    /// several meters, the most.
    pub generations: u64,
    /// Events it was shown.
    pub events: u64,
    /// Calls into it.
    pub calls: u64,
    /// Time that these calls took.
    pub time: Duration,
    /// Calls that failed.
    pub traps: u64,
    /// Those of them that took too long.
    pub traps_of_time: u64,
    /// Those of them that wanted too much memory.
    pub traps_of_memory: u64,
    /// How often it was left alone for a while, for its events took more time than they may in the long
    /// run. Then the results depend on the machine.
    pub excesses: u64,
    /// How the last of them failed.
    pub last_trap: Option<Trap>,
    /// Flows whose values are null because it held them when it trapped, or because they began before
    /// it was started again.
    pub flows_lost: u64,
    /// Flows that were not offered to it because it held as many as it may.
    pub flows_skipped: u64,
    /// Flows that were not offered to it because it took too much of a meter that could not keep up.
    pub flows_shed: u64,
    /// Flows whose values are null because their generation was replaced and they did not end in the
    /// time that it was left.
    pub flows_abandoned: u64,
    /// Flows that it ended early.
    pub flows_cut: u64,
    /// Flows that it holds.
    pub flows_held: u64,
    /// Values that were not what it declared; they are null.
    pub bad_outputs: u64,
    /// Values that are null because their flow had no bytes left for them
    /// ([`Limits::output`](super::Limits::output)).
    pub outputs_too_large: u64,
    /// Flows whose values are null because flows that wait to be taken held as many bytes as they may.
    pub flows_overflowed: u64,
    /// Lines of its log that were not shown, for there were too many.
    pub lines_dropped: u64,
    /// Bytes that its instances had at last: memory, tables, and what the host keeps for them.
    pub memory: usize,
    /// Bytes of its machine code and data, which all its instances share; of several generations, those
    /// of the largest.
    pub image: usize,
}

impl PluginReport {
    /// What the plugins did on all meters, in the order in which they were loaded.
    pub fn sum(meters: Vec<Vec<Self>>) -> Vec<Self> {
        let mut sums: Vec<Self> = Vec::new();
        for reports in meters {
            for mut report in reports {
                match sums.iter_mut().find(|sum| sum.name == report.name) {
                    Some(sum) => {
                        sum.generations = sum.generations.max(report.generations);
                        report.generations = 0;
                        sum.memory += std::mem::take(&mut report.memory);
                        sum.state = sum.state.max(report.state);
                        report.state = sum.state;
                        sum.add(report);
                    }
                    None => sums.push(report),
                }
            }
        }
        sums
    }

    /// Adds what a later generation of it did on the same meter.
    pub(crate) fn add(&mut self, later: Self) {
        self.version = later.version;
        self.state = later.state;
        self.generations += later.generations;
        self.events += later.events;
        self.calls += later.calls;
        self.time += later.time;
        self.traps += later.traps;
        self.traps_of_time += later.traps_of_time;
        self.traps_of_memory += later.traps_of_memory;
        self.excesses += later.excesses;
        self.last_trap = later.last_trap.or(self.last_trap.take());
        self.flows_lost += later.flows_lost;
        self.flows_skipped += later.flows_skipped;
        self.flows_shed += later.flows_shed;
        self.flows_abandoned += later.flows_abandoned;
        self.flows_cut += later.flows_cut;
        self.flows_held += later.flows_held;
        self.bad_outputs += later.bad_outputs;
        self.outputs_too_large += later.outputs_too_large;
        self.flows_overflowed += later.flows_overflowed;
        self.lines_dropped += later.lines_dropped;
        self.memory += later.memory;
        self.image = self.image.max(later.image);
    }
}
