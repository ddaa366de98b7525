//! The mark of errors that a store or its network caused.

use std::io;

/// An error of a store or its network. It is inside an [`io::Error`], and has the message of it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct StoreError(String);

impl StoreError {
    /// Returns an error with this message.
    #[cfg(feature = "cloud")]
    pub(super) fn io(kind: io::ErrorKind, message: impl Into<String>) -> io::Error {
        io::Error::new(kind, Self(message.into()))
    }

    /// Returns an error with this message, after which another try may succeed.
    #[cfg(feature = "cloud")]
    pub(super) fn other(message: impl Into<String>) -> io::Error {
        Self::io(io::ErrorKind::Other, message)
    }

    /// Returns whether a store or its network caused an error.
    pub(crate) fn caused(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}
