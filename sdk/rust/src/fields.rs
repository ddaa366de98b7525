//! Fields of packets and flows: the types that they have in columns and in records, and the types
//! that a plugin may read them as.

use crate::bindings::exports::flowloom::plugin::batch_feature::{Column, Texts};
use crate::bindings::exports::flowloom::plugin::feature;

/// Which way a packet goes in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// As the flow's first packet.
    Src2Dst,
    /// Against it.
    Dst2Src,
}

/// What a plugin sees of each packet. Derive it for a struct with a field for each packet field.
///
/// The names are Flowloom's names of packet fields; the compiler refuses one that does not exist and
/// lists those that do. A field may have the type that it has in Flowloom or a wider one: `ip_size`
/// is a `u32` and may be read as `u64` or `f64`. Texts are `&'a str`, or `String` where a copy
/// is wanted.
///
/// - `#[payload(64)]` marks a `&'a [u8]` that gets at most the first 64 bytes of transport payload,
///   `#[bytes(64)]` one that gets at most the first 64 bytes from the IP header on. The operator may
///   grant fewer. Without a number ask for it in
///   [`Plugin::payload_bytes`](crate::Plugin::payload_bytes) or
///   [`Plugin::packet_bytes`](crate::Plugin::packet_bytes).
/// - `#[newer]` marks a field that a newer Flowloom has and this SDK does not know. The type must
///   then be the very one that it has in Flowloom.
///
/// ```
/// use flowloom_sdk::{Direction, PacketFields};
///
/// #[derive(PacketFields)]
/// struct Packet<'a> {
///     direction: Direction,
///     ip_size: u32,
///     #[payload(64)]
///     payload: &'a [u8],
/// }
/// ```
///
/// Reading what was not declared does not compile:
///
/// ```compile_fail,E0609
/// # use flowloom_sdk::{Direction, PacketFields};
/// #[derive(PacketFields)]
/// struct Packet {
///     ip_size: u32,
/// }
///
/// fn port(packet: &Packet) -> u16 {
///     packet.src_port
/// }
/// ```
///
/// nor does a field that does not exist,
///
/// ```compile_fail
/// # use flowloom_sdk::PacketFields;
/// #[derive(PacketFields)]
/// struct Packet {
///     ip_sise: u32,
/// }
/// ```
///
/// nor a type that cannot hold it:
///
/// ```compile_fail,E0277
/// # use flowloom_sdk::PacketFields;
/// #[derive(PacketFields)]
/// struct Packet {
///     ip_size: u16,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a view of a packet",
    note = "derive it: `#[derive(flowloom_sdk::PacketFields)] struct Packet {{ ip_size: u32 }}`"
)]
pub trait PacketFields<'a>: Sized {
    /// The packet fields, in the order of the struct.
    const NAMES: &'static [&'static str];
    /// The number in `#[payload(…)]`, 0 for `#[payload]`; none without.
    const PAYLOAD_BYTES: Option<u32>;
    /// The number in `#[bytes(…)]`, 0 for `#[bytes]`; none without.
    const PACKET_BYTES: Option<u32>;
    /// The struct's fields in columns.
    #[doc(hidden)]
    type Columns: Copy;
    #[doc(hidden)]
    fn columns(source: PacketColumns<'a>) -> Self::Columns;
    #[doc(hidden)]
    fn row(columns: &Self::Columns, row: usize) -> Self;
    #[doc(hidden)]
    fn record(record: &'a feature::Packet) -> Self;
}

/// What a plugin sees of a flow at an event. Derive it for a struct with a field for each flow
/// field; `()` sees nothing.
///
/// The names are Flowloom's names of flow fields; names and types are checked as those of
/// [`PacketFields`]. Lists are `&'a [i64]` or `Vec<i64>`. A field without a value is 0, false or empty. `#[newer]` marks a field that a newer
/// Flowloom has and this SDK does not know; its type must be the very one that it has in Flowloom.
///
/// ```
/// use flowloom_sdk::FlowFields;
///
/// #[derive(FlowFields)]
/// struct AtExpire<'a> {
///     src2dst_packets: u64,
///     requested_server_name: &'a str,
///     #[newer]
///     bidirectional_rtt_ms: u64,
/// }
/// ```
///
/// ```compile_fail
/// # use flowloom_sdk::FlowFields;
/// #[derive(FlowFields)]
/// struct AtExpire {
///     bidirectional_rtt_ms: u64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a view of a flow",
    note = "derive it: `#[derive(flowloom_sdk::FlowFields)] struct AtExpire {{ src2dst_packets: u64 }}`, or use `()`"
)]
pub trait FlowFields<'a>: Sized {
    /// The flow fields, in the order of the struct.
    const NAMES: &'static [&'static str];
    /// The struct's fields in columns.
    #[doc(hidden)]
    type Columns: Copy;
    #[doc(hidden)]
    fn columns(source: FlowColumns<'a>) -> Self::Columns;
    #[doc(hidden)]
    fn row(columns: &Self::Columns, row: usize) -> Self;
    #[doc(hidden)]
    fn record(fields: &'a [feature::Value]) -> Self;
}

impl<'a> PacketFields<'a> for () {
    const NAMES: &'static [&'static str] = &[];
    const PAYLOAD_BYTES: Option<u32> = None;
    const PACKET_BYTES: Option<u32> = None;
    type Columns = ();
    fn columns(_: PacketColumns<'a>) {}
    fn row((): &(), _: usize) {}
    fn record(_: &'a feature::Packet) {}
}

impl<'a> FlowFields<'a> for () {
    const NAMES: &'static [&'static str] = &[];
    type Columns = ();
    fn columns(_: FlowColumns<'a>) {}
    fn row((): &(), _: usize) {}
    fn record(_: &'a [feature::Value]) {}
}

/// A type that a plugin may read a field of type `T` as: the same or a wider one.
#[diagnostic::on_unimplemented(
    message = "this field is a `{T}` in Flowloom, which `{Self}` cannot hold",
    label = "use `{T}` or a wider type"
)]
pub trait Holds<T> {
    #[doc(hidden)]
    fn hold(value: T) -> Self;
}

macro_rules! holds {
    ($($from:ty => $($to:ty),+;)+) => { $($(
        impl Holds<$from> for $to {
            #[inline(always)]
            fn hold(value: $from) -> Self {
                value.into()
            }
        }
    )+)+ };
}

holds! {
    u8 => u8, u16, u32, u64, i16, i32, i64, f64;
    u16 => u16, u32, u64, i32, i64, f64;
    u32 => u32, u64, i64, f64;
    u64 => u64;
    i64 => i64;
    f64 => f64;
    bool => bool;
    Direction => Direction;
}

impl<'a> Holds<&'a str> for &'a str {
    fn hold(value: &'a str) -> Self {
        value
    }
}

impl Holds<&str> for String {
    fn hold(value: &str) -> Self {
        value.to_owned()
    }
}

impl<'a> Holds<&'a [i64]> for &'a [i64] {
    fn hold(value: &'a [i64]) -> Self {
        value
    }
}

impl Holds<&[i64]> for Vec<i64> {
    fn hold(value: &[i64]) -> Self {
        value.to_vec()
    }
}

/// The packet columns of a batch, and how many rows each has.
#[derive(Clone, Copy)]
#[doc(hidden)]
pub struct PacketColumns<'a> {
    pub fields: FlowColumns<'a>,
    pub payload: Option<&'a Column>,
    pub bytes: Option<&'a Column>,
}

impl<'a> PacketColumns<'a> {
    pub fn field<T: FieldType<'a>>(&self, index: usize, name: &str) -> T::Column {
        self.fields.field::<T>(index, name)
    }

    pub fn payload(&self) -> ByteColumn<'a> {
        ByteColumn::new(self.payload, self.fields.rows, "payload")
    }

    pub fn bytes(&self) -> ByteColumn<'a> {
        ByteColumn::new(self.bytes, self.fields.rows, "bytes")
    }
}

/// The flow columns of one kind of event in a batch, and how many rows each has.
#[derive(Clone, Copy)]
#[doc(hidden)]
pub struct FlowColumns<'a> {
    pub columns: &'a [Column],
    pub rows: usize,
}

impl<'a> FlowColumns<'a> {
    pub fn field<T: FieldType<'a>>(&self, index: usize, name: &str) -> T::Column {
        // A host may leave out what would have no row.
        if self.rows == 0 {
            return T::EMPTY;
        }
        let column = self
            .columns
            .get(index)
            .unwrap_or_else(|| panic!("Flowloom gave no column of the field `{name}`"));
        match T::column(column) {
            Some(found) => T::cut(found, self.rows).unwrap_or_else(|| {
                panic!(
                    "Flowloom gave too short a column of the field `{name}`: {} rows were expected",
                    self.rows
                )
            }),
            None => panic!(
                "Flowloom gave the field `{name}` as {}, while this plugin reads {}",
                case(column),
                T::CASE
            ),
        }
    }
}

fn case(column: &Column) -> &'static str {
    match column {
        Column::U8s(_) => "u8s",
        Column::U16s(_) => "u16s",
        Column::U32s(_) => "u32s",
        Column::U64s(_) => "u64s",
        Column::S64s(_) => "s64s",
        Column::F64s(_) => "f64s",
        Column::Texts(_) => "texts",
        Column::IntegerLists(_) => "integer-lists",
        Column::Packed(_) => "packed",
        Column::PackedTexts(_) => "packed-texts",
    }
}

/// A type that fields have in Flowloom.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "no field of Flowloom is a `{Self}`",
    note = "fields are u8, u16, u32, u64, i64, f64, bool, &'a str or &'a [i64]"
)]
pub trait FieldType<'a>: Sized {
    /// What the contract calls its columns.
    const CASE: &'static str;
    type Column: Copy;
    const EMPTY: Self::Column;
    /// What stands for a null, as in columns, which have none.
    const NULL: Self;
    /// The column's values, where it is of this type.
    fn column(column: &'a Column) -> Option<Self::Column>;
    /// The first `rows` rows, where there are so many. That all columns are cut to one length lets
    /// the compiler check it once a row instead of once a field.
    fn cut(column: Self::Column, rows: usize) -> Option<Self::Column>;
    fn get(column: &Self::Column, row: usize) -> Self;
    /// From a value of a record.
    fn value(value: &'a feature::Value) -> Option<Self>;
}

macro_rules! plain {
    ($($type:ty = $null:expr, $element:ty, $case:ident, $name:literal, |$at:ident| $get:expr, $($value:pat => $from:expr),+;)+) => { $(
        impl<'a> FieldType<'a> for $type {
            const CASE: &'static str = $name;
            type Column = &'a [$element];
            const EMPTY: Self::Column = &[];
            const NULL: Self = $null;
            fn column(column: &'a Column) -> Option<Self::Column> {
                match column {
                    Column::$case(values) => Some(values),
                    _ => None,
                }
            }
            #[inline(always)]
            fn cut(column: Self::Column, rows: usize) -> Option<Self::Column> {
                column.get(..rows)
            }
            #[inline(always)]
            fn get(column: &Self::Column, row: usize) -> Self {
                let $at = column[row];
                $get
            }
            fn value(value: &'a feature::Value) -> Option<Self> {
                match *value {
                    $($value => $from,)+
                    _ => None,
                }
            }
        }
    )+ };
}

use feature::Value::{Boolean, Float, Integer};

plain! {
    u8 = 0, u8, U8s, "u8s", |v| v, Integer(i) => i.try_into().ok(), Boolean(b) => Some(b.into());
    bool = false, u8, U8s, "u8s", |v| v != 0, Boolean(b) => Some(b), Integer(i) => Some(i != 0);
    Direction = Direction::Src2Dst, u8, U8s, "u8s", |v| if v == 0 { Direction::Src2Dst } else { Direction::Dst2Src },
        Integer(i) => Some(if i == 0 { Direction::Src2Dst } else { Direction::Dst2Src });
    u16 = 0, u16, U16s, "u16s", |v| v, Integer(i) => i.try_into().ok();
    u32 = 0, u32, U32s, "u32s", |v| v, Integer(i) => i.try_into().ok();
    u64 = 0, u64, U64s, "u64s", |v| v, Integer(i) => i.try_into().ok();
    i64 = 0, i64, S64s, "s64s", |v| v, Integer(i) => Some(i);
    f64 = 0.0, f64, F64s, "f64s", |v| v, Float(f) => Some(f);
}

/// The texts of a column. They were found to be UTF-8 as a whole.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct TextColumn<'a> {
    text: &'a str,
    ends: &'a [u32],
}

impl<'a> FieldType<'a> for &'a str {
    const CASE: &'static str = "texts";
    type Column = TextColumn<'a>;
    const NULL: Self = "";
    const EMPTY: Self::Column = TextColumn {
        text: "",
        ends: &[],
    };

    fn column(column: &'a Column) -> Option<Self::Column> {
        match column {
            Column::Texts(Texts { bytes, ends }) => Some(TextColumn {
                text: std::str::from_utf8(bytes).expect("Flowloom's texts are UTF-8"),
                ends,
            }),
            _ => None,
        }
    }

    fn cut(column: Self::Column, rows: usize) -> Option<Self::Column> {
        Some(TextColumn {
            ends: column.ends.get(..rows)?,
            ..column
        })
    }

    #[inline]
    fn get(column: &Self::Column, row: usize) -> Self {
        &column.text[reach(column.ends, row)]
    }

    fn value(value: &'a feature::Value) -> Option<Self> {
        match value {
            feature::Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Lists of integers of a column.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct ListColumn<'a> {
    values: &'a [i64],
    ends: &'a [u32],
}

impl<'a> FieldType<'a> for &'a [i64] {
    const CASE: &'static str = "integer-lists";
    type Column = ListColumn<'a>;
    const NULL: Self = &[];
    const EMPTY: Self::Column = ListColumn {
        values: &[],
        ends: &[],
    };

    fn column(column: &'a Column) -> Option<Self::Column> {
        match column {
            Column::IntegerLists(lists) => Some(ListColumn {
                values: &lists.values,
                ends: &lists.ends,
            }),
            _ => None,
        }
    }

    fn cut(column: Self::Column, rows: usize) -> Option<Self::Column> {
        Some(ListColumn {
            ends: column.ends.get(..rows)?,
            ..column
        })
    }

    fn get(column: &Self::Column, row: usize) -> Self {
        &column.values[reach(column.ends, row)]
    }

    fn value(value: &'a feature::Value) -> Option<Self> {
        match value {
            feature::Value::Integers(values) => Some(values),
            _ => None,
        }
    }
}

/// Bytes of packets; empty ones where the operator granted none.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct ByteColumn<'a> {
    bytes: &'a [u8],
    ends: &'a [u32],
}

impl<'a> ByteColumn<'a> {
    fn new(column: Option<&'a Column>, rows: usize, name: &str) -> Self {
        match column {
            None => ByteColumn {
                bytes: &[],
                ends: &[],
            },
            Some(Column::Texts(Texts { bytes, ends })) => {
                assert!(
                    ends.len() >= rows,
                    "Flowloom gave too short a column of `{name}`"
                );
                ByteColumn { bytes, ends }
            }
            Some(other) => panic!("Flowloom gave `{name}` as {}, not as texts", case(other)),
        }
    }

    #[inline]
    pub fn get(&self, row: usize) -> &'a [u8] {
        if self.ends.is_empty() {
            &[]
        } else {
            &self.bytes[reach(self.ends, row)]
        }
    }
}

#[inline(always)]
fn reach(ends: &[u32], row: usize) -> std::ops::Range<usize> {
    let start = if row == 0 { 0 } else { ends[row - 1] };
    start as usize..ends[row] as usize
}

/// Helpers of the derives for the event world.
#[doc(hidden)]
pub mod record {
    use super::{Direction, FieldType, feature};

    /// The next of the values that came in the manifest's order.
    pub fn next<'a, T: FieldType<'a>>(
        values: &mut impl Iterator<Item = &'a feature::Value>,
        name: &str,
    ) -> T {
        let value = values
            .next()
            .unwrap_or_else(|| panic!("Flowloom gave no value of the field `{name}`"));
        if *value == feature::Value::Null {
            return T::NULL;
        }
        T::value(value).unwrap_or_else(|| {
            panic!(
                "Flowloom gave the field `{name}` as {value:?}, while this plugin reads {}",
                T::CASE
            )
        })
    }

    pub fn text<'a>(value: &'a Option<String>, name: &str) -> &'a str {
        match value {
            Some(text) => text,
            None => panic!("Flowloom gave no value of the field `{name}`"),
        }
    }

    pub fn bytes(value: &Option<Vec<u8>>) -> &[u8] {
        value.as_deref().unwrap_or(&[])
    }

    pub fn direction(value: feature::Direction) -> Direction {
        match value {
            feature::Direction::Src2dst => Direction::Src2Dst,
            feature::Direction::Dst2src => Direction::Dst2Src,
        }
    }
}
