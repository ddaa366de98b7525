//! The columns of outputs, and flows as Arrow record batches.
//!
//! [`OutputColumns`] says which columns an output has, and in what order. With the feature `arrow`,
//! [`RecordBatches`](crate::RecordBatches) returns the flows of a run as record batches. All values come from the flow records; there is
//! no [`Value`](crate::Value) for each cell of a feature.

#[cfg(feature = "arrow")]
mod batch;
#[cfg(feature = "arrow")]
mod column;
mod layout;
#[cfg(feature = "arrow")]
mod schema;
#[cfg(feature = "arrow")]
mod text;

#[cfg(feature = "arrow")]
pub use batch::DEFAULT_ROWS;
#[cfg(feature = "arrow")]
pub(crate) use batch::FlowBatch;
pub(crate) use layout::{ColumnSource, Layout};
pub use layout::{OutputColumns, SelectError, UnknownColumn};
#[cfg(feature = "arrow")]
pub(crate) use schema::Dictionaries;
#[cfg(feature = "arrow")]
pub use schema::{SCHEMA_VERSION, SCHEMA_VERSION_KEY, arrow_schema, arrow_type};
