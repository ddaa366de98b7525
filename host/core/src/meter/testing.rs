//! Flows for tests.

use etherparse::PacketBuilder;

use super::{Meter, Settings};
use crate::flow::Flow;
use crate::link_type::{LinkType, RawPacket};
use crate::time::Time;

/// The link type of raw IP.
pub const RAW: LinkType = LinkType(101);

/// Meters raw IP packets, one per second, and returns the flows.
pub fn metered(settings: Settings, packets: &[Vec<u8>]) -> Vec<Flow> {
    let mut meter = Meter::new(settings);
    meter.push(packets.iter().zip(0..).map(|(data, second)| RawPacket {
        time: Time::from_ns(second * 1_000_000_000),
        link: RAW,
        wire_len: data.len() as u32,
        data,
    }));
    meter.finish();
    std::iter::from_fn(|| meter.next_flow()).collect()
}

/// Returns a DNS query from this port, as a raw IP packet.
pub fn udp(src_port: u16) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(src_port, 53)
        .write(&mut packet, b"query")
        .expect("it fits");
    packet
}

/// Returns `count` flows of one packet each.
pub fn flows(count: u64) -> Vec<Flow> {
    let packets: Vec<_> = (0..count).map(|n| udp(1024 + n as u16)).collect();
    metered(Settings::default(), &packets)
}
