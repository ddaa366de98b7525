//! The values that plugins added to a flow.

use std::sync::Arc;

use crate::value::{UdpValue, Value};

/// The values of a flow in the columns of plugins.
///
/// A plugin that handles many flows in one call returns whole columns. Flows share these columns, and each
/// flow stores its row number.
#[derive(Clone, Default)]
pub struct Outputs {
    /// Values that only this flow has: one for every column of its schema, or empty.
    own: Box<[UdpValue]>,
    /// Columns that this flow shares with others. They take precedence over `own`.
    shared: Option<Arc<Table>>,
    /// The row of this flow in `shared`.
    row: u32,
    /// Bytes of the flow's texts, lists and other values that are not numbers.
    bytes: u32,
}

impl Outputs {
    /// Returns the values that only this flow has, and allocates them if necessary. `columns` is the number
    /// of plugin columns in the flow's schema.
    fn own(&mut self, columns: usize) -> &mut [UdpValue] {
        if self.own.len() != columns {
            self.own = vec![UdpValue::Null; columns].into();
        }
        &mut self.own
    }

    /// Stores the values of one plugin for this flow only.
    ///
    /// `columns` is the number of plugin columns in the flow's schema. `first` is the index of the plugin's
    /// first column. `bytes` is the size of the values that are not numbers.
    pub fn put(
        &mut self,
        columns: usize,
        first: usize,
        values: impl IntoIterator<Item = UdpValue>,
        bytes: u32,
    ) {
        let own = &mut self.own(columns)[first..];
        for (target, value) in own.iter_mut().zip(values) {
            *target = value;
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Assigns the values in row `row` of `table` to the flow.
    pub fn share(&mut self, table: Arc<Table>, row: u32) {
        self.bytes = self.bytes.saturating_add(table.bytes(row));
        (self.shared, self.row) = (Some(table), row);
    }

    /// Returns the columns that this flow shares with others, and its row in them.
    #[inline]
    pub fn shared(&self) -> Option<(&Arc<Table>, u32)> {
        self.shared.as_ref().map(|table| (table, self.row))
    }

    /// Returns the bytes of the flow's texts, lists and other values that are not numbers.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Removes all values. They are null from now on.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the value of a column. `column` is its index among the plugin columns of the flow's schema.
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

/// The values that several plugins returned for the same flows.
pub struct Table {
    /// For each plugin column of the schema: the answer with its values, and the index of the column in that
    /// answer. `None` if no answer has the column.
    columns: Vec<Option<(Arc<Answer>, usize)>>,
    /// The answers with values that are not numbers.
    non_numeric: Vec<Arc<Answer>>,
}

impl Table {
    /// Creates a table of `columns` columns without values.
    pub fn new(columns: usize) -> Self {
        Self {
            columns: vec![None; columns],
            non_numeric: Vec::new(),
        }
    }

    /// Adds an answer. `first` is the index of the answer's first column among the columns of the table.
    pub fn put(&mut self, first: usize, answer: &Arc<Answer>) {
        let columns = answer.columns.iter().enumerate();
        for (target, (output, column)) in self.columns[first..].iter_mut().zip(columns) {
            // The values of a moved column are in the flows.
            if !matches!(column, Column::Moved) {
                *target = Some((answer.clone(), output));
            }
        }
        if answer.bytes > 0 {
            self.non_numeric.push(answer.clone());
        }
    }

    /// Returns the column with this index among the plugin columns of the schema, if its rows are those of the table.
    ///
    /// It returns `None` if the values are in the flows, or if an answer has only some of the flows.
    #[inline]
    pub fn column(&self, index: usize) -> Option<&Column> {
        let (answer, output) = self.columns.get(index)?.as_ref()?;
        match answer.rows.is_empty() {
            true => answer.columns.get(*output),
            false => None,
        }
    }

    /// Returns the bytes of the values in a row that are not numbers.
    fn bytes(&self, row: u32) -> u32 {
        let bytes = self.non_numeric.iter().map(|answer| answer.bytes_of(row));
        bytes.fold(0, u32::saturating_add)
    }
}

/// The values that one plugin returned for some of the flows in a batch.
pub struct Answer {
    columns: Vec<Column>,
    /// For each flow of the batch its row in the columns, or `u32::MAX` if it has none. Empty if all flows of
    /// the batch have a row, in the same order.
    rows: Vec<u32>,
    /// For each row the bytes of the values that are not numbers. Empty if all values are numbers.
    row_bytes: Vec<u32>,
    /// The sum of `row_bytes`.
    bytes: usize,
}

impl Answer {
    /// The largest answer in bytes whose columns flows share.
    ///
    /// A flow that waits for a long time keeps all shared columns in memory. The limit bounds this memory.
    const MAX_SHARED_BYTES: usize = 256 << 10;

    /// Creates an answer with one row for each flow in `of`.
    ///
    /// `of` contains indices into a batch of `flows` flows, in increasing order, each at most once.
    /// `row_bytes` has the bytes of each row that are not numbers, or is empty if all values are numbers.
    pub fn new(columns: Vec<Column>, row_bytes: Vec<u32>, of: &[u32], flows: usize) -> Self {
        let mut rows = Vec::new();
        // If the lengths are equal, row and flow index are the same.
        if of.len() < flows {
            rows.resize(flows, u32::MAX);
            for (row, flow) in (0..).zip(of) {
                rows[*flow as usize] = row;
            }
        }
        let bytes = row_bytes.iter().map(|&bytes| bytes as usize).sum();
        Self {
            columns,
            rows,
            row_bytes,
            bytes,
        }
    }

    /// Returns the bytes of all values that are not numbers.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether the answer is too large to be shared. Then the values that are not numbers must be
    /// [taken out](Self::take_values) and moved to the flows.
    pub fn is_large(&self) -> bool {
        self.bytes > Self::MAX_SHARED_BYTES
    }

    /// Removes and returns the values that are not numbers, with the bytes of each row.
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

    /// Returns the row of a flow of the batch. The row does not exist if the answer does not have the flow.
    fn row(&self, flow: u32) -> usize {
        match self.rows.is_empty() {
            true => flow as usize,
            false => self.rows[flow as usize] as usize,
        }
    }

    fn bytes_of(&self, flow: u32) -> u32 {
        self.row_bytes
            .get(self.row(flow))
            .copied()
            .unwrap_or_default()
    }

    #[inline]
    fn value(&self, output: usize, flow: u32) -> Value<'_> {
        self.columns[output].value(self.row(flow))
    }
}

/// Values that were taken out of an answer, to be moved to the flows row by row.
pub struct Values {
    columns: Vec<Vec<UdpValue>>,
    row_bytes: Vec<u32>,
}

impl Values {
    /// Moves the values of one flow to its outputs `to`.
    ///
    /// `of` is the answer that the values were taken out of. `flow` is the index of the flow in the batch.
    /// `first` is the index of the plugin's first column among `columns` plugin columns of the flow's schema.
    pub fn move_row(
        &mut self,
        of: &Answer,
        flow: u32,
        (first, columns): (usize, usize),
        to: &mut Outputs,
    ) {
        let row = of.row(flow);
        let Some(&bytes) = self.row_bytes.get(row) else {
            return;
        };
        let values = self.columns.iter_mut().map(|column| {
            let value = column.get_mut(row);
            value.map(std::mem::take).unwrap_or_default()
        });
        to.put(columns, first, values, bytes);
    }
}

/// One column of valid values, one for each row. Values of later rows are null.
#[derive(Debug)]
pub enum Column {
    /// Booleans: false is 0.
    Booleans(Vec<u8>, Validity),
    /// Integers.
    Integers(Vec<i64>, Validity),
    /// Floats.
    Floats(Vec<f64>, Validity),
    /// Values of any type.
    Values(Vec<UdpValue>),
    /// The values were moved to the flows.
    Moved,
}

/// For each row 0 if its value is null. Empty if no value is null.
type Validity = Vec<u8>;

impl Column {
    /// A column whose values are all null.
    pub const NULL: Self = Self::Values(Vec::new());

    /// Returns the value in a row.
    #[inline]
    pub fn value(&self, row: usize) -> Value<'_> {
        match self {
            Self::Booleans(values, validity) => {
                number(values, validity, row, |value| Value::Boolean(value != 0))
            }
            Self::Integers(values, validity) => number(values, validity, row, Value::Integer),
            Self::Floats(values, validity) => number(values, validity, row, Value::Float),
            Self::Values(values) => values.get(row).map_or(Value::Null, UdpValue::as_value),
            Self::Moved => Value::Null,
        }
    }
}

#[inline]
fn number<'a, T: Copy>(
    values: &[T],
    validity: &[u8],
    row: usize,
    value: impl Fn(T) -> Value<'a>,
) -> Value<'a> {
    match (values.get(row), validity.get(row)) {
        (None, _) | (_, Some(0)) => Value::Null,
        (Some(number), _) => value(*number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> UdpValue {
        UdpValue::Text(text.into())
    }

    /// An answer with an integer and a text for each flow of `of`, in a batch of three flows.
    fn answer(of: &[u32]) -> Answer {
        let numbers = of.iter().map(|&flow| 100 + i64::from(flow)).collect();
        let texts = of.iter().map(|flow| text(&"x".repeat(*flow as usize)));
        let columns = vec![
            Column::Integers(numbers, Vec::new()),
            Column::Values(texts.collect()),
        ];
        Answer::new(columns, of.to_vec(), of, 3)
    }

    #[test]
    fn each_plugin_has_its_own_columns() {
        let mut outputs = Outputs::default();
        assert_eq!((outputs.value(0), outputs.bytes()), (Value::Null, 0));
        outputs.put(3, 1, [text("abc"), UdpValue::Float(0.5)], 3);
        outputs.put(3, 0, [text("de")], 2);
        assert_eq!(outputs.bytes(), 5);
        assert_eq!(outputs.value(0), Value::Text("de"));
        assert_eq!(outputs.value(1), Value::Text("abc"));
        assert_eq!(outputs.value(2), Value::Float(0.5));
        outputs.put(3, 0, [UdpValue::Null], u32::MAX);
        assert_eq!(outputs.bytes(), u32::MAX as usize);
        outputs.clear();
        assert_eq!((outputs.value(1), outputs.bytes()), (Value::Null, 0));
    }

    #[test]
    fn flows_share_the_columns_of_answers() {
        // The first plugin has an answer for two of the three flows, the second one for all.
        let (some, all) = (Arc::new(answer(&[0, 2])), Arc::new(answer(&[0, 1, 2])));
        assert_eq!((some.bytes(), all.bytes()), (2, 3));
        let mut table = Table::new(5);
        table.put(0, &some);
        table.put(2, &all);
        let table = Arc::new(table);
        for (row, number, texts) in [
            (0, Value::Integer(100), [Value::Text(""), Value::Text("")]),
            (1, Value::Null, [Value::Null, Value::Text("x")]),
            (
                2,
                Value::Integer(102),
                [Value::Text("xx"), Value::Text("xx")],
            ),
        ] {
            let mut outputs = Outputs::default();
            outputs.put(5, 4, [UdpValue::Boolean(true)], 7);
            outputs.share(table.clone(), row);
            assert_eq!(outputs.value(0), number);
            assert_eq!([outputs.value(1), outputs.value(3)], texts);
            assert_eq!(outputs.value(2), Value::Integer(100 + i64::from(row)));
            assert_eq!(outputs.value(4), Value::Boolean(true));
            let bytes = [7, 8, 11];
            assert_eq!(outputs.bytes(), bytes[row as usize]);
        }
    }

    #[test]
    fn values_that_are_taken_out_move_to_the_flows() {
        let mut answer = answer(&[0, 2]);
        let mut values = answer.take_values();
        assert_eq!(answer.bytes(), 0);
        let answer = Arc::new(answer);
        let mut table = Table::new(3);
        table.put(1, &answer);
        let table = Arc::new(table);
        for (row, number, moved, bytes) in [
            (2, Value::Integer(102), Value::Text("xx"), 2),
            (1, Value::Null, Value::Null, 0),
            (0, Value::Integer(100), Value::Text(""), 0),
        ] {
            let mut outputs = Outputs::default();
            outputs.share(table.clone(), row);
            values.move_row(&answer, row, (1, 3), &mut outputs);
            assert_eq!((outputs.value(1), outputs.value(2)), (number, moved));
            assert_eq!(outputs.bytes(), bytes);
        }
    }

    #[test]
    fn an_answer_is_large_above_256_kib() {
        for (bytes, is_large) in [(1, false), (256 << 10, false), ((256 << 10) + 1, true)] {
            let answer = Answer::new(vec![Column::NULL], vec![bytes], &[0], 1);
            assert_eq!(answer.is_large(), is_large, "{bytes}");
        }
    }

    #[test]
    fn rows_without_a_valid_value_are_null() {
        let (some, all) = (vec![1, 0], Vec::new());
        for (column, expected) in [
            (
                Column::Booleans(vec![2, 0], all.clone()),
                [Value::Boolean(true), Value::Boolean(false)],
            ),
            (
                Column::Booleans(vec![0, 1], some.clone()),
                [Value::Boolean(false), Value::Null],
            ),
            (
                Column::Integers(vec![-7, 8], some.clone()),
                [Value::Integer(-7), Value::Null],
            ),
            (
                Column::Floats(vec![0.5, 1.5], some),
                [Value::Float(0.5), Value::Null],
            ),
            (
                Column::Floats(vec![0.5], all),
                [Value::Float(0.5), Value::Null],
            ),
            (
                Column::Values(vec![text("a")]),
                [Value::Text("a"), Value::Null],
            ),
            (Column::NULL, [Value::Null; 2]),
            (Column::Moved, [Value::Null; 2]),
        ] {
            assert_eq!([column.value(0), column.value(1)], expected, "{column:?}");
            assert_eq!(column.value(2), Value::Null);
        }
    }
}
