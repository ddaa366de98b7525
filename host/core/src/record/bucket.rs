//! The bucket of the timing wheel in which a flow is scheduled.

/// The number of buckets of the timing wheel, and the number of ticks that it covers. A multiple of 64.
pub(crate) const BUCKETS: u64 = if cfg!(fuzzing) { 64 } else { 4096 };

/// An element that a timing wheel can schedule.
pub(crate) trait WheelEntry: Clone + Default {
    /// Returns the bucket in which the element is scheduled.
    fn bucket(&mut self) -> &mut Bucket;
}

/// The bucket in which an element is scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket(u16);

impl Bucket {
    /// No bucket: the element is not scheduled.
    pub(crate) const NONE: Self = Self(u16::MAX);

    /// Returns the bucket of a tick.
    #[inline]
    pub(crate) fn of(tick: u64) -> Self {
        Self((tick % BUCKETS) as u16)
    }

    /// Returns the number of the bucket. It is below [`BUCKETS`] unless the bucket is [`NONE`](Self::NONE).
    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self::NONE
    }
}
