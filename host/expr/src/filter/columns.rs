//! The columns that a condition reads.

use std::collections::BTreeSet;

use flowloom_core::schema::Schema;

use super::kind::{Kind, kind_of};
use super::node::Condition;

/// A column that a condition reads.
#[derive(Clone, Debug)]
pub(super) struct ReadColumn {
    pub(super) name: Box<str>,
    /// The index in the schema.
    #[cfg_attr(
        not(feature = "arrow"),
        expect(dead_code, reason = "only record batches are read by it")
    )]
    pub(super) index: usize,
    #[cfg_attr(
        not(feature = "arrow"),
        expect(dead_code, reason = "only record batches are read by it")
    )]
    pub(super) kind: Kind,
}

/// Returns the columns that a condition on `schema` reads, in the order of the schema. Each comes once.
pub(super) fn read_columns(condition: &Condition, schema: &Schema) -> Vec<ReadColumn> {
    let mut indices = BTreeSet::new();
    condition.for_each_column(&mut |index| {
        indices.insert(index);
    });
    let read = indices.into_iter().filter_map(|index| {
        Some(ReadColumn {
            name: schema.column(index)?.name.into(),
            index,
            kind: kind_of(schema, index)?,
        })
    });
    read.collect()
}
