//! A part of a file that is read before its turn.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// A position in an open file.
#[derive(Debug)]
pub(crate) struct FileRange {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
}

impl FileRange {
    /// Reads until the buffer is full or the file ends. Returns the number of bytes.
    ///
    /// After an error there are fewer bytes. The read that follows them in turn then returns the
    /// error.
    pub(crate) fn read(&self, into: &mut [u8]) -> usize {
        let mut count = 0;
        while count < into.len() {
            match (self.file).read_at(&mut into[count..], self.offset + count as u64) {
                Ok(0) => break,
                Ok(read) => count += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        count
    }
}
