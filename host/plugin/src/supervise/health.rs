//! When a plugin that has trapped is tried again.

use std::fmt;
use std::time::Duration;

use flowloom_core::time::Time;

/// What becomes of a plugin's new flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginState {
    /// It is shown them.
    #[default]
    Running,
    /// It has trapped: it is not shown them until its pause is over.
    Restarting,
    /// It has trapped too often: it is shown nothing any more.
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

/// After the first trap; each one that follows without a trial passed doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Somebody who sends a packet of death again and again takes away no more than this at a time.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a fresh instance is called with one event at a time, so that a trap names its packet.
const TRIAL: Duration = Duration::from_secs(10);
/// Traps in a row without a trial passed, after which there is no other try.
const MOST_TRAPS: u32 = 20;

/// How a plugin is doing on one meter. All times are packets' times, so that a run over files can be
/// repeated.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: HealthState,
    /// In a row, without a trial passed.
    traps: u32,
    /// How often in a row it took more time than it may.
    excesses: u32,
}

#[derive(Debug, Default)]
enum HealthState {
    #[default]
    Sound,
    /// It has no instance.
    Pausing {
        until: Time,
        /// Whether it has trapped.
        is_suspect: bool,
    },
    /// Its instance is fresh.
    OnTrial {
        until: Time,
    },
    Quarantined,
}

impl Health {
    /// Takes note of a trap; returns the pause after which there may be a fresh instance, if ever.
    pub(crate) fn trapped(&mut self, now: Time) -> Option<Duration> {
        self.traps += 1;
        if self.traps >= MOST_TRAPS {
            self.state = HealthState::Quarantined;
            return None;
        }
        Some(self.pause(self.traps, now, true))
    }

    /// Takes note of too much time taken; returns the pause after which there may be a fresh instance.
    /// That is done for as long as the run takes: it is sampled.
    pub(crate) fn exceeded(&mut self, now: Time) -> Duration {
        self.excesses += 1;
        self.pause(self.excesses, now, false)
    }

    /// It takes no more time than it may.
    pub(crate) fn keeps_to_its_time(&mut self) {
        self.excesses = 0;
    }

    fn pause(&mut self, times: u32, now: Time, is_suspect: bool) -> Duration {
        let pause = FIRST_PAUSE
            .saturating_mul(1 << (times - 1).min(16))
            .min(LONGEST_PAUSE);
        let until = now.after(pause);
        self.state = HealthState::Pausing { until, is_suspect };
        pause
    }

    /// Whether its pause is over.
    pub(crate) fn may_start(&self, now: Time) -> bool {
        matches!(self.state, HealthState::Pausing { until, .. } if now >= until)
    }

    /// There is a fresh instance.
    pub(crate) fn started(&mut self, now: Time) {
        self.state = match self.state {
            HealthState::Pausing {
                is_suspect: false, ..
            } => HealthState::Sound,
            _ => HealthState::OnTrial {
                until: now.after(TRIAL),
            },
        };
    }

    /// Whether it gets one event a call.
    #[inline]
    pub(crate) fn is_on_trial(&self) -> bool {
        matches!(self.state, HealthState::OnTrial { .. })
    }

    /// Whether a fresh instance may come with any packet.
    #[inline]
    pub(crate) fn is_pausing(&self) -> bool {
        matches!(self.state, HealthState::Pausing { .. })
    }

    /// Ends a trial that is passed.
    pub(crate) fn pass(&mut self, now: Time) {
        if let HealthState::OnTrial { until } = self.state
            && now >= until
        {
            self.state = HealthState::Sound;
            self.traps = 0;
        }
    }

    pub(crate) fn state(&self) -> PluginState {
        match self.state {
            HealthState::Sound | HealthState::OnTrial { .. } => PluginState::Running,
            HealthState::Pausing { .. } => PluginState::Restarting,
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
    fn pauses_double_up_to_a_bound_and_end_after_twenty_traps() {
        let mut health = Health::default();
        let pauses: Vec<_> = (0..20)
            .map(|_| health.trapped(at(100)).map(|pause| pause.as_secs()))
            .collect();
        assert_eq!(pauses[..6], [1, 2, 4, 8, 16, 30].map(Some));
        assert_eq!(pauses[18..], [Some(30), None]);
        assert_eq!(health.state(), PluginState::Quarantined);
        assert!(!health.may_start(at(1_000_000)));
    }

    #[test]
    fn who_takes_too_much_time_is_sampled() {
        let mut health = Health::default();
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(health.exceeded(at(0)).as_secs(), pause);
        }
        assert!(health.may_start(at(30)));
        health.started(at(30));
        assert!(!health.is_on_trial());
        health.keeps_to_its_time();
        assert_eq!(health.exceeded(at(40)), FIRST_PAUSE);
    }

    #[test]
    fn a_trial_that_is_passed_is_a_new_beginning() {
        let mut health = Health::default();
        health.trapped(at(0));
        health.trapped(at(0));
        assert!(!health.may_start(at(1)));
        assert!(health.may_start(at(2)));
        health.started(at(2));
        health.pass(at(11));
        assert!(health.is_on_trial());
        health.pass(at(12));
        assert!(!health.is_on_trial());
        assert_eq!(health.trapped(at(13)), Some(FIRST_PAUSE));
    }
}
