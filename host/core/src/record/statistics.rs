//! Statistics over the packets of a flow: sizes, inter-arrival times, TCP flags.
//!
//! Kept is what whole numbers hold without an error: extremes, and sums of squares. How many packets
//! there are, and the sums of sizes and times, are in the flow's [`Record`] already. Means and
//! deviations are made when somebody looks at them.

use super::flow_record::{Direction, Record};

/// What the statistics are over.
#[derive(Clone, Copy, Debug)]
pub enum Over {
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

/// Two cache lines of a flow, in which every packet changes something: the fewer there are, the more
/// flows are near the processor. Packets along the flow need the first one only.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub struct Statistics {
    /// Times from packets of either direction to the next.
    gaps: Extent,
    ways: [Way; 2],
    /// What went beyond the room that there is: hardly ever anything.
    carried: Option<Box<Carried>>,
}

/// The packets of one direction.
#[derive(Clone, Debug, Default)]
struct Way {
    sizes: Extent,
    gaps: Extent,
    /// By the flag's bit in the TCP header.
    flags: [u16; 8],
}

/// What there is no room for, by direction.
#[derive(Clone, Debug, Default)]
struct Carried {
    /// Multiples of what the sum of squares has room for.
    sizes: [u64; 2],
    gaps: [Long; 2],
    both_gaps: Long,
    /// Multiples of what each count has room for.
    flags: [[u64; 8]; 2],
}

/// Statistics of a live flow, at the beginning of a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Aligned(pub Statistics);

const _: () = assert!(
    size_of::<Aligned>() == 128 && std::mem::offset_of!(Statistics, ways) + size_of::<Way>() == 64
);

/// The extremes of some whole numbers, and the sum of their squares.
#[derive(Clone, Copy, Debug)]
struct Extent {
    min: u32,
    max: u32,
    squares: u64,
}

impl Default for Extent {
    fn default() -> Self {
        Self {
            min: u32::MAX,
            max: 0,
            squares: 0,
        }
    }
}

impl Extent {
    /// Adds a number; says whether there was room for it.
    #[inline]
    fn add(&mut self, number: u64) -> bool {
        let short = u32::try_from(number).unwrap_or(u32::MAX);
        self.min = self.min.min(short);
        self.max = self.max.max(short);
        let square = u64::from(short) * u64::from(short);
        let (squares, is_over) = self.squares.overflowing_add(square);
        if is_over || short == u32::MAX {
            return false;
        }
        self.squares = squares;
        true
    }

    /// Adds the square of a number for which there was no room; returns how often the sum went beyond it.
    fn carry(&mut self, number: u64) -> u64 {
        let number = u128::from(number);
        let sum = u128::from(self.squares) + number * number;
        self.squares = sum as u64;
        (sum >> 64) as u64
    }

    fn sample(&self, n: u64, sum: u64, carried: u64) -> Sample {
        Sample {
            n,
            sum,
            min: self.min.into(),
            max: self.max.into(),
            squares: u128::from(carried) << 64 | u128::from(self.squares),
        }
    }
}

/// What an extent of times has no room for: 49 days, or sums of squares of them.
#[derive(Clone, Copy, Debug)]
struct Long {
    /// Of the numbers that do not fit.
    min: u64,
    max: u64,
    /// Multiples of what the sum of squares has room for.
    squares: u64,
}

impl Default for Long {
    fn default() -> Self {
        Self::NONE
    }
}

impl Long {
    const NONE: Self = Self {
        min: u64::MAX,
        max: 0,
        squares: 0,
    };

    /// Adds a number for which there was no room in the extent.
    fn carry(&mut self, extent: &mut Extent, number: u64) {
        self.squares += extent.carry(number);
        if number >= u32::MAX.into() {
            self.min = self.min.min(number);
            self.max = self.max.max(number);
        }
    }

    fn sample(&self, extent: &Extent, n: u64, sum: u64) -> Sample {
        let mut sample = extent.sample(n, sum, self.squares);
        if extent.min == u32::MAX {
            sample.min = self.min;
        }
        if extent.max == u32::MAX {
            sample.max = self.max;
        }
        sample
    }
}

/// All that is told of some whole numbers.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// How many they are.
    n: u64,
    sum: u64,
    min: u64,
    max: u64,
    squares: u128,
}

impl Sample {
    fn and(&self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            squares: self.squares + other.squares,
        }
    }

    /// 0 without any.
    pub fn min(&self) -> u64 {
        if self.n == 0 { 0 } else { self.min }
    }

    /// 0 without any.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// 0 without any.
    pub fn mean(&self) -> f64 {
        self.sum as f64 / self.n.max(1) as f64
    }

    /// Of a sample, that is with a divisor of n - 1; 0 for fewer than two.
    pub fn stddev(&self) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let [n, sum] = [self.n, self.sum].map(u128::from);
        // n (n - 1) times the variance, exactly.
        let spread = n.saturating_mul(self.squares);
        let spread = spread.saturating_sub(sum * sum);
        (spread as f64 / (self.n as f64 * (self.n - 1) as f64)).sqrt()
    }
}

impl Statistics {
    /// Adds a packet of the flow, which `record` has not counted yet.
    #[inline]
    pub fn add(
        &mut self,
        record: &Record,
        direction: Direction,
        time_ms: u64,
        size: u32,
        tcp_flags: u8,
    ) {
        let counters = &record.directions[direction as usize];
        let at = direction as usize;
        let way = &mut self.ways[at];
        if !way.sizes.add(size.into()) {
            self.carry_size(at, size);
        }
        if counters.packets > 0 {
            let gap_ms = time_ms - counters.last_seen_ms;
            if !self.ways[at].gaps.add(gap_ms) {
                self.carry_gap(at, gap_ms);
            }
        }
        if record.packets() > 0 {
            let gap_ms = time_ms - record.last_seen_ms();
            if !self.gaps.add(gap_ms) {
                self.carry_both_gap(gap_ms);
            }
        }
        // Most packets have one flag or two of the eight.
        let mut rest = tcp_flags;
        while rest != 0 {
            let bit = rest.trailing_zeros() as usize % 8;
            let (count, is_over) = self.ways[at].flags[bit].overflowing_add(1);
            self.ways[at].flags[bit] = count;
            if is_over {
                self.carry_flag(at, bit);
            }
            rest &= rest - 1;
        }
    }

    #[cold]
    fn carry_size(&mut self, at: usize, size: u32) {
        let carried = self.carried.get_or_insert_default();
        carried.sizes[at] += self.ways[at].sizes.carry(size.into());
    }

    #[cold]
    fn carry_gap(&mut self, at: usize, gap_ms: u64) {
        let carried = self.carried.get_or_insert_default();
        carried.gaps[at].carry(&mut self.ways[at].gaps, gap_ms);
    }

    #[cold]
    fn carry_both_gap(&mut self, gap_ms: u64) {
        let carried = self.carried.get_or_insert_default();
        carried.both_gaps.carry(&mut self.gaps, gap_ms);
    }

    #[cold]
    fn carry_flag(&mut self, at: usize, bit: usize) {
        self.carried.get_or_insert_default().flags[at][bit] += 1;
    }

    /// The sizes of packets.
    pub fn sizes(&self, record: &Record, over: Over) -> Sample {
        let sample = |way: usize| {
            let counters = &record.directions[way];
            let carried = self
                .carried
                .as_ref()
                .map_or(0, |carried| carried.sizes[way]);
            self.ways[way]
                .sizes
                .sample(counters.packets, counters.bytes, carried)
        };
        match over.way() {
            Some(way) => sample(way),
            None => sample(0).and(&sample(1)),
        }
    }

    /// The times between successive packets, in ms.
    pub fn gaps(&self, record: &Record, over: Over) -> Sample {
        let carried = self.carried.as_deref();
        let (counters, extent, long) = match over.way() {
            Some(way) => (
                record.directions[way],
                &self.ways[way].gaps,
                carried.map_or(&Long::NONE, |carried| &carried.gaps[way]),
            ),
            None => (
                record.both(),
                &self.gaps,
                carried.map_or(&Long::NONE, |carried| &carried.both_gaps),
            ),
        };
        // There is one less than there are packets.
        let n = counters.packets.saturating_sub(1);
        long.sample(extent, n, counters.last_seen_ms - counters.first_seen_ms)
    }

    /// How many packets had the flag that is this bit of a TCP header.
    pub fn flag(&self, over: Over, bit: usize) -> u64 {
        let count = |way: usize| {
            let carried = self.carried.as_deref();
            let carried = carried.map_or(0, |carried| carried.flags[way][bit]);
            carried << 16 | u64::from(self.ways[way].flags[bit])
        };
        match over.way() {
            Some(way) => count(way),
            None => count(0) + count(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(numbers: &[u64]) -> Sample {
        let (mut extent, mut long) = (Extent::default(), Long::default());
        for &number in numbers {
            if !extent.add(number) {
                long.carry(&mut extent, number);
            }
        }
        long.sample(&extent, numbers.len() as u64, numbers.iter().sum())
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

    #[test]
    fn extremes_beyond_their_room_are_exact() {
        let room = u64::from(u32::MAX);
        for numbers in [
            &[room] as &[u64],
            &[room - 1, room],
            &[room + 1, room],
            &[5, room << 9, 7, room << 8],
            &[room - 1, 0],
        ] {
            let some = sample(numbers);
            let extremes = (some.min(), some.max());
            assert_eq!(Some(&extremes.0), numbers.iter().min());
            assert_eq!(Some(&extremes.1), numbers.iter().max());
            let squares: u128 = numbers.iter().map(|&n| u128::from(n) * u128::from(n)).sum();
            assert_eq!(some.squares, squares);
        }
    }

    #[test]
    fn sums_have_no_end() {
        let (mut record, mut statistics) = (Record::default(), Statistics::default());
        let mut time_ms = 1;
        // As no capture has, but its headers may say.
        for size in [u32::MAX, u32::MAX - 2, u32::MAX - 1] {
            statistics.add(&record, Direction::SrcToDst, time_ms, size, 1);
            record.count(Direction::SrcToDst, time_ms, size);
            time_ms += 1 << 40;
        }
        for over in [Over::Bidirectional, Over::Src2Dst] {
            let sizes = statistics.sizes(&record, over);
            assert_eq!(sizes.min(), u64::from(u32::MAX - 2));
            assert_eq!(sizes.mean(), f64::from(u32::MAX - 1));
            assert_eq!(sizes.stddev(), 1.0);
            let gaps = statistics.gaps(&record, over);
            assert_eq!((gaps.min(), gaps.max()), (1 << 40, 1 << 40));
            assert_eq!((gaps.mean(), gaps.stddev()), ((1_u64 << 40) as f64, 0.0));
        }
        statistics.ways[0].flags[0] = u16::MAX;
        statistics.add(&record, Direction::SrcToDst, time_ms, 1, 1);
        assert_eq!(statistics.flag(Over::Bidirectional, 0), 1 << 16);
        assert_eq!(statistics.flag(Over::Dst2Src, 0), 0);
    }
}
