//! The dissector: nDPI determines the application of a flow from its first packets.
//!
//! The first packet of a flow is always dissected. Further packets are dissected until the
//! application is known and nDPI needs no more packets, or until the configured number of packets.
//! An application that is unknown by then is guessed from ports, addresses and earlier flows. At
//! that point, nDPI's state of the flow is freed, and only an `Application` remains.

#[cfg(not(feature = "ndpi"))]
mod absent;
#[cfg(feature = "ndpi")]
mod flows;
#[cfg(feature = "ndpi")]
mod library;
#[cfg(all(test, feature = "ndpi"))]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use flowloom_core::meter::DEFAULT_DISSECTIONS;

#[cfg(not(feature = "ndpi"))]
pub(crate) use absent::{Dissector, missing};
#[cfg(feature = "ndpi")]
pub(crate) use flows::Dissector;
#[cfg(feature = "ndpi")]
pub(crate) use library::{library, missing};

/// Files with additional protocols and categories for nDPI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NdpiFiles {
    /// Protocols by port, address and host name, in the format of nDPI's `protos.txt`.
    pub protocols: Option<PathBuf>,
    /// Categories by host name and address, in the format of nDPI's `categories.txt`.
    pub categories: Option<PathBuf>,
}

/// The reason why flows cannot be dissected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DissectError {
    /// This build has no nDPI.
    #[error("n_dissections {0}: this build has no nDPI, so that only 0 is accepted")]
    Absent(u8),
    /// A file of protocols or categories cannot be read.
    #[error("cannot read '{}': {source}", flowloom_plugin::escaped_path(path))]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of reading it.
        source: std::io::Error,
    },
    /// nDPI cannot be used.
    #[error("{0}")]
    Library(String),
}

/// A value of `application_confidence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confidence {
    /// The number, as in nDPI.
    pub number: u8,
    /// The name, as in nDPI.
    pub name: &'static str,
    /// The meaning, as a sentence for the documentation.
    pub doc: &'static str,
}

/// All values of nDPI 4.2.
pub const CONFIDENCES: [Confidence; 5] = [
    Confidence {
        number: 0,
        name: "Unknown",
        doc: "The application is not known.",
    },
    Confidence {
        number: 1,
        name: "Match by port",
        doc: "From the transport ports only.",
    },
    Confidence {
        number: 2,
        name: "Match by IP",
        doc: "From the addresses only.",
    },
    Confidence {
        number: 3,
        name: "DPI (cache)",
        doc: "From the applications of earlier flows.",
    },
    Confidence {
        number: 4,
        name: "DPI",
        doc: "From the contents of the packets.",
    },
];
