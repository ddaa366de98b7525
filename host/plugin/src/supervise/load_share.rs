//! The share of a meter's time that a plugin may use while the meter is overloaded.

use std::time::{Duration, Instant};

/// A plugin may use one part in `PART` of the elapsed time.
const PART: u32 = 8;

/// The shortest time between two evaluations.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(20);

/// Measures the share of one plugin on one meter.
///
/// It is only evaluated during overload. Once exceeded, it stays exceeded until the overload ends.
#[derive(Debug, Default)]
pub(crate) struct LoadShare {
    /// Whether the plugin exceeds its share, so that the meter offers it no new flows.
    pub(crate) is_over: bool,
    /// The last evaluation during this overload, and the time that the plugin had used by then.
    last: Option<(Instant, Duration)>,
}

impl LoadShare {
    /// Evaluates a plugin that has used `used` so far. `is_overloaded` is false while the meter keeps up.
    pub(crate) fn evaluate(&mut self, is_overloaded: bool, used: Duration) {
        self.evaluate_at(is_overloaded, used, Instant::now());
    }

    fn evaluate_at(&mut self, is_overloaded: bool, used: Duration, now: Instant) {
        let Some((last, used_before)) = self.last.filter(|_| is_overloaded) else {
            *self = Self {
                is_over: false,
                last: is_overloaded.then_some((now, used)),
            };
            return;
        };
        let elapsed = now.duration_since(last);
        if elapsed >= SHORTEST_INTERVAL {
            self.is_over |= (used - used_before) * PART > elapsed;
            self.last = Some((now, used));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exceeded_share_stays_exceeded_until_the_overload_ends() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut share = LoadShare::default();
        let mut is_over = |is_overloaded, used, now| {
            share.evaluate_at(is_overloaded, ms(used), start + ms(now));
            share.is_over
        };
        assert!(!is_over(false, 900, 1_000), "no overload");
        assert!(!is_over(true, 1_900, 2_000), "first measurement");
        assert!(!is_over(true, 1_905, 2_010), "interval too short");
        assert!(!is_over(true, 1_912, 2_100), "12 of 100 ms");
        assert!(is_over(true, 1_937, 2_200), "25 of 100 ms");
        assert!(is_over(true, 1_937, 2_300), "stays exceeded");
        assert!(!is_over(false, 1_937, 2_400));
        assert!(!is_over(true, 2_400, 2_500), "a new overload");
    }
}
