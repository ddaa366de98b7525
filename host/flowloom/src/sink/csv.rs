//! The sink of CSV: RFC 4180 in UTF-8, with LF, and quotes only where needed.
//!
//! Null is an empty cell, and an empty text is `""`, so that readers can distinguish them.

use std::io;
use std::sync::Arc;

use flowloom_core::fields::{Extract, Feature};
use flowloom_core::flow::Flow;
use flowloom_core::record::{FlowView, SpltValue};
use flowloom_core::schema::Schema;
use flowloom_core::value::{AddressText, Value};

use super::Sink;
use super::csv_cache::{IntegerTexts, MacTexts};
use super::csv_plan::{Cell, RowPlan};
use super::csv_text::{Formulas, is_special, write_json, write_text};
use super::options::SinkOptions;
use super::output::Output;
use crate::columns::{ColumnSource, Layout, OutputColumns, SelectError};

/// The number of bytes from which on lines are written to the output.
const BLOCK: usize = 1 << 18;

/// The cell of an empty text. An empty cell is null.
const EMPTY_TEXT: &[u8] = b"\"\"";

pub(super) struct CsvSink<O> {
    output: O,
    lines: Lines,
    /// The number of flows in `lines`.
    flows: u64,
    /// The number of flows that were rejected because their columns differ from those of the file.
    rejected: u64,
    header: Vec<u8>,
    chosen: OutputColumns,
    /// The last schema whose columns equal those of the header.
    accepted_schema: Arc<Schema>,
    /// The places of the columns in that schema.
    layout: Layout,
    plan: RowPlan,
}

/// Returns the header line: the names of the columns.
pub(super) fn header(schema: &Schema, columns: &OutputColumns) -> io::Result<Vec<u8>> {
    Ok(header_of(schema, &columns.layout(schema).map_err(invalid)?))
}

fn header_of(schema: &Schema, layout: &Layout) -> Vec<u8> {
    let mut lines = Lines::default();
    for column in layout.columns(schema) {
        lines.field(Value::Text(column.name));
    }
    lines.end();
    lines.written().to_vec()
}

fn invalid(error: SelectError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

impl<O> CsvSink<O> {
    /// Creates a sink for an output that already has a header.
    pub(super) fn new(output: O, schema: &Arc<Schema>, options: &SinkOptions) -> io::Result<Self> {
        let layout = options.columns.layout(schema).map_err(invalid)?;
        Ok(Self {
            output,
            lines: Lines {
                formulas: options.formulas,
                ..Lines::default()
            },
            flows: 0,
            rejected: 0,
            header: header_of(schema, &layout),
            chosen: options.columns.clone(),
            accepted_schema: schema.clone(),
            plan: RowPlan::new(&layout),
            layout,
        })
    }
}

impl<O: Output> CsvSink<O> {
    /// Checks that the columns of a new schema are those of the file.
    #[cold]
    fn check(&mut self, flow: &Flow) -> io::Result<()> {
        let schema = flow.schema();
        if let Ok(layout) = self.chosen.layout(schema)
            && header_of(schema, &layout) == self.header
        {
            self.plan = RowPlan::new(&layout);
            (self.accepted_schema, self.layout) = (schema.clone(), layout);
            return Ok(());
        }
        // The flows before this one are still written.
        self.flush()?;
        self.rejected += 1;
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "flow {} has other columns than the file; use JSON lines for flows with different columns",
                flow.id()
            ),
        ))
    }
}

impl<O: Output> CsvSink<O> {
    /// Writes a flow of the accepted schema.
    fn write_row(&mut self, flow: &Flow) {
        let view = flow.view();
        for source in self.layout.sources() {
            let index = source.index(&self.accepted_schema);
            match index.and_then(|index| flow.replacement(index)) {
                Some(text) => self.lines.field(Value::Text(text)),
                None => self.lines.column(source, flow, &view),
            }
        }
        self.lines.end();
        self.flows += 1;
    }

    /// Writes the lines to the output if there are many.
    fn write_block(&mut self) -> io::Result<()> {
        match self.lines.len < BLOCK {
            true => Ok(()),
            false => self.flush(),
        }
    }
}

impl<O: Output> Sink for CsvSink<O> {
    fn write(&mut self, flow: &Flow) -> io::Result<()> {
        if !Arc::ptr_eq(flow.schema(), &self.accepted_schema) {
            self.check(flow)?;
        }
        self.write_row(flow);
        self.write_block()
    }

    fn write_all(&mut self, flows: &[Flow]) -> io::Result<()> {
        let is_plain = |flow: &Flow| {
            Arc::ptr_eq(flow.schema(), &self.accepted_schema) && flow.replaced.is_none()
        };
        if !flows.iter().all(is_plain) {
            return flows.iter().try_for_each(|flow| self.write(flow));
        }
        let views: Vec<_> = flows.iter().map(Flow::view).collect();
        self.plan.compute(&views);
        for (row, (flow, view)) in flows.iter().zip(&views).enumerate() {
            self.lines.row(&self.plan, row, flow, view);
        }
        self.flows += flows.len() as u64;
        self.write_block()
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
        std::mem::take(&mut self.flows) + std::mem::take(&mut self.rejected)
    }

    fn in_memory(&self) -> u64 {
        self.flows + self.rejected
    }

    fn buffered_bytes(&self) -> u64 {
        self.lines.len as u64
    }
}

/// Lines that are not yet written.
///
/// A flow has more than a hundred fields, and their formatting is most of the cost of a short flow.
/// Therefore `bytes` is initialised beyond `len`. Fields overwrite that part instead of extending
/// the vector one by one.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    len: usize,
    formulas: Formulas,
    integers: IntegerTexts,
    addresses: MacTexts,
}

impl Lines {
    fn written(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Returns the `N` bytes after the last field.
    #[inline]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        self.make_room(N);
        let Some(room) = self.bytes[self.len..].first_chunk_mut() else {
            unreachable!("make_room has reserved N bytes")
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

    /// Writes a flow with the plan of its columns. `row` is its row in the computed values. No value is replaced.
    ///
    /// The place in the buffer stays in a register while short fields are written. There is room for all of them.
    fn row(&mut self, plan: &RowPlan, row: usize, flow: &Flow, view: &FlowView<'_>) {
        let mut integers = plan.integers(row);
        self.make_room(plan.short_bytes());
        let mut at = self.len;
        for cell in plan.cells() {
            match cell {
                Cell::Integer => {
                    let value = integers.next().unwrap_or_default();
                    if let 0..10 = value {
                        self.bytes[at..at + 2].copy_from_slice(&[b'0' + value as u8, b',']);
                        at += 2;
                        continue;
                    }
                    let text = self.integers.get(value);
                    self.bytes[at..at + 24].copy_from_slice(&text.bytes);
                    at += text.len();
                }
                Cell::Boolean(is_true) => {
                    self.bytes[at] = b'0' + u8::from(is_true(view));
                    at += 1;
                }
                Cell::Ip(address) => {
                    let text = AddressText::ip(address(view));
                    let (bytes, len) = text.padded();
                    self.bytes[at..at + 48].copy_from_slice(bytes);
                    at += len;
                }
                Cell::Mac(address) => {
                    let text = self.addresses.get(&address(view));
                    self.bytes[at..at + 24].copy_from_slice(&text.bytes);
                    at += text.len();
                }
                Cell::Oui(address) => {
                    let text = self.addresses.get(&address(view));
                    self.bytes[at..at + 24].copy_from_slice(&text.bytes);
                    at += text.len();
                }
                Cell::Other(source) => {
                    self.len = at;
                    self.column(source, flow, view);
                    self.make_room(plan.short_bytes());
                    at = self.len;
                    continue;
                }
            }
            self.bytes[at] = b',';
            at += 1;
        }
        self.len = at;
        self.end();
    }

    /// Writes a column of a flow as a field. Its value is not replaced.
    #[inline]
    fn column(&mut self, source: &ColumnSource, flow: &Flow, view: &FlowView<'_>) {
        match source {
            ColumnSource::Feature { feature, .. } | ColumnSource::Time(feature) => {
                self.feature(feature, view);
            }
            ColumnSource::Udp(index) => self.field(flow.outputs.value(*index)),
        }
    }

    /// Replaces the last comma by a line feed.
    fn end(&mut self) {
        self.len -= 1;
        self.push(b'\n');
    }

    /// Writes a feature of a flow as a field.
    #[inline]
    fn feature(&mut self, feature: &Feature, flow: &FlowView<'_>) {
        match feature.value {
            Extract::Integer(value) => self.integer((value.of)(flow), b","),
            Extract::Float(value) => self.float((value.of)(flow), b","),
            Extract::Splt(part) => {
                self.splt(flow, part);
                self.push(b',');
            }
            _ => self.other_field(feature.value(flow)),
        }
    }

    /// Writes a field. Most fields are numbers, which have the shortest path.
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
            // No other value needs quotes, except lists, which write their own.
            value => self.value(value),
        }
        self.push(b',');
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
    #[inline(always)]
    fn integer<const N: usize>(&mut self, value: i64, end: &[u8; N]) {
        // Most values have one digit.
        if let 0..10 = value {
            let room = self.room::<4>();
            room[0] = b'0' + value as u8;
            room[1..][..N].copy_from_slice(end);
            self.len += 1 + N;
            return;
        }
        self.make_room(32);
        let text = self.integers.get(value);
        let Some(room) = self.bytes[self.len..].first_chunk_mut::<32>() else {
            unreachable!("make_room has reserved 32 bytes")
        };
        // A copy of fixed length needs no call.
        room[..24].copy_from_slice(&text.bytes);
        room[text.len()..][..N].copy_from_slice(end);
        self.len += text.len() + N;
    }

    /// Writes a float, followed by `end`.
    #[inline]
    fn float<const N: usize>(&mut self, value: f64, end: &[u8; N]) {
        // Most floats of short flows have no fraction. This path requires that the value is not
        // -0.0, and small enough for a text without exponent.
        if (0.0..1e15).contains(&value) && value as u64 as f64 == value && value.is_sign_positive()
        {
            self.integer(value as i64, b".0");
        } else {
            self.extend(zmij::Buffer::new().format(value).as_bytes());
        }
        self.extend(end);
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

    /// Writes an SPLT list of the configured length. -1 stands for a missing packet. In most flows,
    /// most packets are missing.
    fn splt(&mut self, flow: &FlowView<'_>, part: SpltValue) {
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
        // Removes the last comma and space.
        self.len -= if len > 0 { 2 } else { 0 };
        self.close(len);
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
    use flowloom_core::meter::testing::{flows, metered, udp};
    use flowloom_core::schema::UdpColumn;
    use flowloom_core::value::{Type, UdpValue};

    use super::*;
    use crate::sink::output::RawOutput;

    #[test]
    fn lines_end_with_lf_and_only_empty_text_is_quoted_without_need() {
        let schema: Arc<Schema> = flowloom_core::meter::Settings::default().schema().into();
        let options = SinkOptions::default();
        let mut out = header(&schema, &options.columns).unwrap();
        let mut sink = CsvSink::new(RawOutput(&mut out), &schema, &options).unwrap();
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
    fn flows_that_are_written_together_have_the_same_lines() {
        let mut settings = flowloom_core::meter::Settings::default();
        (settings.statistical_analysis, settings.splt_analysis) = (true, 3);
        let packets: Vec<_> = (0..70).map(|n| udp(1_000 + n * 37)).collect();
        let mut flows = metered(settings, &packets);
        let column = UdpColumn::new("p", "text", Type::Text, String::new());
        let schema = Arc::new(flows[0].schema().with_udps(vec![column]));
        for (n, flow) in flows.iter_mut().enumerate() {
            flow.schema = schema.clone();
            if n % 3 == 0 {
                let text = format!("{n},\"").into();
                flow.outputs.put(1, 0, [UdpValue::Text(text)], 4);
            }
        }
        let all: Vec<_> = schema.names().chain(["first_seen"]).collect();
        for columns in [&all[..], &all[30..], &all[..1], &["first_seen", "src_ip"]] {
            let mut options = SinkOptions::default();
            options.columns = OutputColumns::select(columns.iter().copied());
            let lines = |together: usize| {
                let mut out = Vec::new();
                let mut sink = CsvSink::new(RawOutput(&mut out), &schema, &options).unwrap();
                for flows in flows.chunks(together) {
                    match together {
                        1 => sink.write(&flows[0]).unwrap(),
                        _ => sink.write_all(flows).unwrap(),
                    }
                }
                assert_eq!(sink.in_memory(), 70);
                sink.finish().unwrap();
                drop(sink);
                String::from_utf8(out).unwrap()
            };
            let one_by_one = lines(1);
            assert_eq!(one_by_one.lines().count(), 70);
            for together in [2, 32, 70] {
                assert_eq!(lines(together), one_by_one);
            }
        }
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

    #[test]
    fn flows_with_other_columns_are_rejected_and_counted() {
        let schema: Arc<Schema> = flowloom_core::meter::Settings::default().schema().into();
        let column = |name| UdpColumn::new("dns", name, Type::Text, String::new());
        let other: Arc<Schema> = schema.with_udps(vec![column("query")]).into();
        let mut flows = flows(4);
        flows[1].schema = other.clone();
        // The same columns in another schema object.
        flows[2].schema = Arc::new((*schema).clone());
        flows[3].schema = other;
        let mut out = Vec::new();
        let options = SinkOptions::default();
        let mut sink = CsvSink::new(RawOutput(&mut out), &schema, &options).unwrap();
        let error =
            "has other columns than the file; use JSON lines for flows with different columns";
        for (n, flow) in flows.iter().enumerate() {
            match sink.write(flow) {
                Ok(()) => assert!(n % 2 == 0, "{n}"),
                Err(returned) => {
                    assert_eq!(returned.to_string(), format!("flow {n} {error}"));
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
