//! Turns of several threads in a fixed order.

use std::iter;

use crate::concurrency::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The place of one thread in a ring of threads. Only the thread that has the value has its turn.
///
/// If a thread ends, the value is lost or cannot be passed. The other threads then find that out one after another.
pub(super) struct Ring<T> {
    previous: Receiver<T>,
    next: SyncSender<T>,
}

impl<T> Ring<T> {
    /// Creates a ring of `count` places, at least one. The first one has the first turn, with `value`.
    pub(super) fn new(count: usize, value: T) -> Vec<Self> {
        let channels = iter::repeat_with(|| sync_channel(1)).take(count);
        let (senders, receivers): (Vec<SyncSender<T>>, Vec<_>) = channels.unzip();
        // The channel is empty, and its receiver exists.
        let _ = senders[0].send(value);
        let next = senders.iter().cycle().skip(1).cloned();
        let places = receivers.into_iter().zip(next);
        places
            .map(|(previous, next)| Self { previous, next })
            .collect()
    }

    /// Waits for the turn of this thread. Returns `None` if it never comes, because a thread has ended.
    pub(super) fn take(&self) -> Option<T> {
        self.previous.recv().ok()
    }

    /// Ends the turn of this thread. Returns whether the next thread exists.
    pub(super) fn pass(&self, value: T) -> bool {
        self.next.send(value).is_ok()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn threads_have_turns_in_order_until_one_ends() {
        for count in [1, 2, 5] {
            let places = Ring::new(count, Vec::new());
            let threads: Vec<_> = places
                .into_iter()
                .enumerate()
                .map(|(number, place)| {
                    thread::spawn(move || {
                        while let Some(mut turns) = place.take() {
                            turns.push(number);
                            if turns.len() == 23 {
                                return Some(turns);
                            }
                            if !place.pass(turns) {
                                return None;
                            }
                        }
                        None
                    })
                })
                .collect();
            let turns: Vec<_> = threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect();
            let expected: Vec<usize> = (0..count).cycle().take(23).collect();
            assert_eq!(turns, [expected]);
        }
    }
}
