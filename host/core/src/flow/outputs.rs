//! What plugins added to a flow.

use std::sync::Arc;

use crate::value::{UdpValue, Value};

/// A flow's values in the columns that plugins add.
///
/// Plugins that are asked for many flows at once answer with whole columns, which stay together: a
/// flow knows its row.
#[derive(Clone, Default)]
pub struct Outputs {
    /// For this flow alone: for every column of its schema, or for none.
    own: Box<[UdpValue]>,
    shared: Option<Arc<Table>>,
    row: u32,
    /// Bytes of the flow's texts, lists and other values that are not numbers.
    bytes: u32,
}

impl Outputs {
    /// Room for values of this flow alone, where its schema has so many columns.
    fn own(&mut self, columns: usize) -> &mut [UdpValue] {
        if self.own.len() != columns {
            self.own = vec![UdpValue::Null; columns].into();
        }
        &mut self.own
    }

    /// Takes the values of one plugin, whose columns begin at `first`, for this flow alone. They hold so
    /// many `bytes`.
    pub fn put(
        &mut self,
        columns: usize,
        first: usize,
        values: impl IntoIterator<Item = UdpValue>,
        bytes: u32,
    ) {
        let own = &mut self.own(columns)[first..];
        for (place, value) in own.iter_mut().zip(values) {
            *place = value;
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Takes the values that stand in this row.
    pub fn share(&mut self, table: Arc<Table>, row: u32) {
        self.bytes = self.bytes.saturating_add(table.bytes(row));
        (self.shared, self.row) = (Some(table), row);
    }

    /// Bytes of the flow's texts, lists and other values that are not numbers.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Forgets all values: they are null from now on.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The value in a column of the flow's schema.
    #[inline]
    pub fn value(&self, column: usize) -> Value<'_> {
        let shared = self.shared.as_ref().map(|table| &table.columns[column]);
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
pub struct Table {
    columns: Vec<Option<(Arc<Answer>, usize)>>,
    /// The answers with values that are not numbers.
    heavy: Vec<Arc<Answer>>,
}

impl Table {
    /// One of so many columns, without values.
    pub fn new(columns: usize) -> Self {
        Self {
            columns: vec![None; columns],
            heavy: Vec::new(),
        }
    }

    /// Puts in an answer, whose first column is this one.
    pub fn put(&mut self, first: usize, answer: &Arc<Answer>) {
        let columns = answer.columns.iter().enumerate();
        for (place, (output, column)) in self.columns[first..].iter_mut().zip(columns) {
            // What was moved to the flows is not here.
            if !matches!(column, Column::Moved) {
                *place = Some((answer.clone(), output));
            }
        }
        if answer.bytes > 0 {
            self.heavy.push(answer.clone());
        }
    }

    /// Bytes of the values in this row that are not numbers.
    fn bytes(&self, row: u32) -> u32 {
        let bytes = self.heavy.iter().map(|answer| answer.bytes_of(row));
        bytes.fold(0, u32::saturating_add)
    }
}

/// What one plugin answered for some flows.
pub struct Answer {
    columns: Vec<Column>,
    /// Where each flow stands in the columns; empty if they are in the same order.
    places: Vec<u32>,
    /// For each place the bytes of its values that are not numbers; empty if there are none.
    row_bytes: Vec<u32>,
    /// Their sum.
    bytes: usize,
}

impl Answer {
    /// Larger answers do not stay together, so that a flow which waits for long keeps no more than its own
    /// values, and this.
    const MOST_SHARED: usize = 256 << 10;

    /// Columns whose rows are those of these flows, among so many. `row_bytes` says how many bytes of each
    /// are not numbers; it is empty if none are.
    pub fn new(columns: Vec<Column>, row_bytes: Vec<u32>, of: &[u32], flows: usize) -> Self {
        let mut places = Vec::new();
        // Each is there once, and they are in order.
        if of.len() < flows {
            places.resize(flows, u32::MAX);
            for (place, flow) in (0..).zip(of) {
                places[*flow as usize] = place;
            }
        }
        let bytes = row_bytes.iter().map(|&bytes| bytes as usize).sum();
        Self {
            columns,
            places,
            row_bytes,
            bytes,
        }
    }

    /// Bytes of its values that are not numbers.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether its values that are not numbers are to be [taken](Self::take_values) apart.
    pub fn is_large(&self) -> bool {
        self.bytes > Self::MOST_SHARED
    }

    /// Takes out the values that are not numbers, and how many bytes they have in each row.
    pub fn take_values(&mut self) -> Values {
        self.bytes = 0;
        let take = |column: &mut Column| match column {
            Column::Values(_) => match std::mem::replace(column, Column::Moved) {
                Column::Values(values) => values,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        Values {
            columns: self.columns.iter_mut().map(take).collect(),
            row_bytes: std::mem::take(&mut self.row_bytes),
        }
    }

    /// Where the flow of this row stands, if it is in it.
    fn place(&self, row: u32) -> usize {
        match self.places.is_empty() {
            true => row as usize,
            false => self.places[row as usize] as usize,
        }
    }

    fn bytes_of(&self, row: u32) -> u32 {
        self.row_bytes
            .get(self.place(row))
            .copied()
            .unwrap_or_default()
    }

    #[inline]
    fn value(&self, output: usize, row: u32) -> Value<'_> {
        self.columns[output].value(self.place(row))
    }
}

/// Values that were taken out of an answer, to go to one flow each.
pub struct Values {
    columns: Vec<Vec<UdpValue>>,
    row_bytes: Vec<u32>,
}

impl Values {
    /// Moves those of this row to a flow, whose plugin's columns begin at `first` of so many.
    pub fn move_row(
        &mut self,
        of: &Answer,
        row: u32,
        (first, columns): (usize, usize),
        to: &mut Outputs,
    ) {
        let place = of.place(row);
        let Some(&bytes) = self.row_bytes.get(place) else {
            return;
        };
        let values = self.columns.iter_mut().map(|column| {
            let value = column.get_mut(place);
            value.map(std::mem::take).unwrap_or_default()
        });
        to.put(columns, first, values, bytes);
    }
}

/// The values of some flows, checked; beyond them all are null.
#[derive(Debug)]
pub enum Column {
    Booleans(Vec<u8>, Valid),
    Integers(Vec<i64>, Valid),
    Floats(Vec<f64>, Valid),
    Values(Vec<UdpValue>),
    /// Its values were moved to the flows.
    Moved,
}

/// Not 0 where there is a value; empty where there always is.
type Valid = Vec<u8>;

impl Column {
    /// A column of nulls.
    pub const NULL: Self = Self::Values(Vec::new());

    #[inline]
    pub fn value(&self, place: usize) -> Value<'_> {
        match self {
            Self::Booleans(values, valid) => {
                number(values, valid, place, |value| Value::Boolean(value != 0))
            }
            Self::Integers(values, valid) => number(values, valid, place, Value::Integer),
            Self::Floats(values, valid) => number(values, valid, place, Value::Float),
            Self::Values(values) => values.get(place).map_or(Value::Null, UdpValue::as_value),
            Self::Moved => Value::Null,
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
