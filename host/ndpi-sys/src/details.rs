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
    /// JA3 (TLS, QUIC), HASSH (SSH), or the DHCP fingerprint.
    pub client_fingerprint: Cow<'a, str>,
    /// JA3S (TLS, QUIC) or HASSH (SSH).
    pub server_fingerprint: Cow<'a, str>,
    /// The user agent (HTTP, QUIC).
    pub user_agent: Cow<'a, str>,
    /// The content type of the response (HTTP).
    pub content_type: Cow<'a, str>,
    /// How the application was found, as the loaded version numbers it: see
    /// [`Library::confidences`](crate::Library::confidences).
    pub confidence: u8,
}
