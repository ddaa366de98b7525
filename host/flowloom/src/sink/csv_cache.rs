//! Texts of recent values. Flows often repeat values: times, ports, sizes, MAC addresses.

use flowloom_core::value::AddressText;

use super::csv_digits::{NINE_DIGITS, digits, padded_digits};

/// A text of at most 23 bytes, in 24 bytes, so that it is copied without a call.
#[derive(Clone, Copy)]
pub(super) struct ShortText {
    /// The text, and its length in the last byte.
    pub(super) bytes: [u8; 24],
}

impl ShortText {
    const EMPTY: Self = Self { bytes: [0; 24] };

    fn new(text: &[u8]) -> Self {
        let mut short = Self::EMPTY;
        short.bytes[..text.len()].copy_from_slice(text);
        short.bytes[23] = text.len() as u8;
        short
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        // The mask tells the compiler that an index of 24 to 31 bytes suffices.
        usize::from(self.bytes[23] & 31)
    }
}

/// The number of entries of a cache. Each value has one place.
const ENTRIES: usize = 64;

/// The decimal digits of recent integers that have many digits or a sign: mostly times, which a line repeats. The digits of
/// others cost less than a search.
pub(super) struct LargeIntegers(Box<[(i64, ShortText); ENTRIES]>);

impl Default for LargeIntegers {
    fn default() -> Self {
        // 0 is never searched for.
        Self(Box::new([(0, ShortText::EMPTY); ENTRIES]))
    }
}

impl LargeIntegers {
    /// Returns the digits of an integer, which must not be 0.
    #[inline]
    pub(super) fn get(&mut self, value: i64) -> ShortText {
        // The low bits of times vary most.
        let entry = &mut self.0[(value ^ (value >> 6)) as usize % ENTRIES];
        if entry.0 != value {
            *entry = (value, integer(value));
        }
        entry.1
    }
}

#[inline(never)]
fn integer(value: i64) -> ShortText {
    let high = value / NINE_DIGITS;
    if !(1..NINE_DIGITS).contains(&high) {
        // The longest text has 20 bytes.
        return ShortText::new(itoa::Buffer::new().format(value).as_bytes());
    }
    let (high, len) = digits(high as u32);
    let mut text = ShortText::EMPTY;
    text.bytes[..8].copy_from_slice(&high.to_le_bytes());
    text.bytes[len..][..8].copy_from_slice(&padded_digits((value % NINE_DIGITS) as u32));
    text.bytes[23] = len as u8 + 8;
    text
}

/// The texts of recent MAC addresses and OUIs.
pub(super) struct MacTexts(Box<[(u64, ShortText); ENTRIES]>);

impl Default for MacTexts {
    fn default() -> Self {
        Self(Box::new([(u64::MAX, ShortText::EMPTY); ENTRIES]))
    }
}

impl MacTexts {
    /// Returns the text of a MAC address or an OUI: at most 6 bytes.
    #[inline]
    pub(super) fn get<const N: usize>(&mut self, bytes: &[u8; N]) -> ShortText {
        // The length distinguishes an OUI from an address. It is never 255, so that no key is `u64::MAX`.
        let mut key = [0; 8];
        key[..N].copy_from_slice(bytes);
        key[7] = N as u8;
        let key = u64::from_le_bytes(key);
        let place = key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        let entry = &mut self.0[place as usize];
        if entry.0 != key {
            *entry = (key, mac(bytes));
        }
        entry.1
    }
}

#[inline(never)]
fn mac(bytes: &[u8]) -> ShortText {
    ShortText::new(AddressText::mac(bytes).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(short: &ShortText) -> &str {
        std::str::from_utf8(&short.bytes[..short.len()]).unwrap()
    }

    #[test]
    fn integers_have_their_digits_no_matter_which_came_before() {
        let mut texts = LargeIntegers::default();
        let values = [
            -1,
            -64,
            i64::MIN,
            i64::MAX,
            NINE_DIGITS,
            NINE_DIGITS * NINE_DIGITS - 1,
            NINE_DIGITS * NINE_DIGITS,
            1_704_067_200_000,
            1_700_000_000_007,
        ];
        let times = (0..300).map(|n| 1_704_067_200_000 + n);
        for value in values.into_iter().chain(times).chain(values) {
            assert_eq!(text(&texts.get(value)), value.to_string());
        }
    }

    #[test]
    fn addresses_and_ouis_differ() {
        let mut texts = MacTexts::default();
        for _ in 0..2 {
            assert_eq!(text(&texts.get(&[0; 3])), "00:00:00");
            assert_eq!(text(&texts.get(&[0; 6])), "00:00:00:00:00:00");
            for n in 0..=255 {
                let expected = AddressText::mac(&[n, 0, 0, 0, 0, n]);
                assert_eq!(text(&texts.get(&[n, 0, 0, 0, 0, n])), expected.as_str());
            }
            assert_eq!(text(&texts.get(&[255; 6])), "ff:ff:ff:ff:ff:ff");
        }
    }
}
