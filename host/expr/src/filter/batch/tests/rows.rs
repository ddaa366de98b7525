//! Record batches of rows of the test schema.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Float64Builder, Int64Builder, ListBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_schema::{Field, Schema as ArrowSchema};
use flowloom_core::schema::Schema;
use flowloom_core::value::{Type, Value};

use crate::Filter;

/// The values of a row by column. The others are null.
pub(super) type Row = HashMap<&'static str, Value<'static>>;

const NO_ADDRESS: &str = "not an address";

/// Decides how a batch represents its values.
#[derive(Clone, Copy)]
pub(super) struct Encoding(pub(super) u64);

impl Encoding {
    /// Returns one of the decisions for a column.
    fn bit(self, column: usize, decision: usize) -> bool {
        self.0.rotate_right((7 * column + decision) as u32) & 1 == 1
    }
}

/// Returns the columns that a filter reads, as a batch.
pub(super) fn record_batch(
    filter: &Filter,
    schema: &Schema,
    rows: &[Row],
    encoding: Encoding,
) -> RecordBatch {
    let columns: Vec<(Field, ArrayRef)> = filter
        .columns()
        .map(|name| {
            let index = schema.position(name).unwrap();
            // A first row that is cut off gives the arrays an offset.
            let values = [Value::Null].into_iter().chain(
                rows.iter()
                    .map(|row| row.get(name).copied().unwrap_or(Value::Null)),
            );
            let values: Vec<_> = values.collect();
            let ty = schema.column(index).unwrap().ty;
            let array = array(index, name, ty, &values, encoding);
            let field = Field::new(name, array.data_type().clone(), true);
            (field, array.slice(1, rows.len()))
        })
        .collect();
    let (fields, arrays): (Vec<_>, _) = columns.into_iter().unzip();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(ArrowSchema::new(fields)), arrays, &options).unwrap()
}

fn array(
    index: usize,
    name: &str,
    ty: Type,
    values: &[Value<'static>],
    encoding: Encoding,
) -> ArrayRef {
    let is_other = encoding.bit(index, 0);
    let integer = |value: &Value<'_>| match value {
        Value::Integer(value) => Some(*value),
        _ => None,
    };
    match ty {
        Type::Boolean => {
            let values = values.iter().map(|value| match value {
                Value::Boolean(value) => Some(*value),
                _ => None,
            });
            Arc::new(values.collect::<BooleanArray>())
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I64 => {
            let values = || values.iter().map(integer);
            let fits = values().flatten().all(|value| i32::try_from(value).is_ok());
            let is_short = matches!(ty, Type::U8 | Type::U16);
            match fits && is_short != is_other {
                true => Arc::new(
                    values()
                        .map(|value| value.map(|value| value as i32))
                        .collect::<Int32Array>(),
                ),
                false => Arc::new(values().collect::<Int64Array>()),
            }
        }
        Type::Float => {
            let values = values.iter().map(|value| match value {
                Value::Float(value) => Some(*value),
                _ => None,
            });
            Arc::new(values.collect::<Float64Array>())
        }
        Type::Text | Type::Json => {
            let is_address = name == "src_ip" || name == "dst_ip";
            let texts = values.iter().map(|value| match value {
                Value::Null if is_address && encoding.bit(index, 1) => Some(NO_ADDRESS.to_owned()),
                Value::Null => None,
                value => {
                    let mut text = String::new();
                    value.write_text(&mut text);
                    Some(text)
                }
            });
            let texts: Vec<_> = texts.collect();
            let is_dictionary = ["mac", "oui", "application_"]
                .iter()
                .any(|part| name.contains(part));
            match is_dictionary != is_other {
                true => dictionary(&texts, encoding.bit(index, 2)),
                false => Arc::new(StringArray::from(texts)),
            }
        }
        Type::Bytes => {
            let values = values.iter().map(|value| match value {
                Value::Bytes(bytes) => Some(*bytes),
                _ => None,
            });
            Arc::new(values.collect::<BinaryArray>())
        }
        Type::Integers => {
            let mut lists = ListBuilder::new(Int64Builder::new());
            for value in values {
                match value {
                    Value::Integers(list) => lists.append_value(list.iter().copied().map(Some)),
                    _ => lists.append_null(),
                }
            }
            Arc::new(lists.finish())
        }
        Type::Floats => {
            let mut lists = ListBuilder::new(Float64Builder::new());
            for value in values {
                match value {
                    Value::Floats(list) => lists.append_value(list.iter().copied().map(Some)),
                    _ => lists.append_null(),
                }
            }
            Arc::new(lists.finish())
        }
    }
}

/// Returns a dictionary. Nulls are either keys, or values; then each row has its own value.
fn dictionary(texts: &[Option<String>], has_null_values: bool) -> ArrayRef {
    if has_null_values {
        let keys = Int32Array::from_iter_values(0..texts.len() as i32);
        let values = Arc::new(StringArray::from(texts.to_vec()));
        return Arc::new(DictionaryArray::new(keys, values));
    }
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    for text in texts {
        builder.append_option(text.as_deref());
    }
    Arc::new(builder.finish())
}
