//! The table of live flows: finds a packet's flow, and knows which flows have fallen idle.

use super::FlowView;
use super::arrival::Arrival;
use super::closing::Closing;
use super::index::Index;
use super::key::KeyHasher;
use super::prefetch::{prefetch, prefetch_all};
use super::record::{Expiration, Record};
use super::slab::{Places, Segmented};
use super::splt::Splt;
use super::statistics::{Aligned, Statistics};
use super::wheel::Wheel;

/// When flows end by themselves, in ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) idle_ms: u64,
    pub(crate) active_ms: u64,
}

/// What is kept of flows beyond the counters.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Analyses {
    pub(crate) statistics: bool,
    /// Sequence of lengths and times of so many packets; 0 keeps none.
    pub(crate) splt: u16,
    /// How TCP connections close.
    pub(crate) closing: bool,
}

/// Whom a packet finds in the table.
pub(crate) enum Meeting {
    /// Its flow, at this place.
    Flow(u32),
    /// A flow of its key that has to end before it, and why.
    Late(u32, Expiration),
    Nobody,
}

#[derive(Debug)]
pub(crate) struct FlowTable {
    timeouts: Timeouts,
    hasher: KeyHasher,
    index: Index,
    places: Places,
    records: Segmented<Record>,
    /// Of the flow in the same place of `records`, where they are wanted.
    statistics: Option<Segmented<Aligned>>,
    splt: Segmented<Splt>,
    /// Bytes that these have beside themselves.
    splt_beside: usize,
    /// How many packets of a flow `splt` has room for.
    splt_packets: u16,
    closing: Option<Segmented<Closing>>,
    wheel: Wheel,
    due: Vec<u32>,
    /// The number of the capture that flows are of.
    capture: u32,
}

impl FlowTable {
    /// For packets whose hashes are this hasher's.
    pub(crate) fn new(timeouts: Timeouts, analyses: Analyses, hasher: KeyHasher) -> Self {
        Self {
            timeouts,
            hasher,
            index: Index::new(),
            places: Places::default(),
            records: Segmented::default(),
            statistics: analyses.statistics.then(Segmented::default),
            splt: Segmented::default(),
            splt_beside: 0,
            splt_packets: analyses.splt,
            closing: analyses.closing.then(Segmented::default),
            wheel: Wheel::new(timeouts.idle_ms),
            due: Vec::new(),
            capture: 0,
        }
    }

    /// Has brought what the metering of these packets will read, all at once: the waits for memory overlap.
    /// Nothing is found or changed. `also` is told the places, to do the same with what it has at them.
    #[inline]
    pub(crate) fn prefetch(&self, arrivals: &[Arrival<'_>], also: impl Fn(u32)) {
        for arrival in arrivals {
            self.index.prefetch(arrival.hash);
        }
        for arrival in arrivals {
            if let Some(place) = self.index.peek(arrival.hash) {
                self.prefetch_flow(place, &also);
            }
        }
    }

    /// Has brought what the ends of the flows at these places will read, as `prefetch`.
    #[inline]
    pub(crate) fn prefetch_ends(&self, places: &[u32], also: impl Fn(u32)) {
        for &place in places {
            self.prefetch_flow(place, &also);
        }
        for &place in places {
            let hash = self.hasher.hash_of(&self.records[place]);
            self.index.prefetch(hash);
        }
    }

    #[inline]
    fn prefetch_flow(&self, place: u32, also: &impl Fn(u32)) {
        prefetch_all(&self.records[place]);
        also(place);
        if let Some(statistics) = &self.statistics {
            prefetch_all(&statistics[place]);
        }
        if self.splt_packets > 0 {
            prefetch(&self.splt[place]);
        }
    }

    /// Finds the live flow of a packet and tells the packet its place in it.
    #[inline]
    pub(crate) fn meet(&self, arrival: &mut Arrival<'_>) -> Meeting {
        let (packet, time_ms) = (&arrival.packet, arrival.time_ms());
        let mut found = None;
        let place = self.index.find(arrival.hash, |place| {
            let record = &self.records[place];
            found = record
                .direction_of(packet)
                .map(|direction| (record, direction));
            found.is_some()
        });
        let (Some(place), Some((record, direction))) = (place, found) else {
            return Meeting::Nobody;
        };
        let delta_ms = time_ms - record.last_seen_ms();
        if delta_ms >= self.timeouts.idle_ms {
            return Meeting::Late(place, Expiration::Idle);
        }
        if time_ms - record.first_seen_ms() >= self.timeouts.active_ms {
            return Meeting::Late(place, Expiration::Active);
        }
        arrival.direction = direction;
        arrival.delta_ms = delta_ms;
        Meeting::Flow(place)
    }

    /// A new flow, opened by this packet, which is not counted yet.
    pub(crate) fn open(&mut self, arrival: &Arrival<'_>) -> u32 {
        let place = self.places.take();
        self.records.reach(place);
        self.records[place] = Record::open(&arrival.packet, arrival.ordinal, Default::default());
        self.open_analyses(place);
        self.index.insert(arrival.hash, place);
        let deadline = arrival.time_ms().saturating_add(self.timeouts.idle_ms);
        self.wheel.put(&mut self.records, place, deadline);
        place
    }

    /// A new flow in the place of one with the same key that has just ended. It stays where it is in
    /// the wheel, whose deadlines may be early.
    pub(crate) fn reopen(&mut self, place: u32, arrival: &Arrival<'_>) {
        let bucket = self.records[place].bucket;
        self.records[place] = Record::open(&arrival.packet, arrival.ordinal, bucket);
        self.open_analyses(place);
    }

    fn open_analyses(&mut self, place: u32) {
        if let Some(statistics) = &mut self.statistics {
            statistics.reach(place);
            statistics[place] = Aligned::default();
        }
        if let Some(closing) = &mut self.closing {
            closing.reach(place);
            closing[place] = Closing::default();
        }
        if self.splt_packets > 0 {
            self.splt.reach(place);
            self.splt[place] = Splt::new(self.splt_packets);
        }
    }

    /// Counts a packet of the flow, `size` being what the accounting mode measures.
    #[inline]
    pub(crate) fn count(&mut self, place: u32, arrival: &Arrival<'_>, size: u32) {
        let record = &mut self.records[place];
        let (direction, time_ms) = (arrival.direction, arrival.time_ms());
        if let Some(statistics) = &mut self.statistics {
            statistics[place]
                .0
                .add(record, direction, time_ms, size, arrival.packet.tcp_flags);
        }
        if record.packets() < self.splt_packets.into() {
            let splt = &mut self.splt[place];
            let before = splt.beside();
            splt.add(direction, size, arrival.delta_ms);
            self.splt_beside += splt.beside() - before;
        }
        record.count(direction, time_ms, size);
    }

    /// Whether a packet of the flow closes its connection; never where that is not wanted.
    #[inline]
    pub(crate) fn closes(&mut self, place: u32, arrival: &Arrival<'_>) -> bool {
        self.closing.as_mut().is_some_and(|closing| {
            closing[place].ends_with(arrival.direction, &arrival.packet, arrival.frame)
        })
    }

    /// All that is known of a live flow.
    #[inline]
    pub(crate) fn view(&self, place: u32) -> FlowView<'_> {
        FlowView {
            record: &self.records[place],
            statistics: self
                .statistics
                .as_ref()
                .map(|statistics| &statistics[place].0),
            splt: (self.splt_packets > 0).then(|| &self.splt[place]),
            application: None,
            expiration: Expiration::Idle,
            capture: self.capture,
        }
    }

    /// All that is known of a flow that ends, to be kept.
    pub(crate) fn take(&mut self, place: u32) -> (Record, Option<Box<Statistics>>, Splt) {
        let statistics = self
            .statistics
            .as_ref()
            .map(|statistics| Box::new(statistics[place].0.clone()));
        let splt = match self.splt_packets {
            0 => Splt::default(),
            _ => std::mem::take(&mut self.splt[place]),
        };
        self.splt_beside -= splt.beside();
        (self.records[place].clone(), statistics, splt)
    }

    /// Takes out a flow before its time.
    pub(crate) fn remove(&mut self, place: u32) {
        self.wheel.remove(&mut self.records, place);
        self.forget(place);
    }

    /// Gives a flow's place back once it has left the wheel.
    pub(crate) fn forget(&mut self, place: u32) {
        let hash = self.hasher.hash_of(&self.records[place]);
        self.index.remove(hash, place);
        self.places.give_back(place);
    }

    /// Whether `idle_at` would look at any flow.
    #[inline]
    pub(crate) fn is_behind(&self, time_ms: u64) -> bool {
        self.wheel.is_behind(time_ms)
    }

    /// Takes the flows that are idle at this time out of the wheel, in the order of their ids. Each
    /// has to be forgotten once it has been read.
    pub(crate) fn idle_at(&mut self, time_ms: u64) -> Vec<u32> {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.take_due(&mut self.records, time_ms, &mut due);
        due.retain(|&place| {
            let deadline = self.deadline(place);
            let is_idle = deadline <= time_ms;
            if !is_idle {
                self.wheel.put(&mut self.records, place, deadline);
            }
            is_idle
        });
        self.in_order(due)
    }

    /// The flow that has seen no packet for longest, to within a tick of the wheel.
    pub(crate) fn oldest(&mut self) -> Option<u32> {
        while let Some((place, bucket_ms)) = self.wheel.first(&mut self.records) {
            let deadline = self.deadline(place);
            if deadline <= bucket_ms {
                return Some(place);
            }
            self.wheel.remove(&mut self.records, place);
            self.wheel.put(&mut self.records, place, deadline);
        }
        None
    }

    /// When the flow is idle unless packets come.
    fn deadline(&self, place: u32) -> u64 {
        let last_seen_ms = self.records[place].last_seen_ms();
        last_seen_ms.saturating_add(self.timeouts.idle_ms)
    }

    /// Takes all flows out of the wheel, as `idle_at`, and lets none be found any more.
    pub(crate) fn all(&mut self) -> Vec<u32> {
        let mut all = std::mem::take(&mut self.due);
        self.wheel.take_all(&mut self.records, &mut all);
        self.index = Index::new();
        self.in_order(all)
    }

    /// Lets time begin anew once no flow is live, and with another capture also its number.
    pub(crate) fn restart(&mut self, capture: u32) {
        debug_assert_eq!(self.len(), 0);
        self.wheel.restart();
        self.capture = capture;
    }

    /// The number of the capture that flows are of.
    pub(crate) fn capture(&self) -> u32 {
        self.capture
    }

    /// Gives back the memory of a list that `idle_at` or `all` gave.
    pub(crate) fn recycle(&mut self, mut list: Vec<u32>) {
        list.clear();
        self.due = list;
    }

    fn in_order(&self, mut places: Vec<u32>) -> Vec<u32> {
        // Every id is read once, for it is not in the cache.
        places.sort_by_cached_key(|&place| self.records[place].id);
        places
    }

    #[inline]
    pub(crate) fn record(&self, place: u32) -> &Record {
        &self.records[place]
    }

    /// How many flows are live.
    pub(crate) fn len(&self) -> usize {
        self.places.taken()
    }

    /// Bytes held.
    pub(crate) fn memory(&self) -> usize {
        let statistics = self.statistics.as_ref().map_or(0, Segmented::memory);
        let splt = self.splt.memory() + self.splt_beside;
        let closing = self.closing.as_ref().map_or(0, Segmented::memory);
        let wheel = self.wheel.memory();
        self.index.memory() + self.records.memory() + wheel + statistics + splt + closing
    }
}
