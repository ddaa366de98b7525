//! A cache of what is known of files: their first packets.
//!
//! A plan over the same objects needs a list of them, and no request for each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use flowloom_core::link_type::LinkType;
use flowloom_core::time::Time;
use flowloom_plugin::PrivateFolder;
use serde::{Deserialize, Serialize};

use crate::capture::{CheckedFile, FileHead, FileVersion, KnownFiles};

/// The file of the cache, and its largest size in bytes.
const NAME: &str = "files.json";
const MAX_BYTES: u64 = 512 << 20;
/// The most files that are remembered. Those that no plan has used for the longest time are forgotten first.
const MAX_FILES: usize = 1_000_000;
/// The version of the form of the file.
const VERSION: u32 = 1;

/// The files that earlier plans have read.
#[derive(Default)]
pub(super) struct KnownCaptures {
    /// The folder of the cache, if there is one.
    folder: Option<PrivateFolder>,
    files: HashMap<String, KnownFile>,
}

/// The form of the cache.
#[derive(Deserialize, Serialize)]
struct Cache {
    version: u32,
    files: HashMap<String, KnownFile>,
}

/// A file that an earlier plan has read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct KnownFile {
    bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// The time in ns since 1970 and the link type of the first packet, if there is one.
    first: Option<(u64, u16)>,
    /// The day of its last use, since 1970.
    used: u64,
}

impl KnownCaptures {
    /// Reads the cache in a folder, which is created. Without a usable folder, nothing is known or kept.
    pub(super) fn open(folder: Option<&Path>) -> Self {
        let Some(path) = folder else {
            return Self::default();
        };
        let folder = match PrivateFolder::open(path) {
            Ok(folder) => folder,
            Err(reason) => {
                tracing::warn!(
                    "cannot keep the first packets of files in {}: {reason}",
                    path.display()
                );
                return Self::default();
            }
        };
        let cache = folder
            .read(NAME, MAX_BYTES)
            .ok()
            .and_then(|text| serde_json::from_slice::<Cache>(&text).ok())
            .filter(|cache| cache.version == VERSION);
        Self {
            folder: Some(folder),
            files: cache.map(|cache| cache.files).unwrap_or_default(),
        }
    }

    /// Adds what a plan has found, and writes the cache if that has changed it.
    pub(super) fn keep(self, found: &[CheckedFile]) {
        let Self {
            folder: Some(folder),
            mut files,
        } = self
        else {
            return;
        };
        let used = today();
        let mut is_changed = false;
        for file in found {
            if let Some((key, known)) = known(file, used) {
                is_changed |= files.get(&key) != Some(&known);
                files.insert(key, known);
            }
        }
        if !is_changed {
            return;
        }
        forget(&mut files, MAX_FILES);
        let cache = Cache {
            version: VERSION,
            files,
        };
        let written = serde_json::to_vec(&cache)
            .map_err(std::io::Error::from)
            .and_then(|text| {
                let new = format!("{NAME}.{}.new", std::process::id());
                // A killed process with this number could have left it.
                let _ = folder.remove(&new);
                folder.write(NAME, &new, &[&text])
            });
        if let Err(error) = written {
            tracing::debug!("cannot keep the first packets of files: {error}");
        }
    }
}

/// Returns the entry of a file. A file without a time or a mark could change unnoticed, and has none.
fn known(file: &CheckedFile, used: u64) -> Option<(String, KnownFile)> {
    let CheckedFile { head, version } = file;
    if version.modified.is_none() && version.etag.is_none() {
        return None;
    }
    let known = KnownFile {
        bytes: version.bytes,
        modified: version.modified,
        etag: version.etag.clone(),
        first: head.first.map(|(time, link)| (time.ns(), link.0)),
        used,
    };
    Some((key(&head.path)?, known))
}

/// Removes files until there are at most `most`, first those of the earliest days.
fn forget(files: &mut HashMap<String, KnownFile>, most: usize) {
    if files.len() <= most {
        return;
    }
    let mut days: Vec<_> = files.values().map(|file| file.used).collect();
    days.sort_unstable();
    let last_forgotten = days[files.len() - most - 1];
    files.retain(|_, file| file.used > last_forgotten);
}

impl KnownFiles for KnownCaptures {
    fn find(&self, path: &Path, version: &FileVersion) -> Option<FileHead> {
        let known = self.files.get(&key(path)?)?;
        let is_same = known.bytes == version.bytes
            && known.modified == version.modified
            && known.etag == version.etag;
        is_same.then(|| FileHead {
            path: path.to_owned(),
            first: known
                .first
                .map(|(time, link)| (Time::from_ns(time), LinkType(link))),
        })
    }
}

/// Returns the name of a file in the cache: its URL or absolute path.
fn key(path: &Path) -> Option<String> {
    let is_url = path.to_str().is_some_and(|text| text.contains("://"));
    let path: PathBuf = match is_url {
        true => path.to_owned(),
        false => std::path::absolute(path).ok()?,
    };
    path.to_str().map(ToOwned::to_owned)
}

fn today() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / (24 * 60 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, bytes: u64, modified: Option<u64>, etag: Option<&str>) -> CheckedFile {
        CheckedFile {
            head: FileHead {
                path: path.into(),
                first: Some((Time::from_ns(7), LinkType(1))),
            },
            version: FileVersion {
                bytes,
                modified,
                etag: etag.map(ToOwned::to_owned),
            },
        }
    }

    #[test]
    fn the_same_version_of_a_file_is_known() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("files");
        let open = || KnownCaptures::open(Some(&folder));
        let local = file("a.pcap", 9, Some(5), None);
        let object = file("s3://bucket/b.pcap", 9, None, Some("one"));
        let unmarked = file("s3://bucket/c.pcap", 9, None, None);
        open().keep(&[local.clone(), object.clone(), unmarked.clone()]);
        let known = open();
        for found in [&local, &object] {
            let head = known.find(&found.head.path, &found.version);
            assert_eq!(head.as_ref(), Some(&found.head));
        }
        assert_eq!(known.find(&unmarked.head.path, &unmarked.version), None);
        for other in [
            file("a.pcap", 10, Some(5), None),
            file("a.pcap", 9, Some(6), None),
            file("s3://bucket/b.pcap", 9, None, Some("two")),
            file("other.pcap", 9, Some(5), None),
        ] {
            assert_eq!(known.find(&other.head.path, &other.version), None);
        }
    }

    #[test]
    fn a_cache_that_cannot_be_read_is_written_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("files");
        let local = file("a.pcap", 9, Some(5), None);
        let open = || KnownCaptures::open(Some(&folder));
        for text in [
            "",
            "{",
            r#"{"version":2,"files":{}}"#,
            r#"{"version":1,"files":{"a":{}}}"#,
        ] {
            drop(open());
            std::fs::write(folder.join(NAME), text).unwrap();
            assert!(open().files.is_empty());
            open().keep(std::slice::from_ref(&local));
            assert_eq!(open().files.len(), 1);
        }
        assert!(KnownCaptures::open(None).files.is_empty());
    }

    #[test]
    fn files_of_the_earliest_days_are_forgotten() {
        let file = file("a.pcap", 9, Some(5), None);
        let entry = |n: u64| (n.to_string(), known(&file, n).unwrap().1);
        let mut files: HashMap<_, _> = (0..10).map(entry).collect();
        forget(&mut files, 4);
        let mut days: Vec<_> = files.values().map(|file| file.used).collect();
        days.sort_unstable();
        assert_eq!(days, [6, 7, 8, 9]);
    }
}
