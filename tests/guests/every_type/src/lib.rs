//! Tests an SDK: it computes an output of every type from fields of every type, and has an option of every type.
//! tests/languages has the same plugin in other languages.

use std::num::NonZeroU32;

use flowloom_sdk::{Bytes, FlowFields, Json, Options, Outputs, PacketFields, Plugin};

/// The guest.
pub struct EveryType {
    options: Opts,
    /// Flows that have ended.
    flows: u64,
}

/// Options of all types. Without them, the plugin changes nothing and logs nothing.
#[derive(Options)]
pub struct Opts {
    /// Added to `sum`.
    #[option(default = 0)]
    add: u32,
    /// Factor of `mean`.
    #[option(default = 1.0)]
    factor: f64,
    /// Whether `syn` is negated.
    #[option(default = false)]
    negate: bool,
    /// Text before `peers`. With it, the plugin logs its number of flows at every level.
    name: Option<String>,
    /// Packets after which a flow ends.
    cuts: Option<NonZeroU32>,
    /// Packets of a flow to count.
    most: Option<NonZeroU32>,
}

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

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type AtInit<'a> = AtInit<'a>;
    type AtUpdate<'a> = AtUpdate;
    type AtExpire<'a> = AtExpire<'a>;
    type State = State;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        Ok(EveryType { options, flows: 0 })
    }

    fn packets_per_flow(&self) -> Option<u32> {
        self.options.most.map(NonZeroU32::get)
    }

    fn needs_one_meter(&self) -> bool {
        self.options.name.is_some()
    }

    fn cuts_flows(&self) -> bool {
        self.options.cuts.is_some()
    }

    fn cuts(&self, state: &State) -> bool {
        let packets = state.packets.len() + 1;
        self.options
            .cuts
            .is_some_and(|cuts| packets >= cuts.get() as usize)
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
        let mean = flow.bidirectional_mean_ps;
        let options = &self.options;
        self.flows += 1;
        Out {
            syn: updates
                .is_multiple_of(2)
                .then_some(state.syn ^ options.negate),
            sum: state.sum + i64::from(options.add),
            mean: (mean > 100.0).then_some(mean * options.factor),
            peers: options.name.clone().unwrap_or_default() + &state.peers,
            last: (updates != 1).then_some(Bytes(state.last)),
            sizes: flow.splt_ps.to_vec(),
            packets: (updates > 0).then_some(state.packets),
            letters,
            reason: Json(format!("{{\"ü\":{}}}", flow.expiration_id)),
        }
    }

    fn finish(&mut self) {
        if let Some(name) = &self.options.name {
            let line = format!("{name}: {} flows", self.flows);
            flowloom_sdk::error!("{line}");
            flowloom_sdk::warn!("{line}");
            flowloom_sdk::info!("{line}");
            flowloom_sdk::debug!("{line}");
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
