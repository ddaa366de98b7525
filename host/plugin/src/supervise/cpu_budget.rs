//! The average CPU time per event that a plugin may use over many calls.

use std::time::Duration;

use flowloom_core::time::Time;

use crate::config::limits::EventTime;
use crate::config::run_context::RunContext;

/// The default budget of a live capture, in ns of CPU time per event.
///
/// The slowest known plugins (JavaScript and Python, called event by event) take 25,000 ns, and twice that on a
/// busy machine. Batches that only just meet the deadline of a call take at least 97,000 ns per event. Single
/// events that only just meet it take a thousand times that.
const DEFAULT_NS_PER_EVENT: u64 = 80_000;

/// With the default budget, a plugin that uses less than one part in `QUIET_SHARE` of the elapsed packet time
/// is within its budget, whatever an event takes.
///
/// On a link with little traffic, each call has few events and finds cold caches. Events then take 200,000 ns
/// in those languages, and nothing waits for them.
const QUIET_SHARE: u32 = 8;

/// The time in calls that is evaluated together. It is long enough that the cost of a first call does not
/// decide.
const WINDOW: Duration = Duration::from_millis(100);

/// Measures the CPU time per event of one plugin on one meter.
#[derive(Debug)]
pub(crate) struct CpuBudget {
    pub(crate) ns_per_event: u64,
    /// Whether a plugin with a small share of the elapsed time is within its budget (`QUIET_SHARE`).
    allows_quiet_share: bool,
    /// Whether the caller measures CPU time instead of elapsed time.
    ///
    /// Reading CPU time costs a system call before and after each call. With the default budget it is therefore
    /// measured only after the elapsed time, which is known anyway, has exceeded the budget.
    pub(crate) is_exact: bool,
    events: u64,
    used: Duration,
    /// The packet time of the first call of the current evaluation.
    since: Option<Time>,
}

/// The result of an evaluation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BudgetVerdict {
    /// The plugin is within its budget.
    Within,
    /// The plugin exceeds its budget. The value is ns per event.
    Exceeds(u64),
}

impl CpuBudget {
    /// Returns the budget for a run, or `None` if the run has none.
    pub(crate) fn new(allowed: EventTime, run: RunContext) -> Option<Self> {
        let (ns_per_event, is_default) = match allowed {
            EventTime::Default if run.is_live => (DEFAULT_NS_PER_EVENT, true),
            EventTime::Default | EventTime::Unbounded => return None,
            EventTime::Ns(ns) => (ns, false),
        };
        Some(Self {
            ns_per_event,
            allows_quiet_share: is_default,
            is_exact: !is_default,
            events: 0,
            used: Duration::ZERO,
            since: None,
        })
    }

    /// Adds a call at packet time `now` that used `used`: CPU time if `is_exact`, otherwise elapsed time.
    ///
    /// Returns a verdict each time that `WINDOW` of calls is complete, otherwise `None`. Elapsed time alone
    /// never leads to `Exceeds`: the machine may have been busy with other work.
    pub(crate) fn spend(
        &mut self,
        events: u64,
        used: Duration,
        now: Time,
    ) -> Option<BudgetVerdict> {
        let since = *self.since.get_or_insert(now);
        self.events += events;
        self.used += used;
        if self.used < WINDOW || self.events == 0 {
            return None;
        }
        let ns = self.used.as_nanos() / u128::from(self.events);
        let ns = u64::try_from(ns).unwrap_or(u64::MAX);
        let passed = Duration::from_nanos(now.ns().saturating_sub(since.ns()));
        let is_quiet = self.allows_quiet_share && self.used.saturating_mul(QUIET_SHARE) < passed;
        (self.events, self.used, self.since) = (0, Duration::ZERO, Some(now));
        if ns <= self.ns_per_event || is_quiet {
            self.is_exact = !self.allows_quiet_share;
            return Some(BudgetVerdict::Within);
        }
        // The first excess may be elapsed time only: measure CPU time before deciding.
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
    fn a_budget_exists_in_live_captures_or_if_the_operator_sets_it() {
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
    fn calls_just_under_their_deadline_exceed_the_default_budget() {
        // A batch of 1,024 events in 99 ms takes 96 µs per event.
        let mut budget = CpuBudget::new(EventTime::Default, LIVE).unwrap();
        let mut verdicts = (1..=4).map(|n| budget.spend(1_024, ms(99), at(100 * n)));
        assert!(verdicts.by_ref().take(3).all(|verdict| verdict.is_none()));
        assert_eq!(verdicts.next(), Some(Some(BudgetVerdict::Exceeds(96_679))));
    }

    #[test]
    fn cpu_time_is_measured_before_a_verdict() {
        let mut budget = CpuBudget::new(EventTime::Default, LIVE).unwrap();
        assert!(!budget.is_exact);
        // Elapsed time exceeds the budget, CPU time does not. Elapsed time is then measured again.
        assert_eq!(budget.spend(1_000, ms(300), at(1)), None);
        assert!(budget.is_exact);
        assert_eq!(
            budget.spend(9_000, ms(250), at(2)),
            Some(BudgetVerdict::Within)
        );
        assert!(!budget.is_exact);
        // A budget that the operator set is measured in CPU time from the first call on.
        let mut set = CpuBudget::new(EventTime::Ns(1_000), LIVE).unwrap();
        assert_eq!(
            set.spend(1_000, ms(300), at(1)),
            Some(BudgetVerdict::Exceeds(300_000))
        );
    }

    #[test]
    fn with_little_traffic_events_may_take_longer() {
        let mut budget = CpuBudget::new(EventTime::Default, LIVE).unwrap();
        // Two events every 100 ms take 0.4 ms: 200 µs each, and 0.4 % of the time.
        for n in 0..2_000 {
            let verdicts = budget.spend(2, Duration::from_micros(400), at(100 * n));
            assert!(
                matches!(verdicts, None | Some(BudgetVerdict::Within)),
                "{n}: {verdicts:?}"
            );
            assert!(!budget.is_exact);
        }
        // The same events every ms exceed the budget.
        let verdicts: Vec<_> = (0..2_000)
            .filter_map(|n| budget.spend(2, Duration::from_micros(400), at(200_000 + n)))
            .collect();
        assert_eq!(verdicts[0], BudgetVerdict::Exceeds(200_000));
        // A budget that the operator set has no exception for little traffic.
        let mut set = CpuBudget::new(EventTime::Ns(100_000), LIVE).unwrap();
        let verdicts =
            (0..1_000).find_map(|n| set.spend(2, Duration::from_micros(400), at(100 * n)));
        assert_eq!(verdicts, Some(BudgetVerdict::Exceeds(200_000)));
    }
}
