//! Which flows may have fallen idle: a timing wheel.
//!
//! A flow stands in the bucket of the moment at which it would be idle, as known when it was put
//! there. A packet does not move it, so expiry costs nothing a packet; a flow that is found in a due
//! bucket but has seen packets since is put into a later one. The buckets are lists through the
//! flows' own links, doubly linked because a flow may also end before its time.

use super::slab::Segmented;

/// Ticks that the wheel reaches ahead.
const BUCKETS: u64 = if cfg!(fuzzing) { 16 } else { 4096 };
/// A tick is at least as long: more often than NFStream nobody needs to look.
const LEAST_TICK_MS: u64 = 10;

const NONE: u32 = u32::MAX;

/// What has a place in the wheel.
pub(crate) trait Linked: Clone + Default {
    fn links(&mut self) -> &mut Links;
}

/// A flow's neighbours in its bucket, and which one that is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    previous: u32,
    next: u32,
    bucket: u16,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            previous: NONE,
            next: NONE,
            bucket: 0,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    tick_ms: u64,
    /// All buckets up to this tick are empty.
    now: u64,
    /// When the next one begins.
    next_ms: u64,
    /// There is nothing between `now` and this tick.
    first: u64,
}

impl Wheel {
    /// For deadlines up to `horizon_ms` ahead.
    pub(crate) fn new(horizon_ms: u64) -> Self {
        let tick_ms = (horizon_ms / (BUCKETS - 2) + 1).max(LEAST_TICK_MS);
        Self {
            heads: vec![NONE; BUCKETS as usize].into(),
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

    /// Puts `place` where it is found at the first tick at or after `deadline_ms`.
    pub(crate) fn put<T: Linked>(
        &mut self,
        flows: &mut Segmented<T>,
        place: u32,
        deadline_ms: u64,
    ) {
        // A packet may be older than what `take_due` was told, hence the lower bound.
        let tick = deadline_ms
            .div_ceil(self.tick_ms)
            .clamp(self.now + 1, self.now + BUCKETS - 1);
        self.first = self.first.min(tick);
        let bucket = (tick % BUCKETS) as u16;
        let next = std::mem::replace(&mut self.heads[bucket as usize], place);
        *flows[place].links() = Links {
            previous: NONE,
            next,
            bucket,
        };
        if next != NONE {
            flows[next].links().previous = place;
        }
    }

    /// One of those whose time comes first, and that time.
    pub(crate) fn first(&mut self) -> Option<(u32, u64)> {
        self.first = self.first.max(self.now + 1);
        while self.first < self.now + BUCKETS {
            let place = self.heads[(self.first % BUCKETS) as usize];
            if place != NONE {
                return Some((place, self.first.saturating_mul(self.tick_ms)));
            }
            self.first += 1;
        }
        None
    }

    /// Takes `place` out before its time.
    pub(crate) fn remove<T: Linked>(&mut self, flows: &mut Segmented<T>, place: u32) {
        let Links {
            previous,
            next,
            bucket,
        } = std::mem::take(flows[place].links());
        if previous == NONE {
            self.heads[bucket as usize] = next;
        } else {
            flows[previous].links().next = next;
        }
        if next != NONE {
            flows[next].links().previous = previous;
        }
    }

    /// Moves on to `time_ms` and takes out all that stood in the buckets up to it: what is not idle
    /// yet has to be put back.
    pub(crate) fn take_due<T: Linked>(
        &mut self,
        flows: &mut Segmented<T>,
        time_ms: u64,
        due: &mut Vec<u32>,
    ) {
        let tick = time_ms / self.tick_ms;
        if tick <= self.now {
            return;
        }
        let first = (self.now + 1).max(tick.saturating_sub(BUCKETS - 1));
        for passed in first..=tick {
            self.empty((passed % BUCKETS) as usize, flows, due);
        }
        self.now = tick;
        self.next_ms = (tick + 1).saturating_mul(self.tick_ms);
    }

    /// Takes out all there is.
    pub(crate) fn take_all<T: Linked>(&mut self, flows: &mut Segmented<T>, all: &mut Vec<u32>) {
        for bucket in 0..self.heads.len() {
            self.empty(bucket, flows, all);
        }
    }

    fn empty<T: Linked>(&mut self, bucket: usize, flows: &mut Segmented<T>, into: &mut Vec<u32>) {
        let mut place = std::mem::replace(&mut self.heads[bucket], NONE);
        while place != NONE {
            into.push(place);
            place = std::mem::take(flows[place].links()).next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Links {
        fn links(&mut self) -> &mut Links {
            self
        }
    }

    fn due(wheel: &mut Wheel, flows: &mut Segmented<Links>, time_ms: u64) -> Vec<u32> {
        let mut due = Vec::new();
        wheel.take_due(flows, time_ms, &mut due);
        due.sort_unstable();
        due
    }

    #[test]
    fn gives_back_at_the_deadline_and_not_before() {
        let (mut wheel, mut flows) = (Wheel::new(15_000), Segmented::default());
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
        let (mut wheel, mut flows) = (Wheel::new(15_000), Segmented::default());
        flows.reach(1);
        wheel.put(&mut flows, 0, u64::MAX);
        wheel.put(&mut flows, 1, 20_000);
        assert_eq!(due(&mut wheel, &mut flows, u64::MAX / 2), [0, 1]);
        wheel.put(&mut flows, 0, 0);
        assert_eq!(due(&mut wheel, &mut flows, u64::MAX / 2 + 10), [0]);
    }

    #[test]
    fn removal_from_head_middle_and_end() {
        let (mut wheel, mut flows) = (Wheel::new(15_000), Segmented::default());
        flows.reach(4);
        for place in 0..5 {
            wheel.put(&mut flows, place, 100);
        }
        for place in [4, 2, 0] {
            wheel.remove(&mut flows, place);
        }
        assert_eq!(due(&mut wheel, &mut flows, 100), [1, 3]);
    }
}
