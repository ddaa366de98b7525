//! Flows as JSON lines.

use std::fmt;
use std::io::{self, Write};

use serde::ser::{Error as _, Serialize, SerializeMap as _, Serializer};
use serde_json::ser::Formatter;
use serde_json::value::RawValue;

use super::output::Output;
use super::{Sink, write_hex};
use crate::flow::{Flow, Udps};
use crate::value::Value;

/// Bytes that are written together.
const BLOCK: usize = 1 << 18;

pub(super) struct JsonLinesSink<O> {
    output: O,
    /// Lines that are not written yet.
    lines: Vec<u8>,
    /// How many these are.
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

/// Compact JSON without any control character: serde_json leaves U+007F to U+009F as they are, and JSON of
/// plugins may have line feeds between its values.
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

/// Writes control characters as JSON has them: those up to U+001F can only be white space between values.
fn write_escaped<W: Write + ?Sized>(writer: &mut W, mut text: &str) -> io::Result<()> {
    // Most text has none: the first byte of U+0080 to U+009F is 0xc2.
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

/// An object of the flow's features, and of `udps` where there are plugins.
impl Serialize for Flow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.features() {
            map.serialize_entry(name, &value)?;
        }
        if !self.udps().is_empty() {
            map.serialize_entry("udps", &self.udps())?;
        }
        map.end()
    }
}

/// An object with one of its outputs for each plugin.
impl Serialize for Udps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for plugin in self.plugins() {
            let outputs: Outputs<'_> = Outputs(*self, plugin);
            map.serialize_entry(plugin, &outputs)?;
        }
        map.end()
    }
}

struct Outputs<'a>(Udps<'a>, &'a str);

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of_plugin = self
            .0
            .iter()
            .filter(|(column, _)| column.plugin() == self.1);
        serializer.collect_map(of_plugin.map(|(column, value)| (column.name(), value)))
    }
}

/// NaN and infinities are null, bytes are hexadecimal, lists are arrays; JSON is written as it is.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(value),
            Self::Integer(value) => serializer.serialize_i64(value),
            Self::Float(value) => serializer.serialize_f64(value),
            Self::Integers(values) => values.serialize(serializer),
            Self::Floats(values) => values.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Ip(address) => serializer.collect_str(&address),
            Self::Mac(_) | Self::Oui(_) | Self::Bytes(_) => serializer.collect_str(&Written(*self)),
            Self::Json(text) => match serde_json::from_str::<&RawValue>(text) {
                Ok(json) => json.serialize(serializer),
                Err(error) => Err(S::Error::custom(error)),
            },
        }
    }
}

/// A value as its text.
struct Written<'a>(Value<'a>);

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bytes(bytes) => {
                let mut text = String::with_capacity(bytes.len() * 2);
                write_hex(bytes, &mut text);
                f.write_str(&text)
            }
            value => {
                value.write_text(f);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_documented() {
        for (value, expected) in [
            (Value::Null, "null"),
            (Value::Boolean(true), "true"),
            (Value::Integer(1 << 60), "1152921504606846976"),
            (Value::Float(0.1), "0.1"),
            (Value::Float(f64::NAN), "null"),
            (Value::Float(f64::INFINITY), "null"),
            (Value::Floats(&[1.0, f64::NAN]), "[1.0,null]"),
            (Value::Bytes(b"\x00\xff"), "\"00ff\""),
            (
                Value::Mac([0xaa, 0xbb, 0xcc, 0, 1, 2]),
                "\"aa:bb:cc:00:01:02\"",
            ),
            (Value::Text("a\"\u{1b}"), "\"a\\\"\\u001b\""),
            (Value::Json("{\"a\": [1, 2]}"), "{\"a\": [1, 2]}"),
        ] {
            assert_eq!(serde_json::to_string(&value).unwrap(), expected);
        }
    }

    #[test]
    fn a_line_is_one_line_without_control_characters() {
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
