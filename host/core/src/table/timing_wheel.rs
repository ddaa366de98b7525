//! Which flows may have fallen idle: a timing wheel.
//!
//! A flow stands in the bucket of the moment at which it would be idle, as known when it was put
//! there. A packet does not move it, so expiry costs nothing a packet; a flow that is found in a due
//! bucket but has seen packets since is put into a later one. The buckets are lists of slots, which
//! are read one independently of the other. Of a flow that ends before its time the list is not told:
//! the flow itself knows in which bucket it stands, and an entry that says otherwise is stale.

use super::slab::SegmentedVec;
use crate::record::{BUCKETS, Bucket, WheelEntry};

/// A tick is at least as long: more often than NFStream nobody needs to look.
const LEAST_TICK_MS: u64 = 10;
/// Entries of an empty bucket for which the memory is kept.
const KEPT: usize = 1_024;
/// Stale entries that are not worth a look at all.
const FEW: usize = if cfg!(any(test, fuzzing)) { 4 } else { 4_096 };

#[derive(Debug)]
pub(crate) struct TimingWheel {
    buckets: Box<[Vec<u32>]>,
    entries: usize,
    stale: usize,
    tick_ms: u64,
    /// All buckets up to this tick are empty.
    now: u64,
    /// When the next one begins.
    next_ms: u64,
    /// There is nothing between `now` and this tick.
    first: u64,
}

impl TimingWheel {
    /// For deadlines up to `horizon_ms` ahead.
    pub(crate) fn new(horizon_ms: u64) -> Self {
        let tick_ms = (horizon_ms / (BUCKETS - 2) + 1).max(LEAST_TICK_MS);
        Self {
            buckets: vec![Vec::new(); BUCKETS as usize].into(),
            entries: 0,
            stale: 0,
            tick_ms,
            now: 0,
            next_ms: tick_ms,
            first: 0,
        }
    }

    /// Whether `take_due` at this time would look at any bucket.
    #[inline]
    pub(crate) fn is_behind(&self, time_ms: u64) -> bool {
        time_ms >= self.next_ms
    }

    /// Puts `slot`, which stands nowhere, where it is found at the first tick at or after `deadline_ms`.
    pub(crate) fn put<T: WheelEntry>(
        &mut self,
        flows: &mut SegmentedVec<T>,
        slot: u32,
        deadline_ms: u64,
    ) {
        // A packet may be older than what `take_due` was told, hence the lower bound.
        let tick = deadline_ms
            .div_ceil(self.tick_ms)
            .clamp(self.now + 1, self.now + BUCKETS - 1);
        self.first = self.first.min(tick);
        let bucket = Bucket::of(tick);
        *flows[slot].bucket() = bucket;
        self.buckets[bucket.index()].push(slot);
        self.entries += 1;
    }

    /// One of those whose time comes first, and that time.
    pub(crate) fn first<T: WheelEntry>(
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

    /// Takes `slot` out before its time.
    pub(crate) fn remove<T: WheelEntry>(&mut self, flows: &mut SegmentedVec<T>, slot: u32) {
        *flows[slot].bucket() = Bucket::NONE;
        self.stale += 1;
        // Looking at all entries when half of them are stale costs little for each.
        if self.stale > FEW && self.stale > self.entries / 2 {
            self.sweep(flows);
        }
    }

    /// Moves on to `time_ms` and takes out all that stood in the buckets up to it: what is not idle
    /// yet has to be put back.
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
        let first = (self.now + 1).max(tick.saturating_sub(BUCKETS - 1));
        for passed in first..=tick {
            self.empty(Bucket::of(passed), flows, due);
        }
        self.now = tick;
        self.next_ms = (tick + 1).saturating_mul(self.tick_ms);
    }

    /// Takes out all there is.
    pub(crate) fn take_all<T: WheelEntry>(
        &mut self,
        flows: &mut SegmentedVec<T>,
        all: &mut Vec<u32>,
    ) {
        for tick in 0..BUCKETS {
            self.empty(Bucket::of(tick), flows, all);
        }
    }

    /// Lets time begin anew. Nothing may be in it.
    pub(crate) fn restart(&mut self) {
        debug_assert_eq!(self.entries, 0);
        (self.now, self.next_ms, self.first) = (0, self.tick_ms, 0);
    }

    /// Bytes in use.
    pub(crate) fn memory(&self) -> usize {
        self.entries * size_of::<u32>() + size_of_val(&*self.buckets)
    }

    fn empty<T: WheelEntry>(
        &mut self,
        bucket: Bucket,
        flows: &mut SegmentedVec<T>,
        into: &mut Vec<u32>,
    ) {
        let slots = &mut self.buckets[bucket.index()];
        self.entries -= slots.len();
        if self.stale == 0 {
            into.append(slots);
        } else {
            let (before, taken) = (into.len(), slots.len());
            into.extend(slots.drain(..).filter(|&slot| leaves(flows, slot, bucket)));
            self.stale -= taken - (into.len() - before);
        }
        slots.shrink_to(KEPT);
    }

    /// Drops all stale entries.
    #[cold]
    fn sweep<T: WheelEntry>(&mut self, flows: &mut SegmentedVec<T>) {
        self.entries = 0;
        for (bucket, slots) in (0..).map(Bucket::of).zip(&mut self.buckets) {
            slots.retain(|&slot| leaves(flows, slot, bucket));
            for &slot in &*slots {
                *flows[slot].bucket() = bucket;
            }
            self.entries += slots.len();
        }
        self.stale = 0;
    }
}

/// Takes a flow out of this bucket; says whether it stood there. A flow that was taken out and put back
/// may have two entries: the second says no.
fn leaves<T: WheelEntry>(flows: &mut SegmentedVec<T>, slot: u32, bucket: Bucket) -> bool {
    let its = flows[slot].bucket();
    let stands = *its == bucket;
    if stands {
        *its = Bucket::NONE;
    }
    stands
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
    fn gives_back_at_the_deadline_and_not_before() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.reach(3);
        wheel.put(&mut flows, 0, 15_000);
        wheel.put(&mut flows, 1, 15_001);
        wheel.put(&mut flows, 2, 15_000);
        assert_eq!(due(&mut wheel, &mut flows, 14_999), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, 15_000), [0, 2]);
        assert_eq!(due(&mut wheel, &mut flows, 15_009), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, 15_010), [1]);
    }

    #[test]
    fn far_deadlines_are_looked_at_on_the_way_and_leaps_of_time_find_all() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.reach(1);
        wheel.put(&mut flows, 0, u64::MAX);
        wheel.put(&mut flows, 1, 20_000);
        assert_eq!(due(&mut wheel, &mut flows, u64::MAX / 2), [0, 1]);
        wheel.put(&mut flows, 0, 0);
        assert_eq!(due(&mut wheel, &mut flows, u64::MAX / 2 + 10), [0]);
    }

    #[test]
    fn what_was_removed_is_not_found() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.reach(4);
        for slot in 0..5 {
            wheel.put(&mut flows, slot, 100);
        }
        for slot in [4, 2, 0] {
            wheel.remove(&mut flows, slot);
        }
        assert_eq!(due(&mut wheel, &mut flows, 100), [1, 3]);
    }

    #[test]
    fn what_was_removed_and_put_back_is_found_once() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.reach(20);
        for slot in 0..3 {
            wheel.put(&mut flows, slot, 100);
        }
        // Back into the same bucket, and into another one.
        for (slot, deadline) in [(0, 100), (1, 200)] {
            wheel.remove(&mut flows, slot);
            wheel.put(&mut flows, slot, deadline);
        }
        assert_eq!(wheel.first(&mut flows), Some((0, 100)));
        assert_eq!(due(&mut wheel, &mut flows, 100), [0, 2]);
        assert_eq!(due(&mut wheel, &mut flows, 200), [1]);
        assert_eq!((wheel.entries, wheel.stale), (0, 0));
    }

    #[test]
    fn stale_entries_do_not_pile_up() {
        let (mut wheel, mut flows) = (TimingWheel::new(15_000), SegmentedVec::default());
        flows.reach(1);
        wheel.put(&mut flows, 1, 7_000);
        for n in 0..1_000 {
            wheel.put(&mut flows, 0, 5_000 + n % 3 * 10);
            wheel.remove(&mut flows, 0);
            assert!(wheel.entries < 12, "{n}: {wheel:?}");
        }
        assert_eq!(wheel.first(&mut flows), Some((1, 7_000)));
        assert_eq!(due(&mut wheel, &mut flows, 6_990), [0_u32; 0]);
        assert_eq!(due(&mut wheel, &mut flows, 7_000), [1]);
    }
}
