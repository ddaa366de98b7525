//! The values of one column of a record batch.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    PrimitiveBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ArrowPrimitiveType};
use arrow_schema::{ArrowError, DataType};
use flowloom_core::fields::{Extract, Feature};
use flowloom_core::flow::{Column as SharedColumn, Flow};
use flowloom_core::record::{FlowView, SpltValue};
use flowloom_core::value::{AddressText, Value};

use super::text::{DictionaryColumn, TextColumn};

/// The values of one column, by their Arrow type.
pub(super) enum ColumnValues {
    Booleans(BooleanBuilder),
    Int32s(Int32Builder),
    Int64s(Int64Builder),
    Floats(Float64Builder),
    Times(TimestampMicrosecondBuilder),
    Texts(TextColumn),
    Dictionary(Box<DictionaryColumn>),
    Bytes(BinaryBuilder),
    IntegerLists(ListBuilder<Int64Builder>),
    FloatLists(ListBuilder<Float64Builder>),
    TextLists(ListBuilder<StringBuilder>),
}

/// Memory for the values of some flows. It is empty between calls.
#[derive(Default)]
pub(super) struct Scratch {
    integers: Vec<i64>,
    floats: Vec<f64>,
}

impl ColumnValues {
    /// Creates an empty column of one of the types of [`arrow_schema`](super::arrow_schema).
    pub(super) fn new(ty: &DataType) -> Self {
        match ty {
            DataType::Boolean => Self::Booleans(BooleanBuilder::new()),
            DataType::Int32 => Self::Int32s(Int32Builder::new()),
            DataType::Int64 => Self::Int64s(Int64Builder::new()),
            DataType::Float64 => Self::Floats(Float64Builder::new()),
            DataType::Timestamp(..) => {
                Self::Times(TimestampMicrosecondBuilder::new().with_data_type(ty.clone()))
            }
            DataType::Dictionary(..) => Self::Dictionary(Box::default()),
            DataType::Binary => Self::Bytes(BinaryBuilder::new()),
            DataType::List(item) if *item.data_type() == DataType::Float64 => {
                Self::FloatLists(ListBuilder::new(Float64Builder::new()))
            }
            DataType::List(item) if *item.data_type() == DataType::Utf8 => {
                Self::TextLists(ListBuilder::new(StringBuilder::new()))
            }
            DataType::List(_) => Self::IntegerLists(ListBuilder::new(Int64Builder::new())),
            _ => Self::Texts(TextColumn::default()),
        }
    }

    /// Appends a feature of each flow.
    pub(super) fn push_features(
        &mut self,
        feature: &Feature,
        flows: &[FlowView<'_>],
        scratch: &mut Scratch,
    ) {
        match (self, feature.value) {
            (Self::Int64s(rows), Extract::Integer(value)) => {
                (value.all)(flows, &mut scratch.integers);
                rows.append_slice(&scratch.integers);
                scratch.integers.clear();
            }
            // Integers of these columns have at most 16 bits.
            (Self::Int32s(rows), Extract::Integer(value)) => {
                (value.all)(flows, &mut scratch.integers);
                for value in scratch.integers.drain(..) {
                    rows.append_value(value as i32);
                }
            }
            (Self::Floats(rows), Extract::Float(value)) => {
                (value.all)(flows, &mut scratch.floats);
                rows.append_slice(&scratch.floats);
                scratch.floats.clear();
            }
            (Self::Booleans(rows), Extract::Boolean(value)) => {
                for flow in flows {
                    rows.append_value(value(flow));
                }
            }
            (Self::Texts(rows), Extract::Ip(value)) => {
                for flow in flows {
                    rows.push_ip(value(flow));
                }
            }
            (Self::Texts(rows), Extract::Text(value)) => {
                for flow in flows {
                    rows.push(value(flow));
                }
            }
            (Self::Dictionary(rows), Extract::Mac(value)) => {
                for flow in flows {
                    rows.push_address(value(flow));
                }
            }
            (Self::Dictionary(rows), Extract::Oui(value)) => {
                for flow in flows {
                    rows.push_address(value(flow));
                }
            }
            (Self::Dictionary(rows), Extract::Text(value)) => {
                for flow in flows {
                    rows.push(value(flow));
                }
            }
            (Self::IntegerLists(rows), Extract::Splt(part)) => {
                for flow in flows {
                    push_splt(rows, part, flow);
                }
            }
            (column, _) => {
                for flow in flows {
                    column.push_value(feature.value(flow));
                }
            }
        }
    }

    /// Appends the output of a plugin with this index for each flow.
    ///
    /// Flows that ended together share the columns that the plugin returned for them. Numbers are copied from there.
    pub(super) fn push_outputs(&mut self, index: usize, mut flows: &[Flow]) {
        while let Some(first) = flows.first() {
            let run = run_of_shared(flows);
            let (together, others) = flows.split_at(run.max(1));
            flows = others;
            let is_copied = match first.outputs.shared() {
                Some((table, row)) if run > 0 => {
                    let column = table.column(index);
                    column.is_some_and(|column| self.push_rows(column, row as usize, run))
                }
                _ => false,
            };
            if !is_copied {
                for flow in together {
                    self.push_value(flow.outputs.value(index));
                }
            }
        }
    }

    /// Appends `count` rows of a column of numbers, from row `first` on. Returns false, and appends nothing, if the
    /// column has other values or fewer rows.
    fn push_rows(&mut self, column: &SharedColumn, first: usize, count: usize) -> bool {
        let rows = first..first + count;
        match (self, column) {
            (Self::Int64s(to), SharedColumn::Integers(values, validity)) => {
                append_rows(to, values, validity, rows)
            }
            (Self::Floats(to), SharedColumn::Floats(values, validity)) => {
                append_rows(to, values, validity, rows)
            }
            _ => false,
        }
    }

    /// Appends a value. A value of another type becomes null.
    pub(super) fn push_value(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Booleans(rows), Value::Boolean(value)) => rows.append_value(value),
            (Self::Int32s(rows), Value::Integer(value)) => {
                rows.append_option(i32::try_from(value).ok());
            }
            (Self::Int64s(rows), Value::Integer(value)) => rows.append_value(value),
            (Self::Floats(rows), Value::Float(value)) => rows.append_value(value),
            // The latest time is in the year 9999, so that it can be multiplied.
            (Self::Times(rows), Value::Time(ms)) => rows.append_value(ms * 1_000),
            (Self::Texts(rows), Value::Text(text) | Value::Json(text)) => rows.push(text),
            (Self::Texts(rows), Value::Mac(mac)) => rows.push(AddressText::mac(&mac).as_str()),
            (Self::Texts(rows), Value::Oui(oui)) => rows.push(AddressText::mac(&oui).as_str()),
            (Self::Texts(rows), Value::CommunityId(_) | Value::FlowUid(_)) => {
                let mut text = String::new();
                value.write_text(&mut text);
                rows.push(&text);
            }
            (Self::Dictionary(rows), Value::Text(text)) => rows.push(text),
            (Self::Bytes(rows), Value::Bytes(bytes)) => rows.append_value(bytes),
            (Self::IntegerLists(rows), Value::Integers(values)) => {
                rows.values().append_slice(values);
                rows.append(true);
            }
            (Self::FloatLists(rows), Value::Floats(values)) => {
                rows.values().append_slice(values);
                rows.append(true);
            }
            (Self::TextLists(rows), Value::Texts(texts)) => {
                for text in texts {
                    rows.values().append_value(text);
                }
                rows.append(true);
            }
            (column, _) => column.push_null(),
        }
    }

    fn push_null(&mut self) {
        match self {
            Self::Booleans(rows) => rows.append_null(),
            Self::Int32s(rows) => rows.append_null(),
            Self::Int64s(rows) => rows.append_null(),
            Self::Floats(rows) => rows.append_null(),
            Self::Times(rows) => rows.append_null(),
            Self::Texts(rows) => rows.push_null(),
            Self::Dictionary(rows) => rows.push_null(),
            Self::Bytes(rows) => rows.append_null(),
            Self::IntegerLists(rows) => rows.append(false),
            Self::FloatLists(rows) => rows.append(false),
            Self::TextLists(rows) => rows.append(false),
        }
    }

    /// Returns all values as an array, and begins an empty column.
    ///
    /// # Errors
    ///
    /// Returns an error if the texts have more than 2 GiB.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Booleans(rows) => Arc::new(rows.finish()),
            Self::Int32s(rows) => Arc::new(rows.finish()),
            Self::Int64s(rows) => Arc::new(rows.finish()),
            Self::Floats(rows) => Arc::new(rows.finish()),
            Self::Times(rows) => Arc::new(rows.finish()),
            Self::Texts(rows) => rows.finish()?,
            Self::Dictionary(rows) => rows.finish(),
            Self::Bytes(rows) => Arc::new(rows.finish()),
            Self::IntegerLists(rows) => Arc::new(rows.finish()),
            Self::FloatLists(rows) => Arc::new(rows.finish()),
            Self::TextLists(rows) => Arc::new(rows.finish()),
        })
    }
}

/// Appends rows of a plugin's column of numbers. `validity` has 0 for each row that is null, or is empty if none is.
/// Returns false, and appends nothing, if the column has fewer rows.
fn append_rows<T: ArrowPrimitiveType>(
    to: &mut PrimitiveBuilder<T>,
    values: &[T::Native],
    validity: &[u8],
    rows: Range<usize>,
) -> bool {
    let Some(values) = values.get(rows.clone()) else {
        return false;
    };
    if validity.is_empty() {
        to.append_slice(values);
        return true;
    }
    let Some(validity) = validity.get(rows) else {
        return false;
    };
    let is_valid: Vec<_> = validity.iter().map(|&valid| valid != 0).collect();
    to.append_values(values, &is_valid);
    true
}

/// Returns how many of the first flows have successive rows of the same shared columns.
fn run_of_shared(flows: &[Flow]) -> usize {
    let Some((table, first)) = flows.first().and_then(|flow| flow.outputs.shared()) else {
        return 0;
    };
    let follows = |(n, flow): (u32, &Flow)| {
        let shared = flow.outputs.shared();
        shared.is_some_and(|(other, row)| Arc::ptr_eq(table, other) && row == first + n)
    };
    (0..).zip(flows).take_while(|&pair| follows(pair)).count()
}

/// Appends an SPLT list of the configured length. -1 stands for a missing packet.
fn push_splt(rows: &mut ListBuilder<Int64Builder>, part: SpltValue, flow: &FlowView<'_>) {
    if let Some(splt) = flow.splt {
        let values = rows.values();
        for value in splt.steps(part) {
            values.append_value(value);
        }
        values.append_value_n(-1, splt.missing());
    }
    rows.append(true);
}
