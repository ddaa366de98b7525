//! Options of sinks that do not depend on the place of the output.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use super::csv_text::Formulas;
use crate::columns::OutputColumns;

/// Options of a [`Format`](super::Format).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SinkOptions {
    /// The columns that are written.
    pub columns: OutputColumns,
    /// How CSV text is written that a spreadsheet would interpret as a formula.
    pub formulas: Formulas,
    /// The compression inside Parquet and Arrow. `None` is zstd at level 3 in Parquet, and no compression in
    /// Arrow.
    pub compression: Option<BlockCompression>,
    /// The maximum number of flows in a row group of Parquet. `None` is 131,072. A row group also ends at 64 MiB.
    pub row_group_size: Option<NonZeroUsize>,
    /// Texts that are written at the end of a Parquet or Arrow file.
    pub metadata: FileMetadata,
}

/// The compression of the values inside a Parquet or Arrow file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockCompression {
    /// No compression.
    None,
    /// zstd with a level from 1 to 22.
    Zstd(u8),
}

/// The error of a text that is no [`BlockCompression`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected none, zstd, or zstd:1 to zstd:22")]
pub struct UnknownCompression;

impl std::str::FromStr for BlockCompression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "zstd" => Ok(Self::Zstd(3)),
            Some(("zstd", level)) => match level.parse() {
                Ok(level @ 1..=22) => Ok(Self::Zstd(level)),
                _ => Err(UnknownCompression),
            },
            _ => Err(UnknownCompression),
        }
    }
}

/// Texts by key that a sink writes into the metadata of a file when it ends the file.
///
/// Clones share their texts, so that a caller can still change them while flows are written.
///
/// # Examples
///
/// ```
/// use flowloom::sink::FileMetadata;
///
/// let metadata = FileMetadata::default();
/// metadata.set("flowloom.version", "0.1.0");
/// assert_eq!(metadata.entries(), [("flowloom.version".into(), "0.1.0".into())]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct FileMetadata(Arc<Mutex<Vec<(String, String)>>>);

impl FileMetadata {
    /// Sets the text of a key.
    pub fn set(&self, key: &str, text: impl Into<String>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match entries.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => *old = text.into(),
            None => entries.push((key.to_owned(), text.into())),
        }
    }

    /// Returns all keys and texts, in the order in which the keys were first set.
    pub fn entries(&self) -> Vec<(String, String)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_have_a_level() {
        for (text, expected) in [
            ("none", Ok(BlockCompression::None)),
            ("zstd", Ok(BlockCompression::Zstd(3))),
            ("zstd:22", Ok(BlockCompression::Zstd(22))),
            ("zstd:0", Err(UnknownCompression)),
            ("zstd:23", Err(UnknownCompression)),
            ("none:1", Err(UnknownCompression)),
            ("gzip", Err(UnknownCompression)),
            ("", Err(UnknownCompression)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }

    #[test]
    fn the_last_text_of_a_key_counts() {
        let metadata = FileMetadata::default();
        for (key, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
            metadata.clone().set(key, text);
        }
        let expected = [("a", "3"), ("b", "2")].map(|(key, text)| (key.into(), text.into()));
        assert_eq!(metadata.entries(), expected);
    }
}
