//! Work on many files in several threads.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Returns the number of threads that use all cores.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Calls a function for each item, and returns the results in the order of the items.
///
/// With more than `few` items it uses `threads` threads.
pub(crate) fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    few: usize,
    threads: usize,
    work: impl Fn(&I) -> T + Sync,
) -> Vec<T> {
    let threads = threads.min(items.len());
    if items.len() <= few || threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(items.len()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Vec::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else {
                        break;
                    };
                    own.push((at, work(item)));
                }
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                results.extend(own);
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        for count in [0, 1, 2, 3, 5_000] {
            let items: Vec<_> = (0..count).collect();
            let doubled: Vec<_> = items.iter().map(|item| 2 * item).collect();
            assert_eq!(in_parallel(&items, 2, 3, |item| 2 * item), doubled);
        }
    }
}
