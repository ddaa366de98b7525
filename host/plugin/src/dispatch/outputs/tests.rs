use std::sync::Arc;

use flowloom_core::value::Value;

use super::*;

const MAX_BYTES: usize = 64 << 10;

fn declared(ty: Type) -> [UdpColumn; 1] {
    [UdpColumn::new("p", "x", ty, String::new())]
}

fn accept(ty: Type, values: Values, valid: &[u8], rows: usize) -> (Vec<UdpValue>, u64) {
    let column = OutputColumn {
        values,
        valid: valid.to_vec(),
    };
    let accepted = accept_columns(&declared(ty), vec![column], rows, MAX_BYTES);
    let got = (0..rows).map(|row| accepted.values[0].value(row));
    let got = got.map(|value| match value {
        Value::Integer(value) => UdpValue::Integer(value),
        Value::Float(value) => UdpValue::Float(value),
        Value::Text(value) => UdpValue::Text(value.into()),
        Value::Bytes(value) => UdpValue::Bytes(value.into()),
        Value::Json(value) => UdpValue::Json(value.into()),
        _ => UdpValue::Null,
    });
    (got.collect(), accepted.bad)
}

fn texts(bytes: &[u8], ends: &[u32]) -> TextsResult {
    TextsResult {
        bytes: bytes.to_vec(),
        ends: ends.to_vec(),
    }
}

#[test]
fn values_and_nulls_are_accepted() {
    let (got, bad) = accept(Type::I64, Values::Integers(vec![1, 2, 3]), &[1, 0, 1], 3);
    assert_eq!(
        got,
        [UdpValue::Integer(1), UdpValue::Null, UdpValue::Integer(3)]
    );
    assert_eq!(bad, 0);
    let (got, bad) = accept(
        Type::Text,
        Values::Texts(texts("aöb".as_bytes(), &[1, 3, 4])),
        &[],
        3,
    );
    assert_eq!(got, ["a", "ö", "b"].map(|text| UdpValue::Text(text.into())));
    assert_eq!(bad, 0);
}

#[test]
fn values_of_another_type_are_null_and_counted() {
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
        let (_, bad) = accept(ty, values, valid, rows);
        // If `valid` has the wrong length, the values count as not declared, too.
        assert!(
            bad == bad_expected || valid.len() == 1 && bad >= 2,
            "{what}: {bad}"
        );
    }
}

#[test]
fn the_bytes_of_each_flow_are_limited_separately() {
    let declared: Vec<_> = [
        Type::Text,
        Type::Bytes,
        Type::Floats,
        Type::Integers,
        Type::Json,
    ]
    .map(|ty| UdpColumn::new("p", "x", ty, String::new()))
    .into();
    // Each value of the second flow exceeds the limit. The values of the first flow fit together.
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
    let accepted = accept_columns(&declared, given, 2, 100);
    assert_eq!((accepted.bad, accepted.too_large), (0, 5));
    assert_eq!(accepted.row_bytes, [2 + 3 + 8 + 8 + 2, 0]);
    let is_null = |column: &Column, row| column.value(row) == Value::Null;
    assert!(accepted.values.iter().all(|column| !is_null(column, 0)));
    assert!(accepted.values.iter().all(|column| is_null(column, 1)));
}

/// Returns lists of texts: `ends` in `bytes`, and the ends of the lists.
fn text_lists(bytes: &[u8], ends: &[u32], lists: &[u32]) -> Values {
    Values::TextLists(TextLists {
        texts: texts(bytes, ends),
        ends: lists.to_vec(),
    })
}

#[test]
fn lists_of_texts_are_accepted() {
    let values = text_lists("aöb".as_bytes(), &[1, 3, 3, 4], &[2, 2, 2, 4]);
    let column = OutputColumn {
        values,
        valid: vec![1, 1, 0, 1],
    };
    let accepted = accept_columns(&declared(Type::Texts), vec![column], 4, MAX_BYTES);
    assert_eq!((accepted.bad, accepted.too_large), (0, 0));
    assert_eq!(accepted.row_bytes, [2 * 32 + 3, 0, 0, 2 * 32 + 1]);
    for (row, expected) in [
        (0, Some(vec!["a", "ö"])),
        (1, Some(vec![])),
        (2, None),
        (3, Some(vec!["", "b"])),
    ] {
        let expected = expected.map(|list| list.into_iter().map(Arc::from).collect::<Vec<_>>());
        let value = expected.as_deref().map_or(Value::Null, Value::Texts);
        assert_eq!(accepted.values[0].value(row), value, "{row}");
    }
}

#[test]
fn invalid_lists_of_texts_are_null_and_counted() {
    for (bytes, ends, lists, bad, too_large) in [
        // Not UTF-8.
        (&b"a\xff"[..], &[1, 2][..], &[1, 2][..], 1, 0),
        // A list ends after the last text, or before it begins.
        (b"ab", &[1, 2], &[1, 3], 1, 0),
        (b"ab", &[1, 2], &[2, 1], 1, 0),
        // A text ends after the last byte, or before it begins.
        (b"ab", &[1, 3], &[1, 2], 1, 0),
        (b"ab", &[2, 1], &[1, 2], 1, 0),
        (b"ab", &[1, 2], &[1], 1, 0),
        // Many empty texts need memory too.
        (b"a", &[1, 1, 1, 1, 1, 1], &[1, 6], 0, 1),
    ] {
        let column = OutputColumn {
            values: text_lists(bytes, ends, lists),
            valid: Vec::new(),
        };
        let what = format!("{column:?}");
        let accepted = accept_columns(&declared(Type::Texts), vec![column], 2, 100);
        assert_eq!(
            (accepted.bad, accepted.too_large),
            (bad, too_large),
            "{what}"
        );
        let is_null = |row| accepted.values[0].value(row) == Value::Null;
        assert!(!is_null(0) && is_null(1), "{what}");
    }
}

#[test]
fn the_bytes_of_a_record_are_limited() {
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
    let accepted = accept_record(&declared, values, 100);
    assert_eq!(
        (accepted.bad, accepted.too_large, &accepted.row_bytes[..]),
        (1, 1, &[100][..])
    );
    assert_eq!(
        accepted.values,
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
fn memory_of_values_beyond_the_rows_is_released() {
    let numbers = OutputColumn {
        values: Values::Integers(vec![1; 1 << 20]),
        valid: Vec::new(),
    };
    let accepted = accept_columns(&declared(Type::I64), vec![numbers], 2, MAX_BYTES);
    assert_eq!(accepted.bad, (1 << 20) - 2);
    let [Column::Integers(kept, _)] = &accepted.values[..] else {
        panic!("{:?}", accepted.values.len());
    };
    assert!(kept.capacity() < 64, "{}", kept.capacity());
}
#[test]
fn json_stays_on_one_line() {
    let (got, bad) = accept(
        Type::Json,
        Values::Jsons(texts(b"{\"a\":\n1}", &[8])),
        &[],
        1,
    );
    assert_eq!(got, [UdpValue::Json("{\"a\": 1}".into())]);
    assert_eq!(bad, 0);
}

#[test]
fn values_of_every_declared_type_are_accepted() {
    let all = [
        (
            Type::Boolean,
            ValueResult::Boolean(true),
            UdpValue::Boolean(true),
            0,
        ),
        (
            Type::I64,
            ValueResult::Integer(-5),
            UdpValue::Integer(-5),
            0,
        ),
        (
            Type::Float,
            ValueResult::Float(0.5),
            UdpValue::Float(0.5),
            0,
        ),
        (
            Type::Text,
            ValueResult::Text("ab".into()),
            UdpValue::Text("ab".into()),
            2,
        ),
        (
            Type::Bytes,
            ValueResult::Bytes(vec![1, 2, 3]),
            UdpValue::Bytes([1, 2, 3].into()),
            3,
        ),
        (
            Type::Integers,
            ValueResult::Integers(vec![1]),
            UdpValue::Integers([1].into()),
            8,
        ),
        (
            Type::Floats,
            ValueResult::Floats(vec![1.0]),
            UdpValue::Floats([1.0].into()),
            8,
        ),
        (
            Type::Json,
            ValueResult::Json("[1]".into()),
            UdpValue::Json("[1]".into()),
            3,
        ),
    ];
    for (index, (ty, given, expected, bytes)) in all.iter().enumerate() {
        let accepted = accept_record(&declared(*ty), vec![given.clone()], MAX_BYTES);
        assert_eq!(accepted.values, std::slice::from_ref(expected));
        assert_eq!((accepted.bad, accepted.too_large), (0, 0));
        assert_eq!(accepted.row_bytes, [*bytes]);
        // A value of another type, and none at all.
        let (_, other, ..) = &all[(index + 1) % all.len()];
        for (given, bad) in [
            (vec![other.clone()], 1),
            (vec![], 1),
            (vec![ValueResult::Null], 0),
        ] {
            let accepted = accept_record(&declared(*ty), given, MAX_BYTES);
            assert_eq!(accepted.bad, bad, "{ty:?}");
            assert!(accepted.values.iter().all(|value| *value == UdpValue::Null));
            assert_eq!(accepted.row_bytes, [0]);
        }
    }
    // More values than declared.
    let given = vec![ValueResult::Integer(1); 4];
    assert_eq!(accept_record(&declared(Type::I64), given, MAX_BYTES).bad, 3);
}

#[test]
fn columns_of_every_declared_type_are_accepted() {
    let lists = |ends: &[u32]| ends.to_vec();
    for (ty, values, expected) in [
        (
            Type::Boolean,
            Values::Booleans(vec![0, 1]),
            [Value::Boolean(false), Value::Boolean(true)],
        ),
        (
            Type::Float,
            Values::Floats(vec![0.5, 1.5]),
            [Value::Float(0.5), Value::Float(1.5)],
        ),
        (
            Type::Bytes,
            Values::Bytes(texts(b"abc", &[1, 3])),
            [Value::Bytes(b"a"), Value::Bytes(b"bc")],
        ),
        (
            Type::Json,
            Values::Jsons(texts(b"1[]", &[1, 3])),
            [Value::Json("1"), Value::Json("[]")],
        ),
        (
            Type::Integers,
            Values::IntegerLists(IntegerListsResult {
                values: vec![1, 2, 3],
                ends: lists(&[1, 3]),
            }),
            [Value::Integers(&[1]), Value::Integers(&[2, 3])],
        ),
        (
            Type::Floats,
            Values::FloatLists(FloatLists {
                values: vec![1.0, 2.0, 3.0],
                ends: lists(&[2, 3]),
            }),
            [Value::Floats(&[1.0, 2.0]), Value::Floats(&[3.0])],
        ),
    ] {
        let column = OutputColumn {
            values,
            valid: Vec::new(),
        };
        let accepted = accept_columns(&declared(ty), vec![column], 2, MAX_BYTES);
        assert_eq!((accepted.bad, accepted.too_large), (0, 0), "{ty:?}");
        let column = &accepted.values[0];
        assert_eq!([column.value(0), column.value(1)], expected);
    }
}

#[test]
fn missing_and_further_columns_and_values_are_counted() {
    let integers = |count| OutputColumn {
        values: Values::Integers(vec![7; count]),
        valid: Vec::new(),
    };
    let columns = |given: Vec<OutputColumn>, rows| {
        let accepted = accept_columns(&declared(Type::I64), given, rows, MAX_BYTES);
        (accepted.bad, accepted.values.len())
    };
    assert_eq!(columns(vec![], 0), (0, 0));
    assert_eq!(columns(vec![integers(0)], 0), (0, 1));
    assert_eq!(columns(vec![integers(2)], 0), (2, 1));
    assert_eq!(columns(vec![], 3), (3, 1));
    assert_eq!(columns(vec![integers(3), integers(3)], 3), (3, 1));
    assert_eq!(columns(vec![integers(0), integers(0)], 0), (1, 1));
    assert_eq!(columns(vec![integers(5)], 3), (2, 1));
    // So are further and missing values of the other numbers.
    for len in [1, 3] {
        for (ty, values) in [
            (Type::Boolean, Values::Booleans(vec![1; len])),
            (Type::I64, Values::Integers(vec![1; len])),
            (Type::Float, Values::Floats(vec![1.0; len])),
        ] {
            assert_eq!(accept(ty, values, &[], 2).1, 1, "{ty:?} {len}");
        }
    }
    // Texts beyond the rows, and texts of null values with wrong ends.
    let column = |ends: &[u32], valid: &[u8]| OutputColumn {
        values: Values::Texts(texts(b"abcd", ends)),
        valid: valid.to_vec(),
    };
    for (ends, valid, bad) in [
        (&[1, 2, 3, 4][..], &[][..], 2),
        (&[1, 9], &[1, 0], 0),
        (&[1, 9], &[1, 1], 1),
        (&[1], &[1, 0], 0),
    ] {
        let given = vec![column(ends, valid)];
        let accepted = accept_columns(&declared(Type::Text), given, 2, MAX_BYTES);
        assert_eq!(accepted.bad, bad, "{ends:?} {valid:?}");
    }
}

#[test]
fn the_first_value_that_is_not_accepted_is_explained() {
    let declared = [
        UdpColumn::new("p", "size", Type::I64, String::new()),
        UdpColumn::new("p", "more", Type::Json, String::new()),
    ];
    let text = |reason: Option<BadOutput>| reason.map(|reason| reason.text(&declared));
    let by_event = |values| text(accept_record(&declared, values, MAX_BYTES).reason);
    let columns = |columns: Vec<Values>| {
        let columns = columns.into_iter().map(|values| OutputColumn {
            values,
            valid: Vec::new(),
        });
        text(accept_columns(&declared, columns.collect(), 2, MAX_BYTES).reason)
    };
    let size = "returned a value for output 'size' that is not of its type i64";
    let json = "returned a value for output 'more' that is not one JSON value of RFC 7493";
    let (one, bad) = (ValueResult::Integer(1), || ValueResult::Json("{".into()));
    assert_eq!(by_event(vec![one.clone(), ValueResult::Null]), None);
    assert_eq!(by_event(vec![one.clone(), bad()]).as_deref(), Some(json));
    let both = vec![ValueResult::Float(1.5), bad()];
    assert_eq!(by_event(both).as_deref(), Some(size));
    let count = "returned 1 values at expire, but declares 2 outputs";
    assert_eq!(by_event(vec![one]).as_deref(), Some(count));
    let jsons = |text: &[u8], ends: &[u32]| Values::Jsons(texts(text, ends));
    let integers = || Values::Integers(vec![1, 2]);
    assert_eq!(columns(vec![integers(), jsons(b"1{}", &[1, 3])]), None);
    let bad = columns(vec![integers(), jsons(b"1{", &[1, 2])]);
    assert_eq!(bad.as_deref(), Some(json));
    let bad = columns(vec![Values::Booleans(vec![1, 0]), jsons(b"12", &[1, 2])]);
    assert_eq!(bad.as_deref(), Some(size));
    assert_eq!(columns(vec![integers()]).as_deref(), Some(count));
    let short = columns(vec![Values::Integers(vec![1]), jsons(b"12", &[1, 2])]);
    let rows = "returned a column for output 'size' whose number of values is not the number of ended flows";
    assert_eq!(short.as_deref(), Some(rows));
}
