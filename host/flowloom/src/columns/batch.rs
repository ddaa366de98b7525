//! A record batch of flows that is being filled.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, DataType, Schema as ArrowSchema, SchemaRef};
use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use flowloom_core::value::Value;

use super::column::{ColumnValues, Scratch};
use super::layout::{ColumnSource, Layout, OutputColumns, SelectError};
use super::schema::{Dictionaries, of_layout};

/// A good number of flows for a record batch.
pub const DEFAULT_ROWS: NonZeroUsize = NonZeroUsize::new(8_192).expect("it is not zero");

/// The number of bytes from which on a batch is full. Values of plugins can be large.
const MAX_BYTES: usize = 32 << 20;

/// Flows that become one record batch.
pub(crate) struct FlowBatch {
    chosen: OutputColumns,
    dictionaries: Dictionaries,
    arrow: SchemaRef,
    /// The last schema whose columns are those of the batch, and their places in it.
    schema: Arc<Schema>,
    layout: Layout,
    columns: Vec<ColumnValues>,
    scratch: Scratch,
    rows: usize,
    /// The approximate size of the values in bytes.
    bytes: usize,
}

impl FlowBatch {
    /// Creates an empty batch with these columns of flows with this schema.
    pub(crate) fn new(
        schema: &Arc<Schema>,
        chosen: &OutputColumns,
        dictionaries: Dictionaries,
    ) -> Result<Self, SelectError> {
        let layout = chosen.layout(schema)?;
        let arrow = of_layout(schema, &layout, dictionaries);
        let fields = arrow.fields().iter();
        let columns = fields
            .map(|field| ColumnValues::new(field.data_type()))
            .collect();
        Ok(Self {
            chosen: chosen.clone(),
            dictionaries,
            arrow,
            schema: schema.clone(),
            layout,
            columns,
            scratch: Scratch::default(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Returns the schema of the batch.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.arrow
    }

    /// Returns the number of flows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Returns whether the values have so many bytes that the batch should end.
    pub(crate) fn is_large(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Appends a flow.
    ///
    /// # Errors
    ///
    /// Returns an error if the flow has other columns than the batch. The flow is then not appended.
    pub(crate) fn push(&mut self, flow: &Flow) -> Result<(), ArrowError> {
        if !Arc::ptr_eq(flow.schema(), &self.schema) {
            self.accept(flow)?;
        }
        if flow.replaced.is_none() {
            self.push_all(std::slice::from_ref(flow));
            return Ok(());
        }
        let view = [flow.view()];
        for (source, column) in self.layout.sources().iter().zip(&mut self.columns) {
            let replacement = source
                .index(&self.schema)
                .and_then(|at| flow.replacement(at));
            match (replacement, *source) {
                (Some(text), _) => column.push_value(Value::Text(text)),
                (None, ColumnSource::Feature { feature, .. } | ColumnSource::Time(feature)) => {
                    column.push_features(feature, &view, &mut self.scratch);
                }
                (None, ColumnSource::Udp(index)) => {
                    column.push_value(flow.outputs.value(index));
                }
            }
        }
        self.rows += 1;
        self.bytes += 16 * self.columns.len() + flow.bytes();
        Ok(())
    }

    /// Appends flows column by column. Returns false, and appends nothing, if a flow has another schema than the flow
    /// before the call, or replaced values.
    pub(crate) fn push_all(&mut self, flows: &[Flow]) -> bool {
        let is_plain =
            |flow: &Flow| Arc::ptr_eq(flow.schema(), &self.schema) && flow.replaced.is_none();
        if !flows.iter().all(is_plain) {
            return false;
        }
        let views: Vec<_> = flows.iter().map(Flow::view).collect();
        for (source, column) in self.layout.sources().iter().zip(&mut self.columns) {
            match *source {
                ColumnSource::Feature { feature, .. } | ColumnSource::Time(feature) => {
                    column.push_features(feature, &views, &mut self.scratch);
                }
                ColumnSource::Udp(index) => column.push_outputs(index, flows),
            }
        }
        self.rows += flows.len();
        self.bytes += 16 * self.columns.len() * flows.len();
        self.bytes += flows.iter().map(Flow::bytes).sum::<usize>();
        true
    }

    /// Checks that the columns of a new schema are those of the batch.
    #[cold]
    fn accept(&mut self, flow: &Flow) -> Result<(), ArrowError> {
        let schema = flow.schema();
        let layout = self.chosen.layout(schema).ok();
        match layout.filter(|layout| self.fits(&of_layout(schema, layout, self.dictionaries))) {
            Some(layout) => {
                (self.schema, self.layout) = (schema.clone(), layout);
                Ok(())
            }
            None => Err(ArrowError::SchemaError(format!(
                "flow {} has other columns than the first flows; use JSON lines for flows with \
                 different columns",
                flow.id()
            ))),
        }
    }

    /// Returns whether flows with these columns can follow. Columns of replaced values are text in the batch, and have
    /// their original types in flows.
    fn fits(&self, other: &ArrowSchema) -> bool {
        let (ours, theirs) = (self.arrow.fields(), other.fields());
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(our, their)| {
                let is_same = our.data_type() == their.data_type();
                our.name() == their.name() && (is_same || *our.data_type() == DataType::Utf8)
            })
    }

    /// Removes all flows, and returns their number.
    pub(crate) fn clear(&mut self) -> usize {
        for column in &mut self.columns {
            // The values are discarded, and so is an error of theirs.
            let _ = column.finish();
        }
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }

    /// Returns the flows as a record batch, and begins an empty one.
    ///
    /// # Errors
    ///
    /// Returns an error if a feature has a value of a wrong type.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let columns: Result<Vec<ArrayRef>, _> =
            self.columns.iter_mut().map(ColumnValues::finish).collect();
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.arrow.clone(), columns?, &options)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
    use arrow_array::{Array as _, BooleanArray};
    use flowloom_core::flow::Replacement;
    use flowloom_core::meter::Settings;
    use flowloom_core::meter::testing::{flows, metered, udp};
    use flowloom_core::schema::UdpColumn;
    use flowloom_core::value::{Type, UdpValue};

    use super::*;

    fn batch(schema: &Arc<Schema>, columns: &OutputColumns) -> FlowBatch {
        FlowBatch::new(schema, columns, Dictionaries::PerBatch).unwrap()
    }

    #[test]
    fn features_become_arrays() {
        let flows = flows(40);
        let columns = ["id", "src_port", "src_ip", "src_mac", "first_seen"];
        let mut batch = batch(flows[0].schema(), &OutputColumns::select(columns));
        assert!(batch.push_all(&flows[..39]));
        batch.push(&flows[39]).unwrap();
        let rows = batch.finish().unwrap();
        assert_eq!((rows.num_rows(), batch.rows()), (40, 0));
        for (row, flow) in flows.iter().enumerate() {
            let number = |name| match flow.get(name) {
                Some(Value::Integer(number)) => number,
                other => panic!("{name}: {other:?}"),
            };
            let column = |index: usize| rows.column(index);
            let id = column(0).as_primitive::<Int64Type>().value(row);
            assert_eq!(id, number("id"));
            let port = column(1).as_primitive::<Int32Type>().value(row);
            assert_eq!(i64::from(port), number("src_port"));
            assert_eq!(column(2).as_string::<i32>().value(row), "192.0.2.1");
            let macs = column(3).as_dictionary::<Int32Type>();
            assert_eq!(macs.keys().value(row), 0);
            let seen = column(4).as_primitive::<TimestampMicrosecondType>();
            assert_eq!(
                seen.value(row),
                number("bidirectional_first_seen_ms") * 1_000
            );
        }
    }

    #[test]
    fn values_of_plugins_keep_their_types_and_nulls() {
        let all = [
            (Type::Boolean, UdpValue::Boolean(true)),
            (Type::I64, UdpValue::Integer(i64::MIN)),
            (Type::Float, UdpValue::Float(-0.0)),
            (Type::Text, UdpValue::Text("é".into())),
            (Type::Bytes, UdpValue::Bytes(b"\0\xff".to_vec().into())),
            (Type::Integers, UdpValue::Integers([1, -1].into())),
            (Type::Floats, UdpValue::Floats([].into())),
            (Type::Json, UdpValue::Json("{}".into())),
        ];
        let outputs = (0..)
            .zip(&all)
            .map(|(n, (ty, _))| UdpColumn::new("p", &format!("o{n}"), *ty, String::new()));
        let schema = Arc::new(Settings::default().schema().with_udps(outputs.collect()));
        let mut flows = flows(3);
        for flow in &mut flows {
            flow.schema = schema.clone();
        }
        let values = all.iter().map(|(_, value)| value.clone());
        flows[1].outputs.put(all.len(), 0, values, 0);
        // A value of another type, which a plugin cannot return, is null.
        let wrong = vec![UdpValue::Text("x".into()); all.len()];
        flows[2].outputs.put(all.len(), 0, wrong, 0);
        let names = (0..all.len()).map(|n| format!("udps.p.o{n}"));
        let mut batch = batch(&schema, &OutputColumns::select(names));
        assert!(batch.push_all(&flows));
        let rows = batch.finish().unwrap();
        for (n, column) in rows.columns().iter().enumerate() {
            let nulls: Vec<_> = (0..3).map(|row| column.is_null(row)).collect();
            // Text fits columns of text and of JSON.
            assert_eq!(nulls, [true, false, n != 3 && n != 7], "{n}");
        }
        let booleans: &BooleanArray = rows.column(0).as_boolean();
        assert!(booleans.value(1));
        let integers = rows.column(1).as_primitive::<Int64Type>();
        assert_eq!(integers.value(1), i64::MIN);
        let floats = rows.column(2).as_primitive::<Float64Type>();
        assert_eq!(floats.value(1).to_bits(), (-0.0_f64).to_bits());
        assert_eq!(rows.column(3).as_string::<i32>().value(1), "é");
        assert_eq!(rows.column(4).as_binary::<i32>().value(1), b"\0\xff");
        let list = rows.column(5).as_list::<i32>().value(1);
        assert_eq!(list.as_primitive::<Int64Type>().values()[..], [1, -1]);
        assert_eq!(rows.column(6).as_list::<i32>().value(1).len(), 0);
        assert_eq!(rows.column(7).as_string::<i32>().value(1), "{}");
    }

    #[test]
    fn shared_columns_of_plugins_are_copied() {
        use flowloom_core::flow::{Answer, Column, Table};
        let outputs = [("i", Type::I64), ("f", Type::Float), ("t", Type::Text)];
        let outputs = outputs.map(|(name, ty)| UdpColumn::new("p", name, ty, String::new()));
        let schema = Arc::new(Settings::default().schema().with_udps(outputs.into()));
        let mut flows = flows(40);
        // Two tables of ten flows: the first has all of them, the second has only the even ones.
        let even: Vec<u32> = (0..10).filter(|row| row % 2 == 0).collect();
        for (n, of) in [(0..10).collect(), even].into_iter().enumerate() {
            let rows = || 0..of.len() as i64;
            let validity = of.iter().map(|row| u8::from(*row != 4)).collect();
            let columns = vec![
                Column::Integers(rows().collect(), validity),
                Column::Floats(rows().map(|row| row as f64).collect(), Vec::new()),
                Column::Values(
                    rows()
                        .map(|row| UdpValue::Text(row.to_string().into()))
                        .collect(),
                ),
            ];
            let answer = Arc::new(Answer::new(columns, vec![1; of.len()], &of, 10));
            let mut table = Table::new(3);
            table.put(0, &answer);
            let table = Arc::new(table);
            for row in 0..10 {
                let flow = &mut flows[10 + 10 * n + row as usize];
                flow.outputs.share(table.clone(), row);
            }
        }
        // Successive flows need not have successive rows.
        flows.swap(11, 18);
        for flow in &mut flows {
            flow.schema = schema.clone();
        }
        let mut batch = batch(
            &schema,
            &OutputColumns::select(["udps.p.i", "udps.p.f", "udps.p.t"]),
        );
        assert!(batch.push_all(&flows));
        let rows = batch.finish().unwrap();
        for (row, flow) in flows.iter().enumerate() {
            let found = [
                (!rows.column(0).is_null(row))
                    .then(|| Value::Integer(rows.column(0).as_primitive::<Int64Type>().value(row))),
                (!rows.column(1).is_null(row))
                    .then(|| Value::Float(rows.column(1).as_primitive::<Float64Type>().value(row))),
                (!rows.column(2).is_null(row))
                    .then(|| Value::Text(rows.column(2).as_string::<i32>().value(row))),
            ];
            let found = found.map(|value| value.unwrap_or(Value::Null));
            assert_eq!(found, [0, 1, 2].map(|n| flow.outputs.value(n)), "{row}");
        }
    }

    #[test]
    fn replaced_values_are_text() {
        let mut flows = flows(2);
        let schema = flows[0].schema().with_hashes(|name| name == "src_port");
        let at = schema.position("src_port").unwrap();
        for flow in &mut flows {
            let text = "hash".into();
            flow.replaced = Some([Replacement { at, text }].into());
        }
        // The flows have the schema with the original types.
        let schema = Arc::new(schema);
        let mut batch = batch(&schema, &OutputColumns::select(["src_port", "dst_port"]));
        assert!(!batch.push_all(&flows));
        for flow in &flows {
            batch.push(flow).unwrap();
        }
        let rows = batch.finish().unwrap();
        assert_eq!(rows.column(0).as_string::<i32>().value(1), "hash");
        let ports = rows.column(1).as_primitive::<Int32Type>();
        assert_eq!(ports.value(1), 53);
    }

    #[test]
    fn lists_of_splt_have_the_configured_length() {
        let mut settings = Settings::default();
        settings.splt_analysis = 3;
        let flow = metered(settings, &[udp(1_024)]).remove(0);
        let mut batch = batch(flow.schema(), &OutputColumns::select(["splt_ps"]));
        batch.push(&flow).unwrap();
        let rows = batch.finish().unwrap();
        let sizes = rows.column(0).as_list::<i32>().value(0);
        let sizes = sizes.as_primitive::<Int64Type>();
        assert_eq!((sizes.len(), sizes.value(1), sizes.value(2)), (3, -1, -1));
    }
}
