//! Statistics over the packets of a flow: sizes, inter-arrival times, TCP flags.
//!
//! Only exact integers are stored: minima, maxima and sums of squares. The number of packets and the sums of
//! sizes and times are already in the flow's [`Record`]. Means and deviations are computed on request.

use super::flow_record::{Direction, Record};

/// The packets that a statistic covers: those of both directions, or of one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DirectionScope {
    Bidirectional,
    Src2Dst,
    Dst2Src,
}

impl DirectionScope {
    /// Returns the index of the direction, or `None` for both.
    fn direction(self) -> Option<usize> {
        match self {
            Self::Bidirectional => None,
            Self::Src2Dst => Some(Direction::SrcToDst as usize),
            Self::Dst2Src => Some(Direction::DstToSrc as usize),
        }
    }
}

/// The statistics of a flow. Every packet of the flow changes them.
///
/// They have two cache lines, so that the caches hold as many flows as possible. Packets from source to
/// destination touch only the first line.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Statistics {
    /// Inter-arrival times over packets of both directions, in ms.
    gaps: Extent,
    directions: [DirectionStatistics; 2],
    /// Values that exceed the other fields; rarely allocated.
    overflow: Option<Box<Overflow>>,
}

/// The statistics of the packets of one direction.
#[derive(Clone, Debug)]
struct DirectionStatistics {
    /// Sizes in bytes, in the measure of the accounting mode.
    sizes: Extent,
    /// Inter-arrival times in ms.
    gaps: Extent,
    /// The number of packets with each TCP flag, modulo 2^16, indexed by the bit of the flag in the header.
    flags: [u16; 8],
}

/// The parts of values that exceed the fields of [`Statistics`]. Arrays are indexed by direction.
#[derive(Clone, Debug, Default)]
struct Overflow {
    /// The sums of squares of sizes, divided by 2^64.
    sizes: [u64; 2],
    /// The overflow of the inter-arrival times of each direction.
    gaps: [WideExtent; 2],
    /// The overflow of the inter-arrival times over both directions.
    common_gaps: WideExtent,
    /// The numbers of packets with each flag, divided by 2^16.
    flags: [[u64; 8]; 2],
}

/// The statistics of a live flow, aligned to a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct AlignedStatistics(pub Statistics);

const _: () = assert!(
    size_of::<AlignedStatistics>() == 128
        && std::mem::offset_of!(Statistics, directions) + size_of::<DirectionStatistics>() == 64
);

/// The minimum, the maximum and the sum of squares of some integers. It can hold numbers below `u32::MAX`.
#[derive(Clone, Copy, Debug)]
struct Extent {
    min: u32,
    max: u32,
    squares: u64,
}

impl Extent {
    const EMPTY: Self = Self {
        min: u32::MAX,
        max: 0,
        squares: 0,
    };

    /// Adds a number. Returns `false` if the number or the sum of squares overflows. Then the square is not
    /// added yet, and the caller must call [`add_overflow`](Self::add_overflow).
    #[inline]
    fn add(&mut self, number: u64) -> bool {
        let short = u32::try_from(number).unwrap_or(u32::MAX);
        self.min = self.min.min(short);
        self.max = self.max.max(short);
        let square = u64::from(short) * u64::from(short);
        let (squares, overflows) = self.squares.overflowing_add(square);
        if overflows || short == u32::MAX {
            return false;
        }
        self.squares = squares;
        true
    }

    /// Adds the square of a number that overflowed. Returns the carry of the sum: its multiple of 2^64.
    fn add_overflow(&mut self, number: u64) -> u64 {
        let number = u128::from(number);
        let sum = u128::from(self.squares) + number * number;
        self.squares = sum as u64;
        (sum >> 64) as u64
    }

    fn sample(&self, n: u64, sum: u64, overflow: u64) -> Sample {
        Sample {
            n,
            sum,
            min: self.min.into(),
            max: self.max.into(),
            squares: u128::from(overflow) << 64 | u128::from(self.squares),
        }
    }
}

/// The overflow of an [`Extent`] of times: times of 49 days or more, and large sums of squares.
#[derive(Clone, Copy, Debug)]
struct WideExtent {
    /// The minimum of the numbers that are at least `u32::MAX`.
    min: u64,
    /// The maximum of the numbers that are at least `u32::MAX`.
    max: u64,
    /// The sum of squares, divided by 2^64.
    squares: u64,
}

impl Default for WideExtent {
    fn default() -> Self {
        Self::NONE
    }
}

impl WideExtent {
    const NONE: Self = Self {
        min: u64::MAX,
        max: 0,
        squares: 0,
    };

    /// Adds a number that overflowed `extent`.
    fn add_overflow(&mut self, extent: &mut Extent, number: u64) {
        self.squares += extent.add_overflow(number);
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

/// Statistics of some integers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The number of integers.
    n: u64,
    sum: u64,
    min: u64,
    max: u64,
    /// The sum of the squares.
    squares: u128,
}

impl Sample {
    /// Returns the statistics of the integers of both samples.
    fn merged(&self, other: &Self) -> Self {
        Self {
            n: self.n + other.n,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            squares: self.squares + other.squares,
        }
    }

    /// Returns the minimum; 0 for an empty sample.
    pub(crate) fn min(&self) -> u64 {
        if self.n == 0 { 0 } else { self.min }
    }

    /// Returns the maximum; 0 for an empty sample.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// Returns the mean; 0 for an empty sample.
    pub(crate) fn mean(&self) -> f64 {
        self.sum as f64 / self.n.max(1) as f64
    }

    /// Returns the sample standard deviation (divisor n - 1); 0 for fewer than two integers.
    pub(crate) fn stddev(&self) -> f64 {
        if self.n < 2 {
            return 0.0;
        }
        let [n, sum] = [self.n, self.sum].map(u128::from);
        // The variance times n (n - 1), exactly.
        let scaled = n.saturating_mul(self.squares);
        let scaled = scaled.saturating_sub(sum * sum);
        (scaled as f64 / (self.n as f64 * (self.n - 1) as f64)).sqrt()
    }
}

impl DirectionStatistics {
    const EMPTY: Self = Self {
        sizes: Extent::EMPTY,
        gaps: Extent::EMPTY,
        flags: [0; 8],
    };
}

impl Default for Statistics {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Statistics {
    /// The statistics of a flow without packets.
    pub(crate) const EMPTY: Self = Self {
        gaps: Extent::EMPTY,
        directions: [DirectionStatistics::EMPTY; 2],
        overflow: None,
    };

    /// Adds a packet of the flow. `record` must not have counted it yet.
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
        let index = direction as usize;
        let statistics = &mut self.directions[index];
        if !statistics.sizes.add(size.into()) {
            self.overflow_size(index, size);
        }
        if counters.packets > 0 {
            let gap_ms = time_ms - counters.last_seen_ms;
            if !self.directions[index].gaps.add(gap_ms) {
                self.overflow_gap(index, gap_ms);
            }
        }
        if record.packets() > 0 {
            let gap_ms = time_ms - record.last_seen_ms();
            if !self.gaps.add(gap_ms) {
                self.overflow_common_gap(gap_ms);
            }
        }
        // One iteration for each flag that is set: most packets have one or two of the eight.
        let mut rest = tcp_flags;
        while rest != 0 {
            let bit = rest.trailing_zeros() as usize % 8;
            let (count, overflows) = self.directions[index].flags[bit].overflowing_add(1);
            self.directions[index].flags[bit] = count;
            if overflows {
                self.overflow_flag(index, bit);
            }
            rest &= rest - 1;
        }
    }

    #[cold]
    fn overflow_size(&mut self, index: usize, size: u32) {
        let overflow = self.overflow.get_or_insert_default();
        overflow.sizes[index] += self.directions[index].sizes.add_overflow(size.into());
    }

    #[cold]
    fn overflow_gap(&mut self, index: usize, gap_ms: u64) {
        let overflow = self.overflow.get_or_insert_default();
        overflow.gaps[index].add_overflow(&mut self.directions[index].gaps, gap_ms);
    }

    #[cold]
    fn overflow_common_gap(&mut self, gap_ms: u64) {
        let overflow = self.overflow.get_or_insert_default();
        overflow.common_gaps.add_overflow(&mut self.gaps, gap_ms);
    }

    #[cold]
    fn overflow_flag(&mut self, index: usize, bit: usize) {
        self.overflow.get_or_insert_default().flags[index][bit] += 1;
    }

    /// Returns the statistics of the packet sizes in bytes.
    pub(crate) fn sizes(&self, record: &Record, scope: DirectionScope) -> Sample {
        let sample = |index: usize| {
            let counters = &record.directions[index];
            let overflow = self
                .overflow
                .as_ref()
                .map_or(0, |overflow| overflow.sizes[index]);
            self.directions[index]
                .sizes
                .sample(counters.packets, counters.bytes, overflow)
        };
        match scope.direction() {
            Some(index) => sample(index),
            None => sample(0).merged(&sample(1)),
        }
    }

    /// Returns the statistics of the times between successive packets in ms.
    pub(crate) fn gaps(&self, record: &Record, scope: DirectionScope) -> Sample {
        let overflow = self.overflow.as_deref();
        let (counters, extent, wide) = match scope.direction() {
            Some(index) => (
                record.directions[index],
                &self.directions[index].gaps,
                overflow.map_or(&WideExtent::NONE, |overflow| &overflow.gaps[index]),
            ),
            None => (
                record.bidirectional(),
                &self.gaps,
                overflow.map_or(&WideExtent::NONE, |overflow| &overflow.common_gaps),
            ),
        };
        // The number of gaps is one less than the number of packets.
        let n = counters.packets.saturating_sub(1);
        wide.sample(extent, n, counters.last_seen_ms - counters.first_seen_ms)
    }

    /// Returns the number of packets with a TCP flag, given by its bit in the header.
    pub(crate) fn flag(&self, scope: DirectionScope, bit: usize) -> u64 {
        let count = |index: usize| {
            let overflow = self.overflow.as_deref();
            let overflow = overflow.map_or(0, |overflow| overflow.flags[index][bit]);
            overflow << 16 | u64::from(self.directions[index].flags[bit])
        };
        match scope.direction() {
            Some(index) => count(index),
            None => count(0) + count(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(numbers: &[u64]) -> Sample {
        let (mut extent, mut wide) = (Extent::EMPTY, WideExtent::default());
        for &number in numbers {
            if !extent.add(number) {
                wide.add_overflow(&mut extent, number);
            }
        }
        wide.sample(&extent, numbers.len() as u64, numbers.iter().sum())
    }

    #[test]
    fn the_deviation_of_fewer_than_two_numbers_is_0() {
        let none = sample(&[]);
        assert_eq!((none.min(), none.max()), (0, 0));
        assert_eq!((none.mean(), none.stddev()), (0.0, 0.0));
        let one = sample(&[7]);
        assert_eq!((one.min(), one.max()), (7, 7));
        assert_eq!((one.mean(), one.stddev()), (7.0, 0.0));
    }

    #[test]
    fn stddev_is_the_sample_standard_deviation() {
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
    fn extremes_beyond_32_bits_are_exact() {
        let limit = u64::from(u32::MAX);
        for numbers in [
            &[limit] as &[u64],
            &[limit - 1, limit],
            &[limit + 1, limit],
            &[5, limit << 9, 7, limit << 8],
            &[limit - 1, 0],
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
    fn sums_and_counts_do_not_overflow() {
        let (mut record, mut statistics) = (Record::default(), Statistics::default());
        let mut time_ms = 1;
        // No packet is so large, but headers can state these sizes.
        for size in [u32::MAX, u32::MAX - 2, u32::MAX - 1] {
            statistics.add(&record, Direction::SrcToDst, time_ms, size, 1);
            record.count(Direction::SrcToDst, time_ms, size);
            time_ms += 1 << 40;
        }
        for scope in [DirectionScope::Bidirectional, DirectionScope::Src2Dst] {
            let sizes = statistics.sizes(&record, scope);
            assert_eq!(sizes.min(), u64::from(u32::MAX - 2));
            assert_eq!(sizes.mean(), f64::from(u32::MAX - 1));
            assert_eq!(sizes.stddev(), 1.0);
            let gaps = statistics.gaps(&record, scope);
            assert_eq!((gaps.min(), gaps.max()), (1 << 40, 1 << 40));
            assert_eq!((gaps.mean(), gaps.stddev()), ((1_u64 << 40) as f64, 0.0));
        }
        statistics.directions[0].flags[0] = u16::MAX;
        statistics.add(&record, Direction::SrcToDst, time_ms, 1, 1);
        assert_eq!(statistics.flag(DirectionScope::Bidirectional, 0), 1 << 16);
        assert_eq!(statistics.flag(DirectionScope::Dst2Src, 0), 0);
    }
}
