//! Tests an SDK: it computes an output of every type from fields of every type. tests/languages has the same plugin
//! in other languages.

use flowloom_sdk::{Bytes, FlowFields, Json, Outputs, PacketFields, Plugin};

/// The guest.
pub struct EveryType;

/// Fields of each packet.
#[derive(PacketFields)]
pub struct Packet<'a> {
    syn: bool,
    ttl: u8,
    dst_port: u16,
    tcp_flags: u8,
    direction: flowloom_sdk::Direction,
    tcp_seq: u32,
    time_ms: u64,
    src_ip: &'a str,
    #[payload(8)]
    payload: &'a [u8],
    #[bytes(20)]
    bytes: &'a [u8],
}

/// Fields of the flow at its first packet.
#[derive(FlowFields)]
pub struct AtInit<'a> {
    id: u64,
    dst_ip: &'a str,
}

/// Fields of the flow at later packets.
#[derive(FlowFields)]
pub struct AtUpdate {
    bidirectional_packets: u64,
}

/// Fields of the flow at its end.
#[derive(FlowFields)]
pub struct AtExpire<'a> {
    expiration_id: i64,
    bidirectional_mean_ps: f64,
    splt_ps: &'a [i64],
}

/// The state of a flow.
pub struct State {
    syn: bool,
    sum: i64,
    peers: String,
    last: Vec<u8>,
    packets: Vec<f64>,
}

/// Outputs of all types.
#[derive(Outputs)]
pub struct Out {
    /// Whether the first packet has SYN; null for an even number of packets.
    syn: Option<bool>,
    /// The sum of integer fields of all widths.
    sum: i64,
    /// The mean packet size; null unless it exceeds 100.
    mean: Option<f64>,
    /// The destination address, and the source addresses of the first packets.
    peers: String,
    /// Payload and IP header bytes of the last packet.
    last: Option<Bytes>,
    /// The packet sizes of SPLT.
    sizes: Vec<i64>,
    /// The number of packets at every update.
    packets: Option<Vec<f64>>,
    /// The first letters of the peers' addresses; null for a flow of one packet.
    letters: Option<Vec<String>>,
    /// The reason of the expiration.
    reason: Json,
}

#[flowloom_sdk::plugin]
impl Plugin for EveryType {
    const DESCRIPTION: &'static str = "An output of every type.";

    type Packet<'a> = Packet<'a>;
    type AtInit<'a> = AtInit<'a>;
    type AtUpdate<'a> = AtUpdate;
    type AtExpire<'a> = AtExpire<'a>;
    type State = State;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(EveryType)
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &AtInit<'_>) -> State {
        let mut state = State {
            syn: packet.syn,
            sum: flow.id as i64,
            peers: flow.dst_ip.to_owned(),
            last: Vec::new(),
            packets: Vec::new(),
        };
        see(&mut state, packet);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet<'_>, flow: &AtUpdate) {
        state.packets.push(flow.bidirectional_packets as f64);
        see(state, packet);
    }

    fn expire(&mut self, state: State, flow: &AtExpire<'_>) -> Out {
        let updates = state.packets.len();
        let letters = state.peers.split(' ').map(|peer| peer[..1].to_owned());
        let letters = (updates > 0).then(|| letters.collect());
        Out {
            syn: updates.is_multiple_of(2).then_some(state.syn),
            sum: state.sum,
            mean: (flow.bidirectional_mean_ps > 100.0).then_some(flow.bidirectional_mean_ps),
            peers: state.peers,
            last: (updates != 1).then_some(Bytes(state.last)),
            sizes: flow.splt_ps.to_vec(),
            packets: (updates > 0).then_some(state.packets),
            letters,
            reason: Json(format!("{{\"ü\":{}}}", flow.expiration_id)),
        }
    }
}

fn see(state: &mut State, packet: &Packet<'_>) {
    // Numbers in JavaScript are exact up to 2^53.
    state.sum %= 1 << 40;
    state.sum += i64::from(packet.ttl)
        + i64::from(packet.dst_port)
        + i64::from(packet.tcp_flags)
        + packet.direction as i64
        + i64::from(packet.tcp_seq)
        + packet.time_ms as i64;
    if state.packets.len() < 3 {
        state.peers.push(' ');
        state.peers.push_str(packet.src_ip);
    }
    state.last = [packet.payload, packet.bytes].concat();
}
