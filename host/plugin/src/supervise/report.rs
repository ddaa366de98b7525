//! Counters of plugins.

use std::time::Duration;

use super::health::PluginState;
use crate::error::Trap;

/// Counters of one plugin in a run, over all its generations and meters.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PluginReport {
    /// The operator's name for the plugin.
    pub name: String,
    /// The plugin's own version; with several generations, that of the newest.
    pub version: String,
    /// The state; with several meters, the worst.
    pub state: PluginState,
    /// Generations that have had flows: one, and one more for each replacement. With several meters, the
    /// largest count.
    pub generations: u64,
    /// Events in these calls.
    pub events: u64,
    /// Calls into the plugin.
    pub calls: u64,
    /// Elapsed time of these calls. After 1,000 calls with single events, it is an estimate: about every eighth
    /// such call is timed.
    pub time: Duration,
    /// Failed calls, and instances that could not be opened while packets flowed.
    pub traps: u64,
    /// Traps because a call exceeded its CPU time.
    pub traps_of_time: u64,
    /// Traps because a call exceeded the memory limit.
    pub traps_of_memory: u64,
    /// Back-offs because events took too much CPU time in the long run. If there are any, results depend on the
    /// machine.
    pub excesses: u64,
    /// The last trap or exceeded CPU budget.
    pub last_trap: Option<Trap>,
    /// Flows whose values are null because their instance trapped, or because they began while there was no
    /// instance.
    pub flows_lost: u64,
    /// Flows that the plugin did not receive because it had reached its flow limit.
    pub flows_skipped: u64,
    /// Flows that the plugin did not receive because it used too much time of an overloaded meter.
    pub flows_shed: u64,
    /// Flows whose values are null because their generation was replaced, and they did not end in time.
    pub flows_abandoned: u64,
    /// Flows that the plugin ended early.
    pub flows_cut: u64,
    /// Flows that the plugin holds now.
    pub flows_held: u64,
    /// Values that were not of the declared type; they are null.
    pub bad_outputs: u64,
    /// Values that are null because they exceeded the bytes of their flow
    /// ([`Limits::output`](crate::Limits::output)).
    pub outputs_too_large: u64,
    /// Flows whose values are null because the flows that wait to be taken had reached their limit of bytes.
    pub flows_overflowed: u64,
    /// Log lines that were not written because there were too many.
    pub lines_dropped: u64,
    /// Bytes of its instances, as last known: memory, tables, and what the host keeps for them.
    pub memory: usize,
    /// Bytes of its machine code and data, which all instances share; with several generations, the largest.
    pub image: usize,
}

impl PluginReport {
    /// Adds up the reports of all meters, in the order in which the plugins were loaded.
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

    /// Adds the counters of a later generation on the same meter.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CallStack;

    /// A report whose counters are `n` times different numbers.
    fn report(n: u64) -> PluginReport {
        PluginReport {
            name: "x".to_owned(),
            version: format!("{n}"),
            state: PluginState::Running,
            generations: n,
            events: 2 * n,
            calls: 3 * n,
            time: Duration::from_secs(4 * n),
            traps: 5 * n,
            traps_of_time: 6 * n,
            traps_of_memory: 7 * n,
            excesses: 8 * n,
            last_trap: Some(deadline(n)),
            flows_lost: 9 * n,
            flows_skipped: 10 * n,
            flows_shed: 11 * n,
            flows_abandoned: 12 * n,
            flows_cut: 13 * n,
            flows_held: 14 * n,
            bad_outputs: 15 * n,
            outputs_too_large: 16 * n,
            flows_overflowed: 17 * n,
            lines_dropped: 18 * n,
            memory: 19 * n as usize,
            image: 20 * n as usize,
        }
    }

    fn deadline(allowed_ms: u64) -> Trap {
        Trap::Deadline {
            allowed_ms: allowed_ms.into(),
            stack: CallStack::default(),
        }
    }

    #[test]
    fn generations_add_up_and_the_latest_version_is_reported() {
        let mut sum = report(100);
        sum.add(report(3));
        let expected = PluginReport {
            version: "3".to_owned(),
            last_trap: Some(deadline(3)),
            // The largest.
            image: 2_000,
            ..report(103)
        };
        assert_eq!(format!("{sum:?}"), format!("{expected:?}"));
        let without = PluginReport {
            last_trap: None,
            ..report(0)
        };
        sum.add(without);
        assert_eq!(sum.last_trap, Some(deadline(3)));
    }

    #[test]
    fn meters_add_up_but_share_generations_and_code() {
        let named = |name: &str, n| PluginReport {
            name: name.to_owned(),
            ..report(n)
        };
        let quarantined = PluginReport {
            state: PluginState::Quarantined,
            ..named("a", 5)
        };
        let meters = vec![
            vec![named("a", 7), named("b", 1)],
            vec![quarantined],
            vec![named("a", 2)],
        ];
        let sums = PluginReport::sum(meters);
        let names: Vec<_> = sums.iter().map(|sum| &*sum.name).collect();
        assert_eq!(names, ["a", "b"]);
        let expected = PluginReport {
            version: "2".to_owned(),
            state: PluginState::Quarantined,
            generations: 7,
            last_trap: Some(deadline(2)),
            image: 140,
            ..named("a", 14)
        };
        assert_eq!(format!("{:?}", sums[0]), format!("{expected:?}"));
        assert_eq!(format!("{:?}", sums[1]), format!("{:?}", named("b", 1)));
    }
}
