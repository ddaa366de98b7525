//! The time units of interfaces in pcapng files.

use flowloom_core::time::Time;

/// Converts the timestamps of one interface to times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    unit: Unit,
    /// Nanoseconds that are added to every time.
    offset_ns: i128,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// One unit is this many nanoseconds.
    Nanoseconds(u64),
    /// This many units are one nanosecond.
    PerNanosecond(u64),
    /// One unit is 2 to the power of minus this many seconds.
    Binary(u32),
}

impl Clock {
    /// Creates a clock from the values of `if_tsresol` (microseconds if absent) and `if_tsoffset`
    /// (seconds).
    pub(crate) fn new(resolution: Option<u8>, offset_s: i64) -> Self {
        let unit = match resolution.unwrap_or(6) {
            binary @ 0x80.. => Unit::Binary(u32::from(binary & 0x7f)),
            decimal @ ..=9 => Unit::Nanoseconds(10_u64.pow(9 - u32::from(decimal))),
            // 2^64 of these units are less than a nanosecond, so that every time is 0.
            decimal => 10_u64
                .checked_pow(u32::from(decimal) - 9)
                .map_or(Unit::Binary(127), Unit::PerNanosecond),
        };
        Self {
            unit,
            offset_ns: i128::from(offset_s) * 1_000_000_000,
        }
    }

    /// Returns the time of a timestamp, rounded down to nanoseconds. A time before 1970 becomes
    /// 1970.
    #[inline]
    pub(crate) fn time(&self, count: u64) -> Time {
        let ns = match self.unit {
            Unit::Nanoseconds(ns) => u128::from(count) * u128::from(ns),
            Unit::PerNanosecond(part) => u128::from(count / part),
            Unit::Binary(power) => (u128::from(count) * 1_000_000_000) >> power,
        };
        // The value is at most 2^94, so that it fits into an `i128`.
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
    fn times_out_of_range_are_clamped() {
        let ms = |resolution, offset, count| Clock::new(Some(resolution), offset).time(count).ms();
        assert_eq!(ms(0, 0, u64::MAX), u64::MAX);
        assert_eq!(ms(6, i64::MAX, u64::MAX), u64::MAX);
        assert_eq!(ms(6, 0, 4_734_231_571_822_539_000), 4_734_231_571_822_539);
        assert_eq!(ms(6, i64::MIN, 5), 0);
        assert_eq!(ms(0, -10, 12), 2_000);
        assert_eq!(ms(0, -10, 9), 0);
    }
}
