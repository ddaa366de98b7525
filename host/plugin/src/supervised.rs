//! Helper threads that are restarted after a panic.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The wait before a restart. It doubles with each panic in a row.
const FIRST_BACK_OFF: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 100 });
/// The longest wait before a restart.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// The number of panics of a run's helper threads. Clones share one counter.
#[derive(Clone, Debug, Default)]
pub struct ThreadPanics(Arc<AtomicU64>);

impl ThreadPanics {
    /// Returns the number of panics so far.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs `work` in a thread of this name until it returns.
///
/// A panic of `work` is logged and counted. Then `work` is called again, after a back-off of 100 ms that
/// doubles up to 30 s. `work` must therefore keep its state outside of one call, or create it anew.
///
/// # Errors
///
/// The system cannot start a thread.
pub fn spawn_supervised(
    name: &str,
    panics: &ThreadPanics,
    mut work: impl FnMut() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let (panics, thread_name) = (panics.clone(), name.to_owned());
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut back_off = FIRST_BACK_OFF;
        // Only later calls of the same `work` use its state.
        while catch_unwind(AssertUnwindSafe(&mut work)).is_err() {
            panics.0.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                "thread {thread_name} panicked; it restarts in {} ms",
                back_off.as_millis()
            );
            thread::sleep(back_off);
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_restarts_after_a_panic_and_panics_are_counted() {
        let panics = ThreadPanics::default();
        let mut calls = 0;
        let thread = spawn_supervised("flowloom-test", &panics, move || {
            calls += 1;
            assert!(calls > 3, "call {calls}");
        });
        thread.unwrap().join().unwrap();
        assert_eq!(panics.count(), 3);
    }
}
