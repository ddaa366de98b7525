//! The states of the flows that an instance holds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The states by slot. Slots are small numbers, and Flowloom reuses them.
///
/// The states are in pages, which do not move. A single list would need three times its memory at the
/// moment when it grows.
pub(crate) struct Slots<S>(Vec<Page<S>>);

/// The states of consecutive slots. A page has [`PAGE`] of them.
type Page<S> = Box<[Option<S>]>;

/// The number of slots of a page.
const PAGE: usize = 1 << 8;

impl<S> Slots<S> {
    #[inline(always)]
    pub(crate) fn open(&mut self, slot: u32, state: S) {
        let slot = slot as usize;
        while slot / PAGE >= self.0.len() {
            self.grow();
        }
        self.0[slot / PAGE][slot % PAGE] = Some(state);
    }

    #[inline(always)]
    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut S> {
        self.entry(slot)?.as_mut()
    }

    #[inline(always)]
    pub(crate) fn close(&mut self, slot: u32) -> Option<S> {
        self.entry(slot)?.take()
    }

    #[inline(always)]
    fn entry(&mut self, slot: u32) -> Option<&mut Option<S>> {
        let slot = slot as usize;
        self.0.get_mut(slot / PAGE)?.get_mut(slot % PAGE)
    }

    #[cold]
    fn grow(&mut self) {
        self.0.push((0..PAGE).map(|_| None).collect());
    }
}

impl<S> Default for Slots<S> {
    fn default() -> Self {
        Slots(Vec::new())
    }
}

/// Returns the memory of a flow in [`Slots`], if its state needs `state_bytes`.
pub(crate) fn slot_bytes<S>(state_bytes: usize) -> usize {
    state_bytes + size_of::<Option<S>>() - size_of::<S>()
}

/// Returns the memory of a flow in [`Ids`], if its state needs `state_bytes`.
///
/// A table is at least 7/16 full after it grew, and the smaller table exists until then: a flow may need
/// 24/7 of an entry.
pub(crate) fn id_bytes(state_bytes: usize) -> usize {
    (state_bytes + size_of::<u64>() + 1) * 24 / 7
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

    #[test]
    fn slots_of_different_pages_have_their_own_states() {
        let mut slots = Slots::default();
        let last = 3 * PAGE as u32;
        for slot in [0, PAGE as u32 - 1, PAGE as u32, last] {
            slots.open(slot, slot);
        }
        for slot in 0..=last {
            let expected = (slot == 0 || slot == 255 || slot == 256 || slot == 768).then_some(slot);
            assert_eq!(slots.get(slot).copied(), expected);
        }
        assert_eq!(slots.get(u32::MAX), None);
    }

    #[test]
    fn the_memory_of_a_flow_includes_that_of_the_table() {
        assert_eq!((slot_bytes::<u64>(8), slot_bytes::<u64>(108)), (16, 116));
        assert_eq!(slot_bytes::<()>(0), 1);
        assert_eq!(id_bytes(5), 48);
    }
}
