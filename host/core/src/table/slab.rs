//! Storage for the parts of flows. It grows in segments, so that growth never copies existing elements.

use std::mem::MaybeUninit;
use std::ops::{Index, IndexMut};
use std::ptr::NonNull;

use nix::sys::mman::{MmapAdvise, madvise};

/// The maximum size of a segment in bytes: four huge pages of 2 MiB. Memory is touched only when it is used.
const MAX_SEGMENT_BYTES: usize = 8 << 20;

/// A growing vector in segments. Elements are never moved.
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
    /// The binary logarithm of the number of elements in a segment.
    const SEGMENT_BITS: u32 = match cfg!(fuzzing) {
        true => 2,
        false => (MAX_SEGMENT_BYTES / size_of::<T>()).ilog2(),
    };
    /// The number of elements in a segment.
    const SEGMENT_LEN: usize = 1 << Self::SEGMENT_BITS;
    /// The number of elements from which the first segment uses huge pages.
    const HUGE_PAGE_LEN: usize = Self::SEGMENT_LEN / 8;

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.segments.iter().map(Vec::len).sum()
    }

    /// Returns whether the vector has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the element at `index`, or `None` if the vector is not that long.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        let segment = self.segments.get((index >> Self::SEGMENT_BITS) as usize)?;
        segment.get(index as usize % Self::SEGMENT_LEN)
    }

    /// Returns the size of all elements in bytes.
    pub fn memory(&self) -> usize {
        self.len() * size_of::<T>()
    }
}

impl<T: Default> SegmentedVec<T> {
    /// Extends the vector with default values, if necessary, so that `index` is valid.
    pub fn extend_to(&mut self, index: u32) {
        if self.get(index).is_none() {
            self.extend_before(index).push(T::default());
        }
    }

    /// Sets the element at `index`, and extends the vector like [`extend_to`](Self::extend_to) if necessary. A new
    /// element is written only once.
    #[inline]
    pub fn put(&mut self, index: u32, value: T) {
        let segment = self
            .segments
            .get_mut((index >> Self::SEGMENT_BITS) as usize);
        let element =
            segment.and_then(|segment| segment.get_mut(index as usize % Self::SEGMENT_LEN));
        match element {
            Some(element) => *element = value,
            None => self.extend_before(index).push(value),
        }
    }

    /// Extends the vector so that `index` is the next one, and returns the segment of `index`.
    fn extend_before(&mut self, index: u32) -> &mut Vec<T> {
        let (segment, index) = (
            (index >> Self::SEGMENT_BITS) as usize,
            index as usize % Self::SEGMENT_LEN,
        );
        while self.segments.len() <= segment {
            if let Some(last) = self.segments.last_mut() {
                last.resize_with(Self::SEGMENT_LEN, T::default);
            }
            let mut next = Vec::with_capacity(Self::SEGMENT_LEN);
            if !self.segments.is_empty() {
                prefer_huge_pages(next.spare_capacity_mut());
            }
            self.segments.push(next);
        }
        let is_first = segment == 0;
        let segment = &mut self.segments[segment];
        // Clearing a huge page takes long, and small captures need none.
        if is_first && segment.len() <= Self::HUGE_PAGE_LEN && index >= Self::HUGE_PAGE_LEN {
            prefer_huge_pages(segment.spare_capacity_mut());
        }
        segment.resize_with(index, T::default);
        segment
    }
}

/// Advises the kernel to use huge pages for the complete pages of `memory`.
///
/// Without huge pages and with millions of flows, every packet causes several TLB misses. A failure of the
/// call is ignored, because it affects only the speed.
fn prefer_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    const PAGE: usize = 4096;
    let start = memory.as_ptr().addr();
    let skipped = start.next_multiple_of(PAGE) - start;
    let len = size_of_val(memory).saturating_sub(skipped) / PAGE * PAGE;
    // SAFETY: the range is within one allocation, and the advice does not change its content.
    #[allow(
        unsafe_code,
        reason = "there is no safe call for memory from the allocator"
    )]
    unsafe {
        let start = NonNull::from(&mut *memory).cast::<u8>().byte_add(skipped);
        let _ = madvise(start.cast(), len, MmapAdvise::MADV_HUGEPAGE);
    }
}

impl<T> Index<u32> for SegmentedVec<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: u32) -> &T {
        &self.segments[(index >> Self::SEGMENT_BITS) as usize][index as usize % Self::SEGMENT_LEN]
    }
}

impl<T> IndexMut<u32> for SegmentedVec<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.segments[(index >> Self::SEGMENT_BITS) as usize]
            [index as usize % Self::SEGMENT_LEN]
    }
}

/// Allocates slot numbers. It reuses the slot that was released last, so that slots stay dense.
#[derive(Debug, Default)]
pub(super) struct SlotAllocator {
    free: Vec<u32>,
    next: u32,
}

impl SlotAllocator {
    /// Allocates a slot.
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// Releases a slot, which must be allocated.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// Returns the number of allocated slots.
    pub(super) fn taken(&self) -> usize {
        self.next as usize - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_all_segments_are_found() {
        let mut all = SegmentedVec::<u64>::default();
        assert!(all.is_empty());
        assert_eq!((all.len(), all.memory()), (0, 0));
        let segment = SegmentedVec::<u64>::SEGMENT_LEN as u32;
        assert_eq!(segment as usize, MAX_SEGMENT_BYTES / 8);
        for last in [0, 5, segment - 1, segment, 3 * segment + 2] {
            all.extend_to(last);
            let len = last as usize + 1;
            assert_eq!(
                (all.len(), all.memory(), all.is_empty()),
                (len, 8 * len, false)
            );
            assert_eq!(all.get(last + 1), None);
            all[last] = last.into();
        }
        all.put(5, 7);
        assert_eq!(all[5], 7);
        all[5] = 5;
        // A shorter vector is enough.
        all.extend_to(1);
        assert_eq!(all.len(), 3 * segment as usize + 3);
        for index in [0, 5, segment - 1, segment, 3 * segment + 2] {
            let value = u64::from(index);
            assert_eq!((all[index], all.get(index)), (value, Some(&value)));
        }
    }

    #[test]
    fn an_element_that_is_put_extends_the_vector() {
        let mut all = SegmentedVec::<u64>::default();
        let segment = SegmentedVec::<u64>::SEGMENT_LEN as u32;
        for last in [0, 1, 4, segment - 1, segment, 3 * segment + 2] {
            all.put(last, last.into());
            assert_eq!(all.len(), last as usize + 1);
        }
        let values = [
            0,
            1,
            3,
            4,
            segment - 1,
            segment,
            2 * segment,
            3 * segment + 2,
        ];
        let expected = [0, 1, 0, 4, segment - 1, segment, 0, 3 * segment + 2];
        assert_eq!(values.map(|index| all[index]), expected.map(u64::from));
    }

    #[test]
    fn a_segment_has_as_many_elements_as_fit() {
        assert_eq!(SegmentedVec::<[u8; 2 << 20]>::SEGMENT_LEN, 4);
        assert_eq!(SegmentedVec::<[u8; 3]>::SEGMENT_LEN, 2 << 20);
        assert_eq!(SegmentedVec::<u8>::SEGMENT_LEN, 8 << 20);
        assert_eq!(SegmentedVec::<u8>::HUGE_PAGE_LEN, 1 << 20);
    }

    #[test]
    fn the_slot_that_was_released_last_is_used_first() {
        let mut slots = SlotAllocator::default();
        assert_eq!([0; 3].map(|_| slots.take()), [0, 1, 2]);
        assert_eq!(slots.taken(), 3);
        slots.give_back(0);
        slots.give_back(2);
        assert_eq!(slots.taken(), 1);
        assert_eq!([0; 3].map(|_| slots.take()), [2, 0, 3]);
        assert_eq!(slots.taken(), 4);
    }
}
