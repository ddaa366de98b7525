//! CPU time of threads.

use std::time::Duration;

/// Returns the CPU time that the calling thread has used so far.
pub fn thread_time() -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is valid for writes. The call cannot fail, because every thread has this clock.
    #[allow(
        unsafe_code,
        reason = "programs with the safe alternatives do not start under valgrind"
    )]
    unsafe {
        libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now);
    }
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec as u32)
}
