//! Steps of a live clock: backwards by more than reordering explains.

use std::time::Duration;

use flowloom_core::time::Time;

use super::packets::Record;

/// The least step back that counts: packets of several queues come slightly out of order.
const LEAST: Duration = Duration::from_secs(1);

/// Watches the times of live packets for steps back of the clock.
///
/// After a time from the future no packet would end a flow until time has caught up. So a step back of
/// more than the idle timeout begins another epoch of the clock.
#[derive(Clone, Debug)]
pub(crate) struct ClockSteps {
    newest: Time,
    tolerance: Duration,
    count: u64,
}

impl ClockSteps {
    /// Watches for steps back of more than the idle timeout, and of more than a second.
    pub(crate) fn new(idle_timeout: Duration) -> Self {
        Self {
            newest: Time::EPOCH,
            tolerance: idle_timeout.max(LEAST),
            count: 0,
        }
    }

    /// The place of the first of these records before which the clock stepped back. Records before it
    /// are taken note of.
    pub(crate) fn find(&mut self, records: &[Record]) -> Option<usize> {
        for (at, record) in records.iter().enumerate() {
            if self.is_step(record.time) {
                return Some(at);
            }
            self.newest = self.newest.max(record.time);
        }
        None
    }

    /// Whether the clock has stepped back if this is the time now.
    pub(crate) fn is_step(&self, now: Time) -> bool {
        now < self.newest && now.after(self.tolerance) < self.newest
    }

    /// Begins another epoch.
    pub(crate) fn restart(&mut self) {
        self.newest = Time::EPOCH;
        self.count += 1;
    }

    /// Forgets the times of another source.
    pub(crate) fn forget(&mut self) {
        self.newest = Time::EPOCH;
    }

    /// How many epochs were begun after the first.
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
