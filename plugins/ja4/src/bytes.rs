//! A reader of bytes.

/// The bytes that are not yet read. Reading methods return `None` if too few are left.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    /// Returns whether the bytes begin with `prefix`. If there are fewer bytes, it compares only those.
    pub(crate) fn starts_like(&self, prefix: &[u8]) -> bool {
        self.0
            .iter()
            .zip(prefix)
            .all(|(byte, wanted)| byte == wanted)
    }

    /// Reads `length` bytes.
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let high = self.u16()?;
        Some(u32::from(high) << 16 | u32::from(self.u16()?))
    }

    /// Reads a variable-length integer of QUIC (RFC 9000, section 16).
    pub(crate) fn varint(&mut self) -> Option<usize> {
        let first = *self.0.first()?;
        let bytes = self.take(1 << (first >> 6))?;
        let number = bytes[1..]
            .iter()
            .fold(u64::from(first & 0x3f), |sum, &byte| {
                sum << 8 | u64::from(byte)
            });
        usize::try_from(number).ok()
    }

    /// Skips `count` variable-length integers of QUIC.
    pub(crate) fn varints(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.varint().map(|_| ()))
    }

    /// Reads a length of one byte, and returns that number of bytes.
    pub(crate) fn list8(&mut self) -> Option<Bytes<'a>> {
        let length = self.take(1)?[0];
        self.take(length.into()).map(Bytes)
    }

    /// Reads a length of two bytes, and returns that number of bytes.
    pub(crate) fn list16(&mut self) -> Option<Bytes<'a>> {
        let length = self.u16()?;
        self.take(length.into()).map(Bytes)
    }

    /// Reads all bytes as 16-bit integers. Returns `None` if the number of bytes is odd.
    pub(crate) fn u16s(self) -> Option<Vec<u16>> {
        let (pairs, rest) = self.0.as_chunks();
        let numbers = pairs.iter().map(|pair| u16::from_be_bytes(*pair));
        rest.is_empty().then(|| numbers.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 9000, appendix A.1, except the one of eight bytes, which exceeds 32 bits.
    #[test]
    fn quic_integers_have_variable_lengths() {
        for (bytes, number) in [
            (&[0x9d, 0x7f, 0x3e, 0x7d][..], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
            (&[0xc0, 0, 0, 0, 0, 0, 0, 37], 37),
        ] {
            let mut rest = Bytes(bytes);
            assert_eq!(rest.varint(), Some(number));
            assert!(rest.0.is_empty());
            assert_eq!(Bytes(&bytes[..bytes.len() - 1]).varint(), None);
        }
    }
}
