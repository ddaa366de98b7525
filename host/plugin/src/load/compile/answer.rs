//! What a compiling process is asked, and how it answers.

use std::io::{self, Write};

use super::CompileError;
use crate::escape::escaped;

/// The first byte of a request; the plugin's file follows up to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Answer with an image.
    Compile = b'c' as isize,
    /// Answer with a component.
    Componentize = b'w' as isize,
}

/// The first bytes of an answer. One byte follows, which says what the rest is.
const MAGIC: &[u8; 8] = b"FLOWLOOM";

const DONE: u8 = b'+';
const NOT_A_COMPONENT: u8 = b'n';
const DOES_NOT_COMPILE: u8 = b'd';

/// Characters of a reason that are kept.
const MOST_CHARS: usize = 1_000;

/// The bytes of an answer besides its payload.
pub(crate) const OVERHEAD: usize = MAGIC.len() + 1;

impl Task {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        [Self::Compile, Self::Componentize]
            .into_iter()
            .find(|task| *task as u8 == byte)
    }
}

/// Writes an answer.
pub(crate) fn encode(
    answer: &Result<Vec<u8>, CompileError>,
    mut out: impl Write,
) -> io::Result<()> {
    let (kind, payload) = match answer {
        Ok(bytes) => (DONE, &bytes[..]),
        Err(CompileError::NotAComponent(reason)) => (NOT_A_COMPONENT, reason.as_bytes()),
        Err(CompileError::DoesNotCompile(reason)) => (DOES_NOT_COMPILE, reason.as_bytes()),
    };
    out.write_all(MAGIC)?;
    out.write_all(&[kind])?;
    out.write_all(payload)?;
    out.flush()
}

/// Reads an answer; `None` where the bytes are none.
pub(crate) fn decode(mut answer: Vec<u8>) -> Option<Result<Vec<u8>, CompileError>> {
    let kind = *answer.strip_prefix(MAGIC)?.first()?;
    let payload = answer.split_off(OVERHEAD);
    let reason = || shown(&payload);
    match kind {
        DONE => Some(Ok(payload)),
        NOT_A_COMPONENT => Some(Err(CompileError::NotAComponent(reason()))),
        DOES_NOT_COMPILE => Some(Err(CompileError::DoesNotCompile(reason()))),
        _ => None,
    }
}

/// A reason in one line of bounded length, escaped: it may hold names that the plugin chose.
pub(crate) fn shown(reason: &[u8]) -> String {
    // A character has at most four bytes.
    let reason = &reason[..reason.len().min(4 * MOST_CHARS + 4)];
    let text = String::from_utf8_lossy(reason);
    let words: Vec<_> = text.split_whitespace().collect();
    let mut line = words.join(" ");
    if let Some((end, _)) = line.char_indices().nth(MOST_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    escaped(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_were_written() {
        for answer in [
            Ok(b"image".to_vec()),
            Ok(Vec::new()),
            Err(CompileError::NotAComponent("it is text".into())),
            Err(CompileError::DoesNotCompile("it is broken".into())),
        ] {
            let mut bytes = Vec::new();
            encode(&answer, &mut bytes).unwrap();
            assert_eq!(decode(bytes), Some(answer));
        }
    }

    #[test]
    fn other_bytes_are_no_answer() {
        for bytes in [&b""[..], b"FLOWLOOM", b"FLOWLOOM?image", b"flowloom+image"] {
            assert_eq!(decode(bytes.to_vec()), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_reason_is_one_short_escaped_line() {
        let mut reason = b"FLOWLOOMdbroken \x1b[2J\n\r\n at \xff".to_vec();
        assert_eq!(
            decode(reason.clone()),
            Some(Err(CompileError::DoesNotCompile(
                "broken \\u{1b}[2J at \u{fffd}".into()
            )))
        );
        reason.extend("ä".repeat(1 << 20).bytes());
        let Some(Err(CompileError::DoesNotCompile(reason))) = decode(reason) else {
            panic!("it is a reason");
        };
        assert!(reason.chars().count() < 1_100, "{reason}");
    }
}
