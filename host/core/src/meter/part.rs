//! The part of a run that one meter has.

use serde::{Deserialize, Serialize};

/// The flows of a capture that a run has: those whose key has a hash of `index` modulo `of`.
///
/// The hash is the same in every program and for both directions of a flow. All packets set the clock and have ordinals,
/// so that the flows of all shards together are those of a run without shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// The number of the shard, from 0.
    pub index: u32,
    /// The number of shards; at least 1.
    pub of: u32,
}

/// Where a run begins in a larger one, and which flows it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The number of the first capture.
    pub first_capture: u32,
    /// The ordinal of the first packet in that capture.
    pub first_ordinal: u64,
    /// The flows.
    pub shard: Shard,
}

impl Shard {
    /// Returns whether the flows with this hash are part of the shard.
    #[inline]
    pub(crate) fn has(self, hash: u32) -> bool {
        // Higher bits of a product depend on all bits of the hash.
        (u64::from(hash) * u64::from(self.of)) >> 32 == u64::from(self.index)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}
