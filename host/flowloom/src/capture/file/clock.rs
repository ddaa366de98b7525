//! How the interfaces of a pcapng file count time.

use flowloom_core::time::Time;

/// How an interface counts time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    unit: Unit,
    /// What is added to every time.
    offset_ns: i128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// This many nanoseconds.
    Of(u64),
    /// This part of a nanosecond.
    Part(u64),
    /// Two to the power of minus this many seconds.
    Binary(u32),
}

impl Clock {
    /// From the value of `if_tsresol` (microseconds if there is none) and that of `if_tsoffset`.
    pub(crate) fn new(resolution: Option<u8>, offset_s: i64) -> Self {
        let unit = match resolution.unwrap_or(6) {
            binary @ 0x80.. => Unit::Binary(u32::from(binary & 0x7f)),
            decimal @ ..=9 => Unit::Of(10_u64.pow(9 - u32::from(decimal))),
            // Units so small that 2^64 of them are less than a nanosecond count nothing.
            decimal => 10_u64
                .checked_pow(u32::from(decimal) - 9)
                .map_or(Unit::Binary(127), Unit::Part),
        };
        Self {
            unit,
            offset_ns: i128::from(offset_s) * 1_000_000_000,
        }
    }

    /// The time that a count states, rounded down to nanoseconds. Before 1970 is 1970.
    #[inline]
    pub(crate) fn time(&self, count: u64) -> Time {
        let ns = match self.unit {
            Unit::Of(ns) => u128::from(count) * u128::from(ns),
            Unit::Part(part) => u128::from(count / part),
            Unit::Binary(power) => (u128::from(count) * 1_000_000_000) >> power,
        };
        // At most 2^94, so it fits.
        Time::from_wide_ns(ns as i128 + self.offset_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn resolutions() {
        let ns = |resolution, count| Clock::new(resolution, 0).time(count).ns();
        assert_eq!(ns(None, 3), 3_000);
        assert_eq!(ns(Some(0), 3), 3_000_000_000);
        assert_eq!(ns(Some(3), 3), 3_000_000);
        assert_eq!(ns(Some(9), 3), 3);
        assert_eq!(ns(Some(12), 3_999), 3);
        assert_eq!(ns(Some(127), u64::MAX), 0);
        assert_eq!(ns(Some(0x80), 3), 3_000_000_000);
        assert_eq!(ns(Some(0x80 | 10), 1025), 1_000_976_562);
        assert_eq!(ns(Some(0xff), u64::MAX), 0);
    }

    #[test]
    fn times_out_of_range_stop_at_its_ends() {
        let ms = |resolution, offset, count| Clock::new(Some(resolution), offset).time(count).ms();
        assert_eq!(ms(0, 0, u64::MAX), u64::MAX);
        assert_eq!(ms(6, i64::MAX, u64::MAX), u64::MAX);
        assert_eq!(ms(6, 0, 4_734_231_571_822_539_000), 4_734_231_571_822_539);
        assert_eq!(ms(6, i64::MIN, 5), 0);
        assert_eq!(ms(0, -10, 12), 2_000);
        assert_eq!(ms(0, -10, 9), 0);
    }
}
