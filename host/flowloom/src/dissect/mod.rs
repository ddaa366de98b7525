//! The dissector: what application a flow is of, told from its first packets by nDPI.
//!
//! The first packet of a flow is always dissected, then each one until its application is known and
//! nothing more can be learnt, or until so many packets as are set. What is not known by then is
//! guessed by ports, addresses and flows before it. nDPI's own state of a flow is freed at that point;
//! an [`Application`] stays.

#[cfg(not(feature = "ndpi"))]
mod absent;
#[cfg(feature = "ndpi")]
mod flows;
#[cfg(all(test, feature = "ndpi"))]
mod tests;

use std::path::PathBuf;

pub use flowloom_core::meter::DEFAULT_DISSECTIONS;

#[cfg(not(feature = "ndpi"))]
pub(crate) use absent::Dissector;
#[cfg(feature = "ndpi")]
pub(crate) use flows::Dissector;

/// Files that add to the protocols and categories that nDPI knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NdpiFiles {
    /// Protocols by ports, addresses and host names, in the format of nDPI's `protos.txt`.
    pub protocols: Option<PathBuf>,
    /// Categories by host names and addresses, in the format of nDPI's `categories.txt`.
    pub categories: Option<PathBuf>,
}

/// Why flows cannot be dissected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DissectError {
    /// There is no nDPI in this build.
    #[error("n_dissections {0}: this is a build without nDPI; only 0 is accepted")]
    Absent(u8),
    /// A file of protocols or categories cannot be read.
    #[error("cannot read {}: {source}", flowloom_plugin::escaped_path(path))]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The library cannot be used.
    #[error("{0}")]
    Library(String),
}

/// A number of `application_confidence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confidence {
    /// The number, which is nDPI's own.
    pub number: u8,
    /// As nDPI names it.
    pub name: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// All of them, as nDPI 4.2 has them.
pub const CONFIDENCES: [Confidence; 5] = [
    Confidence {
        number: 0,
        name: "Unknown",
        doc: "It was not found.",
    },
    Confidence {
        number: 1,
        name: "Match by port",
        doc: "By the transport ports alone.",
    },
    Confidence {
        number: 2,
        name: "Match by IP",
        doc: "By the addresses alone.",
    },
    Confidence {
        number: 3,
        name: "DPI (cache)",
        doc: "By what flows before it were.",
    },
    Confidence {
        number: 4,
        name: "DPI",
        doc: "In the packets.",
    },
];
