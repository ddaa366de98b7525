//! From the columns of a record batch to values.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::DataType;

use super::addresses::Addresses;
use super::error::BatchError;
use super::numbers::Numbers;
use super::values::{Plain, Values};
use crate::filter::columns::ReadColumn;
use crate::filter::kind::Kind;

/// Returns the values of a column that a condition reads.
///
/// # Errors
///
/// The batch has no column of this name, or the column has another type.
pub(super) fn values(read: &ReadColumn, batch: &RecordBatch) -> Result<Values, BatchError> {
    let Some(array) = batch.column_by_name(&read.name) else {
        return Err(BatchError::MissingColumn {
            column: read.name.to_string(),
        });
    };
    convert(read.kind, array).ok_or_else(|| BatchError::ColumnType {
        column: read.name.to_string(),
        expected: accepted(read.kind),
        actual: array.data_type().clone(),
    })
}

/// Returns the values of an array, unless it has another type.
fn convert(kind: Kind, array: &ArrayRef) -> Option<Values> {
    let ty = array.data_type();
    let plain = |is_accepted: bool| {
        is_accepted.then(|| {
            Values::Other(Plain {
                array: array.clone(),
                is_constant: false,
            })
        })
    };
    match kind {
        Kind::Boolean => plain(*ty == DataType::Boolean),
        Kind::Number {
            is_float: false, ..
        } => {
            let integers = match ty {
                DataType::Int32 => array.as_primitive::<Int32Type>().unary(i64::from),
                DataType::Int64 => array.as_primitive::<Int64Type>().clone(),
                _ => return None,
            };
            Some(Values::Integers(Numbers::rows(integers)))
        }
        Kind::Number { is_float: true, .. } => {
            let floats = array.as_primitive_opt::<Float64Type>()?.clone();
            Some(Values::Floats(Numbers::rows(floats)))
        }
        Kind::Text | Kind::Json => plain(is_text(ty)),
        Kind::Bytes => plain(*ty == DataType::Binary),
        Kind::Address => is_text(ty).then(|| Values::Addresses(Arc::new(Addresses::parse(array)))),
        Kind::List => plain(is_list(ty)),
    }
}

fn is_text(ty: &DataType) -> bool {
    match ty {
        DataType::Utf8 => true,
        DataType::Dictionary(_, values) => **values == DataType::Utf8,
        _ => false,
    }
}

fn is_list(ty: &DataType) -> bool {
    match ty {
        DataType::List(item) => matches!(
            item.data_type(),
            DataType::Int64 | DataType::Int32 | DataType::Float64 | DataType::Utf8
        ),
        _ => false,
    }
}

/// Returns the accepted types, for an error.
fn accepted(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "Boolean",
        Kind::Number {
            is_float: false, ..
        } => "Int64 or Int32",
        Kind::Number { is_float: true, .. } => "Float64",
        Kind::Text | Kind::Address | Kind::Json => "Utf8 or a dictionary of it",
        Kind::Bytes => "Binary",
        Kind::List => "List of Int64, Int32, Float64 or Utf8",
    }
}
