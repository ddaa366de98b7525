//! Conditions on flows.

#[cfg(feature = "arrow")]
mod batch;
mod check;
mod columns;
mod evaluate;
mod glob;
mod kind;
mod node;
#[cfg(test)]
mod tests;

use flowloom_core::flow::Flow;
use flowloom_core::schema::Schema;
use flowloom_core::value::Value;

#[cfg(feature = "arrow")]
pub use batch::BatchError;

use crate::diagnostic::ExprError;
use crate::parser;
use columns::{ReadColumn, read_columns};
use node::Condition;

/// A condition on flows, in the language of `--where`.
///
/// A condition is true, false or null, as in SQL: a comparison with null is null, and a filter selects the flows for
/// which its condition is true. Columns have the values from before anonymisation.
///
/// # Examples
///
/// ```
/// use flowloom_core::meter::Settings;
/// use flowloom_expr::Filter;
///
/// let schema = Settings::default().schema();
/// let filter = Filter::parse("dst_port = 443 and not src_ip in 10.0.0.0/8", &schema)?;
/// assert!(filter.columns().eq(["src_ip", "dst_port"]));
/// let error = Filter::parse("dst_prt = 443", &schema).unwrap_err();
/// assert!(error.to_string().contains("did you mean 'dst_port'?"));
/// # Ok::<(), flowloom_expr::ExprError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    condition: Condition,
    columns: Vec<ReadColumn>,
}

impl Filter {
    /// Parses a condition on flows with the columns of `schema`.
    ///
    /// # Errors
    ///
    /// The text is not a condition, or does not fit the columns. The error shows each place.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, ExprError> {
        let fail = |diagnostics| ExprError::new("--where", text, diagnostics);
        let tree = parser::parse(text).map_err(|diagnostic| fail(vec![diagnostic]))?;
        let condition = check::condition(&tree, schema).map_err(fail)?;
        let columns = read_columns(&condition, schema);
        Ok(Self { condition, columns })
    }

    /// Returns the names of the columns that the condition reads, in the order of the schema.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// Returns whether the condition is true for a flow. The flow must have the columns of the schema.
    pub fn matches(&self, flow: &Flow) -> bool {
        self.condition.evaluate(flow) == Some(true)
    }
}

/// One row of values.
pub(crate) trait Row {
    /// Returns the value in the column at an index of the schema.
    fn value(&self, column: usize) -> Value<'_>;
}

impl Row for Flow {
    fn value(&self, column: usize) -> Value<'_> {
        self.original(column).unwrap_or(Value::Null)
    }
}
