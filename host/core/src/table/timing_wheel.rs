//! A timing wheel that finds flows which may be idle.
//!
//! A flow is scheduled in the bucket of the time at which it would become idle. Later packets do not move the
//! flow, so they cost nothing here. If a flow in a due bucket has had packets meanwhile, it is scheduled again,
//! in a later bucket.
//!
//! A bucket is a list of slots. The flow itself stores its bucket. If a flow ends early, its entry stays in the
//! list. An entry whose flow has another bucket is stale and is ignored.

use super::slab::SegmentedVec;
use crate::record::{BUCKETS, Bucket, WheelEntry};

/// The minimum length of a tick in ms, the same as in NFStream.
const MIN_TICK_MS: u64 = 10;
/// The capacity that a bucket keeps when it becomes empty, in entries.
const KEPT_CAPACITY: usize = 1_024;
/// The number of stale entries up to which no sweep is done.
const MIN_STALE: usize = if cfg!(any(test, fuzzing)) { 4 } else { 4_096 };

#[derive(Debug)]
pub(crate) struct TimingWheel {
    /// For each bucket the slots that are scheduled in it, and stale entries.
    buckets: Box<[Vec<u32>]>,
    /// A bit for each bucket, which is set if the bucket may have entries. When time jumps, most buckets are empty, and
    /// reading each of them would take longer than all other work for a packet.
    occupied: [u64; (BUCKETS / 64) as usize],
    /// The number of entries in all buckets, including stale ones.
    entries: usize,
    /// The number of stale entries.
    stale: usize,
    /// The length of a tick in ms.
    tick_ms: u64,
    /// The current tick. The buckets of all ticks up to it are empty.
    now: u64,
    /// The time in ms at which the next tick begins.
    next_ms: u64,
    /// A lower bound for the first tick after `now` that has entries.
    first: u64,
}

impl TimingWheel {
    /// Creates a wheel for deadlines up to `horizon_ms` ahead.
    pub(crate) fn new(horizon_ms: u64) -> Self {
        let tick_ms = (horizon_ms / (BUCKETS - 2) + 1).max(MIN_TICK_MS);
        Self {
            buckets: vec![Vec::new(); BUCKETS as usize].into(),
            occupied: [0; (BUCKETS / 64) as usize],
            entries: 0,
            stale: 0,
            tick_ms,
            now: 0,
            next_ms: tick_ms,
            first: 0,
        }
    }

    /// Returns whether [`take_due`](Self::take_due) at this time would read any bucket.
    #[inline]
    pub(crate) fn has_due(&self, time_ms: u64) -> bool {
        time_ms >= self.next_ms
    }

    /// Schedules `slot` for the first tick at or after `deadline_ms`. It must not already be scheduled.
    ///
    /// A deadline beyond the last bucket is scheduled in the last bucket, which is too early.
    pub(crate) fn schedule<T: WheelEntry>(
        &mut self,
        flows: &mut SegmentedVec<T>,
        slot: u32,
        deadline_ms: u64,
    ) {
        // The lower bound: a packet may be older than the time of the last `take_due`.
        let tick = deadline_ms
            .div_ceil(self.tick_ms)
            .clamp(self.now + 1, self.now + BUCKETS - 1);
        self.first = self.first.min(tick);
        let bucket = Bucket::of(tick);
        *flows[slot].bucket() = bucket;
        self.buckets[bucket.index()].push(slot);
        self.occupied[bucket.index() / 64] |= 1 << (bucket.index() % 64);
        self.entries += 1;
    }

    /// Returns the first tick from `tick` to `last` whose bucket may have entries.
    #[inline]
    fn next_occupied(&self, mut tick: u64, last: u64) -> Option<u64> {
        while tick <= last {
            let index = Bucket::of(tick).index();
            let bits = self.occupied[index / 64] >> (index % 64);
            if bits != 0 {
                let found = tick + u64::from(bits.trailing_zeros());
                return (found <= last).then_some(found);
            }
            tick += 64 - index as u64 % 64;
        }
        None
    }

    /// Returns a slot in the first bucket that has any, and the time of that bucket in ms.
    pub(crate) fn first_scheduled<T: WheelEntry>(
        &mut self,
        flows: &mut SegmentedVec<T>,
    ) -> Option<(u32, u64)> {
        self.first = self.first.max(self.now + 1);
        while self.first < self.now + BUCKETS {
            let bucket = Bucket::of(self.first);
            let slots = &mut self.buckets[bucket.index()];
            while let Some(&slot) = slots.last() {
                if *flows[slot].bucket() == bucket {
                    return Some((slot, self.first.saturating_mul(self.tick_ms)));
                }
                slots.pop();
                self.entries -= 1;
                self.stale -= 1;
            }
            self.first += 1;
        }
        None
    }

    /// Unschedules `slot` before its deadline. Its entry becomes stale. Amortised O(1).
    pub(crate) fn remove<T: WheelEntry>(&mut self, flows: &mut SegmentedVec<T>, slot: u32) {
        *flows[slot].bucket() = Bucket::NONE;
        self.stale += 1;
        // A sweep when half of the entries are stale has constant amortised cost per entry.
        if self.stale > MIN_STALE && self.stale > self.entries / 2 {
            self.sweep(flows);
        }
    }

    /// Advances to `time_ms`. Moves all slots in the buckets up to this time to `due`.
    ///
    /// The caller must schedule again those that are not idle yet.
    pub(crate) fn take_due<T: WheelEntry>(
        &mut self,
        flows: &mut SegmentedVec<T>,
        time_ms: u64,
        due: &mut Vec<u32>,
    ) {
        let tick = time_ms / self.tick_ms;
        if tick <= self.now {
            return;
        }
        let mut first = (self.now + 1).max(tick.saturating_sub(BUCKETS - 1));
        while let Some(passed) = self.next_occupied(first, tick) {
            self.take_bucket(Bucket::of(passed), flows, due);
            first = passed + 1;
        }
        self.now = tick;
        self.next_ms = (tick + 1).saturating_mul(self.tick_ms);
    }

    /// Moves all scheduled slots to `all`.
    pub(crate) fn take_all<T: WheelEntry>(
        &mut self,
        flows: &mut SegmentedVec<T>,
        all: &mut Vec<u32>,
    ) {
        let mut first = 0;
        while let Some(tick) = self.next_occupied(first, BUCKETS - 1) {
            self.take_bucket(Bucket::of(tick), flows, all);
            first = tick + 1;
        }
    }

    /// Resets the time to 0. No slot may be scheduled.
    pub(crate) fn restart(&mut self) {
        debug_assert_eq!(self.entries, 0);
        (self.now, self.next_ms, self.first) = (0, self.tick_ms, 0);
    }

    /// Returns the memory in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.entries * size_of::<u32>() + size_of_val(&*self.buckets) + size_of_val(&self.occupied)
    }

    /// Moves the scheduled slots of a bucket to `into`, and drops its stale entries.
    fn take_bucket<T: WheelEntry>(
        &mut self,
        bucket: Bucket,
        flows: &mut SegmentedVec<T>,
        into: &mut Vec<u32>,
    ) {
        let slots = &mut self.buckets[bucket.index()];
        self.occupied[bucket.index() / 64] &= !(1 << (bucket.index() % 64));
        self.entries -= slots.len();
        if self.stale == 0 {
            into.append(slots);
        } else {
            let (before, taken) = (into.len(), slots.len());
            into.extend(
                slots
                    .drain(..)
                    .filter(|&slot| unschedule(flows, slot, bucket)),
            );
            self.stale -= taken - (into.len() - before);
        }
        slots.shrink_to(KEPT_CAPACITY);
    }

    /// Drops all stale entries.
    #[cold]
    fn sweep<T: WheelEntry>(&mut self, flows: &mut SegmentedVec<T>) {
        self.entries = 0;
        for (bucket, slots) in (0..).map(Bucket::of).zip(&mut self.buckets) {
            // Unscheduling makes a second entry of the same slot stale.
            slots.retain(|&slot| unschedule(flows, slot, bucket));
            for &slot in &*slots {
                *flows[slot].bucket() = bucket;
            }
            self.entries += slots.len();
        }
        self.stale = 0;
    }
}

/// Unschedules a slot if it is scheduled in `bucket`. Returns whether it was.
///
/// A slot that was unscheduled and scheduled again can have two entries in a bucket. Only the first call
/// returns true.
fn unschedule<T: WheelEntry>(flows: &mut SegmentedVec<T>, slot: u32, bucket: Bucket) -> bool {
    let current = flows[slot].bucket();
    let is_scheduled = *current == bucket;
    if is_scheduled {
        *current = Bucket::NONE;
    }
    is_scheduled
}

#[cfg(test)]
mod tests {
    use super::*;

    impl WheelEntry for Bucket {
        fn bucket(&mut self) -> &mut Bucket {
            self
        }
    }

    fn due(wheel: &mut TimingWheel, flows: &mut SegmentedVec<Bucket>, time_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take_due(flows, time_ms, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn slots_are_due_at_the_deadline_and_not_before() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(3);
        wheel.schedule(&mut flows, 0, 15_000);
        wheel.schedule(&mut flows, 1, 15_001);
        wheel.schedule(&mut flows, 2, 15_000);
        assert_eq!(due(&mut wheel, &mut flows, 14_999), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, 15_000), [0, 2]);
        assert_eq!(due(&mut wheel, &mut flows, 15_009), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, 15_010), [1]);
    }

    #[test]
    fn far_deadlines_are_due_early_and_jumps_of_time_find_all_slots() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(1);
        wheel.schedule(&mut flows, 0, u64::MAX);
        wheel.schedule(&mut flows, 1, 20_000);
        assert_eq!(due(&mut wheel, &mut flows, u64::MAX / 2), [0, 1]);
        wheel.schedule(&mut flows, 0, 0);
        assert_eq!(due(&mut wheel, &mut flows, u64::MAX / 2 + 10), [0]);
    }

    #[test]
    fn removed_slots_are_not_due() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(4);
        for slot in 0..5 {
            wheel.schedule(&mut flows, slot, 100);
        }
        for slot in [4, 2, 0] {
            wheel.remove(&mut flows, slot);
        }
        assert_eq!(due(&mut wheel, &mut flows, 100), [1, 3]);
    }

    #[test]
    fn a_slot_that_is_scheduled_again_is_due_once() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(20);
        for slot in 0..3 {
            wheel.schedule(&mut flows, slot, 100);
        }
        // Slot 0 into the same bucket, and slot 1 into another one.
        for (slot, deadline) in [(0, 100), (1, 200)] {
            wheel.remove(&mut flows, slot);
            wheel.schedule(&mut flows, slot, deadline);
        }
        assert_eq!(wheel.first_scheduled(&mut flows), Some((0, 100)));
        assert_eq!(due(&mut wheel, &mut flows, 100), [0, 2]);
        assert_eq!(due(&mut wheel, &mut flows, 200), [1]);
        assert_eq!((wheel.entries, wheel.stale), (0, 0));
    }

    #[test]
    fn the_number_of_stale_entries_is_bounded() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(1);
        wheel.schedule(&mut flows, 1, 7_000);
        for n in 0..1_000 {
            wheel.schedule(&mut flows, 0, 5_000 + n % 3 * 10);
            wheel.remove(&mut flows, 0);
            assert!(wheel.entries < 12, "{n}: {wheel:?}");
        }
        assert_eq!(wheel.first_scheduled(&mut flows), Some((1, 7_000)));
        assert_eq!(due(&mut wheel, &mut flows, 6_990), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, 7_000), [1]);
    }

    #[test]
    fn a_tick_has_10_ms_or_as_many_as_a_long_timeout_needs() {
        for (horizon_ms, tick_ms) in [(15_000, 10), (40_939, 10), (40_940, 11), (4_094_000, 1_001)]
        {
            let mut wheel = TimingWheel::new(horizon_ms);
            let mut flows = SegmentedVec::default();
            flows.extend_to(0);
            wheel.schedule(&mut flows, 0, horizon_ms);
            assert!(!wheel.has_due(tick_ms - 1));
            assert!(wheel.has_due(tick_ms));
            // The whole time fits into the wheel.
            let due_ms = horizon_ms.next_multiple_of(tick_ms);
            assert_eq!(
                wheel.first_scheduled(&mut flows),
                Some((0, due_ms)),
                "{horizon_ms}"
            );
            assert_eq!(due(&mut wheel, &mut flows, due_ms - 1), [0_u32; 0]);
            assert!(!wheel.has_due(due_ms - 1) && wheel.has_due(due_ms));
            assert_eq!(due(&mut wheel, &mut flows, due_ms), [0]);
            assert_eq!(wheel.first_scheduled(&mut flows), None);
        }
    }

    #[test]
    fn passed_deadlines_are_due_at_the_next_tick() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(0);
        due(&mut wheel, &mut flows, 1_000);
        for deadline_ms in [0, 1_000] {
            wheel.schedule(&mut flows, 0, deadline_ms);
            assert_eq!(wheel.first_scheduled(&mut flows), Some((0, 1_010)));
            wheel.remove(&mut flows, 0);
        }
        // A time before the last one changes nothing.
        wheel.schedule(&mut flows, 0, 2_000);
        assert_eq!(due(&mut wheel, &mut flows, 500), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, 2_000), [0]);
    }

    #[test]
    fn far_deadlines_are_in_the_last_bucket() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(0);
        due(&mut wheel, &mut flows, 1_000);
        wheel.schedule(&mut flows, 0, 1 << 40);
        let last_ms = 1_000 + 10 * (BUCKETS - 1);
        assert_eq!(wheel.first_scheduled(&mut flows), Some((0, last_ms)));
        assert_eq!(due(&mut wheel, &mut flows, last_ms - 1), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, last_ms), [0]);
    }

    #[test]
    fn all_slots_can_be_taken_and_time_can_restart() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.extend_to(9);
        let empty = wheel.memory();
        assert_eq!(empty, 4096 * 24 + 4096 / 8);
        due(&mut wheel, &mut flows, 60_000);
        for slot in 0..10 {
            wheel.schedule(&mut flows, slot, 60_010 + 4_000 * u64::from(slot));
        }
        wheel.remove(&mut flows, 3);
        assert_eq!(wheel.memory(), empty + 10 * 4);
        let mut all = Vec::new();
        wheel.take_all(&mut flows, &mut all);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        assert_eq!((wheel.memory(), wheel.stale), (empty, 0));
        wheel.restart();
        assert!(!wheel.has_due(9) && wheel.has_due(10));
        wheel.schedule(&mut flows, 0, 20);
        assert_eq!(due(&mut wheel, &mut flows, 20), [0]);
    }
}
