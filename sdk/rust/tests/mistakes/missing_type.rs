//! Types that the methods of a plugin use, and that the plugin does not have.

use flowloom_sdk::{FlowFields, Options, Outputs, PacketFields, Plugin};

#[derive(Options)]
struct Opts {
    /// Packets to count.
    least: i64,
}

#[derive(PacketFields)]
struct Packet<'a> {
    src_ip: &'a str,
}

#[derive(FlowFields)]
struct AtExpire<'a> {
    requested_server_name: &'a str,
}

#[derive(Outputs)]
struct Out {
    /// Packets of the flow.
    packets: i64,
}

struct Count;

#[flowloom_sdk::plugin]
impl Plugin for Count {
    const DESCRIPTION: &'static str = "Counts packets.";
    type AtExpire = AtExpire<'_>;

    fn open(options: Opts) -> Result<Self, String> {
        let _ = options.least;
        Ok(Count)
    }

    fn init(&mut self, packet: &Packet<'_>, _: &()) -> i64 {
        packet.src_ip.len() as i64
    }

    fn update(&mut self, packets: &mut i64, _: &Packet<'_>, _: &()) {
        *packets += 1;
    }

    fn expire(&mut self, packets: i64, flow: &AtExpire<'_>) -> Out {
        let _ = flow.requested_server_name;
        Out { packets }
    }
}

fn main() {}
