//! The first payload bytes of each direction.

use flowloom_sdk::{Bytes, Direction, Options, Outputs, PacketFields, Plugin};

/// The maximum of the option `n`.
const MOST: u32 = 4096;

/// The plugin.
pub struct FirstBytes {
    n: u32,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Number of bytes per direction, 1 to 4096.
    #[option(default = 32)]
    n: u32,
}

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet<'a> {
    direction: Direction,
    payload_size: u32,
    #[payload]
    payload: &'a [u8],
}

/// The state of a flow, by direction.
#[derive(Default)]
pub struct State {
    directions: [Beginning; 2],
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// The first payload bytes from source to destination; null without payload.
    src2dst: Option<Bytes>,
    /// The first payload bytes from destination to source; null without payload.
    dst2src: Option<Bytes>,
}

#[flowloom_sdk::plugin]
impl Plugin for FirstBytes {
    const DESCRIPTION: &'static str = "The first payload bytes of each direction.";

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type State = State;
    type Outputs = Out;

    fn open(Opts { n }: Opts) -> Result<Self, String> {
        if n == 0 || n > MOST {
            return Err(format!("option `n` must be from 1 to {MOST}, not {n}"));
        }
        Ok(FirstBytes { n })
    }

    fn payload_bytes(&self) -> u32 {
        self.n
    }

    /// Includes the bytes of both directions.
    fn state_bytes(&self) -> usize {
        size_of::<State>() + 2 * self.n as usize
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

/// The collected payload bytes of a direction.
#[derive(Default)]
struct Beginning {
    bytes: Vec<u8>,
    /// Whether the next bytes are missing: a packet was not fully captured, or the operator granted fewer
    /// bytes. Later bytes would be at a wrong position.
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
    fn payloads_are_joined_per_direction() {
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
    fn bytes_after_a_gap_are_ignored() {
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
        // With n = 4, the rest of the packet is not needed.
        assert_eq!(run(4, &[(Src2Dst, b"abcd", 9)]).src2dst, bytes(b"abcd"));
    }

    #[test]
    fn n_has_bounds() {
        for n in [0, 4097] {
            let error = FirstBytes::open(Opts { n }).err();
            assert_eq!(
                error,
                Some(format!("option `n` must be from 1 to 4096, not {n}"))
            );
        }
    }
}
