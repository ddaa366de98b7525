//! Threads, channels and atomics for code whose interleavings are tested.
//!
//! They are those of the standard library. With `--cfg shuttle`, they are those of
//! [shuttle](https://docs.rs/shuttle), which runs a test under many schedules. `make schedules` runs these
//! tests.

#[cfg(shuttle)]
pub(crate) use shuttle::{sync, thread};
#[cfg(not(shuttle))]
pub(crate) use std::{sync, thread};

/// Returns whether a thread has ended, without waiting for it. With shuttle, always returns true, because
/// joining a thread runs it to its end.
pub(crate) fn is_finished<T>(thread: &thread::JoinHandle<T>) -> bool {
    #[cfg(shuttle)]
    let _ = thread;
    #[cfg(shuttle)]
    return true;
    #[cfg(not(shuttle))]
    thread.is_finished()
}

#[cfg(all(test, shuttle))]
mod tests;
