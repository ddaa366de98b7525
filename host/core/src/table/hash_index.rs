//! From the hash of a flow key to the slot of its record.
//!
//! An extendible hash table: a directory of small open-addressing tables ("leaves"). A leaf that
//! fills up is split in two, so that growth to millions of flows never makes a packet wait for a
//! rehash of the whole. The table knows hashes and slots only; who owns the records compares keys.

use super::prefetch::prefetch;

/// Entries a leaf: 64 KiB, which splits in some tens of microseconds.
const LEAF_BITS: u32 = if cfg!(fuzzing) { 4 } else { 13 };
const LEAF: usize = 1 << LEAF_BITS;
/// A leaf is split at three quarters: linear probing stays within a cache line or two.
const LEAF_FULL: usize = LEAF / 4 * 3;
/// Bits of the hash that choose the leaf; the others choose the slot in it.
const MAX_DEPTH: u32 = 32 - LEAF_BITS;

/// No flow: a free entry.
const FREE: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Index {
    /// Which leaf serves which leading bits of a hash; 2^depth entries.
    directory: Vec<u32>,
    depth: u32,
    leaves: Vec<Leaf>,
}

/// Entries are the hash in the upper half and the slot in the lower one.
#[derive(Debug)]
struct Leaf {
    entries: Box<[u64; LEAF]>,
    len: usize,
    depth: u32,
}

impl Leaf {
    fn new(depth: u32) -> Self {
        Self {
            entries: Box::new([FREE; LEAF]),
            len: 0,
            depth,
        }
    }

    fn add(&mut self, hash: u32, slot: u32) {
        let mut at = home(hash);
        while self.entries[at] != FREE {
            at = (at + 1) % LEAF;
        }
        self.entries[at] = entry(hash, slot);
        self.len += 1;
    }
}

fn entry(hash: u32, slot: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(slot)
}

#[inline]
fn home(hash: u32) -> usize {
    hash as usize % LEAF
}

impl Index {
    pub(crate) fn new() -> Self {
        Self {
            directory: vec![0],
            depth: 0,
            leaves: vec![Leaf::new(0)],
        }
    }

    #[inline]
    fn leaf(&self, hash: u32) -> usize {
        // Shifting a 32-bit number by 32 would not give 0, hence 64 bits.
        self.directory[(u64::from(hash) >> (32 - self.depth)) as usize] as usize
    }

    /// Has brought what `peek` reads.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u32) {
        prefetch(&self.leaves[self.leaf(hash)].entries[home(hash)]);
    }

    /// The first slot stored under exactly this hash, most often the flow that is looked for: read
    /// ahead of time for some packets together, so that the processor waits for memory only once.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> Option<u32> {
        let entry = self.leaves[self.leaf(hash)].entries[home(hash)];
        ((entry >> 32) as u32 == hash && entry != FREE).then_some(entry as u32)
    }

    /// The slot under this hash for which `is_it` says yes.
    #[inline]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let entries = &self.leaves[self.leaf(hash)].entries;
        let mut at = home(hash);
        loop {
            let entry = entries[at];
            if entry == FREE {
                return None;
            }
            if (entry >> 32) as u32 == hash && is_it(entry as u32) {
                return Some(entry as u32);
            }
            at = (at + 1) % LEAF;
        }
    }

    /// Adds a slot under a hash; `slot` is below `u32::MAX`, and not there yet.
    pub(crate) fn insert(&mut self, hash: u32, slot: u32) {
        let mut leaf = self.leaf(hash);
        while self.leaves[leaf].len >= LEAF_FULL && self.leaves[leaf].depth < MAX_DEPTH {
            self.split(leaf);
            leaf = self.leaf(hash);
        }
        assert!(
            self.leaves[leaf].len < LEAF - 1,
            "more than 4 billion flows under one hash"
        );
        self.leaves[leaf].add(hash, slot);
    }

    /// Takes a slot out; nothing happens if it is not there.
    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        let leaf = self.leaf(hash);
        let Leaf { entries, len, .. } = &mut self.leaves[leaf];
        let mut hole = home(hash);
        while entries[hole] != entry(hash, slot) {
            if entries[hole] == FREE {
                return;
            }
            hole = (hole + 1) % LEAF;
        }
        // Move later entries of the run back, so that no search stops at the hole.
        let mut at = hole;
        loop {
            at = (at + 1) % LEAF;
            if entries[at] == FREE {
                break;
            }
            let wanted = home((entries[at] >> 32) as u32);
            if at.wrapping_sub(wanted) % LEAF >= at.wrapping_sub(hole) % LEAF {
                entries[hole] = entries[at];
                hole = at;
            }
        }
        entries[hole] = FREE;
        *len -= 1;
    }

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
        for entry in old.entries.iter().filter(|&&entry| entry != FREE) {
            let hash = (entry >> 32) as u32;
            let upper = hash >> (31 - depth) & 1 == 1;
            self.leaves[if upper { sibling } else { leaf }].add(hash, *entry as u32);
        }
        // The upper half of the run of directory entries that shared the leaf goes to the sibling.
        let (start, run) = self.run_of(leaf);
        self.directory[start + run / 2..start + run].fill(sibling as u32);
    }

    /// The directory entries that name a leaf whose depth was just raised.
    fn run_of(&self, leaf: usize) -> (usize, usize) {
        let run = 1 << (self.depth - (self.leaves[leaf].depth - 1));
        let first = self.directory.iter().position(|&l| l as usize == leaf);
        (first.unwrap_or(0), run)
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        self.leaves.len() * size_of::<[u64; LEAF]>() + self.directory.len() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spreads numbers over 32 bits, one to one.
    fn spread(n: u32) -> u32 {
        n.wrapping_mul(0x9E37_79B1)
    }

    #[test]
    fn finds_what_was_put_in_across_many_splits() {
        let mut index = Index::new();
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
    fn keeps_flows_of_one_hash_apart() {
        let mut index = Index::new();
        for slot in 0..100 {
            index.insert(7, slot);
        }
        index.remove(7, 50);
        assert_eq!(index.find(7, |slot| slot == 50), None);
        assert_eq!(index.find(7, |slot| slot == 99), Some(99));
    }

    #[test]
    fn removal_closes_the_gap_around_the_end_of_a_leaf() {
        let mut index = Index::new();
        let last = LEAF as u32 - 1;
        index.insert(last, 1);
        index.insert(last, 2);
        index.insert(0, 3);
        index.remove(last, 1);
        assert_eq!(index.find(last, |_| true), Some(2));
        assert_eq!(index.find(0, |_| true), Some(3));
        index.remove(last, 2);
        assert_eq!(index.find(0, |_| true), Some(3));
    }
}
