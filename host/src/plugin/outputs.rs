//! What a plugin answers, checked against what it declared.

use super::bindings::batch_feature::{
    FloatLists, IntegerListsResult, OutputColumn, TextsResult, Values,
};
use super::bindings::feature::ValueResult;
use crate::flow::{Column, UdpColumn};
use crate::value::{Type, UdpValue};

/// Takes the values of one flow, and counts those that are not what was declared: they are null.
pub(super) fn record(
    declared: &[UdpColumn],
    values: Vec<ValueResult>,
    into: &mut [UdpValue],
) -> u64 {
    let mut bad = declared.len().abs_diff(values.len()) as u64;
    for ((column, value), into) in declared.iter().zip(values).zip(into) {
        match accept(column.ty(), value) {
            Some(value) => *into = value,
            None => bad += 1,
        }
    }
    bad
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
        (Type::Json, ValueResult::Json(value)) => json(value)?,
        _ => return None,
    })
}

/// Takes columns of values for `rows` flows, and counts those that are not what was declared: they are
/// null.
pub(super) fn columns(
    declared: &[UdpColumn],
    columns: Vec<OutputColumn>,
    rows: usize,
) -> (Vec<Column>, u64) {
    // No flow expired: nothing is due.
    if rows == 0 && columns.is_empty() {
        return (Vec::new(), 0);
    }
    let mut bad = (declared.len().abs_diff(columns.len()) * rows.max(1)) as u64;
    let mut given = columns.into_iter();
    let take = |output: &UdpColumn| match given.next() {
        Some(column) => {
            let (column, its_bad) = column_of(output.ty(), column, rows);
            bad += its_bad;
            column
        }
        None => Column::NULL,
    };
    let columns = declared.iter().map(take).collect();
    (columns, bad)
}

fn column_of(ty: Type, column: OutputColumn, rows: usize) -> (Column, u64) {
    let OutputColumn { values, valid } = column;
    if !valid.is_empty() && valid.len() != rows {
        return (Column::NULL, rows.max(1) as u64);
    }
    let is_valid = |row: usize| valid.get(row).is_none_or(|&valid| valid != 0);
    let bad = |len: usize| {
        let missing = (len..rows).filter(|&row| is_valid(row)).count();
        (missing + len.saturating_sub(rows)) as u64
    };
    match (ty, values) {
        (Type::Boolean, Values::Booleans(values)) => {
            let bad = bad(values.len());
            (Column::Booleans(values, valid), bad)
        }
        (Type::I64, Values::Integers(values)) => {
            let bad = bad(values.len());
            (Column::Integers(values, valid), bad)
        }
        (Type::Float, Values::Floats(values)) => {
            let bad = bad(values.len());
            (Column::Floats(values, valid), bad)
        }
        (_, values) => {
            let mut reader = Reader::new(&values);
            let (mut taken, mut bad) = (Vec::with_capacity(rows), 0);
            for row in 0..rows {
                let value = reader.next(ty);
                bad += u64::from(is_valid(row) && value.is_none());
                taken.push(value.filter(|_| is_valid(row)).unwrap_or_default());
            }
            (Column::Values(taken), bad + reader.left() as u64)
        }
    }
}

/// Goes through a column's values that are not numbers.
struct Reader<'a> {
    values: &'a Values,
    row: usize,
    /// Where the row before ended, in texts and lists.
    end: usize,
}

impl<'a> Reader<'a> {
    fn new(values: &'a Values) -> Self {
        Self {
            values,
            row: 0,
            end: 0,
        }
    }

    /// The next value, if there is one and it is of this type.
    fn next(&mut self, ty: Type) -> Option<UdpValue> {
        let row = self.row;
        self.row += 1;
        Some(match (ty, self.values) {
            (Type::Text, Values::Texts(texts)) => UdpValue::Text(self.text(texts, row)?.into()),
            (Type::Bytes, Values::Bytes(texts)) => {
                UdpValue::Bytes(self.slice(&texts.bytes, &texts.ends, row)?.into())
            }
            (Type::Json, Values::Jsons(texts)) => json(self.text(texts, row)?.to_owned())?,
            (Type::Integers, Values::IntegerLists(IntegerListsResult { values, ends })) => {
                UdpValue::Integers(self.slice(values, ends, row)?.into())
            }
            (Type::Floats, Values::FloatLists(FloatLists { values, ends })) => {
                UdpValue::Floats(self.slice(values, ends, row)?.into())
            }
            _ => return None,
        })
    }

    fn text(&mut self, texts: &'a TextsResult, row: usize) -> Option<&'a str> {
        std::str::from_utf8(self.slice(&texts.bytes, &texts.ends, row)?).ok()
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

/// JSON text that is one value, on one line. Line breaks in valid JSON stand between its words only,
/// where a space means the same.
fn json(text: String) -> Option<UdpValue> {
    serde_json::from_str::<serde::de::IgnoredAny>(&text).ok()?;
    Some(UdpValue::Json(text.replace(['\n', '\r'], " ").into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn declared(ty: Type) -> [UdpColumn; 1] {
        [UdpColumn::new("p", "x", ty, String::new())]
    }

    fn take(ty: Type, values: Values, valid: &[u8], rows: usize) -> (Vec<UdpValue>, u64) {
        let column = OutputColumn {
            values,
            valid: valid.to_vec(),
        };
        let (columns, bad) = columns(&declared(ty), vec![column], rows);
        let got = (0..rows).map(|row| columns[0].value(row));
        let got = got.map(|value| match value {
            Value::Integer(value) => UdpValue::Integer(value),
            Value::Float(value) => UdpValue::Float(value),
            Value::Text(value) => UdpValue::Text(value.into()),
            Value::Bytes(value) => UdpValue::Bytes(value.into()),
            Value::Json(value) => UdpValue::Json(value.into()),
            _ => UdpValue::Null,
        });
        (got.collect(), bad)
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
