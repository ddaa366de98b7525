//! What is kept of a dissection.

use std::sync::{Arc, LazyLock};

/// A flow's application, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Application {
    /// `TLS.Facebook`; shared by all flows that have it.
    pub name: Arc<str>,
    pub category: Arc<str>,
    pub is_guessed: bool,
    /// The library's own number.
    pub confidence: u8,
    /// Where each text ends in `texts`.
    ends: [u16; Text::COUNT],
    texts: Box<str>,
}

/// What a flow may say of itself. The numbers are places in arrays.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    ServerName = 0,
    ClientFingerprint = 1,
    ServerFingerprint = 2,
    UserAgent = 3,
    ContentType = 4,
}

impl Text {
    pub const COUNT: usize = 5;
}

impl Application {
    /// Its texts in the order of [`Text`]; together they stay below 64 KiB.
    pub fn new(
        name: Arc<str>,
        category: Arc<str>,
        is_guessed: bool,
        confidence: u8,
        texts: [&str; Text::COUNT],
    ) -> Self {
        let mut ends = [0; Text::COUNT];
        let mut end = 0;
        for (at, text) in ends.iter_mut().zip(texts) {
            end += text.len();
            *at = end as u16;
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

    /// Of a flow that was not dissected.
    pub fn unknown() -> &'static Self {
        static UNKNOWN: LazyLock<Application> = LazyLock::new(|| {
            let none = [""; Text::COUNT];
            Application::new("Unknown".into(), "Unspecified".into(), false, 0, none)
        });
        &UNKNOWN
    }

    /// Empty where the flow says none.
    pub fn text(&self, which: Text) -> &str {
        let at = which as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.texts
            .get(usize::from(start)..usize::from(self.ends[at]))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_side_by_side() {
        let texts = ["www.example.org", "", "e35df3", "Mozilla", ""];
        let application = Application::new("HTTP".into(), "Web".into(), false, 4, texts);
        for (which, expected) in [
            (Text::ServerName, "www.example.org"),
            (Text::ClientFingerprint, ""),
            (Text::ServerFingerprint, "e35df3"),
            (Text::UserAgent, "Mozilla"),
            (Text::ContentType, ""),
        ] {
            assert_eq!(application.text(which), expected, "{which:?}");
            assert_eq!(Application::unknown().text(which), "");
        }
    }
}
