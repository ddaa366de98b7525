//! The data segment.

/// The data segment while it is written.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) bytes: Vec<u8>,
}

impl Data {
    /// The address of the first byte. 0 is no valid pointer in some languages.
    pub(super) const BASE: u32 = 16;

    fn end(&self) -> u32 {
        Self::BASE + self.bytes.len() as u32
    }

    /// Returns a data segment that begins with literals.
    pub(super) fn new(literals: &[u8]) -> Self {
        Self {
            bytes: literals.to_vec(),
        }
    }

    /// Aligns the end, and returns its address.
    pub(super) fn align(&mut self, to: u32) -> u32 {
        let end = self.end().next_multiple_of(to);
        self.bytes.resize((end - Self::BASE) as usize, 0);
        end
    }

    /// Appends bytes, and returns their address and length.
    pub(super) fn text(&mut self, text: &str) -> [u32; 2] {
        let place = [self.end(), text.len() as u32];
        self.bytes.extend_from_slice(text.as_bytes());
        place
    }

    /// Appends words, aligned, and returns their address.
    pub(super) fn words(&mut self, words: &[u32]) -> u32 {
        let place = self.align(4);
        for word in words {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        place
    }
}
