//! A record batch of flows that is being filled.

use std::num::NonZeroUsize;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
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

    /// Returns the approximate size of the values in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
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
                ColumnSource::Udp(index) => {
                    for flow in flows {
                        column.push_value(flow.outputs.value(index));
                    }
                }
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
        match layout {
            Some(layout) if of_layout(schema, &layout, self.dictionaries) == self.arrow => {
                (self.schema, self.layout) = (schema.clone(), layout);
                Ok(())
            }
            _ => Err(ArrowError::SchemaError(format!(
                "flow {} has other columns than the first flows; use JSON lines for flows with \
                 different columns",
                flow.id()
            ))),
        }
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
