//! Byte distribution and Shannon entropy of the first payload bytes of each direction.

use flowloom_sdk::{Direction, Options, Outputs, PacketFields, Plugin};

/// The maximum of the option `n`.
const MOST: u32 = 4096;

/// The plugin.
pub struct Entropy {
    n: u32,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Number of payload bytes per direction to use, 1 to 4096.
    #[option(default = 256)]
    n: u32,
}

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet<'a> {
    direction: Direction,
    #[payload]
    payload: &'a [u8],
}

/// The state of a flow: the first payload bytes of each direction.
#[derive(Default)]
pub struct State {
    directions: [Vec<u8>; 2],
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Number of payload bytes from source to destination that are used.
    src2dst_bytes: i64,
    /// Shannon entropy of these bytes, bits per byte.
    src2dst_entropy: Option<f64>,
    /// Number of different byte values.
    src2dst_distinct: Option<i64>,
    /// Mean of the byte values.
    src2dst_mean: Option<f64>,
    /// Population standard deviation of the byte values (divided by n).
    src2dst_stddev: Option<f64>,
    /// Share of printable ASCII, tabs and line ends, 0 to 1.
    src2dst_printable: Option<f64>,
    /// Number of payload bytes from destination to source that are used.
    dst2src_bytes: i64,
    /// Shannon entropy of these bytes, bits per byte.
    dst2src_entropy: Option<f64>,
    /// Number of different byte values.
    dst2src_distinct: Option<i64>,
    /// Mean of the byte values.
    dst2src_mean: Option<f64>,
    /// Population standard deviation of the byte values (divided by n).
    dst2src_stddev: Option<f64>,
    /// Share of printable ASCII, tabs and line ends, 0 to 1.
    dst2src_printable: Option<f64>,
}

#[flowloom_sdk::plugin]
impl Plugin for Entropy {
    const DESCRIPTION: &'static str =
        "Byte distribution and entropy of the first payload bytes of each direction.";

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type State = State;
    type Outputs = Out;

    fn open(Opts { n }: Opts) -> Result<Self, String> {
        if n == 0 || n > MOST {
            return Err(format!("option `n` must be from 1 to {MOST}, not {n}"));
        }
        Ok(Entropy { n })
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
        let bytes = &mut state.directions[packet.direction as usize];
        let taken = packet.payload.len().min(self.n as usize - bytes.len());
        bytes.extend_from_slice(&packet.payload[..taken]);
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        let [src2dst, dst2src] = state.directions.map(|bytes| Distribution::of(&bytes));
        Out {
            src2dst_bytes: src2dst.map_or(0, |of| of.bytes),
            src2dst_entropy: src2dst.map(|of| of.entropy),
            src2dst_distinct: src2dst.map(|of| of.distinct),
            src2dst_mean: src2dst.map(|of| of.mean),
            src2dst_stddev: src2dst.map(|of| of.stddev),
            src2dst_printable: src2dst.map(|of| of.printable),
            dst2src_bytes: dst2src.map_or(0, |of| of.bytes),
            dst2src_entropy: dst2src.map(|of| of.entropy),
            dst2src_distinct: dst2src.map(|of| of.distinct),
            dst2src_mean: dst2src.map(|of| of.mean),
            dst2src_stddev: dst2src.map(|of| of.stddev),
            dst2src_printable: dst2src.map(|of| of.printable),
        }
    }
}

/// The distribution of byte values.
#[derive(Clone, Copy)]
struct Distribution {
    bytes: i64,
    entropy: f64,
    distinct: i64,
    mean: f64,
    stddev: f64,
    printable: f64,
}

impl Distribution {
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        let mut counts = [0_u32; 256];
        for &byte in bytes {
            counts[usize::from(byte)] += 1;
        }
        let n = bytes.len() as f64;
        let (mut entropy, mut distinct, mut sum, mut squares, mut printable) = (0.0, 0, 0, 0, 0);
        for (value, count) in (0_u64..).zip(counts).filter(|(_, count)| *count > 0) {
            let share = f64::from(count) / n;
            entropy -= share * share.log2();
            distinct += 1;
            // At most 4096 * 255^2, so the sums are exact.
            sum += value * u64::from(count);
            squares += value * value * u64::from(count);
            if matches!(value, 0x09 | 0x0a | 0x0d | 0x20..=0x7e) {
                printable += count;
            }
        }
        let mean = sum as f64 / n;
        let deviation = squares as f64 - sum as f64 * mean;
        Some(Distribution {
            bytes: bytes.len() as i64,
            entropy,
            distinct,
            mean,
            stddev: (deviation.max(0.0) / n).sqrt(),
            printable: f64::from(printable) / n,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Dst2Src, Src2Dst};

    fn run(n: u32, packets: &[(Direction, &[u8])]) -> Out {
        let mut plugin = Entropy::open(Opts { n }).expect("n is in range");
        let mut packets = packets
            .iter()
            .map(|&(direction, payload)| Packet { direction, payload });
        let first = packets.next().expect("a flow has a packet");
        let mut state = plugin.init(&first, &());
        for packet in packets {
            plugin.update(&mut state, &packet, &());
        }
        plugin.expire(state, &())
    }

    #[test]
    fn directions_are_separate_and_end_after_n_bytes() {
        let out = run(
            4,
            &[
                (Src2Dst, b"ab"),
                (Dst2Src, &[0, 2, 0, 2, 9]),
                (Src2Dst, b"a\x01zz"),
            ],
        );
        assert_eq!((out.src2dst_bytes, out.src2dst_distinct), (4, Some(3)));
        assert_eq!(
            (out.src2dst_entropy, out.src2dst_printable),
            (Some(1.5), Some(0.75))
        );
        assert_eq!((out.dst2src_bytes, out.dst2src_entropy), (4, Some(1.0)));
        assert_eq!(
            (out.dst2src_mean, out.dst2src_stddev),
            (Some(1.0), Some(1.0))
        );
        assert_eq!(out.dst2src_printable, Some(0.0));
    }

    #[test]
    fn no_payload_has_no_distribution() {
        let out = run(64, &[(Src2Dst, b"")]);
        assert_eq!(
            (out.src2dst_bytes, out.src2dst_entropy, out.src2dst_mean),
            (0, None, None)
        );
    }

    #[test]
    fn every_value_once_has_eight_bits_and_equal_values_have_zero() {
        let all: Vec<u8> = (0..=255).collect();
        let out = run(256, &[(Src2Dst, &all)]);
        assert_eq!(
            (out.src2dst_entropy, out.src2dst_mean),
            (Some(8.0), Some(127.5))
        );
        let out = run(256, &[(Src2Dst, &[200; 100])]);
        assert_eq!(
            (out.src2dst_entropy, out.src2dst_stddev),
            (Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn n_has_bounds() {
        for n in [0, 4097] {
            let error = Entropy::open(Opts { n }).err();
            assert_eq!(
                error,
                Some(format!("option `n` must be from 1 to 4096, not {n}"))
            );
        }
    }
}
