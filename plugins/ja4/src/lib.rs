//! JA4, the fingerprint of a TLS client, according to FoxIO's specification:
//! <https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md>

mod bytes;
mod fingerprint;
mod hello;
mod initial;
mod quic;
mod stream;

use std::num::NonZeroU32;

use flowloom_sdk::{Direction, Options, Outputs, PacketFields, Plugin};

use crate::fingerprint::{Fingerprint, Transport};
use crate::quic::Quic;
use crate::stream::{MOST_KEPT, Segment, Stream};

/// The maximum number of bytes that all live flows keep together. An instance has 256 MB of memory. If the limit is
/// reached, the plugin finds a ClientHello only if it arrives in one piece.
const ROOM: usize = 64 << 20;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The plugin.
pub struct Ja4 {
    packets: NonZeroU32,
    /// The remaining number of bytes that flows may keep.
    room: usize,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Number of packets per flow to examine.
    #[option(default = 32)]
    packets: NonZeroU32,
}

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet<'a> {
    direction: Direction,
    protocol: u8,
    syn: bool,
    tcp_seq: u32,
    payload_size: u32,
    #[payload(16384)]
    payload: &'a [u8],
}

/// The state of a flow.
pub struct State(Search);

enum Search {
    /// The flow is neither TCP nor UDP.
    None,
    /// One stream per direction. The sender of the flow's first packet may not be the client.
    Tcp(Box<[Stream; 2]>),
    /// Both directions. `None` until the flow contains QUIC.
    Udp(Option<Box<Quic>>),
    /// The search has found a ClientHello.
    Found(Box<Fingerprint>),
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, Default, PartialEq, Outputs)]
pub struct Out {
    /// JA4 of the flow's first TLS ClientHello, over TCP or QUIC; null without one.
    ja4: Option<String>,
    /// JA4_r: the same with the sorted lists instead of their hashes.
    ja4_r: Option<String>,
}

#[flowloom_sdk::plugin]
impl Plugin for Ja4 {
    const DESCRIPTION: &'static str = "JA4, the fingerprint of a TLS client.";

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type State = State;
    type Outputs = Out;

    fn open(Opts { packets }: Opts) -> Result<Self, String> {
        Ok(Ja4 {
            packets,
            room: ROOM,
        })
    }

    fn packets_per_flow(&self) -> Option<u32> {
        Some(self.packets.get())
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> State {
        let mut state = State(match packet.protocol {
            TCP => Search::Tcp(Box::new([Stream::of_tcp(), Stream::of_tcp()])),
            UDP => Search::Udp(None),
            _ => Search::None,
        });
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, State(search): &mut State, packet: &Packet<'_>, _: &()) {
        let before = search.kept();
        let most = |kept: usize| MOST_KEPT.min(kept + self.room);
        let (hello, over) = match search {
            Search::Tcp(streams) => {
                let segment = Segment {
                    syn: packet.syn,
                    seq: packet.tcp_seq,
                    size: packet.payload_size,
                    bytes: packet.payload,
                };
                let stream = &mut streams[packet.direction as usize];
                let most = most(stream.kept());
                (stream.push(&segment, most), Transport::Tcp)
            }
            Search::Udp(flow) => {
                let hello = Quic::push(flow, packet.payload, most(before));
                (hello, Transport::Quic)
            }
            Search::None | Search::Found(_) => return,
        };
        if let Some(hello) = hello {
            *search = Search::Found(Box::new(Fingerprint::of(&hello, over)));
        }
        self.room = (self.room + before).saturating_sub(search.kept());
    }

    fn expire(&mut self, State(search): State, _: &()) -> Out {
        self.room += search.kept();
        let found = match search {
            Search::None | Search::Udp(_) => None,
            Search::Tcp(streams) => streams
                .into_iter()
                .find_map(Stream::end)
                .map(|hello| Fingerprint::of(&hello, Transport::Tcp)),
            Search::Found(found) => Some(*found),
        };
        found.map_or_else(Out::default, |found| Out {
            ja4: Some(found.hashed),
            ja4_r: Some(found.raw),
        })
    }
}

impl Search {
    /// Returns the number of bytes that the flow keeps.
    fn kept(&self) -> usize {
        match self {
            Search::Tcp(streams) => streams.iter().map(Stream::kept).sum(),
            Search::Udp(flow) => flow.as_ref().map_or(0, |flow| flow.kept()),
            Search::None | Search::Found(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::hello::tests::{handshake, records};
    use super::*;

    fn open() -> Ja4 {
        let packets = NonZeroU32::MIN;
        Ja4::open(Opts { packets }).expect("one packet is enough")
    }

    fn segment(tcp_seq: u32, payload: &[u8]) -> Packet<'_> {
        Packet {
            direction: Direction::Src2Dst,
            protocol: TCP,
            syn: false,
            tcp_seq,
            payload_size: payload.len() as u32,
            payload,
        }
    }

    #[test]
    fn all_flows_share_a_limit_of_bytes() {
        let (mut plugin, mut states) = (open(), Vec::new());
        // Flows in which every packet except the first comes after a gap.
        for _ in 0..ROOM / 30_000 + 100 {
            let mut state = plugin.init(&segment(1, b"x"), &());
            for n in 1..4 {
                plugin.update(&mut state, &segment(n * 20_000, &[0; 10_000]), &());
            }
            states.push(state);
        }
        let kept: usize = states.iter().map(|State(search)| search.kept()).sum();
        assert!(kept <= ROOM && kept > ROOM / 2 && plugin.room == ROOM - kept);
        for state in states {
            plugin.expire(state, &());
        }
        assert_eq!(plugin.room, ROOM);
    }

    fn run(protocol: u8, direction: Direction, payload: &[u8]) -> Out {
        let mut plugin = open();
        let packet = Packet {
            direction,
            protocol,
            syn: false,
            tcp_seq: 1,
            payload_size: payload.len() as u32,
            payload,
        };
        let state = plugin.init(&packet, &());
        plugin.expire(state, &())
    }

    #[test]
    fn either_side_of_a_tcp_flow_may_be_the_client() {
        let hello = records(&handshake(&[0x1301, 0x1302, 0x1303], None), 16_384);
        for direction in [Direction::Src2Dst, Direction::Dst2Src] {
            let out = run(TCP, direction, &hello);
            let raw = out.ja4_r.expect("there is a hello");
            assert_eq!(raw, "t12i030000_1301,1302,1303_");
            let hashed = out.ja4.expect("there is a hello");
            assert_eq!(hashed, "t12i030000_55b375c5d22e_000000000000");
        }
        assert_eq!(run(17, Direction::Src2Dst, &hello), Out::default());
    }
}
