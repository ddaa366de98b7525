//! The protocol of a compiling process: a request and its answer.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::CompileError;
use crate::escape::escaped;

/// The first byte of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// The answer is machine code.
    Compile = b'c' as isize,
    /// The answer is machine code. The machine code of each function is kept for other plugins.
    CompileAndKeep = b'k' as isize,
    /// The answer is a component.
    Componentize = b'w' as isize,
    /// The answer is the component of features. The plugin's file is a [`FeatureText`](super::FeatureText).
    CompileFeatures = b'f' as isize,
}

/// The first bytes of an answer. One byte follows, which is the kind of the rest.
const MAGIC: &[u8; 8] = b"FLOWLOOM";

const DONE: u8 = b'+';
const NOT_A_COMPONENT: u8 = b'n';
const DOES_NOT_COMPILE: u8 = b'd';
const BAD_FEATURES: u8 = b'f';

/// The maximum number of characters of a reason.
const MAX_CHARS: usize = 1_000;

/// The maximum number of lines of a reason with places in a text.
const MAX_LINES: usize = 100;

/// The number of bytes of an answer before its payload.
pub(crate) const OVERHEAD: usize = MAGIC.len() + 1;

impl Task {
    /// Returns the task of a request's first byte.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Compile,
            Self::CompileAndKeep,
            Self::Componentize,
            Self::CompileFeatures,
        ]
        .into_iter()
        .find(|task| *task as u8 == byte)
    }
}

/// A request of a compiling process: its task, the folder of compiled functions, and the plugin's file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) task: Task,
    /// `None` if each function is to be compiled.
    pub(crate) functions: Option<PathBuf>,
    pub(crate) plugin: Vec<u8>,
}

impl Request {
    /// Returns the bytes before the plugin's file. The file follows, up to the end of the request.
    pub(crate) fn head(task: Task, functions: Option<&Path>) -> Vec<u8> {
        let folder = functions.map_or(&b""[..], |folder| folder.as_os_str().as_bytes());
        let len = (folder.len() as u32).to_le_bytes();
        [&[task as u8], &len[..], folder].concat()
    }

    /// Reads a request.
    pub(crate) fn read(mut from: impl Read) -> io::Result<Self> {
        let mut head = [0; 5];
        from.read_exact(&mut head)?;
        let [task, len @ ..] = head;
        let task = Task::from_byte(task)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a compiler request"))?;
        let len = u64::from(u32::from_le_bytes(len));
        let mut folder = Vec::new();
        from.by_ref().take(len).read_to_end(&mut folder)?;
        let mut plugin = Vec::new();
        from.read_to_end(&mut plugin)?;
        Ok(Self {
            task,
            functions: (len > 0).then(|| PathBuf::from(OsString::from_vec(folder))),
            plugin,
        })
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
        Err(CompileError::BadFeatures(reason)) => (BAD_FEATURES, reason.as_bytes()),
    };
    out.write_all(MAGIC)?;
    out.write_all(&[kind])?;
    out.write_all(payload)?;
    out.flush()
}

/// Reads an answer. Returns `None` if the bytes are not an answer.
pub(crate) fn decode(mut answer: Vec<u8>) -> Option<Result<Vec<u8>, CompileError>> {
    let kind = *answer.strip_prefix(MAGIC)?.first()?;
    let payload = answer.split_off(OVERHEAD);
    let reason = || one_line(&payload);
    match kind {
        DONE => Some(Ok(payload)),
        NOT_A_COMPONENT => Some(Err(CompileError::NotAComponent(reason()))),
        DOES_NOT_COMPILE => Some(Err(CompileError::DoesNotCompile(reason()))),
        BAD_FEATURES => Some(Err(CompileError::BadFeatures(lines(&payload)))),
        _ => None,
    }
}

/// Returns a reason on one line of limited length. It is escaped, because it may contain names that the plugin
/// chose.
pub(crate) fn one_line(reason: &[u8]) -> String {
    // A character has at most four bytes.
    let reason = &reason[..reason.len().min(4 * MAX_CHARS + 4)];
    let text = String::from_utf8_lossy(reason);
    let words: Vec<_> = text.split_whitespace().collect();
    let mut line = words.join(" ");
    if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
        line.truncate(end);
        line.push('…');
    }
    escaped(&line)
}

/// Returns a reason with its lines, which are of limited number and length, and escaped.
fn lines(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(reason);
    let lines = text.lines().take(MAX_LINES).map(|line| {
        let mut line = escaped(line);
        if let Some((end, _)) = line.char_indices().nth(MAX_CHARS) {
            line.truncate(end);
            line.push('…');
        }
        line
    });
    lines.collect::<Vec<_>>().join("\n")
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
            Err(CompileError::BadFeatures(
                "no field 'a'\n --> x:1:1\n  |\n1 | a\n  | ^".into(),
            )),
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

    #[test]
    fn a_reason_with_places_is_bounded_and_escaped() {
        let text = format!("FLOWLOOMf\x1b[2J\n{}\n", "ä".repeat(1 << 16)) + &"x\n".repeat(1 << 16);
        let Some(Err(CompileError::BadFeatures(reason))) = decode(text.into_bytes()) else {
            panic!("it is a reason");
        };
        assert!(reason.starts_with("\\u{1b}[2J\nä"), "{reason}");
        assert_eq!(reason.lines().count(), MAX_LINES);
        assert!(reason.chars().count() < 2_000, "{reason}");
    }
}
