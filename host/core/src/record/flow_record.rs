//! The flow key and the counters, which every flow has.

use super::bucket::{Bucket, WheelEntry};
use crate::decode::{Addr, Packet, Tunnel};

/// The direction of a packet in its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// The direction of the flow's first packet.
    #[default]
    SrcToDst = 0,
    /// The direction opposite to the flow's first packet.
    DstToSrc = 1,
}

/// The flow key, MAC addresses and counters of a flow.
///
/// The record has exactly two cache lines, which every packet of the flow reads. Opening and ending a flow
/// touches no further cache line of it.
#[derive(Clone, Debug, Default)]
#[repr(C, align(64))]
pub struct Record {
    /// The source address of the first packet. Part of the flow key.
    pub(crate) src: Addr,
    /// The destination address of the first packet. Part of the flow key.
    pub(crate) dst: Addr,
    /// The ordinal of the first packet in its capture.
    pub id: u64,
    /// The source port of the first packet. Part of the flow key.
    pub(crate) src_port: u16,
    /// The destination port of the first packet. Part of the flow key.
    pub(crate) dst_port: u16,
    /// The innermost VLAN identifier; 0 without a tag. Part of the flow key.
    pub(crate) vlan_id: u16,
    /// The IANA protocol number. Part of the flow key.
    pub(crate) protocol: u8,
    /// The innermost tunnel. Part of the flow key.
    pub(crate) tunnel: Tunnel,
    /// The bucket of the timing wheel in which the flow is scheduled.
    pub(crate) bucket: Bucket,
    /// The source MAC address of the first packet.
    pub(crate) src_mac: [u8; 6],
    /// The destination MAC address of the first packet.
    pub(crate) dst_mac: [u8; 6],
    /// 4 or 6.
    pub(crate) ip_version: u8,
    /// The counters by direction, indexed by [`Direction`].
    pub(crate) directions: [DirectionCounters; 2],
}

/// A packet is compared with fields of the first cache line, and changes only the second one.
const _: () = assert!(std::mem::offset_of!(Record, directions) == 64 && size_of::<Record>() == 128);

/// The counters of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DirectionCounters {
    /// The time of the first packet in ms since 1970-01-01 UTC; 0 if there is none.
    pub(crate) first_seen_ms: u64,
    /// The time of the last packet in ms since 1970-01-01 UTC; 0 if there is none.
    pub(crate) last_seen_ms: u64,
    /// The number of packets.
    pub(crate) packets: u64,
    /// The sum of packet sizes in bytes, in the measure of the accounting mode.
    pub(crate) bytes: u64,
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
    /// Creates the record of the flow that a packet opens. The packet is not counted yet.
    pub(crate) fn open(packet: &Packet, id: u64, bucket: Bucket) -> Self {
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

    /// Returns the direction of a packet in this flow, or `None` if the packet does not belong to the flow.
    #[inline]
    pub(crate) fn direction_of(&self, packet: &Packet) -> Option<Direction> {
        if (self.protocol, self.vlan_id, self.tunnel)
            != (packet.protocol, packet.vlan_id, packet.tunnel)
        {
            return None;
        }
        // The CPU cannot predict the direction, so the comparisons use no branch before the result.
        let [src, dst] = [self.src, self.dst].map(|addr| u128::from_ne_bytes(addr.0));
        let [from, to] = [packet.src, packet.dst].map(|addr| u128::from_ne_bytes(addr.0));
        let ports = (self.src_port, self.dst_port);
        let forward = (src == from) & (dst == to) & (ports == (packet.src_port, packet.dst_port));
        let reverse = (src == to) & (dst == from) & (ports == (packet.dst_port, packet.src_port));
        if !(forward | reverse) {
            return None;
        }
        Some(match forward {
            true => Direction::SrcToDst,
            false => Direction::DstToSrc,
        })
    }

    /// Counts a packet. `bytes` is its size in the measure of the accounting mode.
    #[inline]
    pub(crate) fn count(&mut self, direction: Direction, time_ms: u64, bytes: u32) {
        self.directions[direction as usize].count(time_ms, bytes);
    }

    /// Returns the counters of both directions together.
    pub(crate) fn bidirectional(&self) -> DirectionCounters {
        let [src2dst, dst2src] = self.directions;
        DirectionCounters {
            first_seen_ms: src2dst.first_seen_ms,
            last_seen_ms: self.last_seen_ms(),
            packets: self.packets(),
            bytes: src2dst.bytes + dst2src.bytes,
        }
    }

    /// Returns the time of the first packet in ms since 1970-01-01 UTC.
    #[inline]
    pub fn first_seen_ms(&self) -> u64 {
        self.directions[0].first_seen_ms
    }

    /// Returns the time of the last packet of either direction in ms since 1970-01-01 UTC.
    #[inline]
    pub(crate) fn last_seen_ms(&self) -> u64 {
        self.directions[0]
            .last_seen_ms
            .max(self.directions[1].last_seen_ms)
    }

    /// Returns the number of packets of both directions.
    #[inline]
    pub(crate) fn packets(&self) -> u64 {
        self.directions[0].packets + self.directions[1].packets
    }
}

impl WheelEntry for Record {
    fn bucket(&mut self) -> &mut Bucket {
        &mut self.bucket
    }
}

/// The reason why a flow ended. [`id`](Self::id) returns the flow's `expiration_id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiration {
    /// No packet arrived for the idle timeout, or the capture ended.
    #[default]
    Idle,
    /// A packet arrived when the age of the flow had reached the active timeout.
    Active,
    /// The TCP connection was closed or reset; only with `end_on_fin`.
    Closed,
    /// A plugin cut the flow.
    Cut,
    /// The table of live flows was full, and the flow was the oldest.
    Evicted,
}

impl Expiration {
    /// All reasons, the most common first.
    pub const ALL: [Self; 5] = [
        Self::Idle,
        Self::Active,
        Self::Closed,
        Self::Evicted,
        Self::Cut,
    ];

    /// Returns the name of the reason.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Evicted => "evicted",
            Self::Cut => "cut",
        }
    }

    /// Returns a description of the reason, in full sentences.
    pub fn doc(self) -> &'static str {
        match self {
            Self::Idle => "No packet arrived for the idle timeout, or the capture ended.",
            Self::Active => {
                "A packet arrived when the age of the flow had reached the active timeout. That packet began a new flow."
            }
            Self::Closed => {
                "With end_on_fin: the TCP connection was reset, or the FINs of both directions were acknowledged. The packet that closed the connection is the last packet of the flow. A later packet begins a new flow."
            }
            Self::Evicted => {
                "The table of live flows was full (max_flows), and the flow was the oldest."
            }
            Self::Cut => {
                "A plugin cut the flow. The current packet is the last packet of the flow."
            }
        }
    }

    /// Returns the number of the reason. NFStream has the same numbers for the reasons that it knows.
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

/// The position of a flow's end in the order of all ends. It serves to merge the flows of several meters.
///
/// Ends are ordered by the packet that caused them. If one packet ends several flows, the flows that it does
/// not belong to come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ended {
    ordinal: u64,
    by_its_packet: bool,
}

impl Ended {
    /// Creates the position of an end by a packet that does not belong to the flow.
    pub(crate) fn by_another(ordinal: u64) -> Self {
        Self {
            ordinal,
            by_its_packet: false,
        }
    }

    /// Creates the position of an end by a packet with the flow key of the flow.
    pub(crate) fn by_its_packet(ordinal: u64) -> Self {
        Self {
            ordinal,
            by_its_packet: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet() -> Packet {
        Packet {
            src: [192, 0, 2, 1].into(),
            dst: [192, 0, 2, 2].into(),
            src_port: 1000,
            dst_port: 80,
            vlan_id: 7,
            protocol: 6,
            tunnel: Tunnel::Gtp,
            ..Packet::default()
        }
    }

    fn reversed(packet: &Packet) -> Packet {
        Packet {
            src: packet.dst,
            dst: packet.src,
            src_port: packet.dst_port,
            dst_port: packet.src_port,
            ..packet.clone()
        }
    }

    #[test]
    fn a_packet_belongs_to_a_flow_if_its_whole_key_does() {
        let record = Record::open(&packet(), 0, Bucket::NONE);
        assert_eq!(record.direction_of(&packet()), Some(Direction::SrcToDst));
        let reverse = reversed(&packet());
        assert_eq!(record.direction_of(&reverse), Some(Direction::DstToSrc));
        let changes: [fn(&mut Packet); 10] = [
            |packet| packet.src = [192, 0, 2, 3].into(),
            |packet| packet.dst = [192, 0, 2, 3].into(),
            |packet| packet.src_port = 1001,
            |packet| packet.dst_port = 81,
            |packet| packet.vlan_id = 8,
            |packet| packet.protocol = 17,
            |packet| packet.tunnel = Tunnel::None,
            |packet| std::mem::swap(&mut packet.src, &mut packet.dst),
            |packet| std::mem::swap(&mut packet.src_port, &mut packet.dst_port),
            |packet| packet.src = packet.dst,
        ];
        for change in changes {
            let mut other = packet();
            change(&mut other);
            for other in [reversed(&other), other] {
                assert_eq!(record.direction_of(&other), None, "{other:?}");
            }
        }
    }

    #[test]
    fn between_equal_endpoints_all_packets_have_the_first_direction() {
        let mut packet = packet();
        (packet.dst, packet.dst_port) = (packet.src, packet.src_port);
        let record = Record::open(&packet, 0, Bucket::NONE);
        assert_eq!(record.direction_of(&packet), Some(Direction::SrcToDst));
    }

    #[test]
    fn reasons_have_names_numbers_and_descriptions() {
        for (why, name, id) in [
            (Expiration::Idle, "idle", 0),
            (Expiration::Active, "active", 1),
            (Expiration::Closed, "closed", 2),
            (Expiration::Evicted, "evicted", 3),
            (Expiration::Cut, "cut", -1),
        ] {
            assert_eq!((why.name(), why.id()), (name, id));
            assert!(
                why.doc().ends_with('.') && why.doc().contains(' '),
                "{name}"
            );
            assert!(Expiration::ALL.contains(&why));
        }
    }

    #[test]
    fn a_packet_ends_the_flows_of_others_before_its_own() {
        let mut ends = [
            Ended::by_its_packet(7),
            Ended::by_another(8),
            Ended::by_another(7),
        ];
        ends.sort();
        let expected = [
            Ended::by_another(7),
            Ended::by_its_packet(7),
            Ended::by_another(8),
        ];
        assert_eq!(ends, expected);
    }
}
