//! Checks of a file before the dynamic linker loads it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use crate::Error;

/// The ELF machine number of this program, or `None` if this crate does not know the processor.
pub(crate) const MACHINE: Option<u16> = if cfg!(target_arch = "x86_64") {
    Some(62)
} else if cfg!(target_arch = "aarch64") {
    Some(183)
} else {
    None
};

/// The size of the header and of an entry of the table of segments.
pub(crate) const HEADER: usize = 64;
pub(crate) const SEGMENT: usize = 56;
/// The most segments that are checked. Libraries have about ten.
const MAX_SEGMENTS: usize = 64;

/// Checks that a file is a complete shared library for this processor. It does not block, for
/// example on a named pipe.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let not_library = |why| Error::NotLibrary {
        path: path.to_owned(),
        why,
    };
    // Opening a pipe would block.
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(not_library("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(unreadable)?.take(8192);
    file.read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.is_empty() {
        return Err(not_library("the file is empty"));
    }
    let u16_at = |at| {
        bytes
            .get(at..at + 2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
    };
    let u64_at = |at: usize| {
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    if !bytes.starts_with(b"\x7fELF") || bytes.len() < HEADER {
        return Err(not_library("it is not a shared library"));
    }
    let machine = u16_at(18).unwrap_or_default();
    // 64 bits, little-endian.
    if bytes[4..6] != [2, 1] || MACHINE != Some(machine) {
        return Err(Error::Processor {
            path: path.to_owned(),
            machine,
        });
    }
    if u16_at(16) != Some(3) {
        return Err(not_library("it is an ELF file, but not a shared library"));
    }
    // A segment beyond the end of the file would end this process when it is read.
    let table = u64_at(32).and_then(|at| usize::try_from(at).ok());
    let segments = usize::from(u16_at(56).unwrap_or_default()).min(MAX_SEGMENTS);
    let is_complete = (0..segments).all(|n| {
        let entry = table.and_then(|at| at.checked_add(n * SEGMENT));
        let end = entry.and_then(|at| {
            let [offset, size] = [8, 32].map(|field| u64_at(at.checked_add(field)?));
            offset?.checked_add(size?)
        });
        end.is_some_and(|end| end <= metadata.len())
    });
    match is_complete && segments > 0 {
        true => Ok(()),
        false => Err(not_library("the file is incomplete")),
    }
}
