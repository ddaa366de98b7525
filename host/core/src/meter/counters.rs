//! Counters of packets and flows.

use crate::decode::IgnoreReason;

/// What became of the packets that a meter was given: each was metered or ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets given.
    pub packets: u64,
    /// Packets that are part of a flow.
    pub metered: u64,
    /// Packets that are not, by [`IgnoreReason::index`].
    pub ignored: [u64; IgnoreReason::ALL.len()],
    /// Metered packets that came with a time before an earlier one's, and were given that.
    pub clamped: u64,
    /// Flows that ended.
    pub flows: u64,
    /// Those of them that ended early because the table was full.
    pub evicted: u64,
}

impl Counters {
    /// Those of another meter too.
    pub fn and(self, other: &Self) -> Self {
        let mut ignored = self.ignored;
        for (sum, count) in ignored.iter_mut().zip(other.ignored) {
            *sum += count;
        }
        Self {
            packets: self.packets + other.packets,
            metered: self.metered + other.metered,
            ignored,
            clamped: self.clamped + other.clamped,
            flows: self.flows + other.flows,
            evicted: self.evicted + other.evicted,
        }
    }

    /// The reasons for which packets were ignored, and how many each.
    pub fn ignored(&self) -> impl Iterator<Item = (IgnoreReason, u64)> {
        IgnoreReason::ALL
            .into_iter()
            .zip(self.ignored)
            .filter(|(_, count)| *count > 0)
    }
}
