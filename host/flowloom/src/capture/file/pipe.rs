//! Reading from a pipe whose writer may be slow, and the time of its packets.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use flowloom_core::time::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The time that one read waits for data.
pub(crate) const WAIT: Duration = Duration::from_millis(100);

/// The maximum delay of a packet in the pipe. Writers collect packets before they write them.
const MAX_PIPE_DELAY: Duration = Duration::from_millis(500);

/// The maximum time by which the packets of a live pipe may be ahead of the clock. Clocks differ,
/// and a writer may start with packets that it had collected.
const MAX_LEAD: Duration = Duration::from_secs(2);

/// The maximum difference from the clock of this machine up to which packets count as live,
/// independent of their speed.
const NEAR_WALL_CLOCK: Duration = Duration::from_secs(300);

/// A pipe, FIFO, socket or device.
///
/// A read that finds no data within [`WAIT`] returns [`WouldBlock`](io::ErrorKind::WouldBlock). No
/// data is lost.
pub(crate) struct Pipe(File);

impl Pipe {
    /// Opens a FIFO or a device without waiting for a writer.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map(Self)
    }

    pub(crate) fn standard_input() -> io::Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(fd.into()))
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: WAIT.as_nanos() as i64,
        };
        match poll(&mut fds, Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(_) => self.0.read(into),
            Err(error) => Err(error.into()),
        }
    }
}

/// The clock of the packets in a pipe.
///
/// A live pipe has a clock: the time of its newest packet, plus the time since that packet arrived.
/// A recording that is sent through a pipe has no clock: its times run ahead of the real time, and
/// are far from the time of this machine. The flows of a recording must not depend on how fast it
/// is sent. Therefore time does not pass between the packets of a recording.
#[derive(Debug, Default)]
pub(crate) struct PipeClock {
    /// The time of the first packet, and the instant of its arrival.
    first: Option<(Time, Instant)>,
    /// The newest time of a packet, and the instant of its arrival.
    newest: Option<(Time, Instant)>,
    /// Whether packets have ever been ahead of the clock by more than [`MAX_LEAD`].
    is_ahead: bool,
    /// Whether the newest time is near that of this machine.
    is_near: bool,
}

impl PipeClock {
    /// Updates the clock with packets that arrived at `at`.
    ///
    /// `first` is the time of the first packet, `newest` the newest time of them. `wall` is the
    /// time of this machine at their arrival.
    pub(crate) fn update(&mut self, first: Time, newest: Time, at: Instant, wall: Time) {
        let (began, since) = *self.first.get_or_insert((first, at));
        self.is_ahead |= newest > began.after(at.duration_since(since) + MAX_LEAD);
        self.is_near = is_near(newest, wall);
        match &mut self.newest {
            Some((known, came)) => {
                if newest >= *known {
                    (*known, *came) = (newest, at);
                }
            }
            None => self.newest = Some((newest, at)),
        }
    }

    /// Returns the time up to which all packets have arrived, or `None` if it is unknown.
    pub(crate) fn now(&self, at: Instant) -> Option<Time> {
        let (newest, came) = self.newest.filter(|_| self.is_near || !self.is_ahead)?;
        let passed = at.duration_since(came).checked_sub(MAX_PIPE_DELAY)?;
        Some(newest.after(passed))
    }

    /// Restarts the clock, for example after a step.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }
}

/// Returns whether a time is near that of this machine.
pub(crate) fn is_near(time: Time, wall: Time) -> bool {
    time >= wall.before(NEAR_WALL_CLOCK) && time <= wall.after(NEAR_WALL_CLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000;

    fn at(ms: u64) -> Time {
        Time::from_ns(START * 1_000_000_000).after(Duration::from_millis(ms))
    }

    /// A time of this machine that is far from the times of the packets.
    const WALL: Time = Time::from_ns(5_000_000_000_000_000_000);

    #[test]
    fn time_passes_on_a_live_pipe_without_packets() {
        let (mut clock, began) = (PipeClock::default(), Instant::now());
        let after = |ms| began + Duration::from_millis(ms);
        assert_eq!(clock.now(after(10_000)), None);
        clock.update(at(0), at(40), after(100), WALL);
        clock.update(at(900), at(1_000), after(1_100), WALL);
        assert_eq!(clock.now(after(1_200)), None);
        assert_eq!(clock.now(after(1_600)), Some(at(1_000)));
        assert_eq!(clock.now(after(16_100)), Some(at(15_500)));
        // A packet out of order does not change the newest time.
        clock.update(at(500), at(500), after(17_000), WALL);
        assert_eq!(clock.now(after(17_600)), Some(at(17_000)));
    }

    #[test]
    fn time_does_not_pass_for_a_recording() {
        let (mut clock, began) = (PipeClock::default(), Instant::now());
        clock.update(at(0), at(60_000), began, WALL);
        assert_eq!(clock.now(began + Duration::from_secs(100)), None);
    }

    #[test]
    fn collected_packets_are_live_if_the_clocks_agree() {
        let (mut clock, began) = (PipeClock::default(), Instant::now());
        clock.update(at(0), at(60_000), began, at(61_000));
        let now = clock.now(began + Duration::from_secs(100));
        assert_eq!(now, Some(at(159_500)));
    }

    #[test]
    fn a_pipe_without_data_neither_ends_nor_loses_data() {
        let (theirs, ours) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut pipe = Pipe(File::from(std::os::fd::OwnedFd::from(ours)));
        let mut into = [0; 8];
        let error = pipe.read(&mut into).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        io::Write::write_all(&mut &theirs, b"abc").unwrap();
        assert_eq!(pipe.read(&mut into).unwrap(), 3);
        drop(theirs);
        assert_eq!(pipe.read(&mut into).unwrap(), 0);
    }
}
