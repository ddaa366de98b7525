//! Short fields of CSV lines: numbers and addresses.

use std::mem;
use std::net::IpAddr;

use flowloom_core::value::AddressText;

use super::csv_cache::{LargeIntegers, MacTexts};
use super::csv_digits::digits;

/// The bytes that a short field may need: its text, and what is written beyond the text.
pub(super) const FIELD_ROOM: usize = 64;
/// The number of bytes of a long text that are copied at once.
pub(super) const COPIED: usize = 32;

/// Writes short fields into memory that has [`FIELD_ROOM`] for each of them.
///
/// The cursor writes a constant number of bytes, of which the text may need fewer, because a copy of constant length
/// needs no call. The next field overwrites the other bytes.
pub(super) struct Cursor<'a, 't> {
    /// The memory after the last field.
    pub(super) rest: &'a mut [u8],
    pub(super) integers: &'t mut LargeIntegers,
}

impl Cursor<'_, '_> {
    /// Returns the next `N` bytes.
    #[inline(always)]
    fn room<const N: usize>(&mut self) -> &mut [u8; N] {
        let Some(room) = self.rest.first_chunk_mut() else {
            unreachable!("the caller has reserved memory for all fields")
        };
        room
    }

    #[inline(always)]
    fn advance(&mut self, len: usize) {
        self.rest = &mut mem::take(&mut self.rest)[len..];
    }

    /// Writes bytes, of which the first `len` belong to the text.
    #[inline(always)]
    pub(super) fn padded<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        *self.room() = *bytes;
        self.advance(len);
    }

    /// Writes bytes.
    #[inline(always)]
    pub(super) fn bytes<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.padded(bytes, N);
    }

    /// Writes an integer, followed by `end`, which has at most three bytes.
    #[inline(always)]
    pub(super) fn integer<const N: usize>(&mut self, value: i64, end: &[u8; N]) {
        // Most values have one digit.
        if let 0..10 = value {
            let room = self.room::<4>();
            room[0] = b'0' + value as u8;
            room[1..][..N].copy_from_slice(end);
            self.advance(1 + N);
        } else if (10..10_i64.pow(8 - N as u32)).contains(&value) {
            // The digits and the end fit into eight bytes.
            let (digits, len) = digits(value as u32);
            let mut padded = [0; 8];
            padded[..N].copy_from_slice(end);
            let text = digits | u64::from_le_bytes(padded) << (8 * len);
            self.padded(&text.to_le_bytes(), len + N);
        } else {
            let text = self.integers.get(value);
            self.padded(&text.bytes, text.len());
            self.bytes(end);
        }
    }

    /// Writes a float, followed by `end`, which has at most three bytes.
    #[inline(always)]
    pub(super) fn float<const N: usize>(&mut self, value: f64, end: &[u8; N]) {
        // Most floats of short flows are 0 or have no fraction. The comparison of bits excludes -0.0.
        if value.to_bits() == 0 {
            self.bytes(b"0.0");
            return self.bytes(end);
        }
        let whole = value as i64;
        // Texts of larger values can have an exponent.
        if (0..1_000_000_000_000_000).contains(&whole)
            && (whole as f64).to_bits() == value.to_bits()
        {
            self.integer(whole, b".0");
        } else {
            let len = fraction(self.rest, value);
            self.advance(len);
        }
        self.bytes(end);
    }

    /// Writes the text of an IP address.
    #[inline]
    pub(super) fn ip(&mut self, address: IpAddr) {
        let len = AddressText::write_ip(address, self.room());
        self.advance(len);
    }

    /// Writes the text of a MAC address or an OUI.
    #[inline]
    pub(super) fn mac<const N: usize>(&mut self, bytes: &[u8; N], texts: &mut MacTexts) {
        let text = texts.get(bytes);
        self.padded(&text.bytes, text.len());
    }
}

/// Writes a float with a fraction or an exponent to the start of `room`. Returns the length of the text.
#[inline(never)]
fn fraction(room: &mut [u8], value: f64) -> usize {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format(value);
    room[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}
