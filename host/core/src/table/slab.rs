//! Storage for the parts of flows: grows in segments, so that no packet waits for a copy of the whole.

use std::mem::MaybeUninit;
use std::ops::{Index, IndexMut};
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

/// Bytes a segment at most: some huge pages. Of one that is not full only what was used is touched.
const SEGMENT_BYTES: usize = 8 << 20;

/// A vector in segments. Elements are never moved.
#[derive(Debug)]
pub struct SegmentedVec<T> {
    segments: Vec<Vec<T>>,
}

impl<T> Default for SegmentedVec<T> {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
        }
    }
}

impl<T> SegmentedVec<T> {
    /// Elements a segment, as a power of two.
    const BITS: u32 = match cfg!(fuzzing) {
        true => 2,
        false => (SEGMENT_BYTES / size_of::<T>()).ilog2(),
    };
    const LEN: usize = 1 << Self::BITS;
    /// Elements that are few.
    const SMALL: usize = Self::LEN / 8;

    /// Elements there is room for.
    pub fn len(&self) -> usize {
        self.segments.iter().map(Vec::len).sum()
    }

    /// The element at `at`, if there is room for it.
    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        let segment = self.segments.get((at >> Self::BITS) as usize)?;
        segment.get(at as usize % Self::LEN)
    }

    /// Bytes in use.
    pub fn memory(&self) -> usize {
        self.len() * size_of::<T>()
    }
}

impl<T: Default> SegmentedVec<T> {
    /// Makes room for the element at `at`.
    pub fn reach(&mut self, at: u32) {
        let (segment, at) = ((at >> Self::BITS) as usize, at as usize % Self::LEN);
        while self.segments.len() <= segment {
            if let Some(last) = self.segments.last_mut() {
                last.resize_with(Self::LEN, T::default);
            }
            let mut next = Vec::with_capacity(Self::LEN);
            if !self.segments.is_empty() {
                prefer_huge_pages(next.spare_capacity_mut());
            }
            self.segments.push(next);
        }
        let is_first = segment == 0;
        let segment = &mut self.segments[segment];
        if segment.len() <= at {
            // Small captures never come so far, and clearing a huge page takes its time.
            if is_first && segment.len() <= Self::SMALL && at >= Self::SMALL {
                prefer_huge_pages(segment.spare_capacity_mut());
            }
            segment.resize_with(at + 1, T::default);
        }
    }
}

/// Asks the kernel for huge pages in the whole pages of this memory. With millions of flows every packet
/// would otherwise miss the TLB several times. Without huge pages all works, slower.
fn prefer_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    const PAGE: usize = 4096;
    let start = memory.as_ptr().addr();
    let skipped = start.next_multiple_of(PAGE) - start;
    let len = size_of_val(memory).saturating_sub(skipped) / PAGE * PAGE;
    // SAFETY: the range is within one allocation, and the advice changes no byte of it.
    #[allow(
        unsafe_code,
        reason = "there is no safe call for memory of the allocator"
    )]
    unsafe {
        let start = NonNull::from(&mut *memory).cast::<u8>().byte_add(skipped);
        let _ = madvise(start.cast(), len, MmapAdvise::MADV_HUGEPAGE);
    }
}

impl<T> Index<u32> for SegmentedVec<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.segments[(at >> Self::BITS) as usize][at as usize % Self::LEN]
    }
}

impl<T> IndexMut<u32> for SegmentedVec<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.segments[(at >> Self::BITS) as usize][at as usize % Self::LEN]
    }
}

/// Hands out slots, the last one given back first, so that they stay dense.
#[derive(Debug, Default)]
pub struct SlotAllocator {
    free: Vec<u32>,
    next: u32,
}

impl SlotAllocator {
    pub fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    pub fn give_back(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.next as usize - self.free.len()
    }
}
