//! Packets of an interface, as libpcap takes them from the kernel.
//!
//! On Linux libpcap maps a ring of blocks (`TPACKET_V3`). The kernel gives a block away when it is
//! full, or when the read timeout has passed since its first packet. It wakes nobody when there is no
//! packet at all: so the handle is non-blocking, and the waiting is done here.

mod group;

use std::time::{Duration, Instant, SystemTime};

use flowloom_core::link_type::LinkType;
use flowloom_core::meter::{Boundary, OverloadLevel};
use flowloom_core::time::Time;
use pcap::{Active, Capture, Precision};

use self::group::{Group, Waiting};
use super::interface::words;
use super::socket;
use crate::capture::origin::{Read, Stop};
use crate::capture::packets::Record;
use crate::capture::steps::ClockSteps;
use crate::capture::{CaptureError, Filter, FilterError, Packets};

/// How long the kernel may keep a packet so that others come with it, and how long a reading waits.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// How much later than [`READ_TIMEOUT`] a packet may still come out of the kernel: its timer is not
/// exact, and a machine may be busy.
const MARGIN: Duration = Duration::from_millis(250);

/// The longest time for which what waits for more to come is kept waiting while packets come.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// How often an interface that is gone is looked for.
const RETRY: Duration = Duration::from_secs(1);

/// How often the kernel is asked what it has dropped.
const COUNT: Duration = Duration::from_millis(500);

/// The same while packets come: to see how full its buffer is.
const COUNT_BUSY: Duration = Duration::from_millis(10);

/// Bytes that the kernel writes beside each packet, about.
const BESIDE: f64 = 96.0;

/// Packets of one reading.
const MOST_PACKETS: usize = 1_024;

/// Bytes of one reading, about.
const MOST_BYTES: usize = 4 << 20;

/// The least bytes of a packet that libpcap takes on all systems.
const MOST_SNAPSHOT: u32 = 262_144;

/// How an interface is captured; the names are NFStream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// Whether packets to other hosts are captured too.
    pub promiscuous_mode: bool,
    /// The most bytes of a packet that are captured.
    pub snapshot_length: u32,
    /// Bytes of the kernel's buffer.
    pub socket_buffer_size: u32,
}

impl LiveSettings {
    /// Bytes that headers, and what a dissector looks at, fit into.
    pub const SNAPSHOT_LENGTH: u32 = 1_536;
    /// A quarter of a second of a full gigabit.
    pub const SOCKET_BUFFER_SIZE: u32 = 32 << 20;
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            promiscuous_mode: true,
            snapshot_length: Self::SNAPSHOT_LENGTH,
            socket_buffer_size: Self::SOCKET_BUFFER_SIZE,
        }
    }
}

/// Packets that were on the wire and were not handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// By the kernel, for its buffer was full.
    pub kernel: u64,
    /// By the interface or its driver, as far as they count that.
    pub interface: u64,
    /// They were in the kernel's buffer when the interface went away.
    pub gone: u64,
}

impl Dropped {
    /// Those of another socket too. What the interface drops is the same for all.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            kernel: self.kernel + other.kernel,
            interface: self.interface.max(other.interface),
            gone: self.gone + other.gone,
        }
    }

    /// All of them.
    pub fn sum(&self) -> u64 {
        self.kernel + self.interface + self.gone
    }
}

/// An interface that is being captured.
pub(crate) struct Live {
    interface: String,
    settings: LiveSettings,
    filter: String,
    stop: Stop,
    /// Of sockets to which the kernel deals packets out.
    group: Option<Group>,
    socket: Option<Socket>,
    /// A reopened socket that waits for the other sockets of its group.
    waiting: Option<Waiting>,
    errors: ReadErrors,
    /// When an interface that is gone is looked for again.
    retry: Instant,
    /// When the last packets are in, after a stop.
    end: Option<Instant>,
    /// Of the sockets before this one.
    dropped: Dropped,
    packets_read: u64,
    bytes_read: u64,
    memory: Vec<u8>,
    records: Vec<Record>,
    /// How many of the records were handed out.
    handed: usize,
    steps: ClockSteps,
    /// Whether the last reading found nothing.
    is_quiet: bool,
    /// Whether the last reading was full.
    is_busy: bool,
    /// When what waits was delivered last.
    paused: Instant,
    /// When the kernel's counters were read last.
    counted: Instant,
    overload: OverloadLevel,
}

/// A socket that captures.
struct Socket {
    handle: Capture<Active>,
    link: LinkType,
    /// Copies of packets that libpcap hides come with those of the loopback interface.
    has_copies: bool,
    /// What the kernel has counted: its counters have 32 bits.
    received: Counter,
    dropped: Counter,
    interface_dropped: Counter,
    /// Packets that were handed out.
    read: u64,
}

/// A count of the kernel's, beyond its 32 bits.
#[derive(Clone, Copy)]
struct Counter {
    last: u32,
    sum: u64,
}

impl Counter {
    /// What is counted from then on.
    fn from(last: u32) -> Self {
        Self { last, sum: 0 }
    }

    fn see(&mut self, now: u32) {
        self.sum += u64::from(now.wrapping_sub(self.last));
        self.last = now;
    }
}

impl Socket {
    /// Counts from what the kernel has counted by now.
    fn count_from_now(&mut self) -> Result<(), pcap::Error> {
        let counted = self.handle.stats()?;
        self.received = Counter::from(counted.received);
        self.dropped = Counter::from(counted.dropped);
        self.interface_dropped = Counter::from(counted.if_dropped);
        Ok(())
    }
}

/// Errors of reading a socket, since the last reading without one.
#[derive(Default)]
struct ReadErrors {
    first: Option<Instant>,
}

impl ReadErrors {
    /// Counts an error at this time. Returns whether reading has failed for so long that the interface is
    /// gone.
    fn are_lasting(&mut self, now: Instant) -> bool {
        let first = *self.first.get_or_insert(now);
        now.saturating_duration_since(first) > READ_TIMEOUT + READ_TIMEOUT
    }
}

impl Live {
    pub(crate) fn open(
        interface: &str,
        settings: LiveSettings,
        filter: Option<&Filter>,
        idle_timeout: Duration,
        stop: Stop,
    ) -> Result<Self, CaptureError> {
        let steps = ClockSteps::new(idle_timeout);
        let mut live = Self::new(interface, settings, steps, stop);
        if let Some(filter) = filter {
            filter.expression().clone_into(&mut live.filter);
        }
        live.socket = Some(live.socket()?);
        tracing::info!("capturing from {interface}");
        Ok(live)
    }

    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    fn new(interface: &str, settings: LiveSettings, steps: ClockSteps, stop: Stop) -> Self {
        Self {
            interface: interface.to_owned(),
            settings,
            filter: String::new(),
            stop,
            group: None,
            socket: None,
            waiting: None,
            errors: ReadErrors::default(),
            retry: Instant::now(),
            end: None,
            dropped: Dropped::default(),
            packets_read: 0,
            bytes_read: 0,
            memory: Vec::new(),
            records: Vec::with_capacity(MOST_PACKETS),
            handed: 0,
            steps,
            is_quiet: false,
            is_busy: false,
            paused: Instant::now(),
            counted: Instant::now(),
            overload: OverloadLevel::Normal,
        }
    }

    /// A socket that captures what the filter keeps.
    fn socket(&self) -> Result<Socket, CaptureError> {
        let mut socket = self.open_socket()?;
        self.set_filter(&mut socket.handle, socket.link)?;
        Ok(socket)
    }

    /// A socket that captures all.
    fn open_socket(&self) -> Result<Socket, CaptureError> {
        let fail = |error| self.cannot_open(error);
        let open = |promiscuous| {
            let size = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
            Capture::from_device(self.interface.as_str())?
                .promisc(promiscuous)
                .snaplen(size(self.settings.snapshot_length.min(MOST_SNAPSHOT)))
                .buffer_size(size(self.settings.socket_buffer_size))
                .timeout(READ_TIMEOUT.as_millis() as i32)
                .immediate_mode(false)
                .precision(Precision::Nano)
                .open()
        };
        // libpcap captures from all interfaces together without their being promiscuous only, and
        // warns of it, which the crate takes for an error.
        let promiscuous = self.settings.promiscuous_mode && self.interface != "any";
        let handle = open(promiscuous)
            .and_then(Capture::setnonblock)
            .map_err(fail)?;
        Ok(Socket {
            link: link_type(handle.get_datalink().0),
            handle,
            has_copies: self.interface == "lo" || self.interface == "any",
            received: Counter::from(0),
            dropped: Counter::from(0),
            interface_dropped: Counter::from(0),
            read: 0,
        })
    }

    /// Sets the filter. Without any the kernel would copy whole packets, whatever the snapshot length.
    fn set_filter(&self, handle: &mut Capture<Active>, link: LinkType) -> Result<(), CaptureError> {
        let filtered = handle.filter(&self.filter, true);
        filtered.map_err(|error| {
            CaptureError::Filter(FilterError {
                expression: self.filter.clone(),
                link,
                message: words(error),
            })
        })
    }

    fn cannot_open(&self, error: pcap::Error) -> CaptureError {
        let interface = self.interface.clone();
        if let Err(error @ CaptureError::NoInterface { .. }) =
            crate::capture::Interface::named(&interface)
        {
            return error;
        }
        let may = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_NET_RAW);
        match may {
            Ok(false) => CaptureError::NoPermission {
                interface,
                command: std::env::current_exe()
                    .map_or_else(|_| "flowloom".into(), |path| path.display().to_string()),
            },
            _ => CaptureError::Interface {
                interface,
                message: words(error),
            },
        }
    }

    /// The next packets; waits for them for a moment.
    pub(crate) fn read(&mut self) -> Result<Read<'_>, CaptureError> {
        if self.handed < self.records.len() {
            return Ok(self.hand_out());
        }
        if self.stop.is_stopped() && self.end.is_none() {
            self.begin_to_end();
        }
        // A reading that is full has left something behind.
        let was_busy = self.is_busy;
        self.is_busy = self.records.len() >= self.most_packets();
        let count = match (was_busy, self.is_busy) {
            (_, false) => COUNT,
            (false, true) => Duration::ZERO,
            (true, true) => COUNT_BUSY,
        };
        if self.counted.elapsed() > count {
            self.counted = Instant::now();
            self.count();
            let taken = self.taken();
            let level = self.overload.of(taken);
            if level != self.overload {
                tracing::debug!("{:.0} % of the buffer is taken: {level:?}", 100.0 * taken);
                self.overload = level;
            }
        }
        let Some(socket) = &mut self.socket else {
            return Ok(self.look_for_interface());
        };
        if self.is_quiet {
            socket::wait(&socket.handle, READ_TIMEOUT);
        } else if self.paused.elapsed() > LONGEST_WAIT {
            self.paused = Instant::now();
            return Ok(Read::Pause(None));
        }
        let before = now();
        if let Err(error) = self.take() {
            // What the kernel had captured by then comes out yet.
            self.is_quiet = true;
            if self.errors.are_lasting(Instant::now()) {
                self.lose(&error);
            } else {
                std::thread::sleep(READ_TIMEOUT / 10);
            }
            return Ok(Read::Pause(None));
        }
        self.errors = ReadErrors::default();
        self.is_quiet = self.records.is_empty();
        if !self.is_quiet {
            return Ok(self.hand_out());
        }
        if self.end.is_some_and(|end| Instant::now() >= end) {
            self.count();
            return Ok(Read::End);
        }
        self.paused = Instant::now();
        let now = before.before(READ_TIMEOUT + MARGIN);
        if self.steps.is_step(now) {
            self.steps.restart();
            return Ok(Read::Boundary(Boundary::ClockStep));
        }
        Ok(Read::Pause(Some(now)))
    }

    /// Hands out records up to a step of the clock, or says that there is one.
    fn hand_out(&mut self) -> Read<'_> {
        let from = self.handed;
        self.handed = match self.steps.find(&self.records[from..]) {
            Some(0) => {
                self.steps.restart();
                return Read::Boundary(Boundary::ClockStep);
            }
            Some(count) => from + count,
            None => self.records.len(),
        };
        Read::Packets(Packets::new(&self.memory, &self.records[from..self.handed]))
    }

    /// How often the clock stepped back.
    pub(crate) fn clock_steps(&self) -> u64 {
        self.steps.count()
    }

    /// Packets of one reading, so that their memory is bounded.
    fn most_packets(&self) -> usize {
        (MOST_BYTES / self.settings.snapshot_length.max(1) as usize)
            .clamp(MOST_PACKETS / 64, MOST_PACKETS)
    }

    /// Takes what the kernel has given away so far.
    fn take(&mut self) -> Result<(), pcap::Error> {
        let most = self.most_packets();
        self.memory.clear();
        self.records.clear();
        self.handed = 0;
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let (memory, records, link) = (&mut self.memory, &mut self.records, socket.link);
        let taken = socket.handle.dispatch(Some(most), |packet| {
            let header = packet.header;
            records.push(Record {
                // libpcap counts nanoseconds in it, as it was told to.
                time: Time::from_parts(header.ts.tv_sec as u32, header.ts.tv_usec),
                start: memory.len() as u32,
                len: packet.data.len() as u32,
                wire_len: header.len.max(header.caplen),
                link,
            });
            memory.extend_from_slice(packet.data);
        });
        socket.read += self.records.len() as u64;
        self.packets_read += self.records.len() as u64;
        self.bytes_read += self.memory.len() as u64;
        match taken {
            // What came before an error is there; the next reading meets the error again.
            Err(error) if self.records.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// From now on the kernel captures nothing; what it has captured is still read.
    fn begin_to_end(&mut self) {
        let wait = match &self.socket {
            Some(socket) => {
                socket::take_nothing(&socket.handle);
                READ_TIMEOUT + MARGIN
            }
            None => Duration::ZERO,
        };
        self.end = Some(Instant::now() + wait);
    }

    /// The interface is gone.
    fn lose(&mut self, error: &pcap::Error) {
        tracing::warn!(
            "{} is gone ({error}): metering goes on when it is back",
            self.interface
        );
        self.count();
        if let Some(socket) = self.socket.take() {
            if let Some(group) = &self.group {
                group.leave();
            }
            self.dropped = self.dropped_with(&socket);
            if !socket.has_copies {
                let handed_out = socket.read + socket.dropped.sum;
                self.dropped.gone += socket.received.sum.saturating_sub(handed_out);
            }
        }
        self.errors = ReadErrors::default();
        self.retry = Instant::now() + RETRY;
    }

    fn look_for_interface(&mut self) -> Read<'_> {
        if self.end.is_some() {
            return Read::End;
        }
        let before = now();
        std::thread::sleep(READ_TIMEOUT);
        if Instant::now() >= self.retry {
            self.retry = Instant::now() + RETRY;
            match self.reopen() {
                Ok(None) => self.retry = Instant::now(),
                Ok(Some(socket)) => {
                    tracing::info!("{} is back", self.interface);
                    self.socket = Some(socket);
                    self.is_quiet = false;
                }
                Err(CaptureError::NoInterface { .. }) => {}
                Err(error) => tracing::debug!("{error}"),
            }
        }
        Read::Pause(Some(before))
    }

    /// Reads the kernel's counters, where there are any.
    pub(crate) fn count(&mut self) {
        if let Some(socket) = &mut self.socket
            && let Ok(counted) = socket.handle.stats()
        {
            socket.received.see(counted.received);
            socket.dropped.see(counted.dropped);
            socket.interface_dropped.see(counted.if_dropped);
        }
    }

    /// How much of the kernel's buffer is taken, about. Where copies of packets come with them that
    /// cannot be known, and nothing is said to be.
    fn taken(&self) -> f64 {
        let Some(socket) = self.socket.as_ref().filter(|socket| !socket.has_copies) else {
            return 0.0;
        };
        let waiting = socket
            .received
            .sum
            .saturating_sub(socket.read + socket.dropped.sum);
        let bytes = self.bytes_read as f64 / self.packets_read.max(1) as f64 + BESIDE;
        waiting as f64 * bytes / f64::from(self.settings.socket_buffer_size.max(1))
    }

    /// What is to be given up for packets not to be lost.
    pub(crate) fn overload(&self) -> OverloadLevel {
        self.overload
    }

    fn dropped_with(&self, socket: &Socket) -> Dropped {
        Dropped {
            kernel: self.dropped.kernel + socket.dropped.sum,
            interface: self.dropped.interface + socket.interface_dropped.sum,
            gone: self.dropped.gone,
        }
    }

    pub(crate) fn dropped(&self) -> Dropped {
        match &self.socket {
            Some(socket) => self.dropped_with(socket),
            None => self.dropped,
        }
    }

    pub(crate) fn packets_read(&self) -> u64 {
        self.packets_read
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}

/// The wall clock, which the kernel stamps packets with.
fn now() -> Time {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(Time::EPOCH, |since| Time::EPOCH.after(since))
}

/// The number that files have for a link type which libpcap has another one for in memory.
fn link_type(data_link: i32) -> LinkType {
    LinkType(match data_link {
        11 => 100,
        // DLT_RAW is 14 on OpenBSD, 12 everywhere else.
        12 | 14 => 101,
        15 => 102,
        16 => 103,
        19 => 106,
        same => u16::try_from(same).unwrap_or(u16::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_before_and_after_a_step_of_the_clock_are_told_apart() {
        let steps = ClockSteps::new(Duration::from_secs(15));
        let mut live = Live::new("test", LiveSettings::default(), steps, Stop::default());
        let record = |seconds| Record {
            time: Time::from_parts(seconds, 0),
            start: 0,
            len: 0,
            wire_len: 60,
            link: LinkType(1),
        };
        live.records = [1_000, 5_000, 1_001, 1_002, 980].map(record).into();
        let mut read = Vec::new();
        for _ in 0..5 {
            read.push(match live.hand_out() {
                Read::Packets(packets) => packets.len(),
                Read::Boundary(Boundary::ClockStep) => 0,
                _ => panic!("neither packets nor a step"),
            });
        }
        assert_eq!(read, [2, 0, 2, 0, 1]);
        assert_eq!((live.handed, live.clock_steps()), (5, 2));
    }

    #[test]
    fn an_interface_is_gone_when_errors_last_and_an_error_that_passed_does_not_count() {
        let (mut errors, start) = (ReadErrors::default(), Instant::now());
        assert!(!errors.are_lasting(start));
        assert!(!errors.are_lasting(start + READ_TIMEOUT));
        assert!(errors.are_lasting(start + 3 * READ_TIMEOUT));
        // What a reading without an error does.
        errors = ReadErrors::default();
        assert!(!errors.are_lasting(start + 4 * READ_TIMEOUT));
        assert!(errors.are_lasting(start + 7 * READ_TIMEOUT));
    }
}
