//! When packets were captured.

use std::time::Duration;

/// A point in time: nanoseconds since 1970-01-01 UTC, with room for any that a capture can state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    seconds: u64,
    /// Below a thousand million.
    nanos: u32,
}

const NS_PER_SECOND: u64 = 1_000_000_000;

impl Time {
    /// 1970-01-01 00:00 UTC.
    pub const EPOCH: Time = Time {
        seconds: 0,
        nanos: 0,
    };

    /// The last one.
    pub const MAX: Time = Time {
        seconds: u64::MAX,
        nanos: 999_999_999,
    };

    /// So many nanoseconds after 1970.
    #[inline]
    pub const fn from_ns(ns: u64) -> Self {
        Self {
            seconds: ns / NS_PER_SECOND,
            nanos: (ns % NS_PER_SECOND) as u32,
        }
    }

    /// So many nanoseconds after 1970; before 1970 is 1970, and what is too late to count in seconds
    /// of 64 bits is the last second.
    #[inline]
    pub fn from_wide_ns(ns: i128) -> Self {
        // Division of 128 bits is slow, and hardly ever needed.
        if let Ok(ns) = u64::try_from(ns) {
            return Self::from_ns(ns);
        }
        let ns = ns.max(0);
        Self {
            seconds: u64::try_from(ns / i128::from(NS_PER_SECOND)).unwrap_or(u64::MAX),
            nanos: (ns % i128::from(NS_PER_SECOND)) as u32,
        }
    }

    /// So many seconds and nanoseconds after 1970, which may be a second or more, or negative.
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

    /// So much later.
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

    /// So much earlier; before 1970 is 1970.
    pub fn before(self, duration: Duration) -> Self {
        Self::from_wide_ns(
            i128::from(self.seconds) * i128::from(NS_PER_SECOND) + i128::from(self.nanos)
                - duration.as_nanos() as i128,
        )
    }

    /// Milliseconds since 1970, truncated.
    #[inline]
    pub const fn ms(self) -> u64 {
        self.seconds
            .saturating_mul(1_000)
            .saturating_add((self.nanos / 1_000_000) as u64)
    }

    /// Nanoseconds since 1970; those that 64 bits cannot hold, after the year 2554, are `u64::MAX`.
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
    fn counts_and_saturates() {
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
}
