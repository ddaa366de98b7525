//! Checks of captures before the first packet is metered, and the order in which they are read.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::UNIX_EPOCH;

use flowloom_core::link_type::LinkType;
use flowloom_core::time::Time;
use serde::{Deserialize, Serialize};

use super::capture_reader::{CaptureReader, ReadOutcome};
use super::groups::{self, FileHead, Grouping};
use super::input::Source;
use super::parallel::{cores, in_parallel};
use super::read_buffer::ReadBuffer;
use super::sources::SourceFiles;
use crate::capture::CaptureError;
use crate::storage::Place;

/// The number of files that one thread looks at. More of them may wait for a disk or a network.
pub(crate) const FEW_FILES: usize = 8;
/// The number of objects that are opened at the same time.
const OBJECT_THREADS: usize = 32;

/// Returns the number of threads that look at files. An object is mostly waited for.
pub(crate) fn threads_for<'a>(mut paths: impl Iterator<Item = &'a Path>) -> usize {
    match paths.any(|path| matches!(Place::of(path), Ok(Place::Object(_)))) {
        true => OBJECT_THREADS,
        false => cores(),
    }
}

/// A source in the order of reading.
pub(crate) struct PlannedSource {
    pub(crate) source: Source,
    /// Whether the source always begins a capture.
    pub(crate) begins: bool,
    /// The time of its first packet, if the source may continue a capture.
    pub(crate) first: Option<Time>,
}

/// A file of a run that was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFile {
    /// The path or URL.
    pub path: PathBuf,
    /// The size in bytes.
    pub bytes: u64,
    /// The mark of the object's version, if a store has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether it begins a capture.
    pub begins: bool,
    /// The time of its first packet, in ns since 1970; `None` if it is not known, or if there is no packet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_ns: Option<u64>,
}

impl TaskFile {
    /// Checks that the file is still the one that was planned. `kept` is the number of bytes of small objects that are in
    /// memory.
    pub(crate) fn check(self, kept: &AtomicU64) -> Result<PlannedSource, CaptureError> {
        let mut source = Source::of(self.path)?;
        source.forget_bytes(kept);
        match source.len() {
            Some(len) if len == self.bytes => {}
            Some(found) => {
                return Err(CaptureError::Changed {
                    capture: source.name(),
                    expected: self.bytes,
                    found,
                });
            }
            None => {
                return Err(CaptureError::NoFile {
                    capture: source.name(),
                });
            }
        }
        if self.etag.is_some() && self.etag.as_deref() != source.etag() {
            return Err(CaptureError::ChangedObject {
                capture: source.name(),
            });
        }
        Ok(PlannedSource {
            source,
            begins: self.begins,
            first: self.first_ns.map(Time::from_ns),
        })
    }
}

/// The result of [`check_sources`].
pub(crate) struct CheckedSources {
    pub(crate) sources: Vec<(Source, FileHead)>,
    pub(crate) errors: Vec<CaptureError>,
}

/// Checks all files: each must be a capture. With `reads_first_packet`, it also reads the first
/// packet of each file. Pipes and standard input cannot be checked.
///
/// # Errors
///
/// Fails only if standard input is named twice. The errors of files are in the result.
pub(crate) fn check_sources(
    paths: Vec<PathBuf>,
    reads_first_packet: bool,
) -> Result<CheckedSources, CaptureError> {
    let mut checked = CheckedSources {
        sources: Vec::new(),
        errors: Vec::new(),
    };
    let mut standard_input = false;
    let threads = threads_for(paths.iter().map(PathBuf::as_path));
    let kept = AtomicU64::new(0);
    let found = in_parallel(&paths, FEW_FILES, threads, |path| {
        let mut source = Source::of(path.clone())?;
        let first = match source.again() {
            Some(again) => first_packet(again, reads_first_packet)?,
            None => None,
        };
        let path = source.path();
        source.forget_bytes(&kept);
        Ok((source, FileHead { path, first }))
    });
    for looked in found {
        match looked {
            Ok((Source::StandardInput, _)) if standard_input => {
                return Err(CaptureError::StandardInputTwice);
            }
            Ok((source, head)) => {
                standard_input |= matches!(source, Source::StandardInput);
                checked.sources.push((source, head));
            }
            Err(error) => checked.errors.push(error),
        }
    }
    Ok(checked)
}

/// A file that can be read several times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckedFile {
    pub(crate) head: FileHead,
    pub(crate) version: FileVersion,
}

/// What distinguishes a file from an earlier one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileVersion {
    /// The size in bytes.
    pub(crate) bytes: u64,
    /// The time of the last change in ns since 1970, of a local file.
    pub(crate) modified: Option<u64>,
    /// The mark of the version, of an object.
    pub(crate) etag: Option<String>,
}

/// Files whose first packets are known.
pub(crate) trait KnownFiles: Sync {
    /// Returns the head of a file, if this version of it is known.
    fn find(&self, path: &Path, version: &FileVersion) -> Option<FileHead>;
}

/// The result of [`check_files`].
pub(crate) struct CheckedFiles {
    pub(crate) files: Vec<CheckedFile>,
    pub(crate) errors: Vec<CaptureError>,
}

/// Returns the first packets and sizes of files that can be read several times, and the errors of others. A `known` file is
/// not opened.
///
/// # Errors
///
/// A file cannot be read, or a source is not a file, and `skip_unreadable` is not set or no file is left.
pub(crate) fn check_files(
    sources: SourceFiles,
    skip_unreadable: bool,
    known: &impl KnownFiles,
) -> Result<CheckedFiles, CaptureError> {
    let SourceFiles {
        files: paths,
        versions,
        ..
    } = sources;
    if paths.is_empty() {
        return Err(CaptureError::NoSource);
    }
    let threads = threads_for(paths.iter().map(PathBuf::as_path));
    let checked = in_parallel(&paths, FEW_FILES, threads, |path| {
        let version = match versions.get(path) {
            Some(listed) => Some(FileVersion {
                bytes: listed.size,
                modified: None,
                etag: listed.etag.clone(),
            }),
            None => version_of(path),
        };
        if let Some(version) = version
            && let Some(head) = known.find(path, &version)
        {
            return Ok(CheckedFile { head, version });
        }
        check_file(path)
    });
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for result in checked {
        match result {
            Ok(file) => files.push(file),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() && (!skip_unreadable || files.is_empty()) {
        return Err(CaptureError::of(errors));
    }
    Ok(CheckedFiles { files, errors })
}

/// Returns the version of a local file.
fn version_of(path: &Path) -> Option<FileVersion> {
    let is = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let since = is.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(FileVersion {
        bytes: is.len(),
        modified: u64::try_from(since.as_nanos()).ok(),
        etag: None,
    })
}

/// Reads the first packet of a file.
fn check_file(path: &Path) -> Result<CheckedFile, CaptureError> {
    // Before it is read, so that a later change is another version.
    let modified = version_of(path).and_then(|version| version.modified);
    let source = Source::of(path.to_owned())?;
    if let Source::Object(object) = &source
        && object.url.has_secret()
    {
        return Err(CaptureError::Secret {
            capture: source.name(),
        });
    }
    let (Some(bytes), Some(again)) = (source.len(), source.again()) else {
        return Err(CaptureError::NoFile {
            capture: source.name(),
        });
    };
    let head = FileHead {
        path: source.path(),
        first: first_packet(again, true)?,
    };
    let version = FileVersion {
        bytes,
        modified,
        etag: source.etag().map(ToOwned::to_owned),
    };
    Ok(CheckedFile { head, version })
}

/// Returns the time and link type of a file's first packet, if `is_wanted` and if the file has
/// packets.
///
/// # Errors
///
/// The file is not a capture.
fn first_packet(source: Source, is_wanted: bool) -> Result<Option<(Time, LinkType)>, CaptureError> {
    let mut buffer = ReadBuffer::small();
    let mut reader = CaptureReader::open(source)?;
    while !reader.read_header(&mut buffer)? {}
    if !is_wanted {
        return Ok(None);
    }
    let mut records = Vec::new();
    loop {
        return match reader.next(&mut buffer, &mut records, 1) {
            Ok(ReadOutcome::Pause) => continue,
            Ok(_) => Ok(records.first().map(|record| (record.time, record.link))),
            // The same error is returned again when the file is read.
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
        };
    }
}

/// Puts each pipe into a separate group, because the time of its first packet is not known. `is_file` tells files from
/// pipes. Returns the groups in the order of their first members.
fn apart(groups: Vec<Vec<usize>>, is_file: impl Fn(&usize) -> bool) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    for group in groups {
        let (files, others): (Vec<_>, Vec<_>) = group.into_iter().partition(&is_file);
        all.extend(others.into_iter().map(|at| vec![at]));
        if !files.is_empty() {
            all.push(files);
        }
    }
    all.sort_by_key(|group| group.iter().copied().min());
    all
}

/// Returns the sources in the order of reading.
pub(crate) fn plan(
    sources: Vec<(Source, FileHead)>,
    grouping: Grouping,
) -> VecDeque<PlannedSource> {
    let planned = |source, begins, first| PlannedSource {
        source,
        begins,
        first,
    };
    match grouping {
        Grouping::One => (sources.into_iter().enumerate())
            .map(|(at, (source, _))| planned(source, at == 0, None))
            .collect(),
        Grouping::Each => (sources.into_iter())
            .map(|(source, _)| planned(source, true, None))
            .collect(),
        Grouping::Auto => {
            let (mut sources, heads): (Vec<_>, Vec<_>) = sources
                .into_iter()
                .map(|(source, head)| (Some(source), head))
                .unzip();
            let mut order = VecDeque::new();
            let is_file = |&at: &usize| {
                sources[at]
                    .as_ref()
                    .is_some_and(|source| source.len().is_some())
            };
            for group in apart(groups::group(&heads), is_file) {
                for (nth, at) in group.into_iter().enumerate() {
                    if let Some(source) = sources[at].take() {
                        let first = heads[at].first.map(|(time, _)| time);
                        order.push_back(planned(source, nth == 0, first));
                    }
                }
            }
            order
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_that_are_no_files_are_groups_of_their_own() {
        let groups = vec![vec![3, 0, 1], vec![2, 4]];
        let found = apart(groups, |at| *at != 1 && *at != 2);
        assert_eq!(found, [vec![3, 0], vec![1], vec![2], vec![4]]);
    }
}
