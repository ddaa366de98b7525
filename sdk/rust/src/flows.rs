//! The states of the flows that an instance holds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The states by slot. Slots are below the number of flows that an instance may hold, and Flowloom reuses
/// them.
///
/// The states are in pages, which do not move. A single list would need three times its memory at the
/// moment when it grows.
pub(crate) struct Slots<S>(Vec<Page<S>>);

/// The states of [`PAGE`] consecutive slots. Empty before the first of them is used.
type Page<S> = Box<[Option<S>]>;

/// The number of slots of a page.
const PAGE: usize = 1 << 8;

impl<S> Slots<S> {
    #[inline(always)]
    pub(crate) fn open(&mut self, slot: u32, state: S) {
        if self.entry(slot).is_none() {
            self.add_page(slot as usize / PAGE);
        }
        if let Some(entry) = self.entry(slot) {
            *entry = Some(state);
        }
    }

    #[inline(always)]
    pub(crate) fn get(&mut self, slot: u32) -> Option<&mut S> {
        self.entry(slot)?.as_mut()
    }

    #[inline(always)]
    pub(crate) fn close(&mut self, slot: u32) -> Option<S> {
        self.entry(slot)?.take()
    }

    /// Reads a word of the state in each slot, so that all of them are on their way to the CPU cache before
    /// the first one is used.
    #[inline(always)]
    pub(crate) fn touch(&self, slots: &[u32]) {
        let exists = |slot: &u32| {
            let slot = *slot as usize;
            let page = self.0.get(slot / PAGE)?;
            Some(page.get(slot % PAGE)?.is_some())
        };
        let count: usize = slots
            .iter()
            .map(|slot| usize::from(exists(slot) == Some(true)))
            .sum();
        // The compiler must not remove the loop. Nobody needs the number.
        std::hint::black_box(count);
    }

    #[inline(always)]
    fn entry(&mut self, slot: u32) -> Option<&mut Option<S>> {
        let slot = slot as usize;
        self.0.get_mut(slot / PAGE)?.get_mut(slot % PAGE)
    }

    #[cold]
    fn add_page(&mut self, page: usize) {
        if page >= self.0.len() {
            self.0.resize_with(page + 1, Page::default);
        }
        self.0[page] = (0..PAGE).map(|_| None).collect();
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
        slots.touch(&[0, last, u32::MAX]);
    }

    #[test]
    fn a_page_exists_only_if_it_is_used() {
        let mut slots = Slots::default();
        slots.open(4 * PAGE as u32 + 1, 'a');
        slots.open(2 * PAGE as u32, 'b');
        let lens: Vec<_> = slots.0.iter().map(|page| page.len()).collect();
        assert_eq!(lens, [0, 0, PAGE, 0, PAGE]);
    }

    #[test]
    fn the_memory_of_a_flow_includes_that_of_the_table() {
        assert_eq!((slot_bytes::<u64>(8), slot_bytes::<u64>(108)), (16, 116));
        assert_eq!(slot_bytes::<()>(0), 1);
        assert_eq!(id_bytes(5), 48);
    }
}
