//! Limits of plugins.

use std::time::Duration;

/// The interval of the engine's epoch. It is the resolution of deadlines.
pub(crate) const EPOCH_INTERVAL: Duration = Duration::from_millis(10);

/// The maximum number of bytes that the host accepts from a plugin in one call. A full batch with 128 texts of
/// 128 bytes per flow fits.
pub(crate) const MAX_ANSWER_BYTES: usize = 16 << 20;

/// The maximum number of resource handles of an instance. Ordinary components have some tens. Each takes memory
/// of the host.
pub(crate) const MAX_HANDLES: usize = 1_024;

/// The limits of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// CPU time of a call. A batch of a thousand events takes some microseconds, and the slowest interpreter
    /// takes some milliseconds. A value below [`SHORTEST_CALL`](Self::SHORTEST_CALL) counts as that.
    pub call: Duration,
    /// CPU time of opening an instance. The same lower bound applies.
    pub open: Duration,
    /// Bytes of memories, tables (16 bytes per element) and host memory of an instance. Python starts with 13
    /// MB.
    pub memory: usize,
    /// Flows that the plugin holds, over all meters. Each instance may hold an equal part. The plugin does not
    /// receive further flows, and their values are null.
    pub flows: usize,
    /// CPU time per event over many calls.
    pub event_time: EventTime,
    /// Bytes of a flow's values that are not numbers, such as texts and lists. Values beyond the limit are
    /// null. Flowloom keeps values until the flow is written.
    pub output: usize,
}

/// The limit on CPU time per event over many calls.
///
/// Many calls that each meet their deadline can still be too slow for a link. A plugin that exceeds this limit
/// is in back-off for 1 to 30 s. Results then depend on the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventTime {
    /// Live captures: 80 µs on average, unless the plugin uses less than an eighth of the elapsed time. Files:
    /// no limit, because files wait.
    #[default]
    Default,
    /// No limit.
    Unbounded,
    /// The average in ns.
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
    /// The shortest limit for a call that can be enforced. Flowloom checks the time every 10 ms, and counts the
    /// 10 ms before the first check as used. A shorter limit would stop calls that used almost no time.
    pub const SHORTEST_CALL: Duration = Duration::from_millis(20);

    /// Returns these limits with times that can be enforced.
    pub(crate) fn enforceable(self) -> Self {
        Self {
            call: self.call.max(Self::SHORTEST_CALL),
            open: self.open.max(Self::SHORTEST_CALL),
            ..self
        }
    }

    /// Returns how many flows each instance may hold if there are `meters`.
    ///
    /// At `flow_bytes` each, and at 64 bytes if that number is smaller or unknown (0), they must fit into seven eighths
    /// of the memory that an opened instance has left. It uses `used` bytes. The rest is for events and answers.
    pub(crate) fn flows_of_instance(&self, meters: usize, flow_bytes: u32, used: usize) -> usize {
        let left = self.memory.saturating_sub(used);
        let fitting = (left - left / 8) / (flow_bytes as usize).max(64);
        (self.flows / meters.max(1)).min(fitting).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meters_share_the_flow_limit_of_a_plugin() {
        let limits = Limits::default();
        let flows = [0, 1, 3, 4, 2_000_000].map(|meters| limits.flows_of_instance(meters, 0, 0));
        assert_eq!(flows, [1_000_000, 1_000_000, 333_333, 250_000, 1]);
    }

    #[test]
    fn flows_fit_into_the_memory_of_an_instance() {
        let limits = Limits {
            memory: 1 << 20,
            ..Limits::default()
        };
        for (flow_bytes, used, flows) in [
            (0, 0, 14_336),
            (64, 0, 14_336),
            (1 << 10, 0, 896),
            (1 << 10, 1 << 19, 448),
            (u32::MAX, 0, 1),
            (0, 2 << 20, 1),
        ] {
            let of = limits.flows_of_instance(4, flow_bytes, used);
            assert_eq!(of, flows, "{flow_bytes} bytes a flow, {used} bytes used");
        }
    }

    #[test]
    fn times_below_the_resolution_are_raised() {
        let limits = Limits {
            call: Duration::ZERO,
            open: Duration::from_millis(19),
            ..Limits::default()
        };
        let limits = limits.enforceable();
        assert_eq!(
            (limits.call, limits.open),
            (2 * EPOCH_INTERVAL, 2 * EPOCH_INTERVAL)
        );
        let default = Limits::default();
        assert_eq!(default.enforceable(), default);
    }
}
