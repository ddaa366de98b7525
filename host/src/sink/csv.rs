//! Flows as CSV: RFC 4180, LF, UTF-8, quoted where needed.

use std::io::{self, Write};

use super::{Sink, write_hex};
use crate::flow::{Flow, Schema};
use crate::value::Value;

/// Bytes that are written together.
const BLOCK: usize = 1 << 18;

pub(super) struct CsvSink<W: Write> {
    output: W,
    /// Lines that are not written yet. Fields go into it as they are made, without a stop between:
    /// they are most of what a short flow costs.
    lines: String,
    /// How many these are.
    flows: u64,
}

/// Writes the line of the columns' names.
pub(super) fn write_header(output: &mut impl Write, schema: &Schema) -> io::Result<()> {
    let mut sink = CsvSink::new(output);
    for name in schema.names() {
        sink.field(Value::Text(name));
    }
    sink.end_line();
    sink.flush()
}

impl<W: Write> CsvSink<W> {
    /// Goes on behind a header.
    pub(super) fn new(output: W) -> Self {
        Self {
            output,
            lines: String::with_capacity(BLOCK + BLOCK / 4),
            flows: 0,
        }
    }

    fn field(&mut self, value: Value<'_>) {
        let start = self.lines.len();
        write_value(value, &mut self.lines);
        // Nothing else has characters that need quotes, and lists bring theirs.
        if let Value::Text(_) | Value::Json(_) = value {
            quote(&mut self.lines, start);
        }
        self.lines.push(',');
    }

    /// Puts a line feed in the place of the last comma.
    fn end_line(&mut self) {
        self.lines.pop();
        self.lines.push('\n');
    }
}

impl<W: Write> Sink for CsvSink<W> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        for (_, value) in flow.features() {
            self.field(value);
        }
        for (_, value) in flow.udps().iter() {
            self.field(value);
        }
        self.end_line();
        self.flows += 1;
        match self.lines.len() < BLOCK {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.write_all(self.lines.as_bytes())?;
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

/// Puts the field that starts at `start` in quotes if it needs them.
fn quote(lines: &mut String, start: usize) {
    let needs = |byte| matches!(byte, b',' | b'"' | b'\r' | b'\n');
    if lines.as_bytes()[start..].iter().copied().any(needs) {
        let field = lines[start..].replace('"', "\"\"");
        lines.truncate(start);
        lines.push('"');
        lines.push_str(&field);
        lines.push('"');
    }
}

fn write_value(value: Value<'_>, out: &mut String) {
    match value {
        Value::Null => {}
        Value::Boolean(value) => out.push(if value { '1' } else { '0' }),
        Value::Integer(value) => write_integer(value, out),
        Value::Float(value) => out.push_str(zmij::Buffer::new().format(value)),
        Value::Bytes(bytes) => write_hex(bytes, out),
        Value::Integers(values) => write_list(values, out, |&value, out| write_integer(value, out)),
        Value::Floats(values) => write_list(values, out, |value, out| {
            out.push_str(zmij::Buffer::new().format(*value))
        }),
        Value::Ip(_) | Value::Mac(_) | Value::Oui(_) | Value::Text(_) | Value::Json(_) => {
            value.write_text(out)
        }
    }
}

fn write_integer(value: i64, out: &mut String) {
    match value {
        // Most columns of most flows.
        0..10 => out.push(char::from(b'0' + value as u8)),
        -1 => out.push_str("-1"),
        _ => out.push_str(itoa::Buffer::new().format(value)),
    }
}

/// `[0]`, and in quotes where there are commas: `"[0, 1, 0]"`
fn write_list<T>(values: &[T], out: &mut String, write: impl Fn(&T, &mut String)) {
    let quote = if values.len() > 1 { "\"" } else { "" };
    out.push_str(quote);
    out.push('[');
    for (n, value) in values.iter().enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        write(value, out);
    }
    out.push(']');
    out.push_str(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_lf_and_nothing_is_quoted_without_need() {
        let mut out = Vec::new();
        let schema = crate::Settings::default().schema();
        write_header(&mut out, &schema).unwrap();
        let mut sink = CsvSink::new(&mut out);
        for flow in crate::flow::testing::flows(1) {
            sink.write(&flow).unwrap();
        }
        sink.finish().unwrap();
        drop(sink);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.split('\n').collect();
        assert!(lines[0].starts_with("id,expiration_id,src_ip,src_ip_is_private,"));
        assert!(lines[1].starts_with("0,0,192.0.2.1,1,00:00:00:00:00:00,"));
        assert_eq!(lines[2], "");
        assert!(!text.contains(['\r', '"']));
    }

    #[test]
    fn values_are_written_as_documented() {
        for (value, expected) in [
            (Value::Null, ""),
            (Value::Boolean(true), "1"),
            (Value::Boolean(false), "0"),
            (Value::Integer(-1), "-1"),
            (Value::Float(302.368_421_052_631_56), "302.36842105263156"),
            (Value::Float(f64::NAN), "NaN"),
            (Value::Integers(&[10, 9, -1]), "\"[10, 9, -1]\""),
            (Value::Integers(&[]), "[]"),
            (Value::Floats(&[0.5]), "[0.5]"),
            (Value::Bytes(b"\x00\xff"), "00ff"),
            (Value::Mac([0xaa, 0xbb, 0xcc, 0, 1, 2]), "aa:bb:cc:00:01:02"),
            (Value::Oui([0xaa, 0xbb, 0xcc]), "aa:bb:cc"),
            (Value::Ip([192, 0, 2, 1].into()), "192.0.2.1"),
        ] {
            let mut text = String::new();
            write_value(value, &mut text);
            assert_eq!(text, expected, "{value:?}");
        }
    }

    #[test]
    fn fields_are_quoted_where_they_need_it() {
        for (field, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("\"", "\"\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("a\rb", "\"a\rb\""),
        ] {
            let mut lines = format!("before,{field}");
            quote(&mut lines, 7);
            assert_eq!(lines, format!("before,{expected}"));
        }
    }
}
