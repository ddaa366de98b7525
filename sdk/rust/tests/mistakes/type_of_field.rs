//! Types in which a field cannot be read.

use std::net::IpAddr;

use flowloom_sdk::{FlowFields, PacketFields};

#[derive(PacketFields)]
struct Packet<'a> {
    direction: u8,
    ip_size: u16,
    src_ip: IpAddr,
    dst_ip: &'a [u8],
    ttl: Option<u8>,
}

#[derive(FlowFields)]
struct AtExpire {
    bidirectional_packets: i64,
    splt_ps: Vec<u64>,
}

/// The derive does not know what an alias is.
type Size = u16;

#[derive(PacketFields)]
struct Alias {
    ip_size: Size,
}

fn main() {}
