//! What plugins added to a flow.

use std::sync::Arc;

use crate::value::{UdpValue, Value};

/// A flow's values in the columns that plugins add.
///
/// Plugins that are asked for many flows at once answer with whole columns, which stay together: a
/// flow knows its row.
#[derive(Clone, Default)]
pub(crate) struct Outputs {
    /// For this flow alone: for every column of its schema, or for none.
    own: Box<[UdpValue]>,
    shared: Option<Arc<Table>>,
    row: u32,
}

impl Outputs {
    /// Room for values of this flow alone, where its schema has so many columns.
    pub(crate) fn own(&mut self, columns: usize) -> &mut [UdpValue] {
        if self.own.len() != columns {
            self.own = vec![UdpValue::Null; columns].into();
        }
        &mut self.own
    }

    /// Takes the values that stand in this row.
    pub(crate) fn share(&mut self, table: Arc<Table>, row: u32) {
        (self.shared, self.row) = (Some(table), row);
    }

    /// The value in a column of the flow's schema.
    #[inline]
    pub(crate) fn value(&self, column: usize) -> Value<'_> {
        let shared = self.shared.as_ref().map(|table| &table.0[column]);
        if let Some(Some((answer, output))) = shared {
            return answer.value(*output, self.row);
        }
        match self.own.get(column) {
            Some(value) => value.as_value(),
            None => Value::Null,
        }
    }
}

/// What several plugins answered for the same flows: for each column of the flows' schema the answer
/// that has it, and where; none where there is no answer.
pub(crate) struct Table(Vec<Option<(Arc<Answer>, usize)>>);

impl Table {
    /// One of so many columns, without values.
    pub(crate) fn new(columns: usize) -> Self {
        Self(vec![None; columns])
    }

    /// Puts in an answer, whose first column is this one.
    pub(crate) fn put(&mut self, first: usize, answer: &Arc<Answer>) {
        for (output, place) in self.0[first..][..answer.columns.len()]
            .iter_mut()
            .enumerate()
        {
            *place = Some((answer.clone(), output));
        }
    }
}

/// What one plugin answered for some flows.
pub(crate) struct Answer {
    columns: Vec<Column>,
    /// Where each flow stands in the columns; empty if they are in the same order.
    places: Vec<u32>,
}

impl Answer {
    /// Columns whose rows are those of these flows, among so many.
    pub(crate) fn new(columns: Vec<Column>, of: &[u32], flows: usize) -> Self {
        let mut places = Vec::new();
        // Each is there once, and they are in order.
        if of.len() < flows {
            places.resize(flows, u32::MAX);
            for (place, flow) in (0..).zip(of) {
                places[*flow as usize] = place;
            }
        }
        Self { columns, places }
    }

    #[inline]
    fn value(&self, output: usize, row: u32) -> Value<'_> {
        let place = match self.places.is_empty() {
            true => row,
            false => self.places[row as usize],
        };
        self.columns[output].value(place as usize)
    }
}

/// The values of some flows, checked; beyond them all are null.
#[derive(Debug)]
pub(crate) enum Column {
    Booleans(Vec<u8>, Valid),
    Integers(Vec<i64>, Valid),
    Floats(Vec<f64>, Valid),
    Values(Vec<UdpValue>),
}

/// Not 0 where there is a value; empty where there always is.
type Valid = Vec<u8>;

impl Column {
    /// A column of nulls.
    pub(crate) const NULL: Self = Self::Values(Vec::new());

    #[inline]
    pub(crate) fn value(&self, place: usize) -> Value<'_> {
        match self {
            Self::Booleans(values, valid) => {
                number(values, valid, place, |value| Value::Boolean(value != 0))
            }
            Self::Integers(values, valid) => number(values, valid, place, Value::Integer),
            Self::Floats(values, valid) => number(values, valid, place, Value::Float),
            Self::Values(values) => values.get(place).map_or(Value::Null, UdpValue::as_value),
        }
    }
}

#[inline]
fn number<'a, T: Copy>(
    values: &[T],
    valid: &[u8],
    place: usize,
    value: impl Fn(T) -> Value<'a>,
) -> Value<'a> {
    match (values.get(place), valid.get(place)) {
        (None, _) | (_, Some(0)) => Value::Null,
        (Some(number), _) => value(*number),
    }
}
