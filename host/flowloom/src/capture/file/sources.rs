//! Expansion of folders to the captures in them.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::capture_reader::CaptureReader;
use super::input::Source;
use super::read_buffer::ReadBuffer;
use crate::capture::CaptureError;
use crate::storage::{self, ObjectUrl, ObjectVersion, Place};

/// The maximum number of files of a run.
const MAX_FILES: usize = 1_000_000;

/// The extensions of captures. Other files are captures if they begin like one.
const EXTENSIONS: [&str; 4] = ["pcap", "pcapng", "cap", "dmp"];

/// The files of a run.
#[derive(Clone, Debug, Default)]
pub struct SourceFiles {
    /// The paths and URLs, in the order of the sources.
    pub files: Vec<PathBuf>,
    /// Whether one of the sources was a folder.
    pub has_folder: bool,
    /// What stores have told of objects when they listed folders.
    pub(crate) versions: HashMap<PathBuf, ObjectVersion>,
}

/// Returns the files of a run.
///
/// Each folder is replaced by the captures in it and in its subfolders, in the order of their
/// names. Hidden files are skipped. URLs of files become paths.
///
/// Of a folder in a store, which ends with `/`, objects with the name of a capture are returned: other objects are not
/// looked into.
///
/// # Errors
///
/// Returns an error if a folder cannot be read or contains no captures, or if there are more than
/// 1,000,000 files.
pub fn expand(paths: Vec<PathBuf>) -> Result<SourceFiles, CaptureError> {
    let mut found = SourceFiles::default();
    let files = &mut found.files;
    for name in paths {
        let before = files.len();
        match Place::of(&name).map_err(|error| CaptureError::url(&name, error))? {
            Place::Local(path) if path != Path::new("-") && path.is_dir() => {
                found.has_folder = true;
                read_folder(&path, files)?;
            }
            Place::Local(path) => files.push(path),
            Place::Object(url) if url.is_folder() || url.is_pattern() => {
                found.has_folder |= url.is_folder();
                let room = MAX_FILES.saturating_sub(files.len());
                let objects = objects(&url, room).map_err(|error| CaptureError::Open {
                    capture: url.to_string(),
                    error,
                })?;
                if objects.is_empty() && url.is_pattern() {
                    return Err(CaptureError::NoMatch {
                        pattern: url.to_string(),
                    });
                }
                for (url, version) in objects {
                    files.push(url.path());
                    found.versions.insert(url.path(), version);
                }
            }
            Place::Object(_) => files.push(name.clone()),
        }
        if files.len() == before {
            return Err(CaptureError::NoCaptures {
                folder: name.display().to_string(),
            });
        }
        if files.len() > MAX_FILES {
            return Err(CaptureError::TooManyFiles { limit: MAX_FILES });
        }
    }
    Ok(found)
}

/// Returns the captures in a folder of a store, or the objects that match a pattern.
fn objects(url: &ObjectUrl, room: usize) -> io::Result<Vec<(ObjectUrl, ObjectVersion)>> {
    if url.is_pattern() {
        return storage::list(&url.folder(), room, |object| url.matches(object));
    }
    storage::list(url, room, |object| {
        let mut name = "";
        for part in object.parts_in(url) {
            if part.starts_with('.') {
                return false;
            }
            name = part;
        }
        has_extension(OsStr::new(name))
    })
}

fn read_folder(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), CaptureError> {
    let is_hidden =
        |entry: &DirEntry| entry.depth() > 0 && entry.file_name().as_encoded_bytes()[0] == b'.';
    let entries = WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !is_hidden(entry));
    for entry in entries {
        let entry = entry.map_err(|error| CaptureError::Open {
            capture: error.path().unwrap_or(folder).display().to_string(),
            error: error.into(),
        })?;
        // A link to a file counts as a file. A link to a folder is skipped, because it may form a
        // cycle.
        if !entry.path().is_file() {
            continue;
        }
        if has_extension(entry.file_name()) || begins_like_a_capture(entry.path()) {
            files.push(entry.into_path());
        }
        if files.len() > MAX_FILES {
            return Err(CaptureError::TooManyFiles { limit: MAX_FILES });
        }
    }
    Ok(())
}

/// Returns whether a name has the extension of a capture. Digits (rotation) and the endings of
/// compressions may follow.
fn has_extension(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let name = name.strip_suffix(".zst").unwrap_or(name);
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name.rsplit_once('.')
        .is_some_and(|(_, extension)| EXTENSIONS.contains(&extension))
}

fn begins_like_a_capture(path: &Path) -> bool {
    let header = Source::of(path.to_owned())
        .and_then(CaptureReader::open)
        .and_then(|mut reader| reader.read_header(&mut ReadBuffer::small()));
    header.is_ok_and(|is_complete| is_complete)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_folder_is_expanded_to_its_captures() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("b")).unwrap();
        fs::create_dir(path(".hidden")).unwrap();
        let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures");
        fs::copy(captures.join("dns.pcap"), path("plain")).unwrap();
        for name in [
            "c.pcap",
            "a.pcap12",
            "b/x.pcapng.zst",
            "notes.txt",
            ".d.pcap",
            ".hidden/e.pcap",
        ] {
            fs::write(path(name), "text").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), path("b/circle")).unwrap();
        let SourceFiles {
            files, has_folder, ..
        } = expand(vec!["-".into(), folder.path().into()]).unwrap();
        let expected = ["a.pcap12", "b/x.pcapng.zst", "c.pcap", "plain"].map(path);
        assert_eq!(files[0], Path::new("-"));
        assert_eq!(files[1..], expected);
        assert!(has_folder);
    }

    #[test]
    fn an_error_names_the_folder_without_captures() {
        let folder = tempfile::tempdir().unwrap();
        let error = expand(vec![folder.path().into()]).unwrap_err().to_string();
        let name = folder.path().display();
        assert_eq!(
            error,
            format!("cannot read folder '{name}': it contains no captures")
        );
    }
}
