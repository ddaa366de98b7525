//! Types that an output cannot have.

use std::collections::HashMap;

use flowloom_sdk::Outputs;

#[derive(Outputs)]
struct Out<'a> {
    /// Name of the server.
    name: &'a str,
}

#[derive(Outputs)]
struct Owned {
    /// Bytes of all packets.
    bytes: u64,
    /// Bytes of the first packets.
    first: Option<Vec<u8>>,
    /// Sizes of packets.
    sizes: Vec<u32>,
    /// Packets of each size.
    by_size: HashMap<u32, u32>,
    /// Address of the server.
    address: std::net::IpAddr,
}

struct Mine;

#[derive(Outputs)]
struct Other {
    /// Something else.
    other: Mine,
}

fn main() {}
