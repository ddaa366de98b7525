//! The plan of a CSV row: how each column is written.

use std::net::IpAddr;
use std::ops::Range;

use flowloom_core::fields::{Extract, NumberFunctions};
use flowloom_core::record::FlowView;

use crate::columns::{ColumnSource, Layout};

/// The bytes that a short field may need: its text, and what is written beyond the text.
pub(super) const FIELD_ROOM: usize = 64;

/// How the field of a column is written, or the fields of columns in succession.
pub(super) enum Cell {
    /// Columns of numbers, as indices among all columns of numbers.
    Numbers(Range<usize>),
    Boolean(fn(&FlowView<'_>) -> bool),
    Ip(fn(&FlowView<'_>) -> IpAddr),
    Mac(fn(&FlowView<'_>) -> [u8; 6]),
    Oui(fn(&FlowView<'_>) -> [u8; 3]),
    /// A field that may need more than [`FIELD_ROOM`].
    Other(ColumnSource),
}

/// The columns of a CSV row, and the numbers of some flows.
#[derive(Default)]
pub(super) struct RowPlan {
    cells: Vec<Cell>,
    numbers: Vec<NumberColumn>,
    /// The values of each column of numbers, one column after the other. A float is stored as its bits.
    ///
    /// They are computed column by column, which needs fewer calls.
    values: Vec<i64>,
    /// The values of one column of floats.
    floats: Vec<f64>,
    /// The number of flows whose numbers are computed.
    rows: usize,
    /// The number of columns.
    columns: usize,
}

/// A column of numbers.
enum NumberColumn {
    Integer(NumberFunctions<i64>),
    Float(NumberFunctions<f64>),
}

/// A number of a flow.
pub(super) enum Number {
    Integer(i64),
    Float(f64),
}

impl RowPlan {
    pub(super) fn new(layout: &Layout) -> Self {
        let mut plan = Self::default();
        for source in layout.sources() {
            plan.columns += 1;
            plan.add(source);
        }
        plan
    }

    fn add(&mut self, source: &ColumnSource) {
        let ColumnSource::Feature { feature, .. } = source else {
            return self.cells.push(Cell::Other(*source));
        };
        let cell = match feature.value {
            Extract::Integer(functions) => {
                return self.add_number(NumberColumn::Integer(functions));
            }
            Extract::Float(functions) => return self.add_number(NumberColumn::Float(functions)),
            Extract::Boolean(value) => Cell::Boolean(value),
            Extract::Ip(value) => Cell::Ip(value),
            Extract::Mac(value) => Cell::Mac(value),
            Extract::Oui(value) => Cell::Oui(value),
            _ => Cell::Other(*source),
        };
        self.cells.push(cell);
    }

    fn add_number(&mut self, column: NumberColumn) {
        let index = self.numbers.len();
        self.numbers.push(column);
        match self.cells.last_mut() {
            Some(Cell::Numbers(indices)) => indices.end += 1,
            _ => self.cells.push(Cell::Numbers(index..index + 1)),
        }
    }

    /// Returns the columns, in order.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Returns the number of bytes that suffice for all short fields of a row, with their commas.
    pub(super) fn short_bytes(&self) -> usize {
        FIELD_ROOM * self.columns
    }

    /// Computes the numbers of flows.
    pub(super) fn compute(&mut self, flows: &[FlowView<'_>]) {
        self.values.clear();
        self.rows = flows.len();
        for column in &self.numbers {
            match column {
                NumberColumn::Integer(functions) => (functions.all)(flows, &mut self.values),
                NumberColumn::Float(functions) => {
                    self.floats.clear();
                    (functions.all)(flows, &mut self.floats);
                    let bits = self
                        .floats
                        .iter()
                        .map(|float| float.to_bits().cast_signed());
                    self.values.extend(bits);
                }
            }
        }
    }

    /// Returns the numbers of a row in the columns with these indices.
    #[inline]
    pub(super) fn numbers(
        &self,
        row: usize,
        indices: &Range<usize>,
    ) -> impl Iterator<Item = Number> {
        let (values, rows) = (&self.values[..], self.rows);
        // `step_by` is slower.
        let mut next = indices.start * rows + row;
        self.numbers[indices.clone()].iter().map(move |column| {
            let value = values.get(next).copied().unwrap_or_default();
            next += rows;
            match column {
                NumberColumn::Integer(_) => Number::Integer(value),
                NumberColumn::Float(_) => Number::Float(f64::from_bits(value.cast_unsigned())),
            }
        })
    }
}
