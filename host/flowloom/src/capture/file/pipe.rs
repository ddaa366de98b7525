//! Reading from a pipe whose writer may be slow: without waiting for ever, and with a sense of time.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use flowloom_core::time::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long one reading waits for data.
pub(crate) const WAIT: Duration = Duration::from_millis(100);

/// How much later than its time a packet may come out of the pipe: its writer collects some first.
const MARGIN: Duration = Duration::from_millis(500);

/// How far packets may run ahead of the clock and still be live: clocks differ, and a writer may start
/// with packets that it had collected.
const MOST_LEAD: Duration = Duration::from_secs(2);

/// Packets whose times are as near to this machine's clock are live, however they come.
const NEAR: Duration = Duration::from_secs(300);

/// A pipe, FIFO, socket or device. A reading that finds nothing for [`WAIT`] ends with
/// [`WouldBlock`](io::ErrorKind::WouldBlock) and loses nothing.
pub(crate) struct Pipe(File);

impl Pipe {
    /// Opens a FIFO or a device. Does not wait for a writer.
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

/// What time it is where a pipe's packets come from.
///
/// A pipe that brings packets as they are captured has a clock: the newest packet's time, and what has
/// passed since it came. A recording that is sent through a pipe has none: its packets' times run ahead
/// of the clock and are far from this machine's. What a recording gives must not depend on how fast it
/// is sent, so time does not pass for it between packets.
#[derive(Debug, Default)]
pub(crate) struct PipeClock {
    /// The time of the first packet, and when it came.
    first: Option<(Time, Instant)>,
    /// The newest time of a packet, and when that came.
    newest: Option<(Time, Instant)>,
    is_ahead: bool,
    is_near: bool,
}

impl PipeClock {
    /// Takes note of packets that came at `at`, when this machine's clock said `wall`: of the first one's
    /// time and of the newest.
    pub(crate) fn note(&mut self, first: Time, newest: Time, at: Instant, wall: Time) {
        let (began, since) = *self.first.get_or_insert((first, at));
        self.is_ahead |= newest > began.after(at.duration_since(since) + MOST_LEAD);
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

    /// The time by now, all packets before which have come; `None` if nobody knows.
    pub(crate) fn now(&self, at: Instant) -> Option<Time> {
        let (newest, came) = self.newest.filter(|_| self.is_near || !self.is_ahead)?;
        let passed = at.duration_since(came).checked_sub(MARGIN)?;
        Some(newest.after(passed))
    }

    /// Begins anew, as after a step of the clock.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }
}

/// Whether a time is near this machine's clock.
pub(crate) fn is_near(time: Time, wall: Time) -> bool {
    time >= wall.before(NEAR) && time <= wall.after(NEAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_700_000_000;

    fn at(ms: u64) -> Time {
        Time::from_ns(START * 1_000_000_000).after(Duration::from_millis(ms))
    }

    /// A clock of this machine that has nothing to do with the packets'.
    const WALL: Time = Time::from_ns(5_000_000_000_000_000_000);

    #[test]
    fn time_passes_on_a_live_pipe_while_no_packet_comes() {
        let (mut clock, began) = (PipeClock::default(), Instant::now());
        let after = |ms| began + Duration::from_millis(ms);
        assert_eq!(clock.now(after(10_000)), None);
        clock.note(at(0), at(40), after(100), WALL);
        clock.note(at(900), at(1_000), after(1_100), WALL);
        assert_eq!(clock.now(after(1_200)), None);
        assert_eq!(clock.now(after(1_600)), Some(at(1_000)));
        assert_eq!(clock.now(after(16_100)), Some(at(15_500)));
        // A packet out of order says nothing new.
        clock.note(at(500), at(500), after(17_000), WALL);
        assert_eq!(clock.now(after(17_600)), Some(at(17_000)));
    }

    #[test]
    fn time_does_not_pass_for_a_recording() {
        let (mut clock, began) = (PipeClock::default(), Instant::now());
        clock.note(at(0), at(60_000), began, WALL);
        assert_eq!(clock.now(began + Duration::from_secs(100)), None);
    }

    #[test]
    fn what_a_writer_had_collected_is_live_if_the_clocks_agree() {
        let (mut clock, began) = (PipeClock::default(), Instant::now());
        clock.note(at(0), at(60_000), began, at(61_000));
        let now = clock.now(began + Duration::from_secs(100));
        assert_eq!(now, Some(at(159_500)));
    }

    #[test]
    fn a_pipe_that_brings_nothing_is_no_end_and_no_loss() {
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
