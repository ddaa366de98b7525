//! What goes between the reader and the meters: a round's packets to each meter, and back what they made
//! of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::Progress;
use crate::capture::{CaptureError, LinkType};
use crate::decode::Packet;
use crate::flow::{Arrival, Flow};
use crate::load::Load;
use crate::meter::Accounts;
use crate::plugin::{PluginReport, PluginSet};
use crate::time::Time;

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
    /// Nothing comes after it.
    pub(super) last: bool,
}

/// A packet that was dealt out.
pub(super) struct Dealt {
    pub(super) packet: Packet,
    pub(super) time: Time,
    pub(super) ordinal: u64,
    pub(super) hash: u32,
    pub(super) start: usize,
    pub(super) len: usize,
}

impl Portion {
    pub(super) fn add(&mut self, arrival: &Arrival<'_>, shown: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(shown);
        self.packets.push(Dealt {
            packet: Packet {
                ip_end: shown.len() as u32,
                ..arrival.packet.clone()
            },
            time: arrival.time,
            ordinal: arrival.ordinal,
            hash: arrival.hash,
            start,
            len: shown.len(),
        });
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
    pub(super) ended: u64,
    pub(super) evicted: u64,
    /// Packets of the round.
    pub(super) packets: u64,
    pub(super) undissected: u64,
    pub(super) flows_live: u64,
    pub(super) memory: u64,
    /// After the last round, and about every second.
    pub(super) plugins: Option<Vec<PluginReport>>,
    /// Processor time of its thread so far.
    pub(super) busy: Duration,
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
