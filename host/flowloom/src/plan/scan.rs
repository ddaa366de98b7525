//! What is known of files before they are metered.

use std::path::{Path, PathBuf};

use flowloom_core::time::Time;

use crate::capture::{self, CaptureError, Files, Filter};

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

/// Reads all packets of files. An error ends a file, as it does when the file is metered.
///
/// # Errors
///
/// A file cannot be opened, or the filter is not valid.
pub(super) fn scan(
    paths: &[PathBuf],
    filter: Option<&str>,
) -> Result<Vec<FileFacts>, CaptureError> {
    let facts = capture::in_parallel(paths, 1, capture::cores(), |path| facts_of(path, filter));
    facts.into_iter().collect()
}

fn facts_of(path: &Path, filter: Option<&str>) -> Result<FileFacts, CaptureError> {
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
