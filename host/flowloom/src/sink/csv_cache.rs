//! Texts of recent values. Flows often repeat values: times, ports, sizes, MAC addresses.

use flowloom_core::value::AddressText;

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

/// The decimal digits of recent integers.
pub(super) struct IntegerTexts(Box<[(i64, ShortText); ENTRIES]>);

impl Default for IntegerTexts {
    fn default() -> Self {
        // Place 0 is the only one of the value 0.
        let mut entries = [(0, ShortText::EMPTY); ENTRIES];
        entries[0].1 = ShortText::new(b"0");
        for (place, entry) in entries.iter_mut().enumerate().skip(1) {
            *entry = (
                place as i64,
                ShortText::new(itoa::Buffer::new().format(place).as_bytes()),
            );
        }
        Self(Box::new(entries))
    }
}

impl IntegerTexts {
    /// Returns the digits of an integer.
    #[inline]
    pub(super) fn get(&mut self, value: i64) -> ShortText {
        // The low bits of times, ports and sizes vary most.
        let entry = &mut self.0[(value ^ (value >> 6)) as usize % ENTRIES];
        if entry.0 != value {
            *entry = (value, integer(value));
        }
        entry.1
    }
}

#[inline(never)]
fn integer(value: i64) -> ShortText {
    // The longest text has 20 bytes.
    ShortText::new(itoa::Buffer::new().format(value).as_bytes())
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
    pub(super) fn get(&mut self, bytes: &[u8]) -> ShortText {
        // The length distinguishes an OUI from an address. It is never 255, so that no key is `u64::MAX`.
        let mut key = [0; 8];
        key[..bytes.len()].copy_from_slice(bytes);
        key[7] = bytes.len() as u8;
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
        let mut texts = IntegerTexts::default();
        let values = [
            0,
            1,
            63,
            64,
            65,
            -1,
            i64::MIN,
            i64::MAX,
            1_704_067_200_000,
            0,
            64,
            4_096,
        ];
        for value in values.into_iter().chain(0..300).chain(values) {
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
