//! The evaluation of a condition for the rows of a record batch.
//!
//! The result for each row is that of [`Condition::evaluate`](super::node::Condition::evaluate). Whole columns are
//! evaluated at once, by Arrow's kernels or by loops over arrays.

mod addresses;
mod column;
mod conditions;
mod error;
mod numbers;
#[cfg(test)]
pub(super) mod tests;
mod values;

use std::collections::HashMap;

use arrow_array::{BooleanArray, RecordBatch};

pub use error::BatchError;

use super::Filter;
use conditions::Batch;

impl Filter {
    /// Evaluates the condition for each row of a record batch: true, false or null.
    ///
    /// A row is selected if its result is true. The columns are found by their names; other columns do not matter.
    /// These types are accepted:
    ///
    /// | values of the column | Arrow type |
    /// |---|---|
    /// | booleans | `Boolean` |
    /// | integers | `Int64`, `Int32` |
    /// | floats | `Float64` |
    /// | text, MAC addresses, JSON | `Utf8`, or a dictionary of it |
    /// | IP addresses | `Utf8`, or a dictionary of it; a text that is not an address counts as null |
    /// | bytes | `Binary` |
    /// | lists | `List` of `Int64`, `Int32`, `Float64` or `Utf8` |
    ///
    /// # Errors
    ///
    /// The batch lacks a column that the condition reads, or the column has another type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use arrow_array::{ArrayRef, BooleanArray, Int32Array, RecordBatch};
    /// use flowloom_core::meter::Settings;
    /// use flowloom_expr::Filter;
    ///
    /// let filter = Filter::parse("dst_port = 443", &Settings::default().schema())?;
    /// let ports: ArrayRef = Arc::new(Int32Array::from(vec![Some(443), Some(53), None]));
    /// let batch = RecordBatch::try_from_iter([("dst_port", ports)])?;
    /// let expected = BooleanArray::from(vec![Some(true), Some(false), None]);
    /// assert_eq!(filter.evaluate_batch(&batch)?, expected);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn evaluate_batch(&self, batch: &RecordBatch) -> Result<BooleanArray, BatchError> {
        let mut columns = HashMap::new();
        for read in &self.columns {
            columns.insert(read.index, column::values(read, batch)?);
        }
        let batch = Batch {
            rows: batch.num_rows(),
            columns,
        };
        Ok(batch.condition(&self.condition)?)
    }
}
