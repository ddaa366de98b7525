//! The time that a plugin uses, without reading the clock at every call.

use std::time::{Duration, Instant};

/// Calls of single events that are all timed. The figures of a short run are therefore exact.
const ALL_TIMED: u32 = 1_000;
/// Afterwards, the number of calls between two timed calls is random and less than this.
const MAX_GAP: u32 = 16;

/// Chooses the calls to time.
///
/// Reading the clock before and after a call costs a fifth of a call that passes one event. After
/// [`ALL_TIMED`] such calls, about every eighth is timed, and stands for those before it. The gaps are random,
/// because traffic may have a period. Batches and `finish` are always timed.
///
/// Only the part of a call before the end of the engine's first epoch, at most 10 ms, is estimated. Later time
/// is always measured. A rare long call is therefore neither missed nor counted several times.
#[derive(Debug)]
pub(crate) struct CallClock {
    timed: u32,
    /// Calls that are not timed before the next timed call.
    gap: u32,
    /// Calls that were not timed since the last timed call.
    untimed: u32,
    /// The state of the random numbers; never 0.
    random: u32,
}

/// A call that has begun.
pub(crate) struct StartedCall {
    start: Option<Instant>,
    is_sample: bool,
}

impl Default for CallClock {
    fn default() -> Self {
        Self {
            timed: 0,
            gap: 0,
            untimed: 0,
            random: 0x9e37_79b9,
        }
    }
}

impl CallClock {
    /// Begins a call with this number of events. `is_exact` requires that the call is timed.
    #[inline]
    pub(crate) fn start(&mut self, events: u64, is_exact: bool) -> StartedCall {
        let is_sample = events == 1 && !is_exact;
        if is_sample && self.gap > 0 {
            self.gap -= 1;
            return StartedCall {
                start: None,
                is_sample,
            };
        }
        StartedCall {
            start: Some(Instant::now()),
            is_sample,
        }
    }

    /// Ends a call. Returns a time, and the number of calls whose time it contains.
    ///
    /// `late` is the time of the call after its first epoch, if it was that long.
    #[inline]
    pub(crate) fn stop(&mut self, call: &StartedCall, late: Option<Duration>) -> (u32, Duration) {
        let late = late.unwrap_or_default();
        let Some(start) = call.start else {
            self.untimed += 1;
            return (0, late);
        };
        let passed = start.elapsed();
        if !call.is_sample {
            return (1, passed);
        }
        let calls = std::mem::take(&mut self.untimed) + 1;
        if self.timed < ALL_TIMED {
            self.timed += 1;
        } else {
            self.gap = self.next_random() % MAX_GAP;
        }
        (calls, passed.saturating_sub(late) * calls + late)
    }

    /// Returns the next number of Marsaglia's xorshift generator. Every run has the same numbers.
    fn next_random(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes calls of one event. Returns how many were timed, and for how many calls these stand.
    fn calls(clock: &mut CallClock, count: u32, is_exact: bool) -> (u32, u32) {
        (0..count).fold((0, 0), |(timed, stands_for), _| {
            let call = clock.start(1, is_exact);
            let (calls, _) = clock.stop(&call, None);
            (timed + u32::from(call.start.is_some()), stands_for + calls)
        })
    }

    #[test]
    fn after_the_first_calls_a_sample_stands_for_the_rest() {
        let mut clock = CallClock::default();
        assert_eq!(calls(&mut clock, ALL_TIMED, false), (ALL_TIMED, ALL_TIMED));
        let (timed, stands_for) = calls(&mut clock, 100_000, false);
        assert!((11_000..13_000).contains(&timed), "{timed}");
        assert_eq!(stands_for + clock.untimed, 100_000);
        assert!(clock.untimed < MAX_GAP);
    }

    #[test]
    fn calls_that_are_always_timed_stand_for_themselves() {
        let mut clock = CallClock::default();
        calls(&mut clock, ALL_TIMED + 100, false);
        assert_eq!(calls(&mut clock, 100, true), (100, 100));
        for events in [0, 64] {
            let call = clock.start(events, false);
            assert_eq!(clock.stop(&call, None).0, 1);
        }
    }

    #[test]
    fn time_after_the_first_epoch_is_not_multiplied() {
        let mut clock = CallClock::default();
        calls(&mut clock, ALL_TIMED + 1, false);
        clock.gap = 1;
        let late = Duration::from_secs(3_600);
        let call = clock.start(1, false);
        assert_eq!(clock.stop(&call, Some(late)), (0, late));
        let call = clock.start(1, false);
        let (calls, time) = clock.stop(&call, Some(late));
        assert_eq!((calls >= 2, time), (true, late));
    }
}
