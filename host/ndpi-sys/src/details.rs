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
    /// The server name that the client requested. nDPI 4.2, for SSH: the client's software.
    pub server_name: Cow<'a, str>,
    /// TLS and QUIC: JA3 with nDPI 4.2, JA4 with 5.0. SSH: HASSH. DHCP: its fingerprint.
    pub client_fingerprint: Cow<'a, str>,
    /// JA3S (TLS, QUIC) or HASSH (SSH).
    pub server_fingerprint: Cow<'a, str>,
    /// The user agent (HTTP, QUIC).
    pub user_agent: Cow<'a, str>,
    /// The content type of the response (HTTP).
    pub content_type: Cow<'a, str>,
    /// JA4 of the client (TLS, DTLS, QUIC). Empty with nDPI 4.2.
    pub client_ja4: Cow<'a, str>,
    /// The fingerprint of the client's first TCP packet. Empty with nDPI 4.2.
    pub tcp_fingerprint: Cow<'a, str>,
    /// The domain of the server name, as nDPI knows it. Empty with nDPI 4.2.
    pub domain: Cow<'a, str>,
    /// How the application was found: an index of [`CONFIDENCES`].
    pub confidence: u8,
    /// The risks that nDPI sees in the flow. Bit n is set for the risk n, whose name is in
    /// [`Library::risks`](crate::Library::risks).
    pub risks: u64,
    /// The sum of the scores of all risks, for client and server.
    pub risk_score: u16,
    /// The protocols of the flow.
    pub stack: Stack,
}

/// The protocols of a flow, from the outermost one on, as numbers of nDPI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stack {
    /// 0 after the last one.
    protocols: [u16; 8],
}

impl Stack {
    /// Returns a stack of at most 8 of these protocols. The number 0, an unknown protocol, is
    /// omitted.
    pub(crate) fn new(protocols: &[u16]) -> Self {
        let mut stack = Self::default();
        let known = protocols.iter().filter(|&&protocol| protocol != 0);
        for (to, &protocol) in stack.protocols.iter_mut().zip(known) {
            *to = protocol;
        }
        stack
    }

    /// Returns the protocols.
    pub fn protocols(&self) -> impl Iterator<Item = u16> {
        let protocols = self.protocols.into_iter();
        protocols.take_while(|&protocol| protocol != 0)
    }
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
