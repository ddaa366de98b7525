//! What nDPI finds out about a flow.

use std::borrow::Cow;

/// The protocol of a flow as numbers of nDPI; 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Protocol {
    /// The protocol that the application uses (TLS), if it is not the application itself.
    pub master: u16,
    /// The application.
    pub app: u16,
    /// The category of the application.
    pub category: u16,
}

impl Protocol {
    /// Returns whether the application is known.
    pub fn is_known(self) -> bool {
        self.app != 0
    }
}

/// Texts from the packets of a flow. A text that the flow does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// The server name that the client requested. For SSH: the client's software.
    pub server_name: Cow<'a, str>,
    /// TLS and QUIC: JA3 with nDPI 4.2, JA4 with 5.0. SSH: HASSH. DHCP: its fingerprint.
    pub client_fingerprint: Cow<'a, str>,
    /// JA3S (TLS, QUIC) or HASSH (SSH).
    pub server_fingerprint: Cow<'a, str>,
    /// The user agent (HTTP, QUIC).
    pub user_agent: Cow<'a, str>,
    /// The content type of the response (HTTP).
    pub content_type: Cow<'a, str>,
    /// How the application was found: an index of [`CONFIDENCES`].
    pub confidence: u8,
    /// How the application was found, as the loaded version numbers it: an index of
    /// [`Library::confidences`](crate::Library::confidences).
    pub native_confidence: u8,
    /// What only nDPI 5.0 finds out, or `None` with 4.2.
    pub extra: Option<ExtraDetails>,
}

/// Details that only nDPI 5.0 finds out. A text that the flow does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraDetails {
    /// JA4 of the client (TLS, DTLS, QUIC).
    pub client_ja4: String,
    /// The fingerprint of the first TCP packet.
    pub tcp_fingerprint: String,
    /// The domain of the server name, as nDPI knows it.
    pub domain: String,
    /// The names of the risks that nDPI sees in the flow.
    pub risks: Vec<String>,
    /// The sum of the scores of all risks, for client and server.
    pub risk_score: u16,
    /// The protocols of the flow from the outermost one on, at most 8, as numbers of nDPI.
    pub stack: Vec<u16>,
}

/// The names of the confidence values, as nDPI 5.0 numbers them. The values of other versions are
/// converted by name.
pub const CONFIDENCES: [&str; 10] = [
    "Unknown",
    "Match by port",
    "nBPF",
    "DPI (partial)",
    "DPI (partial cache)",
    "DPI (cache)",
    "DPI",
    "Match by IP",
    "DPI (aggressive)",
    "Match by custom rule",
];
