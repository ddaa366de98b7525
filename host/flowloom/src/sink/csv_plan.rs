//! The plan of a CSV row: how each column is written.

use std::net::IpAddr;
use std::ops::Range;

use flowloom_core::fields::{Extract, NumberFunctions};
use flowloom_core::record::FlowView;

use super::csv_cache::LargeIntegers;
use super::csv_cursor::{COPIED, Cursor, FIELD_ROOM};
use crate::columns::{ColumnSource, Layout};

/// How the field of a column is written, or the fields of columns in succession.
pub(super) enum Cell {
    Numbers(NumberColumns),
    Boolean(fn(&FlowView<'_>) -> bool),
    Ip(fn(&FlowView<'_>) -> IpAddr),
    Mac(fn(&FlowView<'_>) -> [u8; 6]),
    Oui(fn(&FlowView<'_>) -> [u8; 3]),
    /// A field that may need more than [`FIELD_ROOM`].
    Other(ColumnSource),
}

/// Columns of numbers in succession.
pub(super) struct NumberColumns {
    /// The indices of the columns among all columns of numbers.
    columns: Range<usize>,
    /// The indices of their [`Piece`]s.
    pieces: Range<usize>,
}

/// A part of successive numbers.
pub(super) enum Piece {
    /// Columns that have the same value in all computed flows: the place of their text, with a comma after each number.
    Common(Range<usize>),
    /// The indices of other columns.
    Columns(Range<usize>),
}

/// The number of flows from which on the search for common values costs less than it saves.
const MIN_ROWS: usize = 8;

/// The columns of a CSV row, and the numbers of some flows.
///
/// Flows that end together often have many numbers in common, such as the counters of TCP flags and, in a scan, all
/// values of the second direction. Their text is made once.
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
    /// The parts of the numbers of these flows.
    pieces: Vec<Piece>,
    /// The text of common values. The bytes after it have no meaning.
    common: Vec<u8>,
    integers: LargeIntegers,
    /// The number of columns.
    columns: usize,
}

/// A column of numbers.
enum NumberColumn {
    Integer(NumberFunctions<i64>),
    Float(NumberFunctions<f64>),
}

impl RowPlan {
    pub(super) fn new(layout: &Layout) -> Self {
        let mut plan = Self::default();
        for source in layout.sources() {
            plan.columns += 1;
            plan.add(source);
        }
        plan.common = vec![0; plan.short_bytes() + COPIED];
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
            Some(Cell::Numbers(numbers)) => numbers.columns.end += 1,
            _ => self.cells.push(Cell::Numbers(NumberColumns {
                columns: index..index + 1,
                pieces: 0..0,
            })),
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
        self.find_common();
    }

    /// Divides the numbers into pieces.
    fn find_common(&mut self) {
        self.pieces.clear();
        let size = self.common.len();
        let mut text = Cursor {
            rest: &mut self.common,
            integers: &mut self.integers,
        };
        for cell in &mut self.cells {
            let Cell::Numbers(numbers) = cell else {
                continue;
            };
            numbers.pieces.start = self.pieces.len();
            let mut last = None;
            for index in numbers.columns.clone() {
                let values = &self.values[index * self.rows..][..self.rows];
                let piece = match common_value(values) {
                    Some(value) => {
                        let start = size - text.rest.len();
                        self.numbers[index].write(value, &mut text);
                        Piece::Common(start..size - text.rest.len())
                    }
                    None => Piece::Columns(index..index + 1),
                };
                match (&mut last, piece) {
                    (Some(Piece::Common(last)), Piece::Common(next))
                    | (Some(Piece::Columns(last)), Piece::Columns(next)) => last.end = next.end,
                    (last, piece) => self.pieces.extend(last.replace(piece)),
                }
            }
            self.pieces.extend(last);
            numbers.pieces.end = self.pieces.len();
        }
    }

    /// Writes numbers of a row, each followed by a comma, to the start of `rest`. Returns the memory after them.
    // A separate function with a separate cursor, so that the place in memory is in a register.
    #[inline(never)]
    pub(super) fn write_numbers<'a>(
        &self,
        row: usize,
        numbers: &NumberColumns,
        rest: &'a mut [u8],
        integers: &mut LargeIntegers,
    ) -> &'a mut [u8] {
        let mut cursor = Cursor { rest, integers };
        for piece in &self.pieces[numbers.pieces.clone()] {
            match piece {
                Piece::Common(text) => self.write_common(text, &mut cursor),
                Piece::Columns(indices) => self.write_columns(row, indices, &mut cursor),
            }
        }
        cursor.rest
    }

    #[inline(always)]
    fn write_common(&self, text: &Range<usize>, cursor: &mut Cursor<'_, '_>) {
        for start in text.clone().step_by(COPIED) {
            let Some(bytes) = self.common[start..].first_chunk::<COPIED>() else {
                unreachable!("there are COPIED bytes after the text")
            };
            cursor.padded(bytes, (text.end - start).min(COPIED));
        }
    }

    #[inline(always)]
    fn write_columns(&self, row: usize, indices: &Range<usize>, cursor: &mut Cursor<'_, '_>) {
        let (values, rows) = (&self.values[..], self.rows);
        // `step_by` is slower.
        let mut next = indices.start * rows + row;
        for column in &self.numbers[indices.clone()] {
            column.write(values.get(next).copied().unwrap_or_default(), cursor);
            next += rows;
        }
    }
}

impl NumberColumn {
    /// Writes the number that is stored as `value`, followed by a comma.
    #[inline(always)]
    fn write(&self, value: i64, cursor: &mut Cursor<'_, '_>) {
        match self {
            Self::Integer(_) => cursor.integer(value, b","),
            Self::Float(_) => cursor.float(f64::from_bits(value.cast_unsigned()), b","),
        }
    }
}

/// Returns the value that all rows have, if there are enough of them.
#[inline]
fn common_value(values: &[i64]) -> Option<i64> {
    let [first, others @ ..] = values else {
        return None;
    };
    // If each value equals the next one, all are equal. This comparison of memory needs few instructions.
    let is_common = values.len() >= MIN_ROWS && others == &values[..others.len()];
    is_common.then_some(*first)
}
