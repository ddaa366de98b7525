//! The states of the flows that an instance holds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The states by slot. Slots are small numbers, and Flowloom reuses them.
pub(crate) struct Slots<S>(Vec<Option<S>>);

impl<S> Slots<S> {
    #[inline(always)]
    pub(crate) fn open(&mut self, slot: u32, state: S) {
        let slot = slot as usize;
        if slot >= self.0.len() {
            self.grow(slot);
        }
        self.0[slot] = Some(state);
    }

    #[inline(always)]
    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut S> {
        self.0.get_mut(slot as usize)?.as_mut()
    }

    #[inline(always)]
    pub(crate) fn close(&mut self, slot: u32) -> Option<S> {
        self.0.get_mut(slot as usize)?.take()
    }

    #[cold]
    fn grow(&mut self, slot: usize) {
        self.0.resize_with(slot + 1, || None);
    }
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Slots(Vec::new())
    }
}

/// The states by flow id.
pub(crate) type Ids<S> = HashMap<u64, S, BuildHasherDefault<IdHasher>>;

/// Hashes flow ids with Fibonacci hashing. Ids are consecutive numbers; the hash spreads them over
/// the table.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        let mixed = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_can_be_reused() {
        let mut slots = Slots::default();
        assert_eq!(slots.get(5), None);
        slots.open(5, 'a');
        assert_eq!((slots.get(5).copied(), slots.get(4)), (Some('a'), None));
        assert_eq!(
            (slots.close(5), slots.close(5), slots.close(6)),
            (Some('a'), None, None)
        );
        slots.open(5, 'b');
        assert_eq!(slots.close(5), Some('b'));
    }
}
