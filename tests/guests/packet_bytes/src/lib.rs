//! Asks for 64 bytes of each packet, for measuring what that costs: what it does otherwise is what
//! `packet_stats` does, so that the difference of both is the bytes.

use flowloom_sdk::{Direction, Outputs, PacketFields, Plugin};

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

#[derive(Clone, Copy)]
struct Spread {
    count: u64,
    sum: u64,
    squares: u64,
    min: u32,
    max: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Spread {
            count: 0,
            sum: 0,
            squares: 0,
            min: u32::MAX,
            max: 0,
        }
    }
}

impl Spread {
    fn add(&mut self, size: u32) {
        self.count += 1;
        self.sum += u64::from(size);
        self.squares = self
            .squares
            .saturating_add(u64::from(size) * u64::from(size));
        self.min = self.min.min(size);
        self.max = self.max.max(size);
    }

    fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    fn stddev(&self) -> Option<f64> {
        match self.count {
            0 => None,
            1 => Some(0.0),
            count => {
                // count (count - 1) times the variance. Of most flows it fits into the 64 bits that
                // WebAssembly calculates with.
                let spread = match (u32::try_from(self.squares), u32::try_from(self.sum)) {
                    (Ok(squares), Ok(sum)) if count < 1 << 32 => {
                        (count * u64::from(squares) - u64::from(sum) * u64::from(sum)) as f64
                    }
                    _ => {
                        let [count, sum, squares] = [count, self.sum, self.squares].map(u128::from);
                        (count * squares).saturating_sub(sum * sum) as f64
                    }
                };
                Some((spread / (count as f64 * (count - 1) as f64)).sqrt())
            }
        }
    }
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
        let some = |spread: Spread| (spread.count > 0).then_some(spread);
        Out {
            shown: state.shown as i64,
            src2dst_count: there.count as i64,
            src2dst_mean: there.mean(),
            src2dst_stddev: there.stddev(),
            src2dst_min: some(there).map(|spread| spread.min),
            src2dst_max: some(there).map(|spread| spread.max),
            dst2src_count: back.count as i64,
            dst2src_mean: back.mean(),
            dst2src_stddev: back.stddev(),
            dst2src_min: some(back).map(|spread| spread.min),
            dst2src_max: some(back).map(|spread| spread.max),
        }
    }
}

flowloom_sdk::export!(PacketBytes);
