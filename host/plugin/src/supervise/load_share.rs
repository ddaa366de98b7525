//! How much of a meter's time a plugin may take when there is not enough of it.

use std::time::{Duration, Instant};

/// The share of the meter's time, one in so many.
const PART: u32 = 8;

/// How long it is watched before it is judged.
const WATCH: Duration = Duration::from_millis(20);

/// Watches one plugin of one meter.
#[derive(Debug, Default)]
pub(crate) struct LoadShare {
    /// Whether it takes too much.
    pub(crate) is_over: bool,
    /// When it was looked at, and the time that it had taken by then.
    last: Option<(Instant, Duration)>,
}

impl LoadShare {
    /// Looks at a plugin that has taken so much time in all. Only while time is scarce (`on`) can it
    /// take too much, and then until it is not scarce any more.
    pub(crate) fn look(&mut self, on: bool, taken: Duration) {
        self.look_at(on, taken, Instant::now());
    }

    fn look_at(&mut self, on: bool, taken: Duration, now: Instant) {
        let Some((then, before)) = self.last.filter(|_| on) else {
            *self = Self {
                is_over: false,
                last: on.then_some((now, taken)),
            };
            return;
        };
        let watched = now.duration_since(then);
        if watched >= WATCH {
            self.is_over |= (taken - before) * PART > watched;
            self.last = Some((now, taken));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_more_than_its_share_is_over_until_time_is_not_scarce() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut share = LoadShare::default();
        let mut look = |on, taken, now| {
            share.look_at(on, ms(taken), start + ms(now));
            share.is_over
        };
        assert!(!look(false, 900, 1_000), "time is not scarce");
        assert!(!look(true, 1_900, 2_000), "nothing is known of it yet");
        assert!(!look(true, 1_905, 2_010), "too short a time");
        assert!(!look(true, 1_912, 2_100), "12 of 100 ms");
        assert!(look(true, 1_937, 2_200), "25 of 100 ms");
        assert!(look(true, 1_937, 2_300), "it stays so");
        assert!(!look(false, 1_937, 2_400));
        assert!(!look(true, 2_400, 2_500), "another time");
    }
}
