//! CPU time that a plugin's events may take in the long run.

use std::time::Duration;

use flowloom_core::time::Time;

use crate::config::limits::EventTime;
use crate::config::run_context::RunContext;

/// CPU time of an event, on average, where packets do not wait and the operator says nothing, ns.
///
/// The slowest plugins that we know of, those in JavaScript and Python that are called event by event,
/// take 25,000, and twice that on a machine that is busy with others. Batches that just keep the
/// deadline of their calls take 97,000 and more, and single events a thousand times that.
const USUAL: u64 = 80_000;

/// Of the time that passes a plugin may take one part in so many without being asked what an event
/// took, as when packets come too quickly. On a quiet wire each call finds cold caches and has few
/// events, which take 200,000 each in those languages, and nobody waits for it.
const QUIET: u32 = 8;

/// How much time is looked at together: what a first call takes for once is no habit.
const WINDOW: Duration = Duration::from_millis(100);

/// Watches what the events of one plugin on one meter take.
#[derive(Debug)]
pub(crate) struct CpuBudget {
    pub(crate) ns_per_event: u64,
    /// Whether a plugin that takes little of the time that passes may take as much as it likes for an
    /// event.
    spares_the_quiet: bool,
    /// Whether CPU time is measured. That takes a system call for each call, so that it is first seen
    /// whether the time that passes in calls, which is known anyway, is more than they may take.
    pub(crate) is_exact: bool,
    events: u64,
    taken: Duration,
    /// When the calls that are looked at together began.
    since: Option<Time>,
}

/// What is to be said of a plugin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BudgetVerdict {
    /// Its events take no more than they may.
    Keeps,
    /// They take so many ns each, which is more.
    Exceeds(u64),
}

impl CpuBudget {
    /// What was allowed, if it is bounded in such a run.
    pub(crate) fn new(allowed: EventTime, run: RunContext) -> Option<Self> {
        let (ns_per_event, is_usual) = match allowed {
            EventTime::Default if run.is_live => (USUAL, true),
            EventTime::Default | EventTime::Unbounded => return None,
            EventTime::Ns(ns) => (ns, false),
        };
        Some(Self {
            ns_per_event,
            spares_the_quiet: is_usual,
            is_exact: !is_usual,
            events: 0,
            taken: Duration::ZERO,
            since: None,
        })
    }

    /// Takes note of a call at this time of the packets, and of the time that it took: CPU time where
    /// that `is_exact`. Says what is to be said each time that there is enough to say it.
    pub(crate) fn spend(
        &mut self,
        events: u64,
        taken: Duration,
        now: Time,
    ) -> Option<BudgetVerdict> {
        let since = *self.since.get_or_insert(now);
        self.events += events;
        self.taken += taken;
        if self.taken < WINDOW || self.events == 0 {
            return None;
        }
        let ns = self.taken.as_nanos() / u128::from(self.events);
        let ns = u64::try_from(ns).unwrap_or(u64::MAX);
        let passed = Duration::from_nanos(now.ns().saturating_sub(since.ns()));
        let is_quiet = self.spares_the_quiet && self.taken.saturating_mul(QUIET) < passed;
        (self.events, self.taken, self.since) = (0, Duration::ZERO, Some(now));
        if ns <= self.ns_per_event || is_quiet {
            self.is_exact = !self.spares_the_quiet;
            return Some(BudgetVerdict::Keeps);
        }
        // It may have been the machine, which was busy with others.
        std::mem::replace(&mut self.is_exact, true).then_some(BudgetVerdict::Exceeds(ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: RunContext = RunContext {
        meters: 1,
        is_live: true,
        columns: crate::config::run_context::SchemaMode::PerFlow,
    };

    fn at(ms: u64) -> Time {
        Time::from_ns(ms * 1_000_000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_is_there_when_live_or_when_somebody_says_so() {
        let ns = |allowed, run| CpuBudget::new(allowed, run).map(|budget| budget.ns_per_event);
        let files = RunContext::default();
        assert_eq!(ns(EventTime::Default, LIVE), Some(80_000));
        assert_eq!(ns(EventTime::Default, files), None);
        for run in [LIVE, files] {
            assert_eq!(ns(EventTime::Ns(7), run), Some(7));
            assert_eq!(ns(EventTime::Unbounded, run), None);
        }
    }

    #[test]
    fn calls_just_under_their_deadline_are_too_much_when_live() {
        // A batch of 1,024 events in 99 ms is 96 µs an event.
        let mut budget = CpuBudget::new(EventTime::Default, LIVE).unwrap();
        let mut said = (1..=4).map(|n| budget.spend(1_024, ms(99), at(100 * n)));
        assert!(said.by_ref().take(3).all(|habit| habit.is_none()));
        assert_eq!(said.next(), Some(Some(BudgetVerdict::Exceeds(96_679))));
    }

    #[test]
    fn it_is_measured_exactly_before_it_is_judged() {
        let mut budget = CpuBudget::new(EventTime::Default, LIVE).unwrap();
        assert!(!budget.is_exact);
        // By the clock it was slow; by its CPU time it is not, and then the clock is enough.
        assert_eq!(budget.spend(1_000, ms(300), at(1)), None);
        assert!(budget.is_exact);
        assert_eq!(
            budget.spend(9_000, ms(250), at(2)),
            Some(BudgetVerdict::Keeps)
        );
        assert!(!budget.is_exact);
        // One that somebody has set is exact from the first call on.
        let mut set = CpuBudget::new(EventTime::Ns(1_000), LIVE).unwrap();
        assert_eq!(
            set.spend(1_000, ms(300), at(1)),
            Some(BudgetVerdict::Exceeds(300_000))
        );
    }

    #[test]
    fn on_a_quiet_wire_events_may_take_longer() {
        let mut budget = CpuBudget::new(EventTime::Default, LIVE).unwrap();
        // Two events every 100 ms take 0.4 ms: 200 µs each, and 0.4 % of the time.
        for n in 0..2_000 {
            let said = budget.spend(2, Duration::from_micros(400), at(100 * n));
            assert!(
                matches!(said, None | Some(BudgetVerdict::Keeps)),
                "{n}: {said:?}"
            );
            assert!(!budget.is_exact);
        }
        // When they come more often they are too much.
        let said: Vec<_> = (0..2_000)
            .filter_map(|n| budget.spend(2, Duration::from_micros(400), at(200_000 + n)))
            .collect();
        assert_eq!(said[0], BudgetVerdict::Exceeds(200_000));
        // It says so of who was told, whatever passes.
        let mut set = CpuBudget::new(EventTime::Ns(100_000), LIVE).unwrap();
        let said = (0..1_000).find_map(|n| set.spend(2, Duration::from_micros(400), at(100 * n)));
        assert_eq!(said, Some(BudgetVerdict::Exceeds(200_000)));
    }
}
