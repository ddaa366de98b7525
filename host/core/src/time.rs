//! Capture times.

use std::time::Duration;

/// A point in time with a resolution of 1 ns, not before 1970-01-01 UTC. It can hold any time of a capture
/// file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    seconds: u64,
    /// Below 1,000,000,000.
    nanos: u32,
}

const NS_PER_SECOND: u64 = 1_000_000_000;

impl Time {
    /// 1970-01-01 00:00 UTC.
    pub const EPOCH: Time = Time {
        seconds: 0,
        nanos: 0,
    };

    /// The latest time that can be represented.
    pub const MAX: Time = Time {
        seconds: u64::MAX,
        nanos: 999_999_999,
    };

    /// Returns the time `ns` nanoseconds after 1970-01-01 UTC.
    #[inline]
    pub const fn from_ns(ns: u64) -> Self {
        Self {
            seconds: ns / NS_PER_SECOND,
            nanos: (ns % NS_PER_SECOND) as u32,
        }
    }

    /// Returns the time `ns` nanoseconds after 1970-01-01 UTC.
    ///
    /// A negative `ns` gives [`EPOCH`](Self::EPOCH). If the seconds exceed 64 bits, they saturate.
    #[inline]
    pub fn from_wide_ns(ns: i128) -> Self {
        // 128-bit division is slow and rarely needed.
        if let Ok(ns) = u64::try_from(ns) {
            return Self::from_ns(ns);
        }
        let ns = ns.max(0);
        Self {
            seconds: u64::try_from(ns / i128::from(NS_PER_SECOND)).unwrap_or(u64::MAX),
            nanos: (ns % i128::from(NS_PER_SECOND)) as u32,
        }
    }

    /// Returns the time `seconds` and `nanos` after 1970-01-01 UTC.
    ///
    /// `nanos` can be negative, or a second or more. A time before 1970 becomes [`EPOCH`](Self::EPOCH).
    #[inline]
    pub fn from_parts(seconds: u32, nanos: i64) -> Self {
        match u32::try_from(nanos) {
            Ok(nanos) if u64::from(nanos) < NS_PER_SECOND => Self {
                seconds: seconds.into(),
                nanos,
            },
            _ => Self::from_wide_ns(
                i128::from(seconds) * i128::from(NS_PER_SECOND) + i128::from(nanos),
            ),
        }
    }

    /// Returns this time plus `duration`. The seconds saturate at `u64::MAX`.
    pub fn after(self, duration: Duration) -> Self {
        let nanos = self.nanos + duration.subsec_nanos();
        Self {
            seconds: self
                .seconds
                .saturating_add(duration.as_secs())
                .saturating_add(u64::from(nanos) / NS_PER_SECOND),
            nanos: (u64::from(nanos) % NS_PER_SECOND) as u32,
        }
    }

    /// Returns this time minus `duration`. A time before 1970 becomes [`EPOCH`](Self::EPOCH).
    pub fn before(self, duration: Duration) -> Self {
        Self::from_wide_ns(
            i128::from(self.seconds) * i128::from(NS_PER_SECOND) + i128::from(self.nanos)
                - duration.as_nanos() as i128,
        )
    }

    /// Returns the milliseconds since 1970-01-01 UTC, truncated. The result saturates at `u64::MAX`.
    #[inline]
    pub const fn ms(self) -> u64 {
        self.seconds
            .saturating_mul(1_000)
            .saturating_add((self.nanos / 1_000_000) as u64)
    }

    /// Returns the nanoseconds since 1970-01-01 UTC. After the year 2554 they exceed 64 bits, and the
    /// result is `u64::MAX`.
    #[inline]
    pub const fn ns(self) -> u64 {
        self.seconds
            .saturating_mul(NS_PER_SECOND)
            .saturating_add(self.nanos as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_and_arithmetic_saturate() {
        let time = Time::from_ns(1_234_567_890_123_456_789);
        assert_eq!(
            (time.ms(), time.ns()),
            (1_234_567_890_123, 1_234_567_890_123_456_789)
        );
        assert_eq!(
            Time::from_parts(5, 1_500_000_000),
            Time::from_ns(6_500_000_000)
        );
        assert_eq!(Time::from_parts(5, -1), Time::from_ns(4_999_999_999));
        assert_eq!(Time::from_parts(0, -1), Time::EPOCH);
        let later = Time::from_parts(5, 600_000_000).after(Duration::from_millis(1_400));
        assert_eq!(later, Time::from_parts(7, 0));
        let earlier = later.before(Duration::from_millis(1_400));
        assert_eq!(earlier, Time::from_parts(5, 600_000_000));
        assert_eq!(Time::from_ns(5).before(Duration::from_secs(1)), Time::EPOCH);
        let late = Time::from_wide_ns(i128::from(u64::MAX) * 1_000);
        assert_eq!((late.ms(), late.ns()), (18_446_744_073_709_551, u64::MAX));
        assert!(late > time);
        assert_eq!(Time::from_wide_ns(i128::MAX).ms(), u64::MAX);
    }

    #[test]
    fn parts_are_added_in_nanoseconds() {
        for (seconds, nanos, expected) in [
            (7, 0, 7_000_000_000),
            (7, 999_999_999, 7_999_999_999),
            (7, 1_000_000_000, 8_000_000_000),
            (7, 2_500_000_001, 9_500_000_001),
            (7, -999_999_999, 6_000_000_001),
        ] {
            let time = Time::from_parts(seconds, nanos);
            assert_eq!(time, Time::from_ns(expected), "{nanos}");
            assert_eq!((time.ns(), time.ms()), (expected, expected / 1_000_000));
        }
        let wide = Time::from_wide_ns(i128::from(u64::MAX) + 2);
        assert_eq!(
            wide,
            Time::from_parts(0, 0).after(Duration::new(18_446_744_073, 709_551_617))
        );
    }

    #[test]
    fn durations_carry_over_seconds() {
        let time = Time::from_ns(5_600_000_007);
        for (nanos, after, before) in [
            (0, 5_600_000_007, 5_600_000_007),
            (399_999_992, 5_999_999_999, 5_200_000_015),
            (399_999_993, 6_000_000_000, 5_200_000_014),
            (1_700_000_008, 7_300_000_015, 3_899_999_999),
        ] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(time.after(duration).ns(), after, "{nanos}");
            assert_eq!(time.before(duration).ns(), before, "{nanos}");
        }
        assert_eq!(Time::MAX.after(Duration::from_nanos(1)).ms(), u64::MAX);
    }
}
