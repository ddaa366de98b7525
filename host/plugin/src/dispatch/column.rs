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
