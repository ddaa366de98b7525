//! Random rows of the test schema, and their record batches.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::builder::{
    Float64Builder, Int64Builder, ListBuilder, StringBuilder, StringDictionaryBuilder,
};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array,
    RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_schema::{Field, Schema as ArrowSchema};
use flowloom_core::schema::Schema;
use flowloom_core::value::{Type, Value};
use proptest::prelude::*;
use proptest::sample::select;

use crate::Filter;

/// The values of a row by column. The others are null.
pub(super) type Row = HashMap<&'static str, Value<'static>>;

const NO_ADDRESS: &str = "not an address";

/// Returns rows. Each value is null in every fourth row.
pub(super) fn row() -> impl Strategy<Value = Row> {
    let columns: Vec<BoxedStrategy<Option<(&str, Value<'_>)>>> = vec![
        column("src_ip_is_private", booleans()),
        column("dst_ip_is_private", booleans()),
        column("udps.p.is_odd", booleans()),
        column("src_port", ports()),
        column("dst_port", ports()),
        column("src2dst_bytes", integers(0)),
        column("dst2src_bytes", integers(0)),
        column("bidirectional_duration_ms", integers(0)),
        column("expiration_id", integers(i64::MIN)),
        column("udps.p.count", integers(i64::MIN)),
        column("bidirectional_mean_ps", floats()),
        column("bidirectional_stddev_ps", floats()),
        column("udps.p.score", floats()),
        column("application_name", texts()),
        column("application_category_name", texts()),
        column("requested_server_name", texts()),
        column("user_agent", texts()),
        column("udps.p.text", texts()),
        column("src_mac", macs()),
        column("dst_mac", macs()),
        column(
            "src_oui",
            select(&[[2, 0, 0], [0xff; 3]][..]).prop_map(Value::Oui),
        ),
        column(
            "community_id",
            select(&[[0; 20], [0xff; 20]][..]).prop_map(Value::CommunityId),
        ),
        column("flow_uid", Just(Value::FlowUid([0xab; 16]))),
        column("src_ip", addresses()),
        column("dst_ip", addresses()),
        column(
            "udps.p.bytes",
            select(vec![&[][..], &[0x16], &[0x16, 3], &[0xff]]).prop_map(Value::Bytes),
        ),
        column("udps.p.list", Just(Value::Integers(&[1, 2]))),
        column("udps.p.floats", Just(Value::Floats(&[]))),
        column("application_risks", Just(Value::Texts(&[]))),
        column("udps.p.json", Just(Value::Json("null"))),
    ];
    columns.prop_map(|values| values.into_iter().flatten().collect())
}

fn column(
    name: &'static str,
    values: impl Strategy<Value = Value<'static>> + 'static,
) -> BoxedStrategy<Option<(&'static str, Value<'static>)>> {
    prop_oneof![1 => Just(None), 3 => values.prop_map(move |value| Some((name, value)))].boxed()
}

fn booleans() -> impl Strategy<Value = Value<'static>> {
    any::<bool>().prop_map(Value::Boolean)
}

fn ports() -> impl Strategy<Value = Value<'static>> {
    select(&[0, 1, 80, 443, 65_535][..]).prop_map(Value::Integer)
}

fn integers(least: i64) -> impl Strategy<Value = Value<'static>> {
    let special = [
        i64::MIN,
        i64::MIN + 1,
        -443,
        -1,
        0,
        1,
        2,
        443,
        10_000_000,
        // The float of the second of these is the first.
        1 << 53,
        (1 << 53) + 1,
        i64::MAX - 1,
        i64::MAX,
    ];
    let special = special.into_iter().filter(|value| *value >= least);
    select(special.collect::<Vec<_>>()).prop_map(Value::Integer)
}

fn floats() -> impl Strategy<Value = Value<'static>> {
    let special = vec![
        f64::NAN,
        -f64::NAN,
        f64::from_bits(0x7ff0_0000_0000_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        0.5,
        -1.5,
        443.0,
        1e308,
        9_223_372_036_854_775_808.0,
    ];
    select(special).prop_map(Value::Float)
}

fn texts() -> impl Strategy<Value = Value<'static>> {
    let texts = &[
        "",
        "TLS",
        "TLS.Google",
        "a*b",
        "ü",
        "www.example.com",
        "Web",
    ];
    select(&texts[..]).prop_map(Value::Text)
}

fn macs() -> impl Strategy<Value = Value<'static>> {
    select(&[[2, 0, 0, 0, 0, 0xab], [0xff; 6]][..]).prop_map(Value::Mac)
}

fn addresses() -> impl Strategy<Value = Value<'static>> {
    let addresses: Vec<IpAddr> = [
        "10.1.2.3",
        "192.168.0.1",
        "2001:db8::1",
        "::1",
        "::ffff:10.1.2.3",
    ]
    .map(|address| address.parse().unwrap())
    .into();
    select(addresses).prop_map(Value::Ip)
}

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
        Type::Time => unreachable!("no column of a schema is a time"),
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
        Type::Texts => {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for value in values {
                match value {
                    Value::Texts(list) => lists.append_value(list.iter().map(Some)),
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
