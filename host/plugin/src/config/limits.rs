//! What a plugin may use, and what watches over it.

use std::time::Duration;

/// How often the epoch moves on, and hence how exactly deadlines are kept.
pub(crate) const EPOCH: Duration = Duration::from_millis(10);

/// Bytes that the host takes from a plugin in one call: the answer to a full batch, with 64 texts of
/// 256 bytes for each of its flows.
pub(crate) const ANSWER: usize = 16 << 20;

/// Handles of resources that an instance may hold: a component of an ordinary language has some tens,
/// and each takes memory of the host.
pub(crate) const HANDLES: usize = 1_024;

/// What one instance of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CPU time that a call into the plugin may take: a batch of a thousand events takes some
    /// microseconds, and the slowest interpreter some milliseconds. Less than
    /// [`SHORTEST_CALL`](Self::SHORTEST_CALL) counts as that.
    pub call: Duration,
    /// CPU time that opening it may take, as `call`.
    pub open: Duration,
    /// Bytes of memory, tables included at sixteen bytes an element, and what the host keeps for the
    /// instance. Python starts with 13 MB.
    pub memory: usize,
    /// Flows that a plugin may hold, over all meters: the instance of each holds its part of them.
    /// Flows beyond are not offered to it, and their values are null.
    pub flows: usize,
    /// CPU time that an event may take over the long run.
    pub event_time: EventTime,
    /// Bytes that a flow's values may have: texts, lists and all else that are not numbers. Values beyond
    /// are null. They are kept until the flow is written.
    pub output: usize,
}

/// CPU time that a plugin's events may take over the long run. Calls that each stay within their time
/// can still be more than a link can wait for. A plugin that takes more is left alone for a while, so
/// that results depend on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventTime {
    /// When packets are captured live, 80 µs on average, unless it takes less than an eighth of the
    /// time that passes; as much as they like when captures are read, which wait.
    #[default]
    Usual,
    /// As much as they like.
    Unbounded,
    /// So many ns on average.
    Ns(u64),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            call: Duration::from_millis(100),
            open: Duration::from_millis(500),
            memory: 256 << 20,
            flows: 1_000_000,
            event_time: EventTime::default(),
            output: 64 << 10,
        }
    }
}

impl Limits {
    /// The shortest time that a call can be held to. Time is looked at every 10 ms, and the 10 ms before
    /// the first look count as taken: shorter limits would stop calls that took next to nothing.
    pub const SHORTEST_CALL: Duration = Duration::from_millis(20);

    /// The same, with times that can be measured.
    pub(crate) fn measurable(self) -> Self {
        Self {
            call: self.call.max(Self::SHORTEST_CALL),
            open: self.open.max(Self::SHORTEST_CALL),
            ..self
        }
    }

    /// Flows that the instance on one of so many meters may hold: not more than fit into its memory at
    /// 64 bytes each.
    pub(crate) fn flows_of_instance(&self, meters: usize) -> usize {
        (self.flows / meters.max(1)).max(1).min(self.memory / 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_share_the_flows_that_a_plugin_may_hold() {
        let limits = Limits::default();
        let flows = [0, 1, 3, 4, 2_000_000].map(|meters| limits.flows_of_instance(meters));
        assert_eq!(flows, [1_000_000, 1_000_000, 333_333, 250_000, 1]);
        let small = Limits {
            memory: 1 << 20,
            ..limits
        };
        assert_eq!(small.flows_of_instance(4), 16_384);
    }

    #[test]
    fn times_that_cannot_be_measured_are_not_asked_for() {
        let limits = Limits {
            call: Duration::ZERO,
            open: Duration::from_millis(19),
            ..Limits::default()
        };
        let limits = limits.measurable();
        assert_eq!((limits.call, limits.open), (2 * EPOCH, 2 * EPOCH));
        let default = Limits::default();
        assert_eq!(default.measurable(), default);
    }
}
