//! The opened sources of a run, by the packets that they begin with.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sources that a run has opened, in the order of reading. Clones share one table.
///
/// The reader adds a source before it returns the first packet of the source. A flow therefore always finds the source
/// of its first packet. The table has one entry for each opened source.
#[derive(Clone, Default)]
pub(crate) struct SourceTable(Arc<Mutex<Vec<Entry>>>);

/// An opened source, with the position of its first packet. Entries are sorted by this position.
struct Entry {
    /// The number of the capture in the run, from 0.
    capture: u32,
    /// The ordinal of the first packet of the source in its capture.
    first: u64,
    source: OpenedSource,
}

/// A source that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenedSource {
    /// The path of the file, `-`, or the name of the interface. U+FFFD replaces bytes that are not UTF-8.
    pub(crate) path: Arc<str>,
    /// The name of the capture: the name of its first file, without the endings `.gz` and `.zst`.
    pub(crate) capture_name: Arc<[u8]>,
}

impl SourceTable {
    /// Adds a source whose first packet has the ordinal `first` in a capture.
    ///
    /// The positions must not decrease. If a source has no packets, the next one has the same position.
    pub(crate) fn add(&self, capture: u32, first: u64, path: &Path) {
        let mut entries = self.entries();
        let capture_name = match entries.last() {
            Some(last) if last.capture == capture => last.source.capture_name.clone(),
            _ => name(path).into(),
        };
        entries.push(Entry {
            capture,
            first,
            source: OpenedSource {
                path: path.to_string_lossy().into(),
                capture_name,
            },
        });
    }

    /// Returns the source of the packet with this ordinal in a capture. The search is logarithmic.
    pub(crate) fn find(&self, capture: u32, ordinal: u64) -> Option<OpenedSource> {
        let entries = self.entries();
        let after =
            entries.partition_point(|entry| (entry.capture, entry.first) <= (capture, ordinal));
        let entry = entries.get(after.checked_sub(1)?)?;
        (entry.capture == capture).then(|| entry.source.clone())
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        // An entry is added at once, so the table is complete even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the name of a file without its folder and without the ending of a compression.
fn name(path: &Path) -> &[u8] {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = name.as_encoded_bytes();
    let name = name.strip_suffix(b".gz").unwrap_or(name);
    name.strip_suffix(b".zst").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_found_in_the_last_source_that_begins_before_it() {
        let table = SourceTable::default();
        for (capture, first, path) in [
            (0, 0, "d/a.pcap.gz"),
            (0, 10, "d/a.pcap1"),
            // An empty file.
            (0, 20, "d/a.pcap2"),
            (0, 20, "d/a.pcap3"),
            (2, 0, "b"),
        ] {
            table.add(capture, first, Path::new(path));
        }
        for (capture, ordinal, expected) in [
            (0, 0, Some(("d/a.pcap.gz", "a.pcap"))),
            (0, 9, Some(("d/a.pcap.gz", "a.pcap"))),
            (0, 10, Some(("d/a.pcap1", "a.pcap"))),
            (0, 20, Some(("d/a.pcap3", "a.pcap"))),
            (0, u64::MAX, Some(("d/a.pcap3", "a.pcap"))),
            (1, 0, None),
            (2, 7, Some(("b", "b"))),
        ] {
            let expected = expected.map(|(path, name)| OpenedSource {
                path: path.into(),
                capture_name: name.as_bytes().into(),
            });
            assert_eq!(
                table.find(capture, ordinal),
                expected,
                "{capture} {ordinal}"
            );
        }
        assert_eq!(SourceTable::default().find(0, 0), None);
    }

    #[test]
    fn the_name_of_a_capture_has_no_folder_and_no_compression() {
        for (path, expected) in [
            ("-", "-"),
            ("eth0", "eth0"),
            ("/x/a.pcap", "a.pcap"),
            ("x/a.pcapng.zst", "a.pcapng"),
            ("..", ".."),
        ] {
            assert_eq!(name(Path::new(path)), expected.as_bytes(), "{path}");
        }
    }
}
