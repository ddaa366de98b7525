//! Counters of packets and flows.

use crate::decode::IgnoreReason;

/// The counters of a meter. Every packet is metered, ignored, or part of another shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// The number of packets that the meter received.
    pub packets: u64,
    /// The number of packets that belong to a flow.
    pub metered: u64,
    /// The number of packets of flows that are part of another [shard](super::Shard).
    pub other_shards: u64,
    /// The number of ignored packets for each reason, indexed by [`IgnoreReason::index`].
    pub ignored: [u64; IgnoreReason::ALL.len()],
    /// The number of metered packets with a time before that of an earlier packet. Each of them was given the
    /// time of that packet.
    pub clamped: u64,
    /// The number of flows that ended.
    pub flows: u64,
    /// The number of flows that ended early because the flow table was full. Included in `flows`.
    pub evicted: u64,
}

impl Counters {
    /// Returns the sums of these counters and those of another meter.
    pub fn and(self, other: &Self) -> Self {
        let mut ignored = self.ignored;
        for (sum, count) in ignored.iter_mut().zip(other.ignored) {
            *sum += count;
        }
        Self {
            packets: self.packets + other.packets,
            metered: self.metered + other.metered,
            other_shards: self.other_shards + other.other_shards,
            ignored,
            clamped: self.clamped + other.clamped,
            flows: self.flows + other.flows,
            evicted: self.evicted + other.evicted,
        }
    }

    /// Returns the reasons for which packets were ignored, with the number of packets, which is not 0.
    pub fn ignored(&self) -> impl Iterator<Item = (IgnoreReason, u64)> {
        IgnoreReason::ALL
            .into_iter()
            .zip(self.ignored)
            .filter(|(_, count)| *count > 0)
    }
}
