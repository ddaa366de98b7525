//! The bucket of the timing wheel that a flow is in.

/// Ticks that the timing wheel reaches ahead.
pub const BUCKETS: u64 = if cfg!(fuzzing) { 16 } else { 4096 };

/// An element that a timing wheel can schedule.
pub trait WheelEntry: Clone + Default {
    /// Returns the bucket that the element is in.
    fn bucket(&mut self) -> &mut Bucket;
}

/// The bucket that an element is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket(u16);

impl Bucket {
    /// No bucket: the element is not scheduled.
    pub const NONE: Self = Self(u16::MAX);

    /// Returns the bucket of a tick.
    #[inline]
    pub fn of(tick: u64) -> Self {
        Self((tick % BUCKETS) as u16)
    }

    /// Returns its number, below [`BUCKETS`] unless it is [`NONE`](Self::NONE).
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for Bucket {
    fn default() -> Self {
        Self::NONE
    }
}
