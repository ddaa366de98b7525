//! Storage for the parts of flows: grows in segments, so that no packet waits for a copy of the whole.

/// Elements a segment: 4,096 flow records are half a megabyte.
const SEGMENT_BITS: u32 = if cfg!(fuzzing) { 2 } else { 12 };
const SEGMENT: usize = 1 << SEGMENT_BITS;

/// A vector in segments. Elements are never moved.
#[derive(Debug)]
pub(crate) struct Segmented<T> {
    segments: Vec<Box<[T]>>,
}

impl<T> Default for Segmented<T> {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
        }
    }
}

impl<T: Clone + Default> Segmented<T> {
    /// Makes room for the element at `at`.
    pub(crate) fn reach(&mut self, at: u32) {
        while self.segments.len() <= (at >> SEGMENT_BITS) as usize {
            self.segments
                .push(vec![T::default(); SEGMENT].into_boxed_slice());
        }
    }

    /// Bytes held, elements in use or not.
    pub(crate) fn memory(&self) -> usize {
        self.segments.len() * SEGMENT * size_of::<T>()
    }
}

impl<T> std::ops::Index<u32> for Segmented<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: u32) -> &T {
        &self.segments[(at >> SEGMENT_BITS) as usize][at as usize & (SEGMENT - 1)]
    }
}

impl<T> std::ops::IndexMut<u32> for Segmented<T> {
    #[inline]
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.segments[(at >> SEGMENT_BITS) as usize][at as usize & (SEGMENT - 1)]
    }
}

/// Hands out places, the last one given back first, so that they stay dense.
#[derive(Debug, Default)]
pub(crate) struct Places {
    free: Vec<u32>,
    next: u32,
}

impl Places {
    pub(crate) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    pub(crate) fn give_back(&mut self, place: u32) {
        self.free.push(place);
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.next as usize - self.free.len()
    }
}
