//! What is known of files before they are metered.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use flowloom_core::time::Time;

use crate::capture::{CaptureError, Files, Filter};

/// What a file contains, after all its packets were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileFacts {
    /// The packets that the filter accepts.
    pub(super) packets: u64,
    /// The oldest time of these packets.
    pub(super) oldest: Option<Time>,
    /// The newest time of all packets, also of those that the filter drops.
    pub(super) newest: Option<Time>,
}

/// Reads all packets of files, in several threads. An error ends a file, as it does when the file is metered.
///
/// # Errors
///
/// A file cannot be opened, or the filter is not valid.
pub(super) fn scan(
    paths: &[std::path::PathBuf],
    filter: Option<&str>,
) -> Result<Vec<FileFacts>, CaptureError> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let next = AtomicUsize::new(0);
    let found = Mutex::new(vec![FileFacts::default(); paths.len()]);
    let failed = Mutex::new(None);
    thread::scope(|scope| {
        for _ in 0..threads.min(paths.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = paths.get(at) else {
                        return;
                    };
                    match facts_of(path, filter) {
                        Ok(facts) => lock(&found)[at] = facts,
                        Err(error) => {
                            lock(&failed).get_or_insert(error);
                            next.store(paths.len(), Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_default() {
        Some(error) => Err(error),
        None => Ok(found.into_inner().unwrap_or_default()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn facts_of(path: &std::path::Path, filter: Option<&str>) -> Result<FileFacts, CaptureError> {
    let mut facts = FileFacts::default();
    let mut files = Files::open_alone(path.to_owned())?;
    if let Some(filter) = filter {
        files = files.with_filter(Filter::new(filter)?);
    }
    loop {
        match files.read() {
            Ok(Some(packets)) => {
                facts.packets += packets.len() as u64;
                let oldest = packets.iter().map(|packet| packet.time).min();
                facts.oldest = facts.oldest.into_iter().chain(oldest).min();
            }
            Ok(None) => break,
            // It ends the file, and its task reports it.
            Err(_) => {}
        }
    }
    facts.newest = files.newest();
    Ok(facts)
}
