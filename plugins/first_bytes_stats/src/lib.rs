//! Count, mean and standard deviation of a flow's packet sizes, and the entropy of its first payload bytes.

use flowloom_sdk::{Options, Outputs, PacketFields, Plugin};

/// The maximum of the option `n`.
const MOST: u32 = 4096;

/// The plugin.
pub struct FirstBytesStats {
    n: u32,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Number of payload bytes per flow to use for the entropy, 1 to 4096.
    #[option(default = 64)]
    n: u32,
}

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet<'a> {
    ip_size: u32,
    #[payload]
    payload: &'a [u8],
}

/// The state of a flow.
#[derive(Default)]
pub struct State {
    count: i64,
    mean: f64,
    /// The sum of the squared differences from the mean.
    squares: f64,
    first: Vec<u8>,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Packets of the flow.
    count: i64,
    /// Mean of their ip_size, bytes.
    mean: f64,
    /// Sample standard deviation of their ip_size, bytes; 0 for one packet.
    stddev: f64,
    /// Payload bytes that the entropy is of.
    bytes: i64,
    /// Shannon entropy of the first payload bytes, bits a byte; null without payload.
    entropy: Option<f64>,
}

#[flowloom_sdk::plugin]
impl Plugin for FirstBytesStats {
    const DESCRIPTION: &'static str =
        "Packet sizes, and the entropy of a flow's first payload bytes.";

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type State = State;
    type Outputs = Out;

    fn open(Opts { n }: Opts) -> Result<Self, String> {
        if n == 0 || n > MOST {
            return Err(format!("option `n` must be from 1 to {MOST}, not {n}"));
        }
        Ok(FirstBytesStats { n })
    }

    fn payload_bytes(&self) -> u32 {
        self.n
    }

    /// Includes the bytes.
    fn state_bytes(&self) -> usize {
        size_of::<State>() + self.n as usize
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> State {
        let mut state = State::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet<'_>, _: &()) {
        state.count += 1;
        let size = f64::from(packet.ip_size);
        let off = size - state.mean;
        state.mean += off / state.count as f64;
        state.squares += off * (size - state.mean);
        let missing = self.n as usize - state.first.len();
        let taken = packet.payload.len().min(missing);
        state.first.extend_from_slice(&packet.payload[..taken]);
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        Out {
            count: state.count,
            mean: state.mean,
            stddev: match state.count {
                1 => 0.0,
                count => (state.squares / (count - 1) as f64).sqrt(),
            },
            bytes: state.first.len() as i64,
            entropy: entropy(&state.first),
        }
    }
}

/// Returns the Shannon entropy in bits per byte. It sums in the order of the byte values, because the result
/// of a float sum depends on the order.
fn entropy(bytes: &[u8]) -> Option<f64> {
    let mut counts = [0_u32; 256];
    for &byte in bytes {
        counts[usize::from(byte)] += 1;
    }
    let mut entropy = 0.0;
    for count in counts.into_iter().filter(|&count| count > 0) {
        let share = f64::from(count) / bytes.len() as f64;
        entropy -= share * share.log2();
    }
    (!bytes.is_empty()).then_some(entropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u32, packets: &[(u32, &[u8])]) -> Out {
        let mut plugin = FirstBytesStats::open(Opts { n }).expect("n is in range");
        let mut packets = packets
            .iter()
            .map(|&(ip_size, payload)| Packet { ip_size, payload });
        let first = packets.next().expect("a flow has a packet");
        let mut state = plugin.init(&first, &());
        for packet in packets {
            plugin.update(&mut state, &packet, &());
        }
        plugin.expire(state, &())
    }

    #[test]
    fn bytes_are_collected_from_packets_until_there_are_n() {
        let out = run(4, &[(40, b"ab"), (60, b""), (20, b"abxx")]);
        assert_eq!(
            out,
            Out {
                count: 3,
                mean: 40.0,
                stddev: 20.0,
                bytes: 4,
                entropy: Some(1.0),
            }
        );
    }

    #[test]
    fn no_payload_has_no_entropy_and_equal_bytes_have_entropy_zero() {
        let out = run(64, &[(52, b"")]);
        assert_eq!((out.stddev, out.bytes, out.entropy), (0.0, 0, None));
        assert_eq!(run(64, &[(52, b"aaaa")]).entropy, Some(0.0));
    }

    #[test]
    fn every_byte_value_once_has_eight_bits() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(run(256, &[(284, &all)]).entropy, Some(8.0));
    }

    #[test]
    fn n_has_bounds() {
        for n in [0, 4097] {
            let error = FirstBytesStats::open(Opts { n }).err();
            let expected = format!("option `n` must be from 1 to 4096, not {n}");
            assert_eq!(error, Some(expected));
        }
    }
}
