//! Lines of CSV in memory.

use std::mem;
use std::sync::Arc;

use flowloom_core::fields::{Extract, Feature};
use flowloom_core::flow::Flow;
use flowloom_core::record::{FlowView, SpltValue};
use flowloom_core::value::{AddressText, Value};
use serde_json::json;

use super::csv_cache::{LargeIntegers, MacTexts};
use super::csv_cursor::{Cursor, FIELD_ROOM};
use super::csv_plan::{Cell, RowPlan};
use super::csv_text::{Formulas, is_special, write_json, write_text};
use crate::columns::ColumnSource;

/// The number of bytes from which on lines are written to the output.
pub(super) const BLOCK: usize = 1 << 18;

/// The cell of an empty text. An empty cell is null.
const EMPTY_TEXT: &[u8] = b"\"\"";

/// Lines that are not yet written.
///
/// A flow has more than a hundred fields, and their formatting is most of the cost of a short flow.
/// Therefore `bytes` is initialised beyond `len`. Fields overwrite that part instead of extending
/// the vector one by one.
#[derive(Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    len: usize,
    formulas: Formulas,
    integers: LargeIntegers,
    addresses: MacTexts,
}

impl Lines {
    /// Creates empty lines.
    pub(super) fn new(formulas: Formulas) -> Self {
        Self {
            formulas,
            ..Self::default()
        }
    }

    /// Returns the number of bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Removes all lines, but keeps the memory.
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Returns the lines.
    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
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
        match self.bytes.is_empty() {
            // New memory has zeros, so that pages without text are never touched.
            true => self.bytes = vec![0; enough],
            false => self.bytes.resize(enough, 0),
        }
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.make_room(1);
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.bytes[self.len..][..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Returns a cursor after the last field with this number of bytes, and the texts of MAC addresses.
    #[inline(always)]
    fn cursor(&mut self, room: usize) -> (Cursor<'_, '_>, &mut MacTexts) {
        self.make_room(room);
        let cursor = Cursor {
            rest: &mut self.bytes[self.len..],
            integers: &mut self.integers,
        };
        (cursor, &mut self.addresses)
    }

    /// Ends the fields of a cursor, after which this number of bytes is left.
    #[inline(always)]
    fn end_before(&mut self, left: usize) {
        self.len = self.bytes.len() - left;
    }

    /// Writes a flow with the plan of its columns. `row` is its row in the computed values. No value is replaced.
    pub(super) fn row(&mut self, plan: &RowPlan, row: usize, flow: &Flow, view: &FlowView<'_>) {
        let (mut cursor, mut addresses) = self.cursor(plan.short_bytes());
        for cell in plan.cells() {
            match cell {
                Cell::Numbers(numbers) => {
                    let rest = mem::take(&mut cursor.rest);
                    cursor.rest = plan.write_numbers(row, numbers, rest, cursor.integers);
                    continue;
                }
                Cell::Boolean(is_true) => cursor.bytes(&[b'0' + u8::from(is_true(view))]),
                Cell::Ip(address) => cursor.ip(address(view)),
                Cell::Mac(address) => cursor.mac(&address(view), addresses),
                Cell::Oui(address) => cursor.mac(&address(view), addresses),
                Cell::Other(source) => {
                    let left = cursor.rest.len();
                    self.end_before(left);
                    self.column(source, flow, view);
                    (cursor, addresses) = self.cursor(plan.short_bytes());
                    continue;
                }
            }
            cursor.bytes(b",");
        }
        let left = cursor.rest.len();
        self.end_before(left);
        self.end();
    }

    /// Writes a column of a flow as a field. Its value is not replaced.
    #[inline]
    pub(super) fn column(&mut self, source: &ColumnSource, flow: &Flow, view: &FlowView<'_>) {
        match source {
            ColumnSource::Feature { feature, .. } | ColumnSource::Time(feature) => {
                self.feature(feature, view);
            }
            ColumnSource::Udp(index) => self.field(flow.outputs.value(*index)),
        }
    }

    /// Replaces the last comma by a line feed.
    pub(super) fn end(&mut self) {
        self.len -= 1;
        self.push(b'\n');
    }

    /// Writes a feature of a flow as a field.
    #[inline]
    fn feature(&mut self, feature: &Feature, flow: &FlowView<'_>) {
        match feature.value {
            Extract::Integer(value) => self.integer((value.of)(flow), b","),
            Extract::Float(value) => self.float((value.of)(flow), b","),
            Extract::Splt(part) => self.splt(flow, part),
            _ => self.other_field(feature.value(flow)),
        }
    }

    /// Writes a field. Most fields are numbers, which have the shortest path.
    #[inline]
    pub(super) fn field(&mut self, value: Value<'_>) {
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
            Value::Texts(texts) if !texts.is_empty() => self.texts(texts, value),
            // No other value needs quotes, except lists, which write their own.
            value => self.value(value),
        }
        self.push(b',');
    }

    /// Writes a list of texts as JSON in quotes: `"[""a"",""b""]"`.
    fn texts(&mut self, texts: &[Arc<str>], value: Value<'_>) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if !texts.iter().all(|text| text.bytes().all(is_plain)) {
            return self.text(&json!(value).to_string(), write_json);
        }
        self.extend(b"\"[");
        for (n, text) in texts.iter().enumerate() {
            if n > 0 {
                self.push(b',');
            }
            self.extend(b"\"\"");
            self.extend(text.as_bytes());
            self.extend(b"\"\"");
        }
        self.extend(b"]\"");
    }

    fn text_field(&mut self, text: &str) {
        if text.is_empty() {
            return self.extend(EMPTY_TEXT);
        }
        match self.formulas.needs_escape(text) {
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
            // Only an empty list gets here.
            Value::Texts(_) => self.extend(b"[]"),
            Value::Time(_) | Value::CommunityId(_) | Value::FlowUid(_) => {
                let mut text = String::new();
                value.write_text(&mut text);
                self.extend(text.as_bytes());
            }
            Value::Ip(address) => self.extend(AddressText::ip(address).as_bytes()),
            Value::Mac(mac) => self.extend(AddressText::mac(&mac).as_bytes()),
            Value::Oui(oui) => self.extend(AddressText::mac(&oui).as_bytes()),
            Value::Text(text) | Value::Json(text) => self.extend(text.as_bytes()),
        }
    }

    /// Writes an integer, followed by `end`.
    #[inline]
    fn integer<const N: usize>(&mut self, value: i64, end: &[u8; N]) {
        let (mut cursor, _) = self.cursor(FIELD_ROOM);
        cursor.integer(value, end);
        let left = cursor.rest.len();
        self.end_before(left);
    }

    /// Writes a float, followed by `end`.
    #[inline]
    fn float<const N: usize>(&mut self, value: f64, end: &[u8; N]) {
        let (mut cursor, _) = self.cursor(FIELD_ROOM);
        cursor.float(value, end);
        let left = cursor.rest.len();
        self.end_before(left);
    }

    /// Writes a list: `[0]`, or in quotes if it has commas: `"[0, 1, 0]"`.
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

    /// Writes an SPLT list of the configured length as a field. -1 stands for a missing packet. In most flows,
    /// most packets are missing.
    fn splt(&mut self, flow: &FlowView<'_>, part: SpltValue) {
        /// Missing packets, each with a comma and a space.
        const MISSING: [u8; 128] = {
            let mut text = [0; 128];
            let mut at = 0;
            while at < text.len() {
                text[at] = b"-1, "[at % 4];
                at += 1;
            }
            text
        };
        let Some(splt) = flow.splt else {
            return self.field(Value::Integers(&[]));
        };
        let (steps, mut missing) = (splt.steps(part), splt.missing());
        let len = steps.len() + missing;
        let room = 24 * steps.len() + 4 * missing + MISSING.len() + FIELD_ROOM;
        let (mut cursor, _) = self.cursor(room);
        match len > 1 {
            true => cursor.bytes(b"\"["),
            false => cursor.bytes(b"["),
        }
        for value in steps {
            cursor.integer(value, b", ");
        }
        while missing > 0 {
            let some = missing.min(MISSING.len() / 4);
            cursor.padded(&MISSING, 4 * some);
            missing -= some;
        }
        // The last comma and space do not belong to the list.
        let left = cursor.rest.len() + if len > 0 { 2 } else { 0 };
        self.end_before(left);
        let (mut cursor, _) = self.cursor(FIELD_ROOM);
        match len > 1 {
            true => cursor.bytes(b"]\","),
            false => cursor.bytes(b"],"),
        }
        let left = cursor.rest.len();
        self.end_before(left);
    }

    fn open(&mut self, len: usize) {
        self.extend(if len > 1 { b"\"[" } else { b"[" });
    }

    fn close(&mut self, len: usize) {
        self.extend(if len > 1 { b"]\"" } else { b"]" });
    }

    /// Writes text of packets or plugins. `write` formats it if it may need quotes or escapes.
    // Not inlined, because most fields are numbers and addresses.
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn lists_of_texts_are_quoted_json() {
        for texts in [
            &["TLS"][..],
            &["a, b", "c"],
            &["a \"quoted\" one", "TLS"],
            &["back\\slash"],
            &["line\nfeed", "\x7f"],
            &["ä", "漢"],
            &[""],
        ] {
            let texts: Vec<Arc<str>> = texts.iter().map(|&text| text.into()).collect();
            let value = Value::Texts(&texts);
            let mut lines = Lines::default();
            lines.other_field(value);
            let json = json!(value).to_string().replace('\x7f', "\\u007f");
            let expected = format!("\"{}\",", json.replace('"', "\"\""));
            let written = String::from_utf8_lossy(lines.written()).into_owned();
            assert_eq!(written, expected);
        }
        let mut lines = Lines::default();
        lines.other_field(Value::Texts(&[]));
        assert_eq!(lines.written(), b"[],");
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
    fn fields_are_quoted_where_needed() {
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
    fn the_apostrophe_of_a_formula_is_inside_the_quotes() {
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
}
