//! The health of one plugin generation on one meter: when it receives new flows again after a failure.
//!
//! ```text
//!                  trapped                    started            complete_trial
//!    ┌─> Running ───────────> BackOff(trial) ─────────> Trial ───────────────────> Running
//!    │      │                    ^    │                   │
//!    │      │ exceeded           │    │ trapped           │ trapped
//!    │      v                    └────┴───────────────────┘
//!    └── BackOff(no trial)
//!      started
//!
//!    any state, 20th trap in a row ──> Quarantined (final)
//! ```
//!
//! | state | instance | new flows | events per call |
//! |---|---|---|---|
//! | `Running` | open | received | a batch |
//! | `BackOff` | none | null values | none |
//! | `Trial` | open, new | received | one |
//! | `Quarantined` | none | null values | none |
//!
//! - A trap in `BackOff` means that the next instance could not be opened.
//! - The back-off is 1 s and doubles with each failure in a row, up to 30 s. Traps and exceeded CPU budgets are
//!   counted separately.
//! - Only a completed trial resets the count of traps. Only a CPU budget that was met resets the count of
//!   exceeded budgets.
//! - A CPU budget is not charged during a trial, because single events cost more.
//! - All times are packet times, so that a run over files is repeatable. Only an exceeded CPU budget depends on
//!   the machine.
//! - Transitions out of `BackOff` and `Trial` happen only when a flow begins. The runner drives them.

use std::fmt;
use std::time::Duration;

use flowloom_core::time::Time;

/// Whether a plugin receives the events of newly started flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginState {
    /// It receives them. This includes the trial after a back-off.
    #[default]
    Running,
    /// It is in back-off: it receives none until the back-off ends.
    Restarting,
    /// It is in quarantine: it receives none until the capture ends.
    Quarantined,
}

impl fmt::Display for PluginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Quarantined => "quarantined",
        })
    }
}

/// The back-off after the first failure. Each further failure in a row doubles it.
const FIRST_BACK_OFF: Duration = Duration::from_secs(1);
/// The longest back-off. It bounds the loss if somebody sends a packet that traps again and again.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);
/// The length of a trial. One event per call makes a trap name its packet.
const TRIAL_TIME: Duration = Duration::from_secs(10);
/// The number of traps in a row, without a completed trial between them, that leads to quarantine.
const QUARANTINE_TRAPS: u32 = 20;

/// The health of one plugin generation on one meter.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: HealthState,
    /// Traps since the last completed trial.
    traps: u32,
    /// How many times in a row the CPU budget was exceeded.
    excesses: u32,
}

#[derive(Debug, Default)]
enum HealthState {
    #[default]
    Running,
    /// There is no instance until a flow begins at or after `until`.
    BackOff {
        until: Time,
        /// Whether a trial follows: true after a trap, false after an exceeded CPU budget.
        has_trial: bool,
    },
    /// A new instance receives one event per call until a flow begins at or after `until`.
    Trial {
        until: Time,
    },
    Quarantined,
}

impl Health {
    /// Records a trap. Returns the back-off, or `None` if the plugin enters quarantine.
    pub(crate) fn trapped(&mut self, now: Time) -> Option<Duration> {
        self.traps += 1;
        if self.traps >= QUARANTINE_TRAPS {
            self.state = HealthState::Quarantined;
            return None;
        }
        Some(self.back_off(self.traps, now, true))
    }

    /// Records an exceeded CPU budget. Returns the back-off.
    ///
    /// This never leads to quarantine. A plugin that is always too slow serves a sample of the flows.
    pub(crate) fn exceeded(&mut self, now: Time) -> Duration {
        self.excesses += 1;
        self.back_off(self.excesses, now, false)
    }

    /// Records that the CPU budget was met.
    pub(crate) fn within_budget(&mut self) {
        self.excesses = 0;
    }

    /// Enters the back-off of the `nth` failure in a row. `nth` is at least 1.
    fn back_off(&mut self, nth: u32, now: Time, has_trial: bool) -> Duration {
        let length = FIRST_BACK_OFF
            .saturating_mul(1 << (nth - 1).min(16))
            .min(LONGEST_BACK_OFF);
        let until = now.after(length);
        self.state = HealthState::BackOff { until, has_trial };
        length
    }

    /// Returns whether a new instance may be opened: the back-off has ended.
    pub(crate) fn may_start(&self, now: Time) -> bool {
        matches!(self.state, HealthState::BackOff { until, .. } if now >= until)
    }

    /// Records that a new instance was opened: a trial begins, or the plugin is running again.
    pub(crate) fn started(&mut self, now: Time) {
        self.state = match self.state {
            HealthState::BackOff {
                has_trial: false, ..
            } => HealthState::Running,
            _ => HealthState::Trial {
                until: now.after(TRIAL_TIME),
            },
        };
    }

    /// Returns whether the instance receives one event per call.
    #[inline]
    pub(crate) fn is_on_trial(&self) -> bool {
        matches!(self.state, HealthState::Trial { .. })
    }

    /// Returns whether the next flow that begins may lead to a new instance.
    #[inline]
    pub(crate) fn is_in_back_off(&self) -> bool {
        matches!(self.state, HealthState::BackOff { .. })
    }

    /// Ends the trial if its time has passed.
    pub(crate) fn complete_trial(&mut self, now: Time) {
        if let HealthState::Trial { until } = self.state
            && now >= until
        {
            self.state = HealthState::Running;
            self.traps = 0;
        }
    }

    /// Returns the state for reports.
    pub(crate) fn state(&self) -> PluginState {
        match self.state {
            HealthState::Running | HealthState::Trial { .. } => PluginState::Running,
            HealthState::BackOff { .. } => PluginState::Restarting,
            HealthState::Quarantined => PluginState::Quarantined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_ns(seconds * 1_000_000_000)
    }

    #[test]
    fn the_back_off_doubles_up_to_30_s_and_the_20th_trap_leads_to_quarantine() {
        let mut health = Health::default();
        let seconds: Vec<_> = (0..20)
            .map(|_| health.trapped(at(100)).map(|back_off| back_off.as_secs()))
            .collect();
        assert_eq!(seconds[..6], [1, 2, 4, 8, 16, 30].map(Some));
        assert_eq!(seconds[18..], [Some(30), None]);
        assert_eq!(health.state(), PluginState::Quarantined);
        assert!(!health.may_start(at(1_000_000)));
    }

    #[test]
    fn an_exceeded_budget_leads_to_a_back_off_without_trial_or_quarantine() {
        let mut health = Health::default();
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(health.exceeded(at(0)).as_secs(), seconds);
        }
        assert!(health.may_start(at(30)));
        health.started(at(30));
        assert!(!health.is_on_trial());
        health.within_budget();
        assert_eq!(health.exceeded(at(40)), FIRST_BACK_OFF);
    }

    #[test]
    fn a_completed_trial_resets_the_back_off() {
        let mut health = Health::default();
        health.trapped(at(0));
        health.trapped(at(0));
        assert!(!health.may_start(at(1)));
        assert!(health.may_start(at(2)));
        health.started(at(2));
        health.complete_trial(at(11));
        assert!(health.is_on_trial());
        health.complete_trial(at(12));
        assert!(!health.is_on_trial());
        assert_eq!(health.trapped(at(13)), Some(FIRST_BACK_OFF));
    }

    #[test]
    fn states_are_reported() {
        let mut health = Health::default();
        assert_eq!(health.state(), PluginState::Running);
        assert!(!health.is_in_back_off() && !health.is_on_trial() && !health.may_start(at(9)));
        health.trapped(at(0));
        assert_eq!(health.state(), PluginState::Restarting);
        assert!(health.is_in_back_off() && !health.is_on_trial());
        health.started(at(1));
        assert_eq!(health.state(), PluginState::Running);
        assert!(!health.is_in_back_off() && health.is_on_trial());
        for (state, text) in [
            (PluginState::Running, "running"),
            (PluginState::Restarting, "restarting"),
            (PluginState::Quarantined, "quarantined"),
        ] {
            assert_eq!(state.to_string(), text);
        }
    }
}
