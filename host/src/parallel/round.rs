//! What goes between the reader and the meters: a round's packets to each meter, and back what they made
//! of them.

use std::array;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Progress;
use crate::capture::{Boundary, CaptureError, LinkType};
use crate::flow::{Arrival, CHUNK, Flow, Stamped, prefetch_all};
use crate::load::Load;
use crate::meter::Accounts;
use crate::plugin::{PluginReport, PluginSet};
use crate::shard::Shard;
use crate::time::thread_time;

/// What one meter is to do in a round.
#[derive(Default)]
pub(super) struct Portion {
    pub(super) packets: Vec<Dealt>,
    /// The bytes of packets that plugins may be shown.
    pub(super) bytes: Vec<u8>,
    /// Times at which flows of any meter may fall idle, and the ordinals of the packets that tell.
    pub(super) passes: Vec<(u64, u64)>,
    /// What is to be given up.
    pub(super) load: Load,
    /// The ordinal of the round's first packet.
    pub(super) first: u64,
    /// The plugins for flows that begin from here on, where they change.
    pub(super) plugins: Option<Arc<PluginSet>>,
    /// What begins anew behind it.
    pub(super) boundary: Option<Boundary>,
    /// Nothing comes after it.
    pub(super) last: bool,
}

/// A packet that was dealt out.
pub(super) struct Dealt {
    stamped: Stamped,
    /// Where its bytes are in those of the portion.
    start: u32,
    len: u32,
}

/// It goes from one processor to another: two cache lines.
const _: () = assert!(size_of::<Dealt>() == 128);

impl Portion {
    pub(super) fn add(&mut self, stamped: &Stamped, shown: &[u8]) {
        let (start, len) = (self.bytes.len() as u32, shown.len() as u32);
        self.bytes.extend_from_slice(shown);
        self.packets.push(Dealt {
            stamped: stamped.clone(),
            start,
            len,
        });
        if let Some(dealt) = self.packets.last_mut() {
            dealt.stamped.packet.ip_end = len;
        }
    }

    /// The packets at `at` and behind it that are looked up together: how many there are, and they.
    pub(super) fn chunk(&self, at: usize) -> (usize, [Arrival<'_>; CHUNK]) {
        let packets = &self.packets[at..];
        let len = packets.len().min(CHUNK);
        let arrival = |n: usize| {
            let Dealt {
                stamped,
                start,
                len,
            } = &packets[n.min(len - 1)];
            Arrival::new(stamped, &self.bytes[*start as usize..][..*len as usize])
        };
        (len, array::from_fn(arrival))
    }

    /// Has brought the packets at `at` and behind it that are looked up together.
    #[inline]
    pub(super) fn prefetch(&self, at: usize) {
        let packets = self.packets.get(at..).unwrap_or_default();
        packets.iter().take(CHUNK).for_each(prefetch_all);
    }

    pub(super) fn clear(&mut self) {
        self.packets.clear();
        self.bytes.clear();
        self.passes.clear();
    }
}

/// What one meter gives back after a round.
pub(super) struct Harvest {
    pub(super) flows: VecDeque<Flow>,
    /// Whether more of the same round comes: at the end all flows do, which are many.
    pub(super) has_more: bool,
    /// Packets of the round, with its last flows.
    pub(super) packets: u64,
    /// After the last round, and about every second.
    pub(super) plugins: Option<Vec<PluginReport>>,
    /// None where the meter is in the middle of the round.
    pub(super) tally: Option<Tally>,
}

/// How a meter is doing.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) ended: u64,
    pub(super) evicted: u64,
    pub(super) undissected: u64,
    pub(super) flows_live: u64,
    pub(super) memory: u64,
    /// Processor time of its thread so far.
    pub(super) busy: Duration,
}

impl Tally {
    pub(super) fn of(shard: &Shard) -> Self {
        Self {
            ended: shard.flows(),
            evicted: shard.evicted(),
            undissected: shard.undissected(),
            flows_live: shard.live_flows() as u64,
            memory: shard.memory() as u64,
            busy: thread_time(),
        }
    }
}

/// What the reader says of a round.
pub(super) struct Round {
    pub(super) accounts: Accounts,
    pub(super) progress: Progress,
    pub(super) problems: Vec<CaptureError>,
    pub(super) unknown_links: Vec<LinkType>,
    /// Processor time of the reader's thread so far.
    pub(super) busy: Duration,
    pub(super) last: bool,
}
