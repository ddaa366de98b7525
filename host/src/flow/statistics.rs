//! Statistics over the packets of a flow: sizes, inter-arrival times, TCP flags.
//!
//! Kept is what whole numbers hold without an error: extremes, and sums of squares. How many packets
//! there are, and the sums of sizes and times, are in the flow's [`Record`] already. Means and
//! deviations are made when somebody looks at them.

use super::record::{Direction, Record};

/// What the statistics are over.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Over {
    Bidirectional,
    Src2Dst,
    Dst2Src,
}

impl Over {
    /// The one direction that it is.
    fn way(self) -> Option<usize> {
        match self {
            Self::Bidirectional => None,
            Self::Src2Dst => Some(Direction::SrcToDst as usize),
            Self::Dst2Src => Some(Direction::DstToSrc as usize),
        }
    }
}

/// In the table, what a packet changes stands in three cache lines.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Statistics {
    ways: [Way; 2],
    /// Times from packets of either direction to the next.
    gaps: Extent,
}

/// The packets of one direction.
#[derive(Clone, Debug, Default)]
#[repr(C)]
struct Way {
    sizes: Extent,
    gaps: Extent,
    /// By the flag's bit in the TCP header.
    flags: [u64; 8],
}

const _: () = assert!(size_of::<Way>() == 128);

/// Statistics of a live flow, at the beginning of a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Aligned(pub(crate) Statistics);

/// The extremes of some whole numbers, and the sum of their squares.
#[derive(Clone, Copy, Debug)]
struct Extent {
    min: u64,
    max: u64,
    /// Two of the longest times that can be would not fit into 64 bits.
    squares: u128,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            min: u64::MAX,
            max: 0,
            squares: 0,
        }
    }
}

impl Extent {
    #[inline]
    fn add(&mut self, number: u64) {
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        self.squares += u128::from(number) * u128::from(number);
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            squares: self.squares + other.squares,
        }
    }
}

/// All that is told of some whole numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// How many they are.
    n: u64,
    sum: u64,
    extent: Extent,
}

impl Sample {
    /// 0 without any.
    pub(crate) fn min(&self) -> u64 {
        if self.n == 0 { 0 } else { self.extent.min }
    }

    /// 0 without any.
    pub(crate) fn max(&self) -> u64 {
        self.extent.max
    }

    /// 0 without any.
    pub(crate) fn mean(&self) -> f64 {
        self.sum as f64 / self.n.max(1) as f64
    }

    /// Of a sample, that is with a divisor of n - 1; 0 for fewer than two.
    pub(crate) fn stddev(&self) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let [n, sum] = [self.n, self.sum].map(u128::from);
        // n (n - 1) times the variance, exactly.
        let spread = n.saturating_mul(self.extent.squares);
        let spread = spread.saturating_sub(sum * sum);
        (spread as f64 / (self.n as f64 * (self.n - 1) as f64)).sqrt()
    }
}

impl Statistics {
    /// Adds a packet of the flow, which `record` has not counted yet.
    #[inline]
    pub(crate) fn add(
        &mut self,
        record: &Record,
        direction: Direction,
        time_ms: u64,
        size: u32,
        tcp_flags: u8,
    ) {
        let counters = &record.directions[direction as usize];
        let way = &mut self.ways[direction as usize];
        way.sizes.add(size.into());
        if counters.packets > 0 {
            way.gaps.add(time_ms - counters.last_seen_ms);
        }
        if record.packets() > 0 {
            self.gaps.add(time_ms - record.last_seen_ms());
        }
        // Most packets have one flag or two of the eight.
        let mut rest = tcp_flags;
        while rest != 0 {
            way.flags[rest.trailing_zeros() as usize % 8] += 1;
            rest &= rest - 1;
        }
    }

    /// Reads of every cache line something, so that they are there when the packet is added.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let [there, back] = [&self.ways[0], &self.ways[1]].map(|way| way.sizes.max ^ way.flags[0]);
        there ^ back ^ self.gaps.max
    }

    /// The sizes of packets.
    pub(crate) fn sizes(&self, record: &Record, over: Over) -> Sample {
        let [there, back] = &self.ways;
        let (counters, extent) = match over.way() {
            Some(way) => (record.directions[way], self.ways[way].sizes),
            None => (record.both(), there.sizes.and(&back.sizes)),
        };
        Sample {
            n: counters.packets,
            sum: counters.bytes,
            extent,
        }
    }

    /// The times between successive packets, in ms.
    pub(crate) fn gaps(&self, record: &Record, over: Over) -> Sample {
        let (counters, extent) = match over.way() {
            Some(way) => (record.directions[way], self.ways[way].gaps),
            None => (record.both(), self.gaps),
        };
        Sample {
            // There is one less than there are packets.
            n: counters.packets.saturating_sub(1),
            sum: counters.last_seen_ms - counters.first_seen_ms,
            extent,
        }
    }

    /// How many packets had the flag that is this bit of a TCP header.
    pub(crate) fn flag(&self, over: Over, bit: usize) -> u64 {
        match over.way() {
            Some(way) => self.ways[way].flags[bit],
            None => self.ways[0].flags[bit] + self.ways[1].flags[bit],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(numbers: &[u64]) -> Sample {
        let mut extent = Extent::default();
        numbers.iter().for_each(|&number| extent.add(number));
        Sample {
            n: numbers.len() as u64,
            sum: numbers.iter().sum(),
            extent,
        }
    }

    #[test]
    fn nothing_has_no_spread() {
        let none = sample(&[]);
        assert_eq!((none.min(), none.max()), (0, 0));
        assert_eq!((none.mean(), none.stddev()), (0.0, 0.0));
        let one = sample(&[7]);
        assert_eq!((one.min(), one.max()), (7, 7));
        assert_eq!((one.mean(), one.stddev()), (7.0, 0.0));
    }

    #[test]
    fn deviation_is_that_of_a_sample() {
        // The squared differences from the mean, 5, add up to 32: 32 / 7.
        let some = sample(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!(some.mean(), 5.0);
        assert_eq!(some.stddev(), (32.0_f64 / 7.0).sqrt());
    }

    #[test]
    fn small_spread_of_large_numbers_is_exact() {
        let base = 1 << 43;
        let some = sample(&[base, base + 1, base + 2]);
        assert_eq!(some.mean(), (base + 1) as f64);
        assert_eq!(some.stddev(), 1.0);
    }

    #[test]
    fn the_longest_times_do_not_overflow() {
        let longest = u64::MAX / 1_000_000;
        let some = sample(&[longest, 0]);
        let expected = longest as f64 / 2.0_f64.sqrt();
        assert!((some.stddev() / expected - 1.0).abs() < 1e-15);
    }
}
