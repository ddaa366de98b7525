//! Values, and their conversion for each world.

use crate::bindings::exports::flowloom::plugin::batch_feature::{
    FloatLists, IntegerLists, OutputColumn, TextLists, Texts, Values,
};
use crate::bindings::exports::flowloom::plugin::feature;

/// A value of an output. A text may be invalid UTF-8.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f64),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Integers(Vec<i64>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
    Json(Vec<u8>),
}

impl Value {
    /// Returns a value of every type. Some are hard to write in CSV or JSON.
    pub(crate) fn of_every_type(count: i64) -> Vec<Self> {
        vec![
            Value::Boolean(count > 2),
            Value::Integer(i64::MIN + count),
            Value::Float(count as f64 / 10.0),
            Value::Text("a \"quoted\", \u{1b}[31mred\u{202e} ü\n=1+1".into()),
            Value::Bytes(vec![0, 0xff, b'\n']),
            Value::Integers(vec![count, -1]),
            Value::Floats(vec![0.5, f64::NAN, 1e300]),
            Value::Texts(vec!["a \"quoted\",\n\u{1b}".into(), String::new()]),
            Value::Json(br#"{"b": [1, null], "a": "\u001b"}"#.into()),
            Value::Text(Vec::new()),
            Value::Null,
        ]
    }
}

impl From<Value> for feature::Value {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Boolean(value) => Self::Boolean(value),
            Value::Integer(value) => Self::Integer(value),
            Value::Float(value) => Self::Float(value),
            Value::Text(value) => Self::Text(unchecked(value)),
            Value::Bytes(value) => Self::Bytes(value),
            Value::Integers(value) => Self::Integers(value),
            Value::Floats(value) => Self::Floats(value),
            Value::Texts(value) => Self::Texts(value),
            Value::Json(value) => Self::Json(unchecked(value)),
        }
    }
}

#[allow(unsafe_code, reason = "the test needs invalid UTF-8")]
fn unchecked(bytes: Vec<u8>) -> String {
    // SAFETY: the string is only passed to the host, never used as text.
    unsafe { String::from_utf8_unchecked(bytes) }
}

/// Converts rows to columns. The first value that is not null determines the type of a column.
pub(crate) fn columns(rows: &[Vec<Value>]) -> Vec<OutputColumn> {
    let width = rows.first().map_or(0, Vec::len);
    (0..width)
        .map(|at| {
            let cells: Vec<_> = rows.iter().map(|row| &row[at]).collect();
            let kind = cells.iter().find(|cell| !matches!(cell, Value::Null));
            OutputColumn {
                valid: cells
                    .iter()
                    .map(|cell| !matches!(cell, Value::Null) as u8)
                    .collect(),
                values: column(kind.unwrap_or(&&Value::Text(Vec::new())), &cells),
            }
        })
        .collect()
}

/// Returns the values of a column. A null is the shortest value of the type.
fn column(kind: &Value, cells: &[&Value]) -> Values {
    let all = |texts: fn(&Value) -> &[u8]| {
        let mut all = Texts {
            bytes: Vec::new(),
            ends: Vec::new(),
        };
        for cell in cells {
            all.bytes.extend_from_slice(texts(cell));
            all.ends.push(all.bytes.len() as u32);
        }
        all
    };
    match kind {
        Value::Boolean(_) => Values::Booleans(
            cells
                .iter()
                .map(|cell| matches!(cell, Value::Boolean(true)) as u8)
                .collect(),
        ),
        Value::Null | Value::Text(_) => Values::Texts(all(bytes)),
        Value::Bytes(_) => Values::Bytes(all(bytes)),
        Value::Json(_) => Values::Jsons(all(bytes)),
        Value::Integer(_) => Values::Integers(
            cells
                .iter()
                .map(|cell| match cell {
                    Value::Integer(value) => *value,
                    _ => 0,
                })
                .collect(),
        ),
        Value::Float(_) => Values::Floats(
            cells
                .iter()
                .map(|cell| match cell {
                    Value::Float(value) => *value,
                    _ => 0.0,
                })
                .collect(),
        ),
        Value::Integers(_) => {
            let mut lists = IntegerLists {
                values: Vec::new(),
                ends: Vec::new(),
            };
            for cell in cells {
                if let Value::Integers(list) = cell {
                    lists.values.extend_from_slice(list);
                }
                lists.ends.push(lists.values.len() as u32);
            }
            Values::IntegerLists(lists)
        }
        Value::Floats(_) => {
            let mut lists = FloatLists {
                values: Vec::new(),
                ends: Vec::new(),
            };
            for cell in cells {
                if let Value::Floats(list) = cell {
                    lists.values.extend_from_slice(list);
                }
                lists.ends.push(lists.values.len() as u32);
            }
            Values::FloatLists(lists)
        }
        Value::Texts(_) => {
            let mut lists = TextLists {
                texts: Texts {
                    bytes: Vec::new(),
                    ends: Vec::new(),
                },
                ends: Vec::new(),
            };
            for cell in cells {
                let texts = &mut lists.texts;
                if let Value::Texts(list) = cell {
                    for text in list {
                        texts.bytes.extend_from_slice(text.as_bytes());
                        texts.ends.push(texts.bytes.len() as u32);
                    }
                }
                lists.ends.push(texts.ends.len() as u32);
            }
            Values::TextLists(lists)
        }
    }
}

fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Text(bytes) | Value::Bytes(bytes) | Value::Json(bytes) => bytes,
        _ => &[],
    }
}
