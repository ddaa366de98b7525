//! Fields of packets and flows: their types in columns and in records, and the types as which a
//! plugin may read them.

use crate::bindings::exports::flowloom::plugin::batch_feature::{Column, Texts};
use crate::bindings::exports::flowloom::plugin::feature;

/// The direction of a packet in its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The direction of the flow's first packet.
    Src2Dst,
    /// The opposite direction.
    Dst2Src,
}

/// The data that a plugin requests for each packet. Derive it for a struct with one field per
/// requested packet field.
///
/// The names of the fields are Flowloom's names of packet fields; `flowloom fields` lists them. An unknown
/// name is a compile error that suggests a similar one. A field has the type that it has in Flowloom, or a wider one:
/// `ip_size` is a `u32` and may be read as `u64` or `f64`. A text is `&'a str`, or `String` for a
/// copy.
///
/// - `#[payload(64)]` marks a field of type `&'a [u8]`. It contains at most the first 64 bytes of the
///   transport payload. The operator may grant fewer bytes.
/// - `#[bytes(64)]` marks a field of type `&'a [u8]`. It contains at most the first 64 bytes of the
///   packet, from its IP header on. The operator may grant fewer bytes.
/// - `#[payload]` and `#[bytes]` without a number take the number from
///   [`Plugin::payload_bytes`](crate::Plugin::payload_bytes) and
///   [`Plugin::packet_bytes`](crate::Plugin::packet_bytes).
/// - `#[newer]` marks a field that this SDK does not know, but a newer Flowloom has. Its type must be
///   exactly the type that it has in Flowloom.
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
/// Reading a field that the struct does not declare is a compile error:
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
/// A field that Flowloom does not have is a compile error:
///
/// ```compile_fail
/// # use flowloom_sdk::PacketFields;
/// #[derive(PacketFields)]
/// struct Packet {
///     ip_sise: u32,
/// }
/// ```
///
/// A type that cannot hold all values of the field is a compile error:
///
/// ```compile_fail
/// # use flowloom_sdk::PacketFields;
/// #[derive(PacketFields)]
/// struct Packet {
///     ip_size: u16,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `PacketFields`",
    note = "derive it: `#[derive(flowloom_sdk::PacketFields)] struct Packet {{ ip_size: u32 }}`"
)]
pub trait PacketFields<'a>: Sized {
    /// The names of the packet fields, in the order of the struct.
    const NAMES: &'static [&'static str];
    /// The number in `#[payload(…)]`, 0 for `#[payload]`, `None` without the attribute.
    const PAYLOAD_BYTES: Option<u32>;
    /// The number in `#[bytes(…)]`, 0 for `#[bytes]`, `None` without the attribute.
    const PACKET_BYTES: Option<u32>;
    /// The columns of the struct's fields.
    #[doc(hidden)]
    type Columns: Copy;
    #[doc(hidden)]
    fn columns(source: PacketColumns<'a>) -> Self::Columns;
    #[doc(hidden)]
    fn row(columns: &Self::Columns, row: usize) -> Self;
    #[doc(hidden)]
    fn record(packet: &feature::Packet, values: &mut EventValues<'a>) -> Self;
}

/// The data that a plugin requests for a flow at an event. Derive it for a struct with one field per
/// requested flow field. `()` requests nothing.
///
/// The names of the fields are Flowloom's names of flow fields. The derive checks names and types as
/// for [`PacketFields`]. A list is `&'a [i64]` or `Vec<i64>`. If the flow lacks a field, its value is
/// 0, false or empty.
///
/// `#[newer]` marks a field that this SDK does not know, but a newer Flowloom has. Its type must be
/// exactly the type that it has in Flowloom.
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
    message = "`{Self}` does not implement `FlowFields`",
    note = "derive it: `#[derive(flowloom_sdk::FlowFields)] struct AtExpire {{ src2dst_packets: u64 }}`, or use `()`"
)]
pub trait FlowFields<'a>: Sized {
    /// The names of the flow fields, in the order of the struct.
    const NAMES: &'static [&'static str];
    /// The columns of the struct's fields.
    #[doc(hidden)]
    type Columns: Copy;
    #[doc(hidden)]
    fn columns(source: FlowColumns<'a>) -> Self::Columns;
    #[doc(hidden)]
    fn row(columns: &Self::Columns, row: usize) -> Self;
    #[doc(hidden)]
    fn record(values: &mut EventValues<'a>) -> Self;
}

impl<'a> PacketFields<'a> for () {
    const NAMES: &'static [&'static str] = &[];
    const PAYLOAD_BYTES: Option<u32> = None;
    const PACKET_BYTES: Option<u32> = None;
    type Columns = ();
    fn columns(_: PacketColumns<'a>) {}
    fn row((): &(), _: usize) {}
    fn record(_: &feature::Packet, _: &mut EventValues<'a>) {}
}

impl<'a> FlowFields<'a> for () {
    const NAMES: &'static [&'static str] = &[];
    type Columns = ();
    fn columns(_: FlowColumns<'a>) {}
    fn row((): &(), _: usize) {}
    fn record(_: &mut EventValues<'a>) {}
}

/// A type that can hold every value of a field of type `T`: `T` itself or a wider type.
#[diagnostic::on_unimplemented(
    message = "this field has the type `{T}` in Flowloom and cannot be read as `{Self}`",
    label = "use `{T}`, or a type that can hold all its values"
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

/// The values of one event that were not read yet, in the contract's order.
#[doc(hidden)]
#[derive(Default)]
pub struct EventValues<'a> {
    values: std::slice::Iter<'a, feature::Value>,
    /// The only value, if it is a byte string.
    bytes: Option<&'a [u8]>,
}

impl<'a> EventValues<'a> {
    #[inline]
    pub(crate) fn new(values: &'a feature::Values) -> Self {
        match values {
            feature::Values::None => Self::default(),
            feature::Values::Bytes(bytes) => Self {
                bytes: Some(bytes),
                ..Self::default()
            },
            feature::Values::Listed(values) => Self::listed(values),
        }
    }

    pub fn listed(values: &'a [feature::Value]) -> Self {
        Self {
            values: values.iter(),
            bytes: None,
        }
    }

    /// Takes all values.
    pub(crate) fn take(&mut self) -> &'a [feature::Value] {
        std::mem::take(&mut self.values).as_slice()
    }
}

/// The packet columns of a batch, and their number of rows.
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

/// The flow columns for one event kind of a batch, and their number of rows.
#[derive(Clone, Copy)]
#[doc(hidden)]
pub struct FlowColumns<'a> {
    pub columns: &'a [Column],
    pub rows: usize,
}

impl<'a> FlowColumns<'a> {
    pub fn field<T: FieldType<'a>>(&self, index: usize, name: &str) -> T::Column {
        // The contract lets the host omit columns without rows.
        if self.rows == 0 {
            return T::EMPTY;
        }
        let column = self
            .columns
            .get(index)
            .unwrap_or_else(|| panic!("Flowloom gave no column for the field `{name}`"));
        match T::column(column) {
            Some(found) => T::cut(found, self.rows).unwrap_or_else(|| {
                panic!(
                    "Flowloom gave a column for the field `{name}` with fewer than {} rows",
                    self.rows
                )
            }),
            None => panic!(
                "Flowloom gave the field `{name}` as {}, but this plugin reads {}",
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

/// A type of fields in Flowloom.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "no field of Flowloom has the type `{Self}`",
    note = "fields have the types u8, u16, u32, u64, i64, f64, bool, &'a str or &'a [i64]"
)]
pub trait FieldType<'a>: Sized {
    /// The name of the contract's column case for this type.
    const CASE: &'static str;
    type Column: Copy;
    const EMPTY: Self::Column;
    /// The value that replaces a null of the event world. Columns have no nulls.
    const NULL: Self;
    /// Returns the values of the column, or `None` if the column has another type.
    fn column(column: &'a Column) -> Option<Self::Column>;
    /// Returns the first `rows` rows, or `None` if the column has fewer. Because all columns are cut
    /// to the same length, the compiler needs one bounds check per row instead of one per field.
    fn cut(column: Self::Column, rows: usize) -> Option<Self::Column>;
    fn get(column: &Self::Column, row: usize) -> Self;
    /// Converts a value of a record. Returns `None` if it has another type.
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

/// The texts of a column. The concatenation of all texts is valid UTF-8.
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

/// The lists of integers of a column.
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

/// The byte strings of a column. Every one is empty if the host gave no column.
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
                    "Flowloom gave a column for `{name}` with fewer than {rows} rows"
                );
                ByteColumn { bytes, ends }
            }
            Some(other) => panic!(
                "Flowloom gave `{name}` as {}, but this plugin reads texts",
                case(other)
            ),
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

/// Functions that the derives use in the event world.
#[doc(hidden)]
pub mod record {
    use super::{Direction, EventValues, FieldType, feature};

    /// Takes the next value.
    #[inline]
    pub fn next<'a, T: FieldType<'a>>(values: &mut EventValues<'a>, name: &str) -> T {
        let value = values
            .values
            .next()
            .unwrap_or_else(|| panic!("Flowloom gave no value for the field `{name}`"));
        if matches!(value, feature::Value::Null) {
            return T::NULL;
        }
        T::value(value).unwrap_or_else(|| {
            panic!(
                "Flowloom gave the field `{name}` as {value:?}, but this plugin reads {}",
                T::CASE
            )
        })
    }

    /// Takes the next value, which is the payload or the bytes of the packet.
    #[inline]
    pub fn bytes<'a>(values: &mut EventValues<'a>, name: &str) -> &'a [u8] {
        if let Some(bytes) = values.bytes.take() {
            return bytes;
        }
        match values.values.next() {
            Some(feature::Value::Bytes(bytes)) => bytes,
            other => panic!("Flowloom gave `{name}` as {other:?}, but this plugin reads bytes"),
        }
    }

    pub fn direction(value: feature::Direction) -> Direction {
        match value {
            feature::Direction::Src2dst => Direction::Src2Dst,
            feature::Direction::Dst2src => Direction::Dst2Src,
        }
    }
}
