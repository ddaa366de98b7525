//! Versions of objects.

/// What a store tells of an object when it lists a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectVersion {
    /// The size in bytes.
    pub(crate) size: u64,
    /// The mark of the version (ETag), if the store has one.
    pub(crate) etag: Option<String>,
}
