//! What is kept of every live flow, and what an ended one still holds.

use super::bucket::{Bucket, WheelEntry};
use crate::decode::{Addr, Packet, Tunnel};

/// Which way a packet goes in its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// As the flow's first packet.
    #[default]
    SrcToDst = 0,
    /// Against it.
    DstToSrc = 1,
}

/// Who a flow is, and its counters: the two cache lines that every packet of a flow reads. There is no
/// more to it, so that beginning and ending it needs no others.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub struct Record {
    pub src: Addr,
    pub dst: Addr,
    pub id: u64,
    pub src_port: u16,
    pub dst_port: u16,
    pub vlan_id: u16,
    pub protocol: u8,
    /// Part of the flow key, as all before it but `id`.
    pub tunnel: Tunnel,
    pub bucket: Bucket,
    pub src_mac: [u8; 6],
    pub dst_mac: [u8; 6],
    pub ip_version: u8,
    pub directions: [DirectionCounters; 2],
}

/// What a packet is compared with stands in one cache line, what it changes in another.
const _: () = assert!(std::mem::offset_of!(Record, directions) == 64 && size_of::<Record>() == 128);

/// The packets of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectionCounters {
    /// ms since 1970; 0 while there is no packet.
    pub first_seen_ms: u64,
    pub last_seen_ms: u64,
    pub packets: u64,
    pub bytes: u64,
}

impl DirectionCounters {
    fn count(&mut self, time_ms: u64, bytes: u32) {
        if self.packets == 0 {
            self.first_seen_ms = time_ms;
        }
        self.last_seen_ms = time_ms;
        self.packets += 1;
        self.bytes += u64::from(bytes);
    }
}

impl Record {
    /// The flow that a packet opens, before the packet is counted.
    pub fn open(packet: &Packet, id: u64, bucket: Bucket) -> Self {
        Self {
            src: packet.src,
            dst: packet.dst,
            id,
            src_port: packet.src_port,
            dst_port: packet.dst_port,
            vlan_id: packet.vlan_id,
            protocol: packet.protocol,
            tunnel: packet.tunnel,
            bucket,
            src_mac: packet.src_mac,
            dst_mac: packet.dst_mac,
            ip_version: packet.ip_version,
            directions: Default::default(),
        }
    }

    /// Which way the packet goes in this flow, if it is one of its packets.
    #[inline]
    pub fn direction_of(&self, packet: &Packet) -> Option<Direction> {
        if (self.protocol, self.vlan_id, self.tunnel)
            != (packet.protocol, packet.vlan_id, packet.tunnel)
        {
            return None;
        }
        // Which way it goes nobody can guess, so there is no branch before the last one.
        let [src, dst] = [self.src, self.dst].map(|addr| u128::from_ne_bytes(addr.0));
        let [from, to] = [packet.src, packet.dst].map(|addr| u128::from_ne_bytes(addr.0));
        let ports = (self.src_port, self.dst_port);
        let along = (src == from) & (dst == to) & (ports == (packet.src_port, packet.dst_port));
        let against = (src == to) & (dst == from) & (ports == (packet.dst_port, packet.src_port));
        if !(along | against) {
            return None;
        }
        Some(match along {
            true => Direction::SrcToDst,
            false => Direction::DstToSrc,
        })
    }

    /// Counts a packet of `bytes` in the accounting mode's measure.
    #[inline]
    pub fn count(&mut self, direction: Direction, time_ms: u64, bytes: u32) {
        self.directions[direction as usize].count(time_ms, bytes);
    }

    /// Both directions together.
    pub fn both(&self) -> DirectionCounters {
        let [there, back] = self.directions;
        DirectionCounters {
            first_seen_ms: there.first_seen_ms,
            last_seen_ms: self.last_seen_ms(),
            packets: self.packets(),
            bytes: there.bytes + back.bytes,
        }
    }

    #[inline]
    pub fn first_seen_ms(&self) -> u64 {
        self.directions[0].first_seen_ms
    }

    #[inline]
    pub fn last_seen_ms(&self) -> u64 {
        self.directions[0]
            .last_seen_ms
            .max(self.directions[1].last_seen_ms)
    }

    #[inline]
    pub fn packets(&self) -> u64 {
        self.directions[0].packets + self.directions[1].packets
    }
}

impl WheelEntry for Record {
    fn bucket(&mut self) -> &mut Bucket {
        &mut self.bucket
    }
}

/// Why a flow ended; its number is the flow's `expiration_id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiration {
    /// No packet for the idle timeout, or the capture ended.
    #[default]
    Idle,
    /// A packet came after the flow had lived for the active timeout.
    Active,
    /// Its TCP connection was closed or reset; only with `end_on_fin`.
    Closed,
    /// A plugin cut it.
    Cut,
    /// The table of live flows was full, and it was the oldest.
    Evicted,
}

impl Expiration {
    /// Every reason, the most common first.
    pub const ALL: [Self; 5] = [
        Self::Idle,
        Self::Active,
        Self::Closed,
        Self::Evicted,
        Self::Cut,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Evicted => "evicted",
            Self::Cut => "cut",
        }
    }

    /// What it means, in a sentence.
    pub fn doc(self) -> &'static str {
        match self {
            Self::Idle => "No packet came for the idle timeout, or the capture ended.",
            Self::Active => {
                "A packet came after the flow had lived for the active timeout; it began a new flow."
            }
            Self::Closed => {
                "With end_on_fin: its TCP connection was reset, or the FINs of both directions were acknowledged. The packet that did so is the flow's last; one that comes late begins another flow."
            }
            Self::Evicted => "The table of live flows was full (max_flows), and it was the oldest.",
            Self::Cut => "A plugin cut the flow, after the packet that is its last.",
        }
    }

    /// As NFStream numbers it, where it knows the reason.
    pub fn id(self) -> i64 {
        match self {
            Self::Idle => 0,
            Self::Active => 1,
            Self::Closed => 2,
            Self::Cut => -1,
            Self::Evicted => 3,
        }
    }
}

/// When a flow ended, so that the flows of several meters can be put into one order: by the packet
/// that ended it, first the flows that the packet does not belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ended {
    ordinal: u64,
    by_its_packet: bool,
}

impl Ended {
    pub fn by_another(ordinal: u64) -> Self {
        Self {
            ordinal,
            by_its_packet: false,
        }
    }

    pub fn by_its_packet(ordinal: u64) -> Self {
        Self {
            ordinal,
            by_its_packet: true,
        }
    }
}
