//! Flows as CSV: RFC 4180, LF, UTF-8, quoted where needed.

use std::io;
use std::sync::Arc;

use flowloom_core::fields::{Extract, Feature};
use flowloom_core::flow::Flow;
use flowloom_core::record::{FlowView, Part};
use flowloom_core::schema::Schema;
use flowloom_core::value::{AddressText, Value};

use super::Sink;
use super::csv_text::{Formulas, is_special, write_json, write_text};
use super::output::Output;

/// Bytes that are written together.
const BLOCK: usize = 1 << 18;

/// The cell of an empty text. An empty cell is null.
const EMPTY_TEXT: &[u8] = b"\"\"";

pub(super) struct CsvSink<O> {
    output: O,
    lines: Lines,
    /// How many these are.
    flows: u64,
    /// Flows that have other columns than the file.
    refused: u64,
    header: Vec<u8>,
    /// A schema whose columns are those of the header.
    known: Arc<Schema>,
}

/// Returns the line of the columns' names.
pub(super) fn header(schema: &Schema) -> Vec<u8> {
    let mut lines = Lines::default();
    for name in schema.names() {
        lines.field(Value::Text(name));
    }
    lines.end();
    lines.written().to_vec()
}

impl<O> CsvSink<O> {
    /// Goes on behind a header.
    pub(super) fn new(output: O, schema: &Arc<Schema>, formulas: Formulas) -> Self {
        Self {
            output,
            lines: Lines {
                formulas,
                ..Lines::default()
            },
            flows: 0,
            refused: 0,
            header: header(schema),
            known: schema.clone(),
        }
    }
}

impl<O: Output> CsvSink<O> {
    /// Whether flows of a schema that is not known yet have the columns of the file.
    #[cold]
    fn check(&mut self, flow: &Flow) -> io::Result<()> {
        let schema = flow.schema();
        if header(schema) == self.header {
            self.known = schema.clone();
            return Ok(());
        }
        // What was given before it is written all the same.
        self.flush()?;
        self.refused += 1;
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "flow {} has other columns than the file: in CSV all flows have the same ones",
                flow.id()
            ),
        ))
    }
}

impl<O: Output> Sink for CsvSink<O> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        if !Arc::ptr_eq(flow.schema(), &self.known) {
            self.check(flow)?;
        }
        let view = flow.view();
        for (at, feature) in flow.schema().features().iter().enumerate() {
            match flow.replacement(at) {
                Some(text) => self.lines.field(Value::Text(text)),
                None => self.lines.feature(feature, &view),
            }
        }
        for (_, value) in flow.udps().iter() {
            self.lines.field(value);
        }
        self.lines.end();
        self.flows += 1;
        match self.lines.len < BLOCK {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.output.end()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.write_all(self.lines.written())?;
        self.lines.len = 0;
        self.flows = 0;
        self.output.flush()
    }

    fn forget(&mut self) -> u64 {
        self.lines.len = 0;
        std::mem::take(&mut self.flows) + std::mem::take(&mut self.refused)
    }

    fn in_memory(&self) -> u64 {
        self.flows + self.refused
    }
}

/// Lines that are not written yet. Fields go into it as they are made, a hundred and more of each
/// flow: they are most of what a short flow costs. So what is behind the last one is not empty memory
/// but bytes, which are written over.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    len: usize,
    formulas: Formulas,
}

impl Lines {
    fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The next bytes.
    #[inline]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        self.make_room(N);
        let Some(room) = self.bytes[self.len..].first_chunk_mut() else {
            unreachable!("there is room")
        };
        room
    }

    #[inline]
    fn make_room(&mut self, len: usize) {
        if self.bytes.len() - self.len < len {
            self.grow(len);
        }
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let least = BLOCK + BLOCK / 4;
        let enough = (self.len + len).max(self.bytes.len() * 2).max(least);
        self.bytes.resize(enough, 0);
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        *self.room() = [byte];
        self.len += 1;
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Puts a line feed in the place of the last comma.
    fn end(&mut self) {
        self.len -= 1;
        self.push(b'\n');
    }

    /// A field that is a feature of a flow.
    #[inline]
    fn feature(&mut self, feature: &Feature, flow: &FlowView<'_>) {
        match feature.value {
            Extract::Integer(value) => self.integer(value(flow), b","),
            Extract::Float(value) => self.float(value(flow), b","),
            Extract::Splt(part) => {
                self.splt(flow, part);
                self.push(b',');
            }
            _ => self.other_field(feature.value(flow)),
        }
    }

    /// Numbers, which are most, take the short way.
    #[inline]
    fn field(&mut self, value: Value<'_>) {
        match value {
            Value::Null => self.push(b','),
            Value::Integer(value) => self.integer(value, b","),
            Value::Float(value) => self.float(value, b","),
            _ => self.other_field(value),
        }
    }

    fn other_field(&mut self, value: Value<'_>) {
        match value {
            Value::Text(text) => self.text_field(text),
            Value::Json(json) => self.text(json, write_json),
            // Nothing else has characters that cannot stand in a field, and lists bring their quotes.
            value => self.value(value),
        }
        self.push(b',');
    }

    fn text_field(&mut self, text: &str) {
        if text.is_empty() {
            return self.extend(EMPTY_TEXT);
        }
        match self.formulas.escape(text) {
            true => self.text(&format!("'{text}"), write_text),
            false => self.text(text, write_text),
        }
    }

    fn value(&mut self, value: Value<'_>) {
        match value {
            Value::Null => {}
            Value::Boolean(value) => self.push(if value { b'1' } else { b'0' }),
            Value::Integer(value) => self.integer(value, b""),
            Value::Float(value) => self.float(value, b""),
            Value::Bytes([]) => self.extend(EMPTY_TEXT),
            Value::Bytes(bytes) => {
                self.extend(hex::encode(bytes).as_bytes());
            }
            Value::Integers(values) => self.list(values, |lines, &value| lines.integer(value, b"")),
            Value::Floats(values) => self.list(values, |lines, &value| lines.float(value, b"")),
            Value::Ip(address) => self.extend(AddressText::ip(address).as_bytes()),
            Value::Mac(mac) => self.extend(AddressText::mac(&mac).as_bytes()),
            Value::Oui(oui) => self.extend(AddressText::mac(&oui).as_bytes()),
            Value::Text(text) | Value::Json(text) => self.extend(text.as_bytes()),
        }
    }

    /// An integer, and what stands behind it.
    #[inline(always)]
    fn integer<const N: usize>(&mut self, value: i64, end: &[u8; N]) {
        let room = self.room::<32>();
        // Most columns of most flows have one digit.
        let len = match value {
            0..10 => {
                room[0] = b'0' + value as u8;
                1
            }
            _ => digits(value, room),
        };
        room[len..][..N].copy_from_slice(end);
        self.len += len + N;
    }

    /// A float, and what stands behind it.
    #[inline]
    fn float<const N: usize>(&mut self, value: f64, end: &[u8; N]) {
        // Most of short flows: without a fraction, not -0, and with so few digits that the text has no
        // exponent.
        if (0.0..1e15).contains(&value) && value as u64 as f64 == value && value.is_sign_positive()
        {
            self.integer(value as i64, b".0");
        } else {
            self.extend(zmij::Buffer::new().format(value).as_bytes());
        }
        self.extend(end);
    }

    /// `[0]`, and in quotes where there are commas: `"[0, 1, 0]"`
    fn list<T>(&mut self, values: &[T], write: impl Fn(&mut Self, &T)) {
        self.open(values.len());
        for (n, value) in values.iter().enumerate() {
            if n > 0 {
                self.extend(b", ");
            }
            write(self, value);
        }
        self.close(values.len());
    }

    /// A list of as many numbers as are asked for, -1 where there was no packet: of most flows most.
    fn splt(&mut self, flow: &FlowView<'_>, part: Part) {
        const MISSING: &[u8] = b"-1, -1, -1, -1, -1, -1, -1, -1, ";
        let Some(splt) = flow.splt else {
            return self.list(&[], |_, _: &i64| ());
        };
        let mut missing = splt.missing();
        let len = splt.steps(part).count() + missing;
        self.open(len);
        for value in splt.steps(part) {
            self.integer(value, b", ");
        }
        while missing > 0 {
            let some = missing.min(MISSING.len() / 4);
            self.extend(&MISSING[..4 * some]);
            missing -= some;
        }
        // The last comma.
        self.len -= if len > 0 { 2 } else { 0 };
        self.close(len);
    }

    fn open(&mut self, len: usize) {
        self.extend(if len > 1 { b"\"[" } else { b"[" });
    }

    fn close(&mut self, len: usize) {
        self.extend(if len > 1 { b"]\"" } else { b"]" });
    }

    /// Text of packets or plugins, as `write` has it where it cannot stand as it is.
    // Not inlined: the fields of most flows are numbers and addresses.
    #[inline(never)]
    fn text(&mut self, text: &str, write: impl Fn(&[u8], &mut Vec<u8>)) {
        if !is_special(text.as_bytes()) {
            return self.extend(text.as_bytes());
        }
        let mut field = Vec::with_capacity(text.len() + 16);
        write(text.as_bytes(), &mut field);
        self.extend(&field);
    }
}

/// Apart, so that what calls it stays short.
#[inline(never)]
fn digits(value: i64, room: &mut [u8; 32]) -> usize {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value).as_bytes();
    room[..digits.len()].copy_from_slice(digits);
    digits.len()
}

#[cfg(test)]
mod tests {
    use flowloom_core::meter::testing::flows;
    use flowloom_core::schema::UdpColumn;
    use flowloom_core::value::Type;

    use super::*;
    use crate::sink::output::Plain;

    #[test]
    fn lines_end_with_lf_and_only_empty_text_is_quoted_without_need() {
        let schema: Arc<Schema> = flowloom_core::meter::Settings::default().schema().into();
        let mut out = header(&schema);
        let mut sink = CsvSink::new(Plain(&mut out), &schema, Formulas::Keep);
        for flow in flows(1) {
            sink.write(&flow).unwrap();
        }
        sink.finish().unwrap();
        drop(sink);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<_> = text.split('\n').collect();
        assert!(lines[0].starts_with("id,expiration_id,src_ip,src_ip_is_private,"));
        assert!(lines[1].starts_with("0,0,192.0.2.1,1,00:00:00:00:00:00,"));
        assert_eq!(lines[2], "");
        assert!(!text.replace(",\"\"", ",").contains(['\r', '"']));
    }

    #[test]
    fn values_are_written_as_documented() {
        for (value, expected) in [
            (Value::Null, ""),
            (Value::Boolean(true), "1"),
            (Value::Boolean(false), "0"),
            (Value::Integer(-1), "-1"),
            (Value::Float(302.368_421_052_631_56), "302.36842105263156"),
            (Value::Float(0.0), "0.0"),
            (Value::Float(-0.0), "-0.0"),
            (Value::Float(-3.0), "-3.0"),
            (Value::Float(74.0), "74.0"),
            (Value::Float(999_999_999_999_999.0), "999999999999999.0"),
            (Value::Float(1e15), "1000000000000000.0"),
            (Value::Float(1e16), "1e+16"),
            (Value::Float(f64::NAN), "NaN"),
            (Value::Integers(&[10, 9, -1]), "\"[10, 9, -1]\""),
            (Value::Integers(&[]), "[]"),
            (Value::Floats(&[0.5]), "[0.5]"),
            (Value::Integer(i64::MIN), "-9223372036854775808"),
            (Value::Integer(i64::MAX), "9223372036854775807"),
            (Value::Bytes(b"\x00\xff"), "00ff"),
            (Value::Bytes(b""), "\"\""),
            (Value::Mac([0xaa, 0xbb, 0xcc, 0, 1, 2]), "aa:bb:cc:00:01:02"),
            (Value::Oui([0xaa, 0xbb, 0xcc]), "aa:bb:cc"),
            (Value::Ip([192, 0, 2, 1].into()), "192.0.2.1"),
        ] {
            let mut lines = Lines::default();
            lines.value(value);
            assert_eq!(lines.written(), expected.as_bytes(), "{value:?}");
        }
    }

    #[test]
    fn null_is_an_empty_cell_and_an_empty_text_is_two_quotes() {
        let mut lines = Lines {
            formulas: Formulas::Escape,
            ..Lines::default()
        };
        for value in [Value::Null, Value::Text(""), Value::Bytes(b""), Value::Null] {
            lines.field(value);
        }
        assert_eq!(lines.written(), b",\"\",\"\",,");
    }

    #[test]
    fn fields_are_quoted_where_they_need_it() {
        for (field, expected) in [
            ("", "\"\""),
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("\"", "\"\"\"\""),
            ("a\nb", "a\\x0ab"),
            ("a\r\"", "\"a\\x0d\"\"\""),
            ("\u{1b}]0;\u{7}", "\\x1b]0;\\x07"),
            ("=1", "=1"),
        ] {
            let mut lines = Lines::default();
            lines.extend(b"before,");
            lines.field(Value::Text(field));
            assert_eq!(lines.written(), format!("before,{expected},").as_bytes());
        }
    }

    #[test]
    fn a_formula_gets_an_apostrophe_inside_its_quotes() {
        let mut lines = Lines {
            formulas: Formulas::Escape,
            ..Lines::default()
        };
        for value in [
            Value::Text("=cmd|'/C calc'!A0"),
            Value::Text("@a,b"),
            Value::Integer(-1),
            Value::Float(-0.5),
            Value::Json("-1"),
        ] {
            lines.field(value);
        }
        let expected = "'=cmd|'/C calc'!A0,\"'@a,b\",-1,-0.5,-1,";
        assert_eq!(String::from_utf8_lossy(lines.written()), expected);
    }

    #[test]
    fn flows_of_other_columns_are_refused_and_counted_and_no_row_is_shifted() {
        let schema: Arc<Schema> = flowloom_core::meter::Settings::default().schema().into();
        let column = |name| UdpColumn::new("dns", name, Type::Text, String::new());
        let other: Arc<Schema> = schema.with_udps(vec![column("query")]).into();
        let mut flows = flows(4);
        flows[1].schema = other.clone();
        // The same columns, told anew.
        flows[2].schema = Arc::new((*schema).clone());
        flows[3].schema = other;
        let mut out = Vec::new();
        let mut sink = CsvSink::new(Plain(&mut out), &schema, Formulas::Keep);
        let error = "has other columns than the file: in CSV all flows have the same ones";
        for (n, flow) in flows.iter().enumerate() {
            match sink.write(flow) {
                Ok(()) => assert!(n % 2 == 0, "{n}"),
                Err(told) => {
                    assert_eq!(told.to_string(), format!("flow {n} {error}"));
                    assert_eq!((sink.in_memory(), sink.forget()), (1, 1));
                }
            }
        }
        sink.finish().unwrap();
        drop(sink);
        let text = String::from_utf8(out).unwrap();
        let ids: Vec<_> = text.lines().map(|line| &line[..2]).collect();
        assert_eq!(ids, ["0,", "2,"]);
    }
}
