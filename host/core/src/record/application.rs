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
    /// The confidence, as nDPI numbers it.
    pub(crate) confidence: u8,
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
    /// The fingerprint of the client (JA3, HASSH, DHCP).
    ClientFingerprint = 1,
    /// The fingerprint of the server (JA3S, HASSH).
    ServerFingerprint = 2,
    /// The user agent of the client.
    UserAgent = 3,
    /// The content type of an HTTP response.
    ContentType = 4,
}

impl ApplicationText {
    /// The number of texts.
    pub const COUNT: usize = 5;
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
            ends,
            texts: texts.concat().into(),
        }
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
        let texts = ["www.example.org", "", "e35df3", "Mozilla", ""];
        let application = Application::new("HTTP".into(), "Web".into(), false, 4, texts);
        for (which, expected) in [
            (ApplicationText::ServerName, "www.example.org"),
            (ApplicationText::ClientFingerprint, ""),
            (ApplicationText::ServerFingerprint, "e35df3"),
            (ApplicationText::UserAgent, "Mozilla"),
            (ApplicationText::ContentType, ""),
        ] {
            assert_eq!(application.text(which), expected, "{which:?}");
            assert_eq!(Application::unknown().text(which), "");
        }
    }
}
