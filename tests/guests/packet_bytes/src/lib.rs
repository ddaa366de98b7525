//! Requests 64 bytes of each packet, in order to measure their cost. Apart from that it does the same as
//! `packet_stats`, so that the difference between the two is the cost of the bytes.

#[path = "../../../../plugins/packet_stats/src/spread.rs"]
mod spread;

use flowloom_sdk::{Direction, Outputs, PacketFields, Plugin};

use crate::spread::Spread;

/// The plugin.
pub struct PacketBytes;

/// The requested packet fields.
#[derive(PacketFields)]
pub struct Packet<'a> {
    direction: Direction,
    ip_size: u32,
    #[bytes(64)]
    head: &'a [u8],
}

/// The state of a flow.
#[derive(Default)]
pub struct State {
    directions: [Spread; 2],
    shown: u64,
}

/// The outputs.
#[derive(Outputs)]
pub struct Out {
    /// Number of packet bytes that the plugin received.
    shown: i64,
    /// Packets from source to destination.
    src2dst_count: i64,
    /// Mean of their ip_size, bytes.
    src2dst_mean: Option<f64>,
    /// Sample standard deviation of their ip_size, bytes; 0 for one packet.
    src2dst_stddev: Option<f64>,
    /// Minimum of their ip_size, bytes.
    src2dst_min: Option<u32>,
    /// Maximum of their ip_size, bytes.
    src2dst_max: Option<u32>,
    /// Packets from destination to source.
    dst2src_count: i64,
    /// Mean of their ip_size, bytes.
    dst2src_mean: Option<f64>,
    /// Sample standard deviation of their ip_size, bytes; 0 for one packet.
    dst2src_stddev: Option<f64>,
    /// Minimum of their ip_size, bytes.
    dst2src_min: Option<u32>,
    /// Maximum of their ip_size, bytes.
    dst2src_max: Option<u32>,
}

#[flowloom_sdk::plugin]
impl Plugin for PacketBytes {
    const DESCRIPTION: &'static str =
        "Statistics of packet sizes, and the number of bytes that the plugin received.";

    type Packet<'a> = Packet<'a>;
    type State = State;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(PacketBytes)
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> State {
        let mut state = State::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet<'_>, _: &()) {
        state.directions[packet.direction as usize].add(packet.ip_size);
        state.shown += packet.head.len() as u64;
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        let [there, back] = state.directions;
        Out {
            shown: state.shown as i64,
            src2dst_count: there.count(),
            src2dst_mean: there.mean(),
            src2dst_stddev: there.stddev(),
            src2dst_min: there.min(),
            src2dst_max: there.max(),
            dst2src_count: back.count(),
            dst2src_mean: back.mean(),
            dst2src_stddev: back.stddev(),
            dst2src_min: back.min(),
            dst2src_max: back.max(),
        }
    }
}
