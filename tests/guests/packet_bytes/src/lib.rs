//! Asks for 64 bytes of each packet, for measuring what that costs: what it does otherwise is what
//! `packet_stats` does, so that the difference of both is the bytes.

#[path = "../../../../plugins/packet_stats/src/spread.rs"]
mod spread;

use flowloom_sdk::{Direction, Outputs, PacketFields, Plugin};

use crate::spread::Spread;

/// The plugin.
pub struct PacketBytes;

/// What it sees of each packet.
#[derive(PacketFields)]
pub struct Packet<'a> {
    direction: Direction,
    ip_size: u32,
    #[bytes(64)]
    head: &'a [u8],
}

/// What it keeps of a flow.
#[derive(Default)]
pub struct State {
    directions: [Spread; 2],
    shown: u64,
}

/// What it adds to a flow.
#[derive(Outputs)]
pub struct Out {
    /// Bytes that it was shown.
    shown: i64,
    /// Packets from source to destination.
    src2dst_count: i64,
    /// Mean of their ip_size, bytes.
    src2dst_mean: Option<f64>,
    /// Sample standard deviation of their ip_size, bytes; 0 for one packet.
    src2dst_stddev: Option<f64>,
    /// Least ip_size of them, bytes.
    src2dst_min: Option<u32>,
    /// Most ip_size of them, bytes.
    src2dst_max: Option<u32>,
    /// Packets from destination to source.
    dst2src_count: i64,
    /// Mean of their ip_size, bytes.
    dst2src_mean: Option<f64>,
    /// Sample standard deviation of their ip_size, bytes; 0 for one packet.
    dst2src_stddev: Option<f64>,
    /// Least ip_size of them, bytes.
    dst2src_min: Option<u32>,
    /// Most ip_size of them, bytes.
    dst2src_max: Option<u32>,
}

impl Plugin for PacketBytes {
    const DESCRIPTION: &'static str = "Spread of packet sizes, and how many bytes it was shown.";

    type Options = ();
    type Packet<'a> = Packet<'a>;
    type AtInit<'a> = ();
    type AtUpdate<'a> = ();
    type AtExpire<'a> = ();
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

flowloom_sdk::export!(PacketBytes);
