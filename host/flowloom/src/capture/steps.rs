//! Detection of a live clock that steps back by more than reordering explains.

use std::time::Duration;

use flowloom_core::time::Time;

use super::packets::Record;

/// The minimum step back. Packets from several queues arrive slightly out of order.
const MIN_STEP: Duration = Duration::from_secs(1);

/// Detects steps back of the clock in the times of live packets.
///
/// After a packet with a time in the future, no packet ends a flow until the clock reaches that
/// time. Therefore a step back of more than the idle timeout begins a new epoch of the clock.
#[derive(Clone, Debug)]
pub(crate) struct ClockSteps {
    newest: Time,
    tolerance: Duration,
    count: u64,
}

impl ClockSteps {
    /// Detects steps back of more than the idle timeout and more than one second.
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        Self {
            newest: Time::EPOCH,
            tolerance: idle_timeout.max(MIN_STEP),
            count: 0,
        }
    }

    /// Returns the index of the first record before which the clock stepped back.
    ///
    /// Records before that index update the newest time.
    pub(crate) fn find(&mut self, records: &[Record]) -> Option<usize> {
        for (at, record) in records.iter().enumerate() {
            if self.is_step(record.time) {
                return Some(at);
            }
            self.newest = self.newest.max(record.time);
        }
        None
    }

    /// Returns whether the clock has stepped back if the current time is `now`.
    pub(crate) fn is_step(&self, now: Time) -> bool {
        now < self.newest && now.after(self.tolerance) < self.newest
    }

    /// Begins a new epoch.
    pub(crate) fn restart(&mut self) {
        self.newest = Time::EPOCH;
        self.count += 1;
    }

    /// Forgets the newest time, because another source follows.
    pub(crate) fn forget(&mut self) {
        self.newest = Time::EPOCH;
    }

    /// Returns the number of steps, which is the number of epochs minus one.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::link_type::LinkType;

    use super::*;

    fn records(seconds: &[u64]) -> Vec<Record> {
        let record = |seconds: &u64| Record {
            time: Time::from_ns(seconds * 1_000_000_000),
            start: 0,
            len: 0,
            wire_len: 0,
            link: LinkType(1),
        };
        seconds.iter().map(record).collect()
    }

    #[test]
    fn a_step_back_of_more_than_the_idle_timeout_is_found() {
        let mut steps = ClockSteps::new(Duration::from_secs(15));
        let times = records(&[100, 101, 86, 5_000, 101, 102]);
        assert_eq!(steps.find(&times), Some(4));
        steps.restart();
        assert_eq!(steps.find(&times[4..]), None);
        assert_eq!(steps.count(), 1);
        assert!(!steps.is_step(Time::from_ns(87_000_000_000)));
        assert!(steps.is_step(Time::from_ns(86_000_000_000)));
    }

    #[test]
    fn packets_slightly_out_of_order_are_no_step_even_without_an_idle_timeout() {
        let mut steps = ClockSteps::new(Duration::ZERO);
        assert_eq!(steps.find(&records(&[100, 99, 100])), None);
        assert_eq!(steps.find(&records(&[98])), Some(0));
    }
}
