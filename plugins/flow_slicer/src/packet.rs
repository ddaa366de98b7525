//! A packet as a JSON object.

use flowloom_sdk::{Direction, PacketFields};
use serde::ser::Error;
use serde::{Serialize, Serializer};

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet<'a> {
    time_ms: u64,
    delta_time_ms: u64,
    direction: Direction,
    raw_size: u32,
    ip_size: u32,
    transport_size: u32,
    payload_size: u32,
    src_ip: &'a str,
    src_mac: &'a str,
    dst_ip: &'a str,
    dst_mac: &'a str,
    src_port: u16,
    dst_port: u16,
    protocol: u8,
    vlan_id: u16,
    ip_version: u8,
    #[bytes]
    bytes: &'a [u8],
    syn: bool,
    cwr: bool,
    ece: bool,
    urg: bool,
    ack: bool,
    psh: bool,
    rst: bool,
    fin: bool,
}

/// The JSON object of a packet, with NFStream's names of the fields.
#[derive(Serialize)]
struct Line<'a> {
    r#type: String,
    time: u64,
    delta_time: u64,
    direction: u8,
    raw_size: u32,
    ip_size: u32,
    transport_size: u32,
    payload_size: u32,
    src_ip: &'a str,
    src_mac: &'a str,
    dst_ip: &'a str,
    dst_mac: &'a str,
    src_port: u16,
    dst_port: u16,
    protocol: u8,
    vlan_id: u16,
    ip_version: u8,
    #[serde(serialize_with = "hexadecimal")]
    ip_packet: &'a [u8],
    syn: u8,
    cwr: u8,
    ece: u8,
    urg: u8,
    ack: u8,
    psh: u8,
    rst: u8,
    fin: u8,
}

impl Packet<'_> {
    /// Returns the JSON object as text. `n` is the number of the packet in its flow, counted from 1.
    pub(crate) fn to_json(&self, n: usize) -> String {
        let line = Line {
            r#type: format!("packet{n}"),
            time: self.time_ms,
            delta_time: self.delta_time_ms,
            direction: self.direction as u8,
            raw_size: self.raw_size,
            ip_size: self.ip_size,
            transport_size: self.transport_size,
            payload_size: self.payload_size,
            src_ip: self.src_ip,
            src_mac: self.src_mac,
            dst_ip: self.dst_ip,
            dst_mac: self.dst_mac,
            src_port: self.src_port,
            dst_port: self.dst_port,
            protocol: self.protocol,
            vlan_id: self.vlan_id,
            ip_version: self.ip_version,
            ip_packet: self.bytes,
            syn: self.syn.into(),
            cwr: self.cwr.into(),
            ece: self.ece.into(),
            urg: self.urg.into(),
            ack: self.ack.into(),
            psh: self.psh.into(),
            rst: self.rst.into(),
            fin: self.fin.into(),
        };
        serde_json::to_string(&line).expect("numbers and texts are JSON")
    }
}

fn hexadecimal<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS[usize::from(value)];
    let mut digits = Vec::with_capacity(2 * bytes.len());
    for byte in bytes {
        digits.extend([digit(byte >> 4), digit(byte & 15)]);
    }
    let digits = str::from_utf8(&digits).map_err(S::Error::custom)?;
    serializer.serialize_str(digits)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Creates a TCP segment with these bytes from its IP header on.
    pub(crate) fn packet(bytes: &[u8]) -> Packet<'_> {
        Packet {
            time_ms: 1_700_000_000_000,
            delta_time_ms: 7,
            direction: Direction::Dst2Src,
            raw_size: 74,
            ip_size: 60,
            transport_size: 40,
            payload_size: 0,
            src_ip: "192.0.2.2",
            src_mac: "02:00:00:00:00:02",
            dst_ip: "192.0.2.1",
            dst_mac: "02:00:00:00:00:01",
            src_port: 443,
            dst_port: 50_000,
            protocol: 6,
            vlan_id: 0,
            ip_version: 4,
            bytes,
            syn: true,
            cwr: false,
            ece: false,
            urg: false,
            ack: true,
            psh: false,
            rst: false,
            fin: false,
        }
    }

    #[test]
    fn a_packet_becomes_an_object_with_all_fields() {
        assert_eq!(
            packet(b"\x45\x00\xfe").to_json(2),
            "{\"type\":\"packet2\",\"time\":1700000000000,\"delta_time\":7,\"direction\":1,\
             \"raw_size\":74,\"ip_size\":60,\"transport_size\":40,\"payload_size\":0,\
             \"src_ip\":\"192.0.2.2\",\"src_mac\":\"02:00:00:00:00:02\",\
             \"dst_ip\":\"192.0.2.1\",\"dst_mac\":\"02:00:00:00:00:01\",\
             \"src_port\":443,\"dst_port\":50000,\"protocol\":6,\"vlan_id\":0,\"ip_version\":4,\
             \"ip_packet\":\"4500fe\",\
             \"syn\":1,\"cwr\":0,\"ece\":0,\"urg\":0,\"ack\":1,\"psh\":0,\"rst\":0,\"fin\":0}"
        );
    }
}
