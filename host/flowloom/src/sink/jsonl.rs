//! The sink of JSON lines.

use std::io::{self, Write};

use flowloom_core::flow::Flow;
use serde::ser::Serialize as _;
use serde_json::ser::Formatter;

use super::Sink;
use super::output::Output;

/// The number of bytes from which on lines are written to the output.
const BLOCK: usize = 1 << 18;

pub(super) struct JsonLinesSink<O> {
    output: O,
    /// Lines that are not yet written.
    lines: Vec<u8>,
    /// The number of these lines.
    flows: u64,
}

impl<O> JsonLinesSink<O> {
    pub(super) fn new(output: O) -> Self {
        Self {
            output,
            lines: Vec::with_capacity(BLOCK + BLOCK / 4),
            flows: 0,
        }
    }
}

impl<O: Output> Sink for JsonLinesSink<O> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        flow.serialize(&mut serde_json::Serializer::with_formatter(
            &mut self.lines,
            OneLine,
        ))?;
        self.lines.push(b'\n');
        self.flows += 1;
        match self.lines.len() < BLOCK {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.output.end()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.write_all(&self.lines)?;
        self.lines.clear();
        self.flows = 0;
        self.output.flush()
    }

    fn forget(&mut self) -> u64 {
        self.lines.clear();
        std::mem::take(&mut self.flows)
    }

    fn in_memory(&self) -> u64 {
        self.flows
    }
}

/// Formats compact JSON without control characters.
///
/// serde_json does not escape U+007F to U+009F. JSON of plugins may have line feeds between its
/// values.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        text: &str,
    ) -> io::Result<()> {
        write_escaped(writer, text)
    }

    fn write_raw_fragment<W: Write + ?Sized>(
        &mut self,
        writer: &mut W,
        json: &str,
    ) -> io::Result<()> {
        write_escaped(writer, json)
    }
}

/// Writes text with escaped control characters. Those below U+0020 can only be white space between
/// values, and become spaces.
fn write_escaped<W: Write + ?Sized>(writer: &mut W, mut text: &str) -> io::Result<()> {
    // Most text has no control characters. 0xc2 is the first byte of U+0080 to U+009F in UTF-8.
    let may_be = |byte: u8| byte < b' ' || byte == 0x7f || byte == 0xc2;
    if !text.bytes().any(may_be) {
        return writer.write_all(text.as_bytes());
    }
    while let Some(at) = text.find(char::is_control) {
        writer.write_all(&text.as_bytes()[..at])?;
        let mut rest = text[at..].chars();
        match rest.next() {
            Some('\0'..' ') | None => writer.write_all(b" ")?,
            Some(control) => write!(writer, "\\u{:04x}", u32::from(control))?,
        }
        text = rest.as_str();
    }
    writer.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use flowloom_core::value::Value;

    use super::*;

    #[test]
    fn lines_have_no_control_characters() {
        let json = "{\n\t\"a\u{7f}\":\r\n[\"\u{9b}31m\", \"\\n\"] }";
        for (value, expected) in [
            (
                Value::Text("\u{1b}\u{7f}\u{85}é\u{a0}"),
                "\"\\u001b\\u007f\\u0085é\u{a0}\"",
            ),
            (
                Value::Json(json),
                "{  \"a\\u007f\":  [\"\\u009b31m\", \"\\n\"] }",
            ),
        ] {
            let mut line = Vec::new();
            value
                .serialize(&mut serde_json::Serializer::with_formatter(
                    &mut line, OneLine,
                ))
                .unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
