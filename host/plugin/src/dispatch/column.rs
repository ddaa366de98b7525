//! Conversion of a batch's columns to the types of the contract.

use bytemuck::cast_slice;
use flowloom_core::fields::ColumnBuffer;

use crate::contract::batch_feature::{Column, IntegerListsParam, PackedTexts, TextsParam};

/// Returns a column as a type of the contract. If `packed`, its numbers are little-endian bytes.
pub(crate) fn lower(buffer: &ColumnBuffer, packed: bool) -> Column<'_> {
    match buffer {
        ColumnBuffer::Texts { bytes, ends } if packed => Column::PackedTexts(PackedTexts {
            bytes,
            ends: cast_slice(ends),
        }),
        ColumnBuffer::Texts { bytes, ends } => Column::Texts(TextsParam { bytes, ends }),
        ColumnBuffer::IntegerLists { values, ends } => {
            Column::IntegerLists(IntegerListsParam { values, ends })
        }
        ColumnBuffer::U8s(values) if packed => Column::Packed(values),
        ColumnBuffer::U16s(values) if packed => Column::Packed(cast_slice(values)),
        ColumnBuffer::U32s(values) if packed => Column::Packed(cast_slice(values)),
        ColumnBuffer::U64s(values) if packed => Column::Packed(cast_slice(values)),
        ColumnBuffer::S64s(values) if packed => Column::Packed(cast_slice(values)),
        ColumnBuffer::F64s(values) if packed => Column::Packed(cast_slice(values)),
        ColumnBuffer::U8s(values) => Column::U8s(values),
        ColumnBuffer::U16s(values) => Column::U16s(values),
        ColumnBuffer::U32s(values) => Column::U32s(values),
        ColumnBuffer::U64s(values) => Column::U64s(values),
        ColumnBuffer::S64s(values) => Column::S64s(values),
        ColumnBuffer::F64s(values) => Column::F64s(values),
    }
}

#[cfg(not(target_endian = "little"))]
compile_error!(
    "packed columns are little-endian, and casting them requires a little-endian target"
);

#[cfg(test)]
mod tests {
    use flowloom_core::value::{Type, Value};

    use super::*;

    #[test]
    fn numbers_are_packed_as_little_endian_bytes() {
        for (ty, number, bytes, plain) in [
            (Type::U8, 7, 1, "U8s([7])"),
            (Type::U16, 0x0102, 2, "U16s([258])"),
            (Type::U32, 0x0102, 4, "U32s([258])"),
            (Type::U64, 0x0102, 8, "U64s([258])"),
            (Type::I64, -2, 8, "S64s([-2])"),
        ] {
            let mut column = ColumnBuffer::new(ty);
            column.push_value(Value::Integer(number));
            let Column::Packed(packed) = lower(&column, true) else {
                panic!("{ty:?}")
            };
            assert_eq!(packed, &number.to_le_bytes()[..bytes]);
            let lowered = format!("{:?}", lower(&column, false));
            assert!(lowered.ends_with(plain), "{lowered}");
        }
        let mut floats = ColumnBuffer::new(Type::Float);
        floats.push_value(Value::Float(1.5));
        let Column::Packed(packed) = lower(&floats, true) else {
            panic!("floats")
        };
        assert_eq!(packed, 1.5_f64.to_le_bytes());
        assert!(matches!(lower(&floats, false), Column::F64s([value]) if *value == 1.5));
    }

    #[test]
    fn texts_and_lists_have_ends() {
        let mut texts = ColumnBuffer::new(Type::Text);
        texts.push_value(Value::Text("ab"));
        texts.push_value(Value::Text("c"));
        let Column::Texts(plain) = lower(&texts, false) else {
            panic!("texts")
        };
        assert_eq!((plain.bytes, plain.ends), (&b"abc"[..], &[2, 3][..]));
        let Column::PackedTexts(packed) = lower(&texts, true) else {
            panic!("packed texts")
        };
        assert_eq!(
            (packed.bytes, packed.ends),
            (&b"abc"[..], &[2, 0, 0, 0, 3, 0, 0, 0][..])
        );
        let mut lists = ColumnBuffer::new(Type::Integers);
        lists.push_value(Value::Integers(&[5, 6]));
        for packed in [false, true] {
            let Column::IntegerLists(lists) = lower(&lists, packed) else {
                panic!("lists")
            };
            assert_eq!((lists.values, lists.ends), (&[5, 6][..], &[2][..]));
        }
    }
}
