//! Reads a plugin's file.
//!
//! The file is opened once. Flowloom compiles what was read, whatever happens to the file later.

use std::path::Path;

use crate::bounded_file::{BoundedRead, BoundedReadError};
use crate::error::LoadErrorKind;

/// The maximum size of a file. Python components have 18 MB.
const READ: BoundedRead = BoundedRead::new(64 << 20);

/// Reads a plugin's file.
///
/// It is opened once, and what was read is what is compiled, whatever happens to the file.
pub(crate) fn read(path: &Path, follows_links: bool) -> Result<Vec<u8>, LoadErrorKind> {
    let path = path.to_owned();
    let read = READ.follows_links(follows_links).bytes(&path);
    read.map_err(|error| match error {
        BoundedReadError::Io(error) => LoadErrorKind::Unreadable { path, error },
        BoundedReadError::NotAFile(_) => LoadErrorKind::NotAFile { path },
        BoundedReadError::Link => LoadErrorKind::Link { path },
        BoundedReadError::TooLarge { size, max } => LoadErrorKind::TooLarge { path, size, max },
    })
}
