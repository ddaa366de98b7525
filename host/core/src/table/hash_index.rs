//! The index from the hash of a flow key to the slot of the flow.
//!
//! It is an extendible hash table: a directory of small open-addressing tables ("leaves"). A full leaf is split
//! in two. Growth to millions of flows therefore never rehashes the whole table during one packet. The index
//! stores only hashes and slots; the owner of the records compares the keys.

use super::prefetch::prefetch;

/// The binary logarithm of [`LEAF_ENTRIES`].
const LEAF_BITS: u32 = if cfg!(fuzzing) { 4 } else { 13 };
/// The number of entries in a leaf. A leaf has 64 KiB, and a split takes some tens of microseconds.
const LEAF_ENTRIES: usize = 1 << LEAF_BITS;
/// The number of used entries at which a leaf is split: three quarters. Linear probing then reads one or two
/// cache lines.
const SPLIT_LEN: usize = LEAF_ENTRIES / 4 * 3;
/// The maximum number of leading hash bits that choose the leaf. The other bits choose the position in it.
const MAX_DEPTH: u32 = 32 - LEAF_BITS;

/// An unused entry.
const EMPTY: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct HashIndex {
    /// The number of the leaf for each value of the `depth` leading bits of a hash; 2^depth elements.
    directory: Vec<u32>,
    depth: u32,
    leaves: Vec<Leaf>,
}

/// A hash table with linear probing. It always has an unused entry, at which a search ends.
#[derive(Debug)]
struct Leaf {
    /// Entries with the hash in the upper half and the slot in the lower half.
    entries: Box<[u64; LEAF_ENTRIES]>,
    /// The number of used entries.
    len: usize,
    /// The number of leading hash bits that all entries have in common.
    depth: u32,
}

impl Leaf {
    fn new(depth: u32) -> Self {
        Self {
            entries: Box::new([EMPTY; LEAF_ENTRIES]),
            len: 0,
            depth,
        }
    }

    fn add(&mut self, hash: u32, slot: u32) {
        let mut position = home_position(hash);
        while self.entries[position] != EMPTY {
            position = (position + 1) % LEAF_ENTRIES;
        }
        self.entries[position] = entry(hash, slot);
        self.len += 1;
    }
}

fn entry(hash: u32, slot: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(slot)
}

/// Returns the position at which the search for a hash starts.
#[inline]
fn home_position(hash: u32) -> usize {
    hash as usize % LEAF_ENTRIES
}

impl HashIndex {
    pub(crate) fn new() -> Self {
        Self {
            directory: vec![0],
            depth: 0,
            leaves: vec![Leaf::new(0)],
        }
    }

    /// Returns the number of the leaf for a hash.
    #[inline]
    fn leaf_of(&self, hash: u32) -> usize {
        // 64 bits, because a shift of a 32-bit number by 32 would overflow.
        self.directory[(u64::from(hash) >> (32 - self.depth)) as usize] as usize
    }

    /// Prefetches the entry that [`peek`](Self::peek) reads.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        prefetch(&self.leaves[self.leaf_of(hash)].entries[home_position(hash)]);
    }

    /// Returns the slot at the first position of a hash, if it has exactly this hash.
    ///
    /// This is usually the slot that [`find`](Self::find) returns. It serves to prefetch the records of several
    /// packets at once.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> Option<u32> {
        let entry = self.leaves[self.leaf_of(hash)].entries[home_position(hash)];
        ((entry >> 32) as u32 == hash && entry != EMPTY).then_some(entry as u32)
    }

    /// Returns the slot with this hash for which `matches` returns true.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut matches: impl FnMut(u32) -> bool) -> Option<u32> {
        let entries = &self.leaves[self.leaf_of(hash)].entries;
        let mut position = home_position(hash);
        loop {
            let entry = entries[position];
            if entry == EMPTY {
                return None;
            }
            if (entry >> 32) as u32 == hash && matches(entry as u32) {
                return Some(entry as u32);
            }
            position = (position + 1) % LEAF_ENTRIES;
        }
    }

    /// Adds a slot with a hash. `slot` must be below `u32::MAX` and not in the index.
    ///
    /// # Panics
    ///
    /// Panics if a leaf of maximum depth is full.
    pub(crate) fn insert(&mut self, hash: u32, slot: u32) {
        let mut leaf = self.leaf_of(hash);
        while self.leaves[leaf].len >= SPLIT_LEN && self.leaves[leaf].depth < MAX_DEPTH {
            self.split(leaf);
            leaf = self.leaf_of(hash);
        }
        assert!(
            self.leaves[leaf].len < LEAF_ENTRIES - 1,
            "the flow index is full: too many flows have similar hashes"
        );
        self.leaves[leaf].add(hash, slot);
    }

    /// Removes a slot with a hash. Does nothing if it is not in the index.
    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        let leaf = self.leaf_of(hash);
        let Leaf { entries, len, .. } = &mut self.leaves[leaf];
        let mut hole = home_position(hash);
        while entries[hole] != entry(hash, slot) {
            if entries[hole] == EMPTY {
                return;
            }
            hole = (hole + 1) % LEAF_ENTRIES;
        }
        // Move later entries back into the hole, so that no search for them ends there.
        let mut position = hole;
        loop {
            position = (position + 1) % LEAF_ENTRIES;
            if entries[position] == EMPTY {
                break;
            }
            let home = home_position((entries[position] >> 32) as u32);
            if position.wrapping_sub(home) % LEAF_ENTRIES
                >= position.wrapping_sub(hole) % LEAF_ENTRIES
            {
                entries[hole] = entries[position];
                hole = position;
            }
        }
        entries[hole] = EMPTY;
        *len -= 1;
    }

    /// Splits a leaf in two by the next bit of the hash. Doubles the directory if necessary.
    fn split(&mut self, leaf: usize) {
        let depth = self.leaves[leaf].depth;
        if depth == self.depth {
            self.directory = self
                .directory
                .iter()
                .flat_map(|&leaf| [leaf, leaf])
                .collect();
            self.depth += 1;
        }
        let sibling = self.leaves.len();
        let old = std::mem::replace(&mut self.leaves[leaf], Leaf::new(depth + 1));
        self.leaves.push(Leaf::new(depth + 1));
        for entry in old.entries.iter().filter(|&&entry| entry != EMPTY) {
            let hash = (entry >> 32) as u32;
            let is_upper = hash >> (31 - depth) & 1 == 1;
            self.leaves[if is_upper { sibling } else { leaf }].add(hash, *entry as u32);
        }
        // Of the directory elements that refer to the leaf, the upper half now refers to the sibling.
        let (start, len) = self.directory_range(leaf);
        self.directory[start + len / 2..start + len].fill(sibling as u32);
    }

    /// Returns the first directory element that refers to a leaf, and the number of these elements.
    ///
    /// The depth of the leaf must just have been raised, but the directory must not be changed yet.
    fn directory_range(&self, leaf: usize) -> (usize, usize) {
        let len = 1 << (self.depth - (self.leaves[leaf].depth - 1));
        let first = self.directory.iter().position(|&l| l as usize == leaf);
        (first.unwrap_or(0), len)
    }

    /// Returns the memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.leaves.len() * size_of::<[u64; LEAF_ENTRIES]>()
            + self.directory.len() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps numbers to 32-bit hashes, one to one.
    fn spread(n: u32) -> u32 {
        n.wrapping_mul(0x9E37_79B1)
    }

    #[test]
    fn slots_are_found_after_many_splits() {
        let mut index = HashIndex::new();
        for n in 0..200_000 {
            index.insert(spread(n), n);
        }
        for n in (0..200_000).step_by(3) {
            index.remove(spread(n), n);
        }
        for n in 0..200_000 {
            let expected = (n % 3 != 0).then_some(n);
            assert_eq!(index.find(spread(n), |slot| slot == n), expected, "{n}");
        }
        assert!(index.leaves.len() > 16);
    }

    #[test]
    fn slots_with_the_same_hash_are_distinct() {
        let mut index = HashIndex::new();
        for slot in 0..100 {
            index.insert(7, slot);
        }
        index.remove(7, 50);
        assert_eq!(index.find(7, |slot| slot == 50), None);
        assert_eq!(index.find(7, |slot| slot == 99), Some(99));
    }

    #[test]
    fn removal_moves_entries_back_across_the_end_of_a_leaf() {
        let mut index = HashIndex::new();
        let last = LEAF_ENTRIES as u32 - 1;
        index.insert(last, 1);
        index.insert(last, 2);
        index.insert(0, 3);
        index.remove(last, 1);
        assert_eq!(index.find(last, |_| true), Some(2));
        assert_eq!(index.find(0, |_| true), Some(3));
        index.remove(last, 2);
        assert_eq!(index.find(0, |_| true), Some(3));
    }

    #[test]
    fn the_first_position_of_a_hash_is_read_without_a_search() {
        let mut index = HashIndex::new();
        let other = 7 + LEAF_ENTRIES as u32;
        assert_eq!(index.peek(7), None);
        assert_eq!(index.peek(u32::MAX), None);
        index.insert(7, 1);
        index.insert(other, 2);
        assert_eq!((index.peek(7), index.peek(other)), (Some(1), None));
        assert_eq!(index.find(other, |_| true), Some(2));
    }

    #[test]
    fn memory_is_that_of_leaves_and_directory() {
        let mut index = HashIndex::new();
        assert_eq!(index.memory(), 65_536 + 4);
        for n in 0..SPLIT_LEN as u32 {
            index.insert(spread(n), n);
        }
        assert_eq!(index.leaves.len(), 1);
        index.insert(spread(u32::MAX), 1 << 20);
        assert_eq!(index.memory(), 2 * 65_536 + 2 * 4);
    }

    #[test]
    #[should_panic(expected = "the flow index is full")]
    fn a_leaf_keeps_an_unused_entry() {
        let mut index = HashIndex::new();
        for slot in 0..LEAF_ENTRIES as u32 {
            index.insert(7, slot);
        }
    }
}
