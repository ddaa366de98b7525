//! Validation of the values that a plugin returns, against the outputs that it declared.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use flowloom_core::flow::Column;
use flowloom_core::schema::UdpColumn;
use flowloom_core::value::{TEXT_OVERHEAD, Type, UdpValue};

use super::json::json;
use crate::contract::batch_feature::{
    FloatLists, IntegerListsResult, OutputColumn, TextLists, TextsResult, Values,
};
use crate::contract::feature::ValueResult;

/// The accepted values of an answer. A value that was not accepted is null.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct AcceptedOutputs<T> {
    /// The values: one per output, or one column per output.
    pub(crate) values: T,
    /// For each flow, the bytes of its texts, lists and other values that are not numbers. Empty if there are
    /// none.
    pub(crate) row_bytes: Vec<u32>,
    /// The number of values that were not of the declared type, or not declared, or missing.
    pub(crate) bad: u64,
    /// Why the first of these is not accepted.
    pub(crate) reason: Option<BadOutput>,
    /// The number of values that exceeded the bytes of their flow.
    pub(crate) too_large: u64,
}

impl<T> AcceptedOutputs<T> {
    /// Counts values that are not accepted.
    fn add_bad(&mut self, count: u64, reason: BadOutput) {
        self.bad += count;
        if count > 0 {
            self.reason.get_or_insert(reason);
        }
    }
}

/// Why a value is not accepted. The number is that of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadOutput {
    /// The number of values, or of columns, is not the number of outputs.
    Count {
        given: usize,
    },
    /// The number of values of a column is not the number of flows.
    Rows(usize),
    Type(usize),
    /// The text is not one JSON value.
    Json(usize),
}

impl BadOutput {
    fn of(ty: Type, output: usize) -> Self {
        match ty {
            Type::Json => Self::Json(output),
            _ => Self::Type(output),
        }
    }

    /// Returns the reason for the author of the plugin.
    pub(crate) fn text(self, declared: &[UdpColumn]) -> String {
        let name = |output: usize| declared.get(output).map_or("?", UdpColumn::name);
        match self {
            Self::Count { given } => format!(
                "returned {given} values at expire, but declares {} outputs",
                declared.len()
            ),
            Self::Rows(output) => format!(
                "returned a column for output '{}' whose number of values is not the number of ended flows",
                name(output)
            ),
            Self::Type(output) => {
                let ty = declared
                    .get(output)
                    .map_or("?", |output| output.ty().name());
                format!(
                    "returned a value for output '{}' that is not of its type {ty}",
                    name(output)
                )
            }
            Self::Json(output) => format!(
                "returned a value for output '{}' that is not one JSON value of RFC 7493",
                name(output)
            ),
        }
    }
}

/// Accepts the values of one flow. At most `max_bytes` of them are bytes that are not numbers.
pub(crate) fn accept_record(
    declared: &[UdpColumn],
    values: Vec<ValueResult>,
    max_bytes: usize,
) -> AcceptedOutputs<Vec<UdpValue>> {
    let mut outputs = AcceptedOutputs::default();
    let given = values.len();
    outputs.add_bad(
        declared.len().abs_diff(given) as u64,
        BadOutput::Count { given },
    );
    let mut used = 0;
    let mut accept = |(n, (column, value)): (usize, (&UdpColumn, ValueResult))| {
        let bytes = bytes_of(&value);
        if bytes > max_bytes - used {
            outputs.too_large += 1;
            return UdpValue::Null;
        }
        let ty = column.ty();
        let accepted = accept_value(ty, value);
        outputs.add_bad(accepted.is_none().into(), BadOutput::of(ty, n));
        let accepted = accepted.unwrap_or_default();
        if !matches!(accepted, UdpValue::Null) {
            used += bytes;
        }
        accepted
    };
    let both = declared.iter().zip(values).enumerate();
    let values = both.map(&mut accept).collect();
    AcceptedOutputs {
        values,
        row_bytes: vec![used as u32],
        ..outputs
    }
}

/// Returns the bytes of a value; 0 for a number.
fn bytes_of(value: &ValueResult) -> usize {
    match value {
        ValueResult::Text(text) | ValueResult::Json(text) => text.len(),
        ValueResult::Bytes(bytes) => bytes.len(),
        ValueResult::Integers(list) => size_of_val(&list[..]),
        ValueResult::Floats(list) => size_of_val(&list[..]),
        ValueResult::Texts(list) => list.iter().map(|text| TEXT_OVERHEAD + text.len()).sum(),
        ValueResult::Null
        | ValueResult::Boolean(_)
        | ValueResult::Integer(_)
        | ValueResult::Float(_) => 0,
    }
}

fn accept_value(ty: Type, value: ValueResult) -> Option<UdpValue> {
    Some(match (ty, value) {
        (_, ValueResult::Null) => UdpValue::Null,
        (Type::Boolean, ValueResult::Boolean(value)) => UdpValue::Boolean(value),
        (Type::I64, ValueResult::Integer(value)) => UdpValue::Integer(value),
        (Type::Float, ValueResult::Float(value)) => UdpValue::Float(value),
        (Type::Text, ValueResult::Text(value)) => UdpValue::Text(value.into()),
        (Type::Bytes, ValueResult::Bytes(value)) => UdpValue::Bytes(value.into()),
        (Type::Integers, ValueResult::Integers(value)) => UdpValue::Integers(value.into()),
        (Type::Floats, ValueResult::Floats(value)) => UdpValue::Floats(value.into()),
        (Type::Texts, ValueResult::Texts(list)) => {
            UdpValue::Texts(list.into_iter().map(Arc::from).collect())
        }
        (Type::Json, ValueResult::Json(value)) => UdpValue::Json(json(&value)?),
        _ => return None,
    })
}

/// Accepts columns of values for `rows` flows. Each flow has at most `max_bytes` that are not numbers.
///
/// The result keeps no other memory of the answer.
pub(crate) fn accept_columns(
    declared: &[UdpColumn],
    columns: Vec<OutputColumn>,
    rows: usize,
    max_bytes: usize,
) -> AcceptedOutputs<Vec<Column>> {
    // No flow ended, so no columns are necessary.
    if rows == 0 && columns.is_empty() {
        return AcceptedOutputs::default();
    }
    let mut accepted = AcceptedOutputs::default();
    let given = columns.len();
    accepted.add_bad(
        (declared.len().abs_diff(given) * rows.max(1)) as u64,
        BadOutput::Count { given },
    );
    let mut given = columns.into_iter();
    for (n, output) in declared.iter().enumerate() {
        let column = match given.next() {
            Some(column) => accept_column((n, output.ty()), column, rows, max_bytes, &mut accepted),
            None => Column::NULL,
        };
        accepted.values.push(column);
    }
    accepted
}

fn accept_column(
    (output, ty): (usize, Type),
    column: OutputColumn,
    rows: usize,
    max_bytes: usize,
    accepted: &mut AcceptedOutputs<Vec<Column>>,
) -> Column {
    let OutputColumn { values, valid } = column;
    if !valid.is_empty() && valid.len() != rows {
        accepted.add_bad(rows.max(1) as u64, BadOutput::Rows(output));
        return Column::NULL;
    }
    let is_valid = |row: usize| valid.get(row).is_none_or(|&valid| valid != 0);
    let bad = |len: usize| {
        let missing = (len..rows).filter(|&row| is_valid(row)).count();
        (missing + len.saturating_sub(rows)) as u64
    };
    match (ty, values) {
        (Type::Boolean, Values::Booleans(values)) => {
            accepted.add_bad(bad(values.len()), BadOutput::Rows(output));
            Column::Booleans(first(values, rows), valid)
        }
        (Type::I64, Values::Integers(values)) => {
            accepted.add_bad(bad(values.len()), BadOutput::Rows(output));
            Column::Integers(first(values, rows), valid)
        }
        (Type::Float, Values::Floats(values)) => {
            accepted.add_bad(bad(values.len()), BadOutput::Rows(output));
            Column::Floats(first(values, rows), valid)
        }
        (_, values) => {
            accepted.row_bytes.resize(rows, 0);
            let mut reader = Reader::new(&values);
            let mut column = Vec::with_capacity(rows);
            let mut bad_rows = 0;
            for (row, used) in accepted.row_bytes.iter_mut().enumerate() {
                let left = max_bytes - *used as usize;
                column.push(match reader.next(ty, left, is_valid(row)) {
                    Row::Value(value, bytes) => {
                        *used += bytes as u32;
                        value
                    }
                    Row::Null => UdpValue::Null,
                    Row::TooLarge => {
                        accepted.too_large += 1;
                        UdpValue::Null
                    }
                    Row::Bad => {
                        bad_rows += u64::from(is_valid(row));
                        UdpValue::Null
                    }
                });
            }
            accepted.add_bad(bad_rows, BadOutput::of(ty, output));
            accepted.add_bad(reader.left() as u64, BadOutput::Rows(output));
            Column::Values(column)
        }
    }
}

/// Returns the first `rows` values, and releases the memory of the rest.
fn first<T>(mut values: Vec<T>, rows: usize) -> Vec<T> {
    if values.len() > rows {
        values.truncate(rows);
        values.shrink_to_fit();
    }
    values
}

/// Iterates over the rows of a column whose values are not numbers.
struct Reader<'a> {
    values: &'a Values,
    row: usize,
    /// The end of the previous row's text or list.
    end: usize,
}

/// The result of reading a row.
enum Row {
    /// A value, and how many bytes it has.
    Value(UdpValue, usize),
    Null,
    TooLarge,
    /// No value, or not one of the declared type.
    Bad,
}

impl<'a> Reader<'a> {
    fn new(values: &'a Values) -> Self {
        Self {
            values,
            row: 0,
            end: 0,
        }
    }

    /// Reads the next row, which must have this type and at most `max_bytes`. A row that is not valid is not
    /// read.
    fn next(&mut self, ty: Type, max_bytes: usize, is_valid: bool) -> Row {
        let row = self.row;
        self.row += 1;
        let conditions = RowConditions {
            max_bytes,
            is_valid,
        };
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Box::from);
        match (ty, self.values) {
            (Type::Text, Values::Texts(TextsResult { bytes, ends })) => conditions
                .convert(self.slice(bytes, ends, row), |bytes| {
                    text(bytes).map(UdpValue::Text)
                }),
            (Type::Bytes, Values::Bytes(TextsResult { bytes, ends })) => conditions
                .convert(self.slice(bytes, ends, row), |bytes| {
                    Some(UdpValue::Bytes(bytes.into()))
                }),
            (Type::Json, Values::Jsons(TextsResult { bytes, ends })) => conditions
                .convert(self.slice(bytes, ends, row), |bytes| {
                    json(std::str::from_utf8(bytes).ok()?).map(UdpValue::Json)
                }),
            (Type::Integers, Values::IntegerLists(IntegerListsResult { values, ends })) => {
                conditions.convert(self.slice(values, ends, row), |list| {
                    Some(UdpValue::Integers(list.into()))
                })
            }
            (Type::Floats, Values::FloatLists(FloatLists { values, ends })) => conditions
                .convert(self.slice(values, ends, row), |list| {
                    Some(UdpValue::Floats(list.into()))
                }),
            (Type::Texts, Values::TextLists(TextLists { texts, ends })) => {
                let start = self.end;
                let list = self.slice(&texts.ends, ends, row);
                let list = list.and_then(|ends| TextList::new(texts, start, ends));
                conditions.convert_list(list)
            }
            _ => Row::Bad,
        }
    }

    fn slice<T>(&mut self, all: &'a [T], ends: &[u32], row: usize) -> Option<&'a [T]> {
        let end = *ends.get(row)? as usize;
        let slice = all.get(self.end..end)?;
        self.end = end;
        Some(slice)
    }

    /// Returns how many values remain beyond the rows that were read.
    fn left(&self) -> usize {
        let rows = match self.values {
            Values::Booleans(values) => values.len(),
            Values::Integers(values) => values.len(),
            Values::Floats(values) => values.len(),
            Values::Texts(texts) | Values::Bytes(texts) | Values::Jsons(texts) => texts.ends.len(),
            Values::IntegerLists(lists) => lists.ends.len(),
            Values::FloatLists(lists) => lists.ends.len(),
            Values::TextLists(lists) => lists.ends.len(),
        };
        rows.saturating_sub(self.row)
    }
}

/// The texts of one row.
struct TextList<'a> {
    /// The bytes of the texts of all rows.
    bytes: &'a [u8],
    /// Where the first text begins in `bytes`.
    start: usize,
    /// Where each text ends in `bytes`.
    ends: &'a [u32],
}

impl<'a> TextList<'a> {
    /// Returns the texts that end at `ends`. `first` is the index of the first one among the texts of all rows.
    fn new(texts: &'a TextsResult, first: usize, ends: &'a [u32]) -> Option<Self> {
        let start = match first.checked_sub(1) {
            Some(before) => *texts.ends.get(before)? as usize,
            None => 0,
        };
        Some(Self {
            bytes: &texts.bytes,
            start,
            ends,
        })
    }

    /// Returns the memory of the list, or `None` if its texts end before it begins.
    fn bytes(&self) -> Option<usize> {
        let end = self.ends.last().map_or(self.start, |&end| end as usize);
        let characters = end.checked_sub(self.start)?;
        Some(self.ends.len() * TEXT_OVERHEAD + characters)
    }

    fn value(&self) -> Option<UdpValue> {
        let mut start = self.start;
        let mut text = |&end: &u32| {
            let bytes = self.bytes.get(start..end as usize)?;
            start = end as usize;
            std::str::from_utf8(bytes).ok().map(Arc::from)
        };
        let texts = self.ends.iter().map(&mut text);
        texts.collect::<Option<_>>().map(UdpValue::Texts)
    }
}

/// The conditions under which the value of a row is accepted.
struct RowConditions {
    max_bytes: usize,
    is_valid: bool,
}

impl RowConditions {
    /// Converts a slice to a value. A value that is null or too large is not inspected, so that the work is
    /// bounded by the accepted bytes.
    fn convert<T>(&self, slice: Option<&[T]>, value: impl FnOnce(&[T]) -> Option<UdpValue>) -> Row {
        let Some(slice) = slice else {
            return Row::Bad;
        };
        self.accept(size_of_val(slice), || value(slice))
    }

    /// Converts a list of texts to a value, in the same way.
    fn convert_list(&self, list: Option<TextList<'_>>) -> Row {
        let Some((list, bytes)) = list.and_then(|list| list.bytes().map(|bytes| (list, bytes)))
        else {
            return Row::Bad;
        };
        self.accept(bytes, || list.value())
    }

    fn accept(&self, bytes: usize, value: impl FnOnce() -> Option<UdpValue>) -> Row {
        if !self.is_valid {
            return Row::Null;
        }
        if bytes > self.max_bytes {
            return Row::TooLarge;
        }
        value().map_or(Row::Bad, |value| Row::Value(value, bytes))
    }
}
