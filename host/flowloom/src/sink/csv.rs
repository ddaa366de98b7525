//! The sink of CSV: RFC 4180 in UTF-8, with LF, and quotes only where needed.
//!
//! Null is an empty cell, and an empty text is `""`, so that readers can distinguish them.

use std::io;
use std::sync::Arc;

use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use flowloom_core::value::Value;

use super::Sink;
use super::csv_lines::{BLOCK, Lines};
use super::csv_plan::RowPlan;
use super::csv_text::Formulas;
use super::options::SinkOptions;
use super::output::Output;
use crate::columns::{Layout, OutputColumns, SelectError};

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
    let mut lines = Lines::new(Formulas::default());
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
            lines: Lines::new(options.formulas),
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
        match self.lines.len() < BLOCK {
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
        self.lines.clear();
        self.flows = 0;
        self.output.flush()
    }

    fn forget(&mut self) -> u64 {
        self.lines.clear();
        std::mem::take(&mut self.flows) + std::mem::take(&mut self.rejected)
    }

    fn in_memory(&self) -> u64 {
        self.flows + self.rejected
    }

    fn buffered_bytes(&self) -> u64 {
        self.lines.len() as u64
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
            let options = SinkOptions {
                columns: OutputColumns::select(columns.iter().copied()),
                ..SinkOptions::default()
            };
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
