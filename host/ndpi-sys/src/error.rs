//! The reasons why there is no dissector.

use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The reason why there is no dissector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No library was found.
    #[error(
        "cannot find nDPI{}: install version 4.2 (Debian 12: apt-get install libndpi4.2) or 5.0 (in \
         Flowloom's Python environment: pip install nfstream==6.6.0)",
        reasons(.0)
    )]
    NotFound(
        /// Why each library that exists cannot be used.
        Vec<Error>,
    ),
    /// The library cannot be read.
    #[error("cannot open nDPI library '{}': {source}", escaped(path))]
    Unreadable {
        /// The path of the library.
        path: PathBuf,
        /// The error of reading it.
        source: io::Error,
    },
    /// The caller forbids to load the library.
    #[error("cannot load nDPI library '{}': {reason}", escaped(path))]
    Forbidden {
        /// The path of the library.
        path: PathBuf,
        /// Why it must not be loaded.
        reason: String,
    },
    /// The file is not a shared library.
    #[error("cannot load nDPI from '{}': {why}", escaped(path))]
    NotLibrary {
        /// The path of the file.
        path: PathBuf,
        /// What the file is instead.
        why: &'static str,
    },
    /// The library is for another processor.
    #[error(
        "cannot load nDPI library '{}': it was built for another processor (ELF machine {machine}); \
         install the library for this one",
        escaped(path)
    )]
    Processor {
        /// The path of the library.
        path: PathBuf,
        /// The ELF machine number of the library.
        machine: u16,
    },
    /// The dynamic linker refuses the library.
    #[error("cannot load nDPI library '{}': {}", escaped(path), reason.escape_debug())]
    Load {
        /// The path of the library.
        path: PathBuf,
        /// The message of the dynamic linker.
        reason: String,
    },
    /// The library is not nDPI.
    #[error(
        "cannot use '{}' as nDPI: it has no function ndpi_revision",
        escaped(path)
    )]
    NotNdpi {
        /// The path of the library.
        path: PathBuf,
    },
    /// The library has a version that this crate does not support.
    #[error(
        "cannot use nDPI {} ('{}'): Flowloom supports {}; install one of these",
        version.escape_debug(),
        escaped(path),
        crate::library::SUPPORTED
    )]
    Version {
        /// The path of the library.
        path: PathBuf,
        /// The version of the library.
        version: String,
    },
    /// The licence of the library depends on the operator, and none is chosen.
    #[error(
        "cannot use nDPI {} ('{}'): its dissectors for TLS, QUIC and DNS are not free for all \
         users, and no licence is chosen; install {}",
        version.escape_debug(),
        escaped(path),
        crate::library::SUPPORTED
    )]
    License {
        /// The path of the library.
        path: PathBuf,
        /// The version of the library.
        version: String,
    },
    /// The library has a supported version, but not the expected layout of data.
    #[error(
        "cannot use nDPI {} ('{}'): its {what} is {found}, not {}; \
         install an unmodified build of this version",
        version.escape_debug(),
        escaped(path),
        range(expected)
    )]
    Layout {
        /// The path of the library.
        path: PathBuf,
        /// The version of the library.
        version: String,
        /// What differs.
        what: &'static str,
        /// The value in the library.
        found: usize,
        /// The values that this crate accepts.
        expected: RangeInclusive<usize>,
    },
    /// The library lacks a function.
    #[error(
        "cannot use nDPI library '{}': it has no function {symbol}",
        escaped(path)
    )]
    Symbol {
        /// The path of the library.
        path: PathBuf,
        /// The name of the function.
        symbol: &'static str,
    },
    /// A custom file cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of opening it.
        source: io::Error,
    },
    /// nDPI cannot be initialised.
    #[error("cannot initialise nDPI: it returned no module")]
    Start,
}

/// Returns a path for a message, without control characters.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// Returns a range for a message.
fn range(range: &RangeInclusive<usize>) -> String {
    match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{} to {}", range.start(), range.end()),
    }
}

/// Returns the errors in parentheses, or nothing if there are none.
fn reasons(errors: &[Error]) -> String {
    if errors.is_empty() {
        return String::new();
    }
    let errors: Vec<_> = errors.iter().map(Error::to_string).collect();
    format!(" ({})", errors.join("; "))
}
