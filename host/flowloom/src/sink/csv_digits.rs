//! Decimal digits of integers, without a loop and without a branch for each digit.

/// The first integer that has more than eight digits.
pub(super) const NINE_DIGITS: i64 = 100_000_000;

/// Returns the digits of an integer below [`NINE_DIGITS`] in ASCII and their number. The first digit is in the lowest
/// byte. The bytes after the last digit are 0.
#[inline]
pub(super) fn digits(value: u32) -> (u64, usize) {
    let all = eight(value);
    // The last digit counts even if it is 0.
    let zeros = (all | 1 << 56).trailing_zeros() as usize / 8;
    ((all | ASCII) >> (8 * zeros), 8 - zeros)
}

/// Returns the eight digits of an integer below [`NINE_DIGITS`] in ASCII, with leading zeros.
#[inline]
pub(super) fn padded_digits(value: u32) -> [u8; 8] {
    (eight(value) | ASCII).to_le_bytes()
}

/// What eight digits and their characters differ in.
const ASCII: u64 = 0x3030_3030_3030_3030;

/// Returns the values of eight digits, the first one in the lowest byte.
///
/// One multiplication divides several parts of the number at once: two parts by 100, and then four parts by 10. The
/// factors are 2^19 / 100 and 2^10 / 10, rounded up. They are exact for numbers of four and of two digits.
#[inline]
fn eight(value: u32) -> u64 {
    let (high, low) = (value / 10_000, value % 10_000);
    let quads = u64::from(high) | u64::from(low) << 32;
    let hundreds = ((quads * 5_243) >> 19) & 0x7f_0000_007f;
    let pairs = hundreds | (quads - 100 * hundreds) << 16;
    let tens = ((pairs * 103) >> 10) & 0x0f_000f_000f_000f;
    tens | (pairs - 10 * tens) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_match_the_standard_library() {
        let near_powers = (0..8).flat_map(|n| [10_u32.pow(n) - 1, 10_u32.pow(n)]);
        let spread = (0..100_000).map(|n| n * 999);
        for value in (0..100_000).chain(spread).chain(near_powers) {
            let (text, len) = digits(value);
            assert_eq!(&text.to_le_bytes()[..len], value.to_string().as_bytes());
            assert!(len == 8 || text >> (8 * len) == 0);
            assert_eq!(padded_digits(value), format!("{value:08}").as_bytes());
        }
        assert_eq!(
            digits(NINE_DIGITS as u32 - 1),
            (u64::from_le_bytes(*b"99999999"), 8)
        );
    }
}
