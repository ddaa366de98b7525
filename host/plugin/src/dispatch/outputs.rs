//! What a plugin answers, checked against what it declared.

use flowloom_core::flow::Column;
use flowloom_core::schema::UdpColumn;
use flowloom_core::value::{Type, UdpValue};

use super::json::json;
use crate::contract::batch_feature::{
    FloatLists, IntegerListsResult, OutputColumn, TextsResult, Values,
};
use crate::contract::feature::ValueResult;

/// What was taken of an answer; what was not is null.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken<T> {
    /// The values.
    pub(crate) values: T,
    /// For each flow the bytes of its texts, lists and other values that are not numbers; empty if there
    /// are none.
    pub(crate) row_bytes: Vec<u32>,
    /// Values that were not what was declared.
    pub(crate) bad: u64,
    /// Values for which a flow had no bytes left.
    pub(crate) too_large: u64,
}

/// Takes the values of one flow, which may have `most` bytes that are not numbers.
pub(crate) fn record(
    declared: &[UdpColumn],
    values: Vec<ValueResult>,
    most: usize,
) -> Taken<Vec<UdpValue>> {
    let mut bad = declared.len().abs_diff(values.len()) as u64;
    let (mut used, mut too_large) = (0, 0);
    let mut take = |(column, value): (&UdpColumn, ValueResult)| {
        let bytes = bytes_of(&value);
        if bytes > most - used {
            too_large += 1;
            return UdpValue::Null;
        }
        let taken = accept(column.ty(), value);
        bad += u64::from(taken.is_none());
        let taken = taken.unwrap_or_default();
        if !matches!(taken, UdpValue::Null) {
            used += bytes;
        }
        taken
    };
    let values = declared.iter().zip(values).map(&mut take).collect();
    Taken {
        values,
        row_bytes: vec![used as u32],
        bad,
        too_large,
    }
}

/// Bytes of a value that is no number.
fn bytes_of(value: &ValueResult) -> usize {
    match value {
        ValueResult::Text(text) | ValueResult::Json(text) => text.len(),
        ValueResult::Bytes(bytes) => bytes.len(),
        ValueResult::Integers(list) => size_of_val(&list[..]),
        ValueResult::Floats(list) => size_of_val(&list[..]),
        _ => 0,
    }
}

fn accept(ty: Type, value: ValueResult) -> Option<UdpValue> {
    Some(match (ty, value) {
        (_, ValueResult::Null) => UdpValue::Null,
        (Type::Boolean, ValueResult::Boolean(value)) => UdpValue::Boolean(value),
        (Type::I64, ValueResult::Integer(value)) => UdpValue::Integer(value),
        (Type::Float, ValueResult::Float(value)) => UdpValue::Float(value),
        (Type::Text, ValueResult::Text(value)) => UdpValue::Text(value.into()),
        (Type::Bytes, ValueResult::Bytes(value)) => UdpValue::Bytes(value.into()),
        (Type::Integers, ValueResult::Integers(value)) => UdpValue::Integers(value.into()),
        (Type::Floats, ValueResult::Floats(value)) => UdpValue::Floats(value.into()),
        (Type::Json, ValueResult::Json(value)) => UdpValue::Json(json(&value)?),
        _ => return None,
    })
}

/// Takes columns of values for `rows` flows, each of which may have `most` bytes that are not numbers.
/// Nothing of the answer is kept beyond them.
pub(crate) fn columns(
    declared: &[UdpColumn],
    columns: Vec<OutputColumn>,
    rows: usize,
    most: usize,
) -> Taken<Vec<Column>> {
    // No flow expired: nothing is due.
    if rows == 0 && columns.is_empty() {
        return Taken::default();
    }
    let mut taken = Taken {
        bad: (declared.len().abs_diff(columns.len()) * rows.max(1)) as u64,
        ..Taken::default()
    };
    let mut given = columns.into_iter();
    for output in declared {
        let column = match given.next() {
            Some(column) => column_of(output.ty(), column, rows, most, &mut taken),
            None => Column::NULL,
        };
        taken.values.push(column);
    }
    taken
}

fn column_of(
    ty: Type,
    column: OutputColumn,
    rows: usize,
    most: usize,
    taken: &mut Taken<Vec<Column>>,
) -> Column {
    let OutputColumn { values, valid } = column;
    if !valid.is_empty() && valid.len() != rows {
        taken.bad += rows.max(1) as u64;
        return Column::NULL;
    }
    let is_valid = |row: usize| valid.get(row).is_none_or(|&valid| valid != 0);
    let bad = |len: usize| {
        let missing = (len..rows).filter(|&row| is_valid(row)).count();
        (missing + len.saturating_sub(rows)) as u64
    };
    match (ty, values) {
        (Type::Boolean, Values::Booleans(values)) => {
            taken.bad += bad(values.len());
            Column::Booleans(first(values, rows), valid)
        }
        (Type::I64, Values::Integers(values)) => {
            taken.bad += bad(values.len());
            Column::Integers(first(values, rows), valid)
        }
        (Type::Float, Values::Floats(values)) => {
            taken.bad += bad(values.len());
            Column::Floats(first(values, rows), valid)
        }
        (_, values) => {
            taken.row_bytes.resize(rows, 0);
            let mut reader = Reader::new(&values);
            let mut column = Vec::with_capacity(rows);
            for (row, used) in taken.row_bytes.iter_mut().enumerate() {
                let left = most - *used as usize;
                column.push(match reader.next(ty, left, is_valid(row)) {
                    Read::Value(value, bytes) => {
                        *used += bytes as u32;
                        value
                    }
                    Read::Null => UdpValue::Null,
                    Read::TooLarge => {
                        taken.too_large += 1;
                        UdpValue::Null
                    }
                    Read::Bad => {
                        taken.bad += u64::from(is_valid(row));
                        UdpValue::Null
                    }
                });
            }
            taken.bad += reader.left() as u64;
            Column::Values(column)
        }
    }
}

/// The first `rows` values, without the memory of others.
fn first<T>(mut values: Vec<T>, rows: usize) -> Vec<T> {
    if values.len() > rows {
        values.truncate(rows);
        values.shrink_to_fit();
    }
    values
}

/// Goes through a column's values that are not numbers.
struct Reader<'a> {
    values: &'a Values,
    row: usize,
    /// Where the row before ended, in texts and lists.
    end: usize,
}

/// What stands in a row.
enum Read {
    /// A value, and its bytes.
    Value(UdpValue, usize),
    Null,
    TooLarge,
    /// Nothing, or not what was declared.
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

    /// The next value, of this type and of no more than `most` bytes. It is not looked at unless it
    /// `is_valid`.
    fn next(&mut self, ty: Type, most: usize, is_valid: bool) -> Read {
        let row = self.row;
        self.row += 1;
        let take = Take { most, is_valid };
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Box::from);
        match (ty, self.values) {
            (Type::Text, Values::Texts(TextsResult { bytes, ends })) => take
                .of(self.slice(bytes, ends, row), |bytes| {
                    text(bytes).map(UdpValue::Text)
                }),
            (Type::Bytes, Values::Bytes(TextsResult { bytes, ends })) => take
                .of(self.slice(bytes, ends, row), |bytes| {
                    Some(UdpValue::Bytes(bytes.into()))
                }),
            (Type::Json, Values::Jsons(TextsResult { bytes, ends })) => take
                .of(self.slice(bytes, ends, row), |bytes| {
                    json(std::str::from_utf8(bytes).ok()?).map(UdpValue::Json)
                }),
            (Type::Integers, Values::IntegerLists(IntegerListsResult { values, ends })) => take
                .of(self.slice(values, ends, row), |list| {
                    Some(UdpValue::Integers(list.into()))
                }),
            (Type::Floats, Values::FloatLists(FloatLists { values, ends })) => take
                .of(self.slice(values, ends, row), |list| {
                    Some(UdpValue::Floats(list.into()))
                }),
            _ => Read::Bad,
        }
    }

    fn slice<T>(&mut self, all: &'a [T], ends: &[u32], row: usize) -> Option<&'a [T]> {
        let end = *ends.get(row)? as usize;
        let slice = all.get(self.end..end)?;
        self.end = end;
        Some(slice)
    }

    /// How many values nobody asked for.
    fn left(&self) -> usize {
        let rows = match self.values {
            Values::Booleans(values) => values.len(),
            Values::Integers(values) => values.len(),
            Values::Floats(values) => values.len(),
            Values::Texts(texts) | Values::Bytes(texts) | Values::Jsons(texts) => texts.ends.len(),
            Values::IntegerLists(lists) => lists.ends.len(),
            Values::FloatLists(lists) => lists.ends.len(),
        };
        rows.saturating_sub(self.row)
    }
}

/// How a value is to be taken.
struct Take {
    most: usize,
    is_valid: bool,
}

impl Take {
    /// Looks at no value that is not wanted, or is too large: the work is bounded as the bytes are.
    fn of<T>(&self, slice: Option<&[T]>, value: impl FnOnce(&[T]) -> Option<UdpValue>) -> Read {
        let Some(slice) = slice else {
            return Read::Bad;
        };
        let bytes = size_of_val(slice);
        if !self.is_valid {
            return Read::Null;
        }
        if bytes > self.most {
            return Read::TooLarge;
        }
        value(slice).map_or(Read::Bad, |value| Read::Value(value, bytes))
    }
}

#[cfg(test)]
mod tests {
    use flowloom_core::value::Value;

    use super::*;

    const MOST: usize = 64 << 10;

    fn declared(ty: Type) -> [UdpColumn; 1] {
        [UdpColumn::new("p", "x", ty, String::new())]
    }

    fn take(ty: Type, values: Values, valid: &[u8], rows: usize) -> (Vec<UdpValue>, u64) {
        let column = OutputColumn {
            values,
            valid: valid.to_vec(),
        };
        let taken = columns(&declared(ty), vec![column], rows, MOST);
        let got = (0..rows).map(|row| taken.values[0].value(row));
        let got = got.map(|value| match value {
            Value::Integer(value) => UdpValue::Integer(value),
            Value::Float(value) => UdpValue::Float(value),
            Value::Text(value) => UdpValue::Text(value.into()),
            Value::Bytes(value) => UdpValue::Bytes(value.into()),
            Value::Json(value) => UdpValue::Json(value.into()),
            _ => UdpValue::Null,
        });
        (got.collect(), taken.bad)
    }

    fn texts(bytes: &[u8], ends: &[u32]) -> TextsResult {
        TextsResult {
            bytes: bytes.to_vec(),
            ends: ends.to_vec(),
        }
    }

    #[test]
    fn takes_values_and_nulls() {
        let (got, bad) = take(Type::I64, Values::Integers(vec![1, 2, 3]), &[1, 0, 1], 3);
        assert_eq!(
            got,
            [UdpValue::Integer(1), UdpValue::Null, UdpValue::Integer(3)]
        );
        assert_eq!(bad, 0);
        let (got, bad) = take(
            Type::Text,
            Values::Texts(texts("aöb".as_bytes(), &[1, 3, 4])),
            &[],
            3,
        );
        assert_eq!(got, ["a", "ö", "b"].map(|text| UdpValue::Text(text.into())));
        assert_eq!(bad, 0);
    }

    #[test]
    fn nulls_and_counts_what_was_not_declared() {
        for (ty, values, valid, rows, bad_expected) in [
            (Type::I64, Values::Floats(vec![1.0, 2.0]), &[][..], 2, 2),
            (Type::I64, Values::Integers(vec![1]), &[], 2, 1),
            (Type::I64, Values::Integers(vec![1, 2, 3]), &[], 2, 1),
            (Type::I64, Values::Integers(vec![1, 2]), &[1], 2, 4),
            (Type::Text, Values::Texts(texts(b"\xff", &[1])), &[], 1, 1),
            (Type::Bytes, Values::Bytes(texts(b"ab", &[9])), &[], 1, 1),
            (Type::Bytes, Values::Bytes(texts(b"ab", &[2, 1])), &[], 2, 1),
            (Type::Json, Values::Jsons(texts(b"{", &[1])), &[], 1, 1),
        ] {
            let what = format!("{ty:?} {values:?} {valid:?}");
            let (_, bad) = take(ty, values, valid, rows);
            // Where validity is of the wrong length the values were not asked for either.
            assert!(
                bad == bad_expected || valid.len() == 1 && bad >= 2,
                "{what}: {bad}"
            );
        }
    }

    #[test]
    fn a_flow_has_no_more_bytes_than_it_may_and_the_others_keep_theirs() {
        let declared: Vec<_> = [
            Type::Text,
            Type::Bytes,
            Type::Floats,
            Type::Integers,
            Type::Json,
        ]
        .map(|ty| UdpColumn::new("p", "x", ty, String::new()))
        .into();
        // Of the second flow each value is larger than a flow may have; the first one's fit together.
        let texts = |first: &[u8], fill: u8| {
            let bytes = [first, b"\"", &[fill; 200], b"\""].concat();
            let ends = vec![first.len() as u32, bytes.len() as u32];
            TextsResult { bytes, ends }
        };
        let ends = vec![1, 101];
        let answer = |values| OutputColumn {
            values,
            valid: Vec::new(),
        };
        let given = vec![
            answer(Values::Texts(texts(b"ab", b'x'))),
            answer(Values::Bytes(texts(b"abc", b'x'))),
            answer(Values::FloatLists(FloatLists {
                values: vec![0.5; 101],
                ends: ends.clone(),
            })),
            answer(Values::IntegerLists(IntegerListsResult {
                values: vec![5; 101],
                ends,
            })),
            answer(Values::Jsons(texts(b"[]", b'x'))),
        ];
        let taken = columns(&declared, given, 2, 100);
        assert_eq!((taken.bad, taken.too_large), (0, 5));
        assert_eq!(taken.row_bytes, [2 + 3 + 8 + 8 + 2, 0]);
        let is_null = |column: &Column, row| column.value(row) == Value::Null;
        assert!(taken.values.iter().all(|column| !is_null(column, 0)));
        assert!(taken.values.iter().all(|column| is_null(column, 1)));
    }

    #[test]
    fn a_record_has_no_more_bytes_than_it_may() {
        let declared: Vec<_> = [Type::Text, Type::I64, Type::Floats, Type::Json, Type::Text]
            .map(|ty| UdpColumn::new("p", "x", ty, String::new()))
            .into();
        let values = vec![
            ValueResult::Text("x".repeat(60)),
            ValueResult::Integer(7),
            ValueResult::Floats(vec![0.5; 6]),
            ValueResult::Json("{".into()),
            ValueResult::Text("y".repeat(40)),
        ];
        let taken = record(&declared, values, 100);
        assert_eq!(
            (taken.bad, taken.too_large, &taken.row_bytes[..]),
            (1, 1, &[100][..])
        );
        assert_eq!(
            taken.values,
            [
                UdpValue::Text("x".repeat(60).into()),
                UdpValue::Integer(7),
                UdpValue::Null,
                UdpValue::Null,
                UdpValue::Text("y".repeat(40).into()),
            ]
        );
    }

    #[test]
    fn values_that_nobody_asked_for_are_not_kept() {
        let numbers = OutputColumn {
            values: Values::Integers(vec![1; 1 << 20]),
            valid: Vec::new(),
        };
        let taken = columns(&declared(Type::I64), vec![numbers], 2, MOST);
        assert_eq!(taken.bad, (1 << 20) - 2);
        let [Column::Integers(kept, _)] = &taken.values[..] else {
            panic!("{:?}", taken.values.len());
        };
        assert!(kept.capacity() < 64, "{}", kept.capacity());
    }
    #[test]
    fn json_stays_on_one_line() {
        let (got, bad) = take(
            Type::Json,
            Values::Jsons(texts(b"{\"a\":\n1}", &[8])),
            &[],
            1,
        );
        assert_eq!(got, [UdpValue::Json("{\"a\": 1}".into())]);
        assert_eq!(bad, 0);
    }
}
