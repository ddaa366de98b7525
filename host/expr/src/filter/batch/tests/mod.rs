mod conditions;
mod rows;

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Int32Array, Int64Array, RecordBatch, StringArray,
};
use flowloom_core::schema::Schema;
use flowloom_core::value::Value;
use proptest::prelude::*;

use self::rows::{Encoding, Row, record_batch};
use super::BatchError;
use crate::Filter;
use crate::filter::tests::{Values, schema};

static SCHEMA: LazyLock<Schema> = LazyLock::new(schema);

/// Evaluates a condition for one row, as a batch.
pub(in crate::filter) fn evaluate(
    text: &str,
    values: &[(&'static str, Value<'static>)],
) -> Option<bool> {
    let filter = Filter::parse(text, &SCHEMA).unwrap();
    let rows: Vec<Row> = vec![values.iter().copied().collect()];
    let batch = record_batch(&filter, &SCHEMA, &rows, Encoding(0));
    let results = filter.evaluate_batch(&batch).unwrap();
    assert_eq!(results.len(), 1);
    results.iter().next().unwrap()
}

/// Evaluates a condition for a batch of these columns.
fn evaluate_columns<const N: usize>(
    text: &str,
    columns: [(&str, ArrayRef); N],
) -> Result<BooleanArray, BatchError> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    Filter::parse(text, &SCHEMA).unwrap().evaluate_batch(&batch)
}

fn dictionary(keys: Vec<Option<i32>>, values: Vec<Option<&str>>) -> ArrayRef {
    let values = Arc::new(StringArray::from(values));
    Arc::new(DictionaryArray::<Int32Type>::new(keys.into(), values))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batches_and_rows_give_the_same_results(
        text in conditions::condition(),
        rows in prop::collection::vec(rows::row(), 0..12),
        encoding: u64,
    ) {
        let filter = Filter::parse(&text, &SCHEMA).unwrap_or_else(|error| panic!("{error}"));
        let batch = record_batch(&filter, &SCHEMA, &rows, Encoding(encoding));
        let results = filter.evaluate_batch(&batch).unwrap();
        prop_assert_eq!(results.len(), rows.len());
        for (values, result) in rows.iter().zip(&results) {
            let row = Values { schema: &SCHEMA, values: values.clone() };
            prop_assert_eq!(result, filter.condition.evaluate(&row), "{}: {:?}", text, values);
        }
    }
}

#[test]
fn a_batch_needs_the_columns_that_the_condition_reads() {
    let ports: ArrayRef = Arc::new(Int32Array::from(vec![443]));
    let result = evaluate_columns("src_port = 1 or dst_port = 1", [("src_port", ports)]);
    assert_eq!(
        result.unwrap_err().to_string(),
        "cannot evaluate the condition: the record batch has no column 'dst_port'"
    );
}

#[test]
fn columns_of_other_types_are_errors() {
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let lists: ArrayRef = {
        let mut lists = ListBuilder::new(Int64Builder::new());
        lists.append_value([Some(1)]);
        Arc::new(lists.finish())
    };
    for (name, column, types) in [
        ("src_ip_is_private", &texts, "Utf8, not Boolean"),
        ("dst_port", &texts, "Utf8, not Int64 or Int32"),
        ("udps.p.score", &integers, "Int64, not Float64"),
        (
            "user_agent",
            &integers,
            "Int64, not Utf8 or a dictionary of it",
        ),
        ("src_ip", &integers, "Int64, not Utf8 or a dictionary of it"),
        (
            "udps.p.json",
            &integers,
            "Int64, not Utf8 or a dictionary of it",
        ),
        ("udps.p.bytes", &texts, "Utf8, not Binary"),
        (
            "udps.p.list",
            &texts,
            "Utf8, not List of Int64, Int32, Float64 or Utf8",
        ),
        ("udps.p.count", &lists, "List(Int64), not Int64 or Int32"),
    ] {
        let error = evaluate_columns(&format!("{name} is null"), [(name, column.clone())]);
        assert_eq!(
            error.unwrap_err().to_string(),
            format!(
                "cannot evaluate the condition: column '{name}' of the record batch has the type {types}"
            )
        );
    }
}

#[test]
fn dictionaries_may_be_empty_and_have_null_values() {
    let empty = || dictionary(vec![None, None], vec![]);
    let some = || {
        let keys = vec![Some(0), Some(2), None, Some(1)];
        dictionary(keys, vec![Some("TLS"), None, Some("DNS")])
    };
    for test in ["= \"TLS\"", "~ \"T*\"", "in {\"TLS\"}"] {
        let text = format!("application_name {test}");
        let results = evaluate_columns(&text, [("application_name", empty())]).unwrap();
        assert_eq!(results, BooleanArray::new_null(2), "{text}");
        let results = evaluate_columns(&text, [("application_name", some())]).unwrap();
        let expected = vec![Some(true), Some(false), None, None];
        assert_eq!(results, BooleanArray::from(expected), "{text}");
    }
    let text = "application_name is null";
    let results = evaluate_columns(text, [("application_name", some())]).unwrap();
    assert_eq!(results, BooleanArray::from(vec![false, false, true, true]));
    let columns = [("src_ip", empty()), ("dst_ip", empty())];
    let results = evaluate_columns("src_ip = dst_ip", columns).unwrap();
    assert_eq!(results, BooleanArray::new_null(2));
}

#[test]
fn a_text_that_is_not_an_address_counts_as_null() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["10.0.0.1", "5f3a", ""]));
    let results = evaluate_columns("src_ip in 10.0.0.0/8", [("src_ip", texts.clone())]);
    let expected = BooleanArray::from(vec![Some(true), None, None]);
    assert_eq!(results.unwrap(), expected);
    let results = evaluate_columns("src_ip is null", [("src_ip", texts)]);
    let expected = BooleanArray::from(vec![false, true, true]);
    assert_eq!(results.unwrap(), expected);
}
