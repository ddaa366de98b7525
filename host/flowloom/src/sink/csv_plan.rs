//! The plan of a CSV row: how each column is written.

use std::net::IpAddr;

use flowloom_core::fields::{Extract, NumberFunctions};
use flowloom_core::record::FlowView;

use crate::columns::{ColumnSource, Layout};

/// How the field of a column is written. All but [`Other`](Self::Other) have at most 48 bytes.
pub(super) enum Cell {
    /// The next integer of the row.
    Integer,
    Boolean(fn(&FlowView<'_>) -> bool),
    Ip(fn(&FlowView<'_>) -> IpAddr),
    Mac(fn(&FlowView<'_>) -> [u8; 6]),
    Oui(fn(&FlowView<'_>) -> [u8; 3]),
    Other(ColumnSource),
}

/// The columns of a CSV row, and the integers of some flows.
///
/// The integers are computed column by column, which needs fewer calls.
pub(super) struct RowPlan {
    cells: Vec<Cell>,
    functions: Vec<NumberFunctions<i64>>,
    /// The values of each column of integers, one column after the other.
    integers: Vec<i64>,
    /// The number of flows whose integers are computed.
    rows: usize,
}

impl RowPlan {
    pub(super) fn new(layout: &Layout) -> Self {
        let mut functions = Vec::new();
        let mut cell = |source: &ColumnSource| {
            let ColumnSource::Feature { feature, .. } = source else {
                return Cell::Other(*source);
            };
            match feature.value {
                Extract::Integer(of_feature) => {
                    functions.push(of_feature);
                    Cell::Integer
                }
                Extract::Boolean(value) => Cell::Boolean(value),
                Extract::Ip(value) => Cell::Ip(value),
                Extract::Mac(value) => Cell::Mac(value),
                Extract::Oui(value) => Cell::Oui(value),
                _ => Cell::Other(*source),
            }
        };
        let cells = layout.sources().iter().map(&mut cell).collect();
        Self {
            cells,
            functions,
            integers: Vec::new(),
            rows: 0,
        }
    }

    /// Returns the columns, in order.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Returns the number of bytes that suffice for all short fields of a row, with their commas.
    pub(super) fn short_bytes(&self) -> usize {
        64 * self.cells.len()
    }

    /// Computes the integers of flows.
    pub(super) fn compute(&mut self, flows: &[FlowView<'_>]) {
        self.integers.clear();
        self.rows = flows.len();
        for functions in &self.functions {
            (functions.all)(flows, &mut self.integers);
        }
    }

    /// Returns the integers of a row, in the order of their columns.
    pub(super) fn integers(&self, row: usize) -> impl Iterator<Item = i64> {
        let from_row = self.integers.get(row..).unwrap_or_default();
        from_row.iter().step_by(self.rows.max(1)).copied()
    }
}
