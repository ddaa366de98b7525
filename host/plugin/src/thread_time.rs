//! Processor time of threads.

use std::time::Duration;

/// Processor time that the calling thread has taken so far.
pub fn thread_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the answer. There is no failure that could be told: every
    // thread has this clock.
    #[allow(
        unsafe_code,
        reason = "the safe ways to ask do not start under valgrind"
    )]
    unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now);
    }
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
