//! The deadline of a call.

use std::time::Duration;

use wasmtime::UpdateDeadline;

use crate::config::limits::EPOCH;
use crate::thread_time::thread_time;

/// The deadline of the call that is under way.
///
/// It is judged by the thread's CPU time, so that a busy machine does not change results: a thread
/// that merely was not scheduled goes on. The clock is first read when the first epoch of the call
/// ends, since most calls are over long before.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    allowed: Duration,
    since: Option<Duration>,
    pub(crate) passed: bool,
}

impl Deadline {
    pub(crate) fn start(&mut self, allowed: Duration) {
        *self = Self {
            allowed,
            since: None,
            passed: false,
        };
    }

    /// Returns what to do at the end of an epoch.
    pub(crate) fn check(&mut self) -> UpdateDeadline {
        let now = thread_time();
        let since = *self.since.get_or_insert(now);
        self.passed = now.saturating_sub(since) + EPOCH > self.allowed;
        if self.passed {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Continue(1)
        }
    }
}
