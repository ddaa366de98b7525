//! The first payload bytes of each direction.

use flowloom_sdk::{Bytes, Direction, Options, Outputs, PacketFields, Plugin};

/// The most bytes that it can be told to keep of a direction.
const MOST: u32 = 4096;

/// The plugin.
pub struct FirstBytes {
    n: u32,
}

/// What the operator may set.
#[derive(Options)]
pub struct Opts {
    /// How many bytes of each direction, at most 4096.
    #[option(default = 32)]
    n: u32,
}

/// What it sees of each packet.
#[derive(PacketFields)]
pub struct Packet<'a> {
    direction: Direction,
    payload_size: u32,
    #[payload]
    payload: &'a [u8],
}

/// What it keeps of a flow, by direction.
#[derive(Default)]
pub struct State {
    directions: [Beginning; 2],
}

/// What it adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// The first payload bytes from source to destination; null where there were none.
    src2dst: Option<Bytes>,
    /// The first payload bytes from destination to source; null where there were none.
    dst2src: Option<Bytes>,
}

impl Plugin for FirstBytes {
    const DESCRIPTION: &'static str = "The first payload bytes of each direction.";

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type AtInit<'a> = ();
    type AtUpdate<'a> = ();
    type AtExpire<'a> = ();
    type State = State;
    type Outputs = Out;

    fn open(Opts { n }: Opts) -> Result<Self, String> {
        if n == 0 || n > MOST {
            return Err(format!("option `n` is from 1 to {MOST}, not {n}"));
        }
        Ok(FirstBytes { n })
    }

    fn payload_bytes(&self) -> u32 {
        self.n
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> State {
        let mut state = State::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet<'_>, _: &()) {
        let direction = &mut state.directions[packet.direction as usize];
        direction.add(packet.payload, packet.payload_size, self.n);
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        let [src2dst, dst2src] = state
            .directions
            .map(|direction| (!direction.bytes.is_empty()).then_some(Bytes(direction.bytes)));
        Out { src2dst, dst2src }
    }
}

flowloom_sdk::export!(FirstBytes);

/// The first payload bytes of a direction.
#[derive(Default)]
struct Beginning {
    bytes: Vec<u8>,
    /// Bytes are missing behind those that are there: a packet was not captured whole, or the operator
    /// granted less. What comes later would stand in the wrong place.
    ended: bool,
}

impl Beginning {
    fn add(&mut self, payload: &[u8], size: u32, n: u32) {
        let missing = n as usize - self.bytes.len();
        if self.ended || missing == 0 {
            return;
        }
        let taken = payload.len().min(missing);
        self.bytes.extend_from_slice(&payload[..taken]);
        self.ended = taken < missing && taken < size as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Dst2Src, Src2Dst};

    fn run(n: u32, packets: &[(Direction, &[u8], u32)]) -> Out {
        let mut plugin = FirstBytes::open(Opts { n }).expect("n is in range");
        let mut packets = packets
            .iter()
            .map(|&(direction, payload, payload_size)| Packet {
                direction,
                payload_size,
                payload,
            });
        let first = packets.next().expect("a flow has a packet");
        let mut state = plugin.init(&first, &());
        for packet in packets {
            plugin.update(&mut state, &packet, &());
        }
        plugin.expire(state, &())
    }

    fn bytes(bytes: &[u8]) -> Option<Bytes> {
        Some(Bytes(bytes.to_vec()))
    }

    #[test]
    fn directions_are_apart_and_packets_are_joined() {
        let out = run(
            5,
            &[
                (Src2Dst, b"GET", 3),
                (Dst2Src, b"", 0),
                (Src2Dst, b" / HTTP", 7),
            ],
        );
        assert_eq!(
            out,
            Out {
                src2dst: bytes(b"GET /"),
                dst2src: None,
            }
        );
    }

    #[test]
    fn what_comes_behind_a_gap_is_left_out() {
        let out = run(
            8,
            &[
                (Src2Dst, b"abcd", 9),
                (Src2Dst, b"xyz", 3),
                (Dst2Src, b"", 4),
                (Dst2Src, b"xyz", 3),
            ],
        );
        assert_eq!((out.src2dst, out.dst2src), (bytes(b"abcd"), None));
        // The rest of this packet is not asked for.
        assert_eq!(run(4, &[(Src2Dst, b"abcd", 9)]).src2dst, bytes(b"abcd"));
    }

    #[test]
    fn n_has_bounds() {
        for n in [0, 4097] {
            let error = FirstBytes::open(Opts { n }).err();
            assert_eq!(
                error,
                Some(format!("option `n` is from 1 to 4096, not {n}"))
            );
        }
    }
}
