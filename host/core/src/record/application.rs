//! The result of dissection.

use std::sync::{Arc, LazyLock};

/// The application of a flow, and texts from its first packets.
#[derive(Clone, Debug)]
pub struct Application {
    /// The name of the application, for example `TLS.Facebook`. All flows of the application share it.
    pub(crate) name: Arc<str>,
    /// The name of the category. All flows of the category share it.
    pub(crate) category: Arc<str>,
    /// Whether nDPI guessed the application instead of detecting it in the packets.
    pub(crate) is_guessed: bool,
    /// The confidence, as nDPI 5.0 numbers it.
    pub(crate) confidence: u8,
    /// The sum of the scores of the risks.
    pub(crate) risk_score: u16,
    /// The names of the risks, or `None` if there are none. Many flows share them.
    risks: Option<Arc<[Arc<str>]>>,
    /// The names of the protocols from the outermost one on, or `None` if none is known. Many flows share them.
    stack: Option<Arc<[Arc<str>]>>,
    /// The end of each text in `texts`, in bytes.
    ends: [u16; ApplicationText::COUNT],
    /// All texts, concatenated in the order of [`ApplicationText`].
    texts: Box<str>,
}

/// A text that the packets of a flow can contain. The numbers are array indices.
#[derive(Clone, Copy, Debug)]
pub enum ApplicationText {
    /// The name that the client requested.
    ServerName = 0,
    /// The fingerprint of the client (JA3, JA4, HASSH, DHCP).
    ClientFingerprint = 1,
    /// The fingerprint of the server (JA3S, HASSH).
    ServerFingerprint = 2,
    /// The user agent of the client.
    UserAgent = 3,
    /// The content type of an HTTP response.
    ContentType = 4,
    /// The JA4 of the client.
    ClientJa4 = 5,
    /// The fingerprint of the client's first TCP packet.
    TcpFingerprint = 6,
    /// The domain of the requested name.
    Domain = 7,
}

impl ApplicationText {
    /// The number of texts.
    pub const COUNT: usize = 8;
}

impl Application {
    /// Creates an application. `texts` are in the order of [`ApplicationText`]; their total length must be
    /// below 64 KiB.
    pub fn new(
        name: Arc<str>,
        category: Arc<str>,
        is_guessed: bool,
        confidence: u8,
        texts: [&str; ApplicationText::COUNT],
    ) -> Self {
        let mut ends = [0; ApplicationText::COUNT];
        let mut end = 0;
        for (text_end, text) in ends.iter_mut().zip(texts) {
            end += text.len();
            *text_end = end as u16;
        }
        Self {
            name,
            category,
            is_guessed,
            confidence,
            risk_score: 0,
            risks: None,
            stack: None,
            ends,
            texts: texts.concat().into(),
        }
    }

    /// Sets the names of the risks, and the sum of their scores.
    pub fn with_risks(self, names: Arc<[Arc<str>]>, score: u16) -> Self {
        Self {
            risks: Some(names),
            risk_score: score,
            ..self
        }
    }

    /// Sets the names of the protocols, from the outermost one on.
    pub fn with_stack(self, names: Arc<[Arc<str>]>) -> Self {
        Self {
            stack: Some(names),
            ..self
        }
    }

    /// Returns the names of the risks.
    pub(crate) fn risks(&self) -> &[Arc<str>] {
        self.risks.as_deref().unwrap_or_default()
    }

    /// Returns the names of the protocols, from the outermost one on.
    pub(crate) fn stack(&self) -> &[Arc<str>] {
        self.stack.as_deref().unwrap_or_default()
    }

    /// Returns the application of flows that were not dissected: `Unknown`.
    pub fn unknown() -> &'static Self {
        static UNKNOWN: LazyLock<Application> = LazyLock::new(|| {
            let none = [""; ApplicationText::COUNT];
            Application::new("Unknown".into(), "Unspecified".into(), false, 0, none)
        });
        &UNKNOWN
    }

    /// Returns a text; empty if the flow has none of this kind.
    pub(crate) fn text(&self, which: ApplicationText) -> &str {
        let index = which as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.texts
            .get(usize::from(start)..usize::from(self.ends[index]))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_found_in_the_concatenation() {
        let texts = [
            "www.example.org",
            "",
            "e35df3",
            "Mozilla",
            "",
            "t13d",
            "",
            "example.org",
        ];
        let application = Application::new("HTTP".into(), "Web".into(), false, 4, texts);
        for (which, expected) in [
            (ApplicationText::ServerName, "www.example.org"),
            (ApplicationText::ClientFingerprint, ""),
            (ApplicationText::ServerFingerprint, "e35df3"),
            (ApplicationText::UserAgent, "Mozilla"),
            (ApplicationText::ContentType, ""),
            (ApplicationText::ClientJa4, "t13d"),
            (ApplicationText::TcpFingerprint, ""),
            (ApplicationText::Domain, "example.org"),
        ] {
            assert_eq!(application.text(which), expected, "{which:?}");
            assert_eq!(Application::unknown().text(which), "");
        }
    }
}
