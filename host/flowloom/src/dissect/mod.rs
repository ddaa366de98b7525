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
#[cfg(feature = "ndpi")]
mod python;
#[cfg(all(test, feature = "ndpi"))]
mod tests;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use flowloom_core::meter::DEFAULT_DISSECTIONS;

#[cfg(not(feature = "ndpi"))]
pub(crate) use absent::Dissector;
#[cfg(not(feature = "ndpi"))]
pub use absent::Ndpi;
#[cfg(feature = "ndpi")]
pub(crate) use flows::Dissector;
#[cfg(feature = "ndpi")]
pub use library::Ndpi;

/// The configuration of nDPI.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct NdpiConfig {
    /// The library. By default, it is that of the environment variable `FLOWLOOM_NDPI`, or `auto` without the variable.
    pub library: Option<NdpiLibrary>,
    /// The licence that the operator has for nDPI 6.
    pub license: Option<NdpiLicense>,
    /// Protocols by port, address and host name, in the format of nDPI's `protos.txt`.
    pub protocols: Option<PathBuf>,
    /// Categories by host name and address, in the format of nDPI's `categories.txt`.
    pub categories: Option<PathBuf>,
}

impl NdpiConfig {
    /// Returns whether additional protocols or categories are configured.
    pub(crate) fn has_files(&self) -> bool {
        self.protocols.is_some() || self.categories.is_some()
    }
}

/// Which nDPI is loaded.
///
/// # Examples
///
/// ```
/// use flowloom::dissect::NdpiLibrary;
///
/// assert_eq!(NdpiLibrary::from("auto"), NdpiLibrary::Auto);
/// assert_eq!(NdpiLibrary::from("./libndpi.so"), NdpiLibrary::File("./libndpi.so".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub enum NdpiLibrary {
    /// The first usable library of these: the system's `libndpi.so.5`; nDPI 5.0 in NFStream 6.6.0, if that is installed
    /// in the same Python environment as this program; the system's `libndpi.so.4.2`.
    Auto,
    /// None. Flows have no application columns.
    None,
    /// This file: an nDPI library, or `_lib_engine.abi3.so` of NFStream 6.6.0.
    File(PathBuf),
}

/// `auto`, `none`, or a path.
impl From<PathBuf> for NdpiLibrary {
    fn from(path: PathBuf) -> Self {
        match path.to_str() {
            Some("auto") => Self::Auto,
            Some("none") => Self::None,
            _ => Self::File(path),
        }
    }
}

/// `auto`, `none`, or a path.
impl From<&str> for NdpiLibrary {
    fn from(text: &str) -> Self {
        PathBuf::from(text).into()
    }
}

impl From<NdpiLibrary> for PathBuf {
    fn from(library: NdpiLibrary) -> Self {
        match library {
            NdpiLibrary::Auto => "auto".into(),
            NdpiLibrary::None => "none".into(),
            NdpiLibrary::File(path) => path,
        }
    }
}

/// A licence for nDPI 6, whose dissectors for TLS, QUIC and DNS are not free for all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NdpiLicense {
    /// The LGPL, without those dissectors.
    Lgpl,
    /// The use is not commercial.
    NonCommercial,
    /// The operator has bought a licence.
    Commercial,
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

/// An application that nDPI can find.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ApplicationName {
    /// The name, as in `application_name`.
    pub name: String,
    /// The category of its flows, unless a flow has a category of its own.
    pub category: String,
}

/// A value of `application_confidence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confidence {
    /// The number, as in nDPI 5.0.
    pub number: u8,
    /// The name, as in nDPI 5.0.
    pub name: &'static str,
    /// The meaning, as a sentence for the documentation.
    pub doc: &'static str,
}

/// All values, ordered by number. Those of nDPI 4.2 have these numbers too.
pub const CONFIDENCES: [Confidence; 10] = {
    const fn confidence(number: u8, name: &'static str, doc: &'static str) -> Confidence {
        Confidence { number, name, doc }
    }
    [
        confidence(0, "Unknown", "The application is not known."),
        confidence(1, "Match by port", "From the transport ports only."),
        confidence(2, "nBPF", "From a custom rule that is a filter of packets."),
        confidence(
            3,
            "DPI (partial)",
            "From the contents of the packets, but the dissection was not complete.",
        ),
        confidence(
            4,
            "DPI (partial cache)",
            "From earlier flows, and from an incomplete dissection.",
        ),
        confidence(5, "DPI (cache)", "From the applications of earlier flows."),
        confidence(6, "DPI", "From the contents of the packets."),
        confidence(7, "Match by IP", "From the addresses only."),
        confidence(
            8,
            "DPI (aggressive)",
            "From the contents of the packets, with a method that can be wrong.",
        ),
        confidence(
            9,
            "Match by custom rule",
            "From a list of additional protocols.",
        ),
    ]
};
