//! CPU time of threads.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Returns the CPU time that the calling thread has used so far.
pub fn thread_time() -> Duration {
    // The call cannot fail, because every thread has this clock.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
