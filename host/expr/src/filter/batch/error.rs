//! Errors of record batches.

use arrow_schema::{ArrowError, DataType};

/// A record batch for which a condition cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The batch lacks a column that the condition reads.
    #[error("cannot evaluate the condition: the record batch has no column '{column}'")]
    MissingColumn {
        /// The name of the column.
        column: String,
    },
    /// A column has another type than the column of flows with this name.
    #[error(
        "cannot evaluate the condition: column '{column}' of the record batch has the type {actual}, not {expected}"
    )]
    ColumnType {
        /// The name of the column.
        column: String,
        /// The types that are accepted.
        expected: &'static str,
        /// The type in the batch.
        actual: DataType,
    },
    /// Arrow cannot compute an array.
    #[error("cannot evaluate the condition for a record batch: {0}")]
    Arrow(#[from] ArrowError),
}
