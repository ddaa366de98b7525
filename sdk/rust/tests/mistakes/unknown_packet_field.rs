//! Packet fields that do not exist.

use flowloom_sdk::{Outputs, PacketFields, Plugin};

#[derive(PacketFields)]
struct Packet<'a> {
    ip_siz: u64,
    mood: u8,
    requested_server_name: &'a str,
    payload: &'a [u8],
}

#[derive(Outputs)]
struct Out {
    /// Bytes of all packets.
    bytes: i64,
}

struct Sum;

#[flowloom_sdk::plugin]
impl Plugin for Sum {
    const DESCRIPTION: &'static str = "Adds up sizes.";
    type Packet<'a> = Packet<'a>;
    type State = u64;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Sum)
    }

    fn init(&mut self, packet: &Packet<'_>, _: &()) -> u64 {
        packet.ip_siz
    }

    fn update(&mut self, bytes: &mut u64, packet: &Packet<'_>, _: &()) {
        *bytes += packet.ip_siz;
    }

    fn expire(&mut self, bytes: u64, _: &()) -> Out {
        Out { bytes: bytes as i64 }
    }
}

fn main() {}
