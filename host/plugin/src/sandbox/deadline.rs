//! The deadline of a call into a plugin.

use std::time::Duration;

use wasmtime::UpdateDeadline;

use crate::config::limits::EPOCH_INTERVAL;
use crate::thread_time::thread_time;

/// The deadline of the current call.
///
/// It is measured in CPU time of the thread, so that a busy machine does not change results: time in which the
/// thread was not scheduled does not count. The clock is first read at the end of the call's first epoch,
/// because most calls end earlier.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    allowed: Duration,
    /// CPU time of the thread at the end of the call's first epoch.
    since: Option<Duration>,
    /// Whether the deadline has passed.
    pub(crate) passed: bool,
}

impl Deadline {
    /// Begins a call.
    pub(crate) fn start(&mut self, allowed: Duration) {
        *self = Self {
            allowed,
            since: None,
            passed: false,
        };
    }

    /// Returns the CPU time since the end of the call's first epoch, if that has ended.
    #[inline]
    pub(crate) fn late_time(&self) -> Option<Duration> {
        self.since.map(|since| thread_time().saturating_sub(since))
    }

    /// Returns what to do at the end of an epoch.
    ///
    /// Up to one interval passed before the first epoch ended, and counts as used.
    pub(crate) fn check(&mut self) -> UpdateDeadline {
        let now = thread_time();
        let since = *self.since.get_or_insert(now);
        self.passed = now.saturating_sub(since) + EPOCH_INTERVAL > self.allowed;
        if self.passed {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Continue(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_may_use_its_time_less_one_interval() {
        for (allowed, passed) in [
            (EPOCH_INTERVAL - Duration::from_nanos(1), true),
            (EPOCH_INTERVAL + Duration::from_secs(3_600), false),
        ] {
            let mut deadline = Deadline {
                passed: true,
                ..Deadline::default()
            };
            deadline.start(allowed);
            assert!(!deadline.passed);
            let interrupts = matches!(deadline.check(), UpdateDeadline::Interrupt);
            assert_eq!((deadline.passed, interrupts), (passed, passed));
            assert!(deadline.late_time().is_some());
            deadline.start(allowed);
            assert_eq!(deadline.late_time(), None);
        }
        // CPU time after the first check counts.
        let mut deadline = Deadline::default();
        deadline.start(2 * EPOCH_INTERVAL);
        deadline.check();
        assert!(!deadline.passed);
        let start = thread_time();
        while thread_time() - start <= EPOCH_INTERVAL {}
        deadline.check();
        assert!(deadline.passed);
    }
}
