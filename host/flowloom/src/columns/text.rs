//! Columns of text.

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::builder::{BooleanBufferBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, StringArray};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::ArrowError;
use flowloom_core::value::AddressText;

/// A column of text with many different values.
#[derive(Default)]
pub(super) struct TextColumn {
    bytes: Vec<u8>,
    /// The length of each text.
    lengths: Vec<usize>,
    /// The rows that are null.
    nulls: Vec<usize>,
}

impl TextColumn {
    /// Appends a text.
    #[inline]
    pub(super) fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.lengths.push(text.len());
    }

    /// Appends the text of an IP address.
    #[inline]
    pub(super) fn push_ip(&mut self, address: IpAddr) {
        let mut text = [0; 48];
        let len = AddressText::write_ip(address, &mut text);
        // A copy of fixed length needs no call.
        let end = self.bytes.len() + len;
        self.bytes.extend_from_slice(&text);
        self.bytes.truncate(end);
        self.lengths.push(len);
    }

    /// Appends a null.
    pub(super) fn push_null(&mut self) {
        self.nulls.push(self.lengths.len());
        self.lengths.push(0);
    }

    /// Returns all rows, and begins an empty column.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let rows = self.lengths.len();
        let nulls = (!self.nulls.is_empty()).then(|| {
            let mut validity = BooleanBufferBuilder::new(rows);
            validity.append_n(rows, true);
            self.nulls
                .drain(..)
                .for_each(|row| validity.set_bit(row, false));
            NullBuffer::new(validity.finish())
        });
        let offsets = OffsetBuffer::from_lengths(self.lengths.drain(..));
        // The next column will have about as many bytes.
        let next = Vec::with_capacity(self.bytes.len());
        let bytes = Buffer::from_vec(std::mem::replace(&mut self.bytes, next));
        Ok(Arc::new(StringArray::try_new(offsets, bytes, nulls)?))
    }
}

/// A column of text with few different values.
///
/// Successive rows often have the same value. The column counts them, and looks the value up once.
#[derive(Default)]
pub(super) struct DictionaryColumn {
    rows: StringDictionaryBuilder<Int32Type>,
    /// The value of the last rows, and their number. They are not in `rows` yet.
    last: String,
    repeated: usize,
    /// The MAC address or OUI whose text is `last`, and its length in the highest byte; 0 for other text.
    address: u64,
}

impl DictionaryColumn {
    /// Appends a text.
    pub(super) fn push(&mut self, text: &str) {
        if self.repeated > 0 && self.last == text {
            self.repeated += 1;
            return;
        }
        self.end_run();
        self.last.push_str(text);
        self.repeated = 1;
    }

    /// Appends the text of a MAC address or an OUI: at most 6 bytes.
    #[inline]
    pub(super) fn push_address<const N: usize>(&mut self, bytes: [u8; N]) {
        let mut key = [0; 8];
        key[..N].copy_from_slice(&bytes);
        key[7] = N as u8;
        let key = u64::from_le_bytes(key);
        if self.address == key {
            self.repeated += 1;
            return;
        }
        self.push(AddressText::mac(&bytes).as_str());
        self.address = key;
    }

    pub(super) fn push_null(&mut self) {
        self.end_run();
        self.rows.append_null();
    }

    /// Moves the counted rows to `rows`.
    fn end_run(&mut self) {
        if self.repeated > 0 {
            self.rows.append_values(&self.last, self.repeated);
        }
        self.repeated = 0;
        self.last.clear();
        self.address = 0;
    }

    /// Returns all rows, and begins an empty column with an empty dictionary.
    pub(super) fn finish(&mut self) -> ArrayRef {
        self.end_run();
        let rows: DictionaryArray<Int32Type> = self.rows.finish();
        Arc::new(rows)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array as _;
    use arrow_array::cast::AsArray as _;

    use super::*;

    #[test]
    fn texts_and_nulls_keep_their_rows() {
        let mut column = TextColumn::default();
        for _ in 0..2 {
            column.push("a");
            column.push_null();
            column.push_ip([192, 0, 2, 1].into());
            column.push("");
            column.push_ip([0xffff_u16; 8].into());
            let rows = column.finish().unwrap();
            let rows: Vec<_> = rows.as_string::<i32>().into_iter().collect();
            let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
            let expected = [Some("a"), None, Some("192.0.2.1"), Some(""), Some(longest)];
            assert_eq!(rows, expected);
        }
        assert_eq!(column.finish().unwrap().len(), 0);
    }

    #[test]
    fn repeated_values_and_addresses_are_in_the_dictionary_once() {
        let mut column = DictionaryColumn::default();
        for _ in 0..2 {
            column.push_address([0, 1, 2, 3, 4, 5]);
            column.push_address([0, 1, 2, 3, 4, 5]);
            column.push("00:01:02:03:04:05");
            column.push_null();
            column.push_address([0, 1, 2]);
            column.push("");
            column.push("");
            column.push_address([0, 1, 2]);
            let rows = column.finish();
            let rows = rows.as_dictionary::<Int32Type>();
            assert_eq!(rows.values().len(), 3);
            let texts = rows.downcast_dict::<StringArray>().unwrap();
            let texts: Vec<_> = texts.into_iter().collect();
            let mac = Some("00:01:02:03:04:05");
            let oui = Some("00:01:02");
            assert_eq!(texts, [mac, mac, mac, None, oui, Some(""), Some(""), oui]);
        }
    }
}
