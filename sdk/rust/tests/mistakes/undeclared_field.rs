//! Reads fields that the structs do not have.

use flowloom_sdk::{FlowFields, Outputs, PacketFields, Plugin};

#[derive(PacketFields)]
struct Packet {
    ip_size: u64,
}

#[derive(FlowFields)]
struct AtExpire {
    src2dst_packets: u64,
}

#[derive(Outputs)]
struct Out {
    /// Packets of the flow.
    v: i64,
}

struct Count;

#[flowloom_sdk::plugin]
impl Plugin for Count {
    const DESCRIPTION: &'static str = "Reads what it did not request.";
    type Packet<'a> = Packet;
    type AtExpire<'a> = AtExpire;
    type State = u64;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Count)
    }

    fn init(&mut self, packet: &Packet, _: &()) -> u64 {
        packet.ttl
    }

    fn update(&mut self, _: &mut u64, _: &Packet, _: &()) {}

    fn expire(&mut self, _: u64, flow: &AtExpire) -> Out {
        Out { v: flow.dst2src_packets as i64, t: 1.5 }
    }
}

fn main() {}
