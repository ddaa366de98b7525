//! Text of features, which is compiled to a component.

use flowloom_expr::features::{Limits, Program};

use super::CompileError;
use crate::config::spec::MAX_TEXT;

/// Features as text, and what their compilation needs besides.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FeatureText {
    /// The name of the text in messages: a file or an option.
    pub origin: String,
    /// The text.
    pub text: String,
    /// The maximum state of one flow, in bytes.
    pub state_bytes: u32,
}

impl FeatureText {
    /// The maximum size of a text in bytes.
    pub const MAX_BYTES: u64 = MAX_TEXT;

    /// Creates a text with the default limit.
    pub fn new(origin: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            origin: origin.into(),
            text: text.into(),
            state_bytes: Limits::default().state_bytes,
        }
    }

    /// Sets the maximum state of one flow, in bytes.
    #[must_use]
    pub fn state_bytes(self, state_bytes: u32) -> Self {
        Self {
            state_bytes,
            ..self
        }
    }

    /// Parses and checks the text.
    ///
    /// # Errors
    ///
    /// The text has errors. The reason shows their places.
    pub(crate) fn program(&self) -> Result<Program, CompileError> {
        let mut limits = Limits::default();
        limits.state_bytes = self.state_bytes;
        Program::parse(&self.origin, &self.text, &limits).map_err(|error| {
            let text = error.to_string();
            // A message has its own prefix.
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            CompileError::BadFeatures(text.to_owned())
        })
    }

    /// Compiles the text to a component, in this process. The same text always gives the same bytes.
    ///
    /// # Errors
    ///
    /// The text has errors.
    pub fn component(&self) -> Result<Vec<u8>, CompileError> {
        self.program()?
            .compile()
            .map_err(|error| CompileError::BadFeatures(format!("{}: {error}", self.origin)))
    }

    /// Returns the place that needs the most payload bytes, with a mark below it. `None` if none needs any.
    pub(crate) fn payload_place(&self) -> Option<String> {
        self.program().ok()?.payload_place(&self.origin)
    }

    /// Returns the body of a request to a compiling process.
    pub(super) fn encode(&self) -> Vec<u8> {
        let origin = self.origin.as_bytes();
        let len = (origin.len() as u32).to_le_bytes();
        let limit = self.state_bytes.to_le_bytes();
        [&limit[..], &len, origin, self.text.as_bytes()].concat()
    }

    /// Reads the body of a request. `None` if it is not valid.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        let (limit, body) = body.split_first_chunk()?;
        let (len, body) = body.split_first_chunk()?;
        let (origin, text) = body.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        Some(Self {
            origin: str::from_utf8(origin).ok()?.to_owned(),
            text: str::from_utf8(text).ok()?.to_owned(),
            state_bytes: u32::from_le_bytes(*limit),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let text = FeatureText::new("ä.features", "n = count()  # µ").state_bytes(4_096);
        let body = text.encode();
        assert_eq!(FeatureText::decode(&body), Some(text));
        for len in 0..18 {
            assert_eq!(FeatureText::decode(&body[..len]), None, "{len}");
        }
        assert_eq!(FeatureText::decode(&[0xff; 16]), None);
    }

    #[test]
    fn errors_show_their_place() {
        let error = FeatureText::new("x.features", "n = count(where a)").component();
        let error = error.unwrap_err().to_string();
        assert!(
            error.starts_with("there is no packet field 'a'\n --> x.features:1:17\n"),
            "{error}"
        );
        let text = FeatureText::new("x.features", "tls = any(payload[0] == 22)");
        assert!(text.component().unwrap().starts_with(b"\0asm\x0d"));
        let place = text.payload_place().expect("it reads payload");
        assert!(place.starts_with(" --> x.features:1:11\n"), "{place}");
        assert_eq!(FeatureText::new("", "n = count()").payload_place(), None);
    }
}
