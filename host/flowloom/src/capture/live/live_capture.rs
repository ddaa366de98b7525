//! Capture of packets from an interface.
//!
//! On Linux, libpcap maps a ring of blocks (`TPACKET_V3`). The kernel releases a block when it is
//! full, or when the read timeout has passed since its first packet. Without any packet, the kernel
//! wakes nobody. Therefore the handle is non-blocking, and this module waits itself.

mod group;

use std::time::{Duration, Instant, SystemTime};

use flowloom_core::link_type::LinkType;
use flowloom_core::meter::{Boundary, OverloadLevel};
use flowloom_core::time::Time;
use pcap::{Active, Capture, Precision};

use self::group::{Group, JoinedSocket};
use super::interface::Interface;
use super::socket;
use crate::capture::error::CaptureError;
use crate::capture::filter::{Filter, FilterError};
use crate::capture::libpcap;
use crate::capture::packets::{Packets, Record};
use crate::capture::source_event::{SourceEvent, StopSignal};
use crate::capture::steps::ClockSteps;

/// The maximum time that the kernel holds a packet back to collect more, and the time that a read
/// waits.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// The maximum delay of a packet beyond [`READ_TIMEOUT`]. The kernel's timer is not exact, and the
/// machine may be busy.
const MAX_KERNEL_DELAY: Duration = Duration::from_millis(250);

/// The maximum time between two pauses while packets arrive. In a pause, the meter delivers what it
/// holds back.
const MAX_DELIVERY_DELAY: Duration = Duration::from_millis(100);

/// The interval of the attempts to reopen an interface that disappeared.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The interval at which the kernel's counters are read.
const COUNT_INTERVAL: Duration = Duration::from_millis(500);

/// The interval while reads are full, because the counters show how full the kernel's buffer is.
const COUNT_INTERVAL_BUSY: Duration = Duration::from_millis(10);

/// The approximate number of bytes that the kernel adds to each packet in its buffer.
const RING_OVERHEAD: f64 = 96.0;

/// The maximum number of packets of one read.
const MAX_BATCH_PACKETS: usize = 1_024;

/// The approximate maximum number of bytes of one read.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// The largest snapshot length that libpcap accepts on all systems.
const MAX_SNAPSHOT_LENGTH: u32 = 262_144;

/// Settings of a live capture. The names are those of NFStream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveSettings {
    /// Whether packets to other hosts are captured too.
    pub promiscuous_mode: bool,
    /// The maximum number of bytes that are captured of a packet.
    pub snapshot_length: u32,
    /// The size of the kernel's buffer in bytes.
    pub socket_buffer_size: u32,
}

impl LiveSettings {
    /// The default snapshot length. Headers and the bytes that the dissector reads fit into it.
    pub const SNAPSHOT_LENGTH: u32 = 1_536;
    /// The default size of the kernel's buffer: 0.25 s of traffic at 1 Gbit/s.
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

/// The numbers of packets that were on the wire but were not read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Packets that the kernel dropped because its buffer was full.
    pub kernel: u64,
    /// Packets that the interface or its driver dropped, if they count them.
    pub interface: u64,
    /// Packets that were in the kernel's buffer when the interface disappeared.
    pub gone: u64,
}

impl Dropped {
    /// Adds the numbers of another socket of the same interface. Both sockets report the same
    /// number of packets that the interface dropped.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            kernel: self.kernel + other.kernel,
            interface: self.interface.max(other.interface),
            gone: self.gone + other.gone,
        }
    }

    /// Returns the sum of all three numbers.
    pub fn sum(&self) -> u64 {
        self.kernel + self.interface + self.gone
    }
}

/// A live capture from an interface.
pub(crate) struct LiveCapture {
    interface: String,
    settings: LiveSettings,
    filter: String,
    stop: StopSignal,
    /// The fan-out group of the socket.
    group: Option<Group>,
    /// `None` while the interface is gone.
    socket: Option<Socket>,
    /// A reopened socket that is waiting for the other sockets of its group.
    joined: Option<JoinedSocket>,
    errors: ReadErrors,
    /// The time of the next attempt to reopen an interface that disappeared.
    retry: Instant,
    /// After a stop, the time at which the last packets have arrived.
    end: Option<Instant>,
    /// The losses of the previous sockets.
    dropped: Dropped,
    packets_read: u64,
    bytes_read: u64,
    memory: Vec<u8>,
    records: Vec<Record>,
    /// The number of records that were returned.
    returned: usize,
    steps: ClockSteps,
    /// Whether the last read found no packets.
    is_quiet: bool,
    /// Whether the last read was full.
    is_busy: bool,
    /// The time of the last pause.
    paused: Instant,
    /// The time at which the kernel's counters were last read.
    counted: Instant,
    overload: OverloadLevel,
}

/// A capturing socket.
struct Socket {
    handle: Capture<Active>,
    link: LinkType,
    /// Whether the kernel also counts copies of packets that libpcap hides. This is so for the
    /// loopback interface.
    has_copies: bool,
    /// The kernel's counters.
    received: WideCounter,
    dropped: WideCounter,
    interface_dropped: WideCounter,
    /// The number of packets that were read.
    read: u64,
}

/// Extends a 32-bit counter of the kernel to 64 bits.
#[derive(Clone, Copy)]
struct WideCounter {
    last: u32,
    sum: u64,
}

impl WideCounter {
    /// Starts at 0. `last` is the current value of the kernel's counter.
    fn from(last: u32) -> Self {
        Self { last, sum: 0 }
    }

    fn update(&mut self, now: u32) {
        self.sum += u64::from(now.wrapping_sub(self.last));
        self.last = now;
    }
}

impl Socket {
    /// Resets the counters to 0 at the kernel's current values.
    fn count_from_now(&mut self) -> Result<(), pcap::Error> {
        let counted = self.handle.stats()?;
        self.received = WideCounter::from(counted.received);
        self.dropped = WideCounter::from(counted.dropped);
        self.interface_dropped = WideCounter::from(counted.if_dropped);
        Ok(())
    }
}

/// The errors of a socket since its last successful read.
#[derive(Default)]
struct ReadErrors {
    first: Option<Instant>,
}

impl ReadErrors {
    /// Records an error. Returns whether reads have failed for so long that the interface is gone.
    fn record(&mut self, now: Instant) -> bool {
        let first = *self.first.get_or_insert(now);
        now.saturating_duration_since(first) > READ_TIMEOUT + READ_TIMEOUT
    }
}

impl LiveCapture {
    pub(crate) fn open(
        interface: &str,
        settings: LiveSettings,
        filter: Option<&Filter>,
        idle_timeout: Duration,
        stop: StopSignal,
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

    fn new(interface: &str, settings: LiveSettings, steps: ClockSteps, stop: StopSignal) -> Self {
        Self {
            interface: interface.to_owned(),
            settings,
            filter: String::new(),
            stop,
            group: None,
            socket: None,
            joined: None,
            errors: ReadErrors::default(),
            retry: Instant::now(),
            end: None,
            dropped: Dropped::default(),
            packets_read: 0,
            bytes_read: 0,
            memory: Vec::new(),
            records: Vec::with_capacity(MAX_BATCH_PACKETS),
            returned: 0,
            steps,
            is_quiet: false,
            is_busy: false,
            paused: Instant::now(),
            counted: Instant::now(),
            overload: OverloadLevel::Normal,
        }
    }

    /// Opens a socket with the filter.
    fn socket(&self) -> Result<Socket, CaptureError> {
        let mut socket = self.open_socket()?;
        self.set_filter(&mut socket.handle, socket.link)?;
        Ok(socket)
    }

    /// Opens a socket without a filter.
    fn open_socket(&self) -> Result<Socket, CaptureError> {
        let fail = |error| self.cannot_open(error);
        let open = |promiscuous| {
            let size = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
            Capture::from_device(self.interface.as_str())?
                .promisc(promiscuous)
                .snaplen(size(self.settings.snapshot_length.min(MAX_SNAPSHOT_LENGTH)))
                .buffer_size(size(self.settings.socket_buffer_size))
                .timeout(READ_TIMEOUT.as_millis() as i32)
                .immediate_mode(false)
                .precision(Precision::Nano)
                .open()
        };
        // For the interface `any`, libpcap ignores promiscuous mode and returns a warning. The
        // crate treats the warning as an error.
        let promiscuous = self.settings.promiscuous_mode && self.interface != "any";
        let handle = open(promiscuous)
            .and_then(Capture::setnonblock)
            .map_err(fail)?;
        Ok(Socket {
            link: libpcap::link_type(handle.get_datalink().0),
            handle,
            has_copies: self.interface == "lo" || self.interface == "any",
            received: WideCounter::from(0),
            dropped: WideCounter::from(0),
            interface_dropped: WideCounter::from(0),
            read: 0,
        })
    }

    /// Sets the filter. This is necessary even for an empty filter: without one, the kernel copies
    /// whole packets, whatever the snapshot length.
    fn set_filter(&self, handle: &mut Capture<Active>, link: LinkType) -> Result<(), CaptureError> {
        let filtered = handle.filter(&self.filter, true);
        filtered.map_err(|error| {
            CaptureError::Filter(FilterError {
                expression: self.filter.clone(),
                link,
                message: libpcap::message(error),
            })
        })
    }

    fn cannot_open(&self, error: pcap::Error) -> CaptureError {
        let interface = self.interface.clone();
        if let Err(error @ CaptureError::NoInterface { .. }) = Interface::named(&interface) {
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
                message: libpcap::message(error),
            },
        }
    }

    /// Reads the next packets. Waits at most [`READ_TIMEOUT`] for them.
    pub(crate) fn read(&mut self) -> Result<SourceEvent<'_>, CaptureError> {
        if self.returned < self.records.len() {
            return Ok(self.return_records());
        }
        if self.stop.is_stopped() && self.end.is_none() {
            self.begin_stop();
        }
        // If a read was full, the kernel may have further packets.
        let was_busy = self.is_busy;
        self.is_busy = self.records.len() >= self.max_batch_packets();
        let count = match (was_busy, self.is_busy) {
            (_, false) => COUNT_INTERVAL,
            (false, true) => Duration::ZERO,
            (true, true) => COUNT_INTERVAL_BUSY,
        };
        if self.counted.elapsed() > count {
            self.counted = Instant::now();
            self.count();
            let buffer_fill = self.buffer_fill();
            let level = self.overload.of(buffer_fill);
            if level != self.overload {
                tracing::debug!(
                    "kernel buffer {:.0} % full: overload level {level:?}",
                    100.0 * buffer_fill
                );
                self.overload = level;
            }
        }
        let Some(socket) = &mut self.socket else {
            return Ok(self.retry_interface());
        };
        if self.is_quiet {
            socket::wait_readable(&socket.handle, READ_TIMEOUT);
        } else if self.paused.elapsed() > MAX_DELIVERY_DELAY {
            self.paused = Instant::now();
            return Ok(SourceEvent::Pause(None));
        }
        let before = now();
        if let Err(error) = self.read_batch() {
            // Packets that the kernel has already captured can still be read.
            self.is_quiet = true;
            if self.errors.record(Instant::now()) {
                self.close_lost_interface(&error);
            } else {
                std::thread::sleep(READ_TIMEOUT / 10);
            }
            return Ok(SourceEvent::Pause(None));
        }
        self.errors = ReadErrors::default();
        self.is_quiet = self.records.is_empty();
        if !self.is_quiet {
            return Ok(self.return_records());
        }
        if self.end.is_some_and(|end| Instant::now() >= end) {
            self.count();
            return Ok(SourceEvent::End);
        }
        self.paused = Instant::now();
        let now = before.before(READ_TIMEOUT + MAX_KERNEL_DELAY);
        if self.steps.is_step(now) {
            self.steps.restart();
            return Ok(SourceEvent::Boundary(Boundary::ClockStep));
        }
        Ok(SourceEvent::Pause(Some(now)))
    }

    /// Returns the records up to a step of the clock, or the boundary if the step comes first.
    fn return_records(&mut self) -> SourceEvent<'_> {
        let from = self.returned;
        self.returned = match self.steps.find(&self.records[from..]) {
            Some(0) => {
                self.steps.restart();
                return SourceEvent::Boundary(Boundary::ClockStep);
            }
            Some(count) => from + count,
            None => self.records.len(),
        };
        SourceEvent::Packets(Packets::new(
            &self.memory,
            &self.records[from..self.returned],
        ))
    }

    /// Returns how often the clock stepped back.
    pub(crate) fn clock_steps(&self) -> u64 {
        self.steps.count()
    }

    /// Returns the maximum number of packets of one read. It limits the memory of the read.
    fn max_batch_packets(&self) -> usize {
        (MAX_BATCH_BYTES / self.settings.snapshot_length.max(1) as usize)
            .clamp(MAX_BATCH_PACKETS / 64, MAX_BATCH_PACKETS)
    }

    /// Reads the packets in the blocks that the kernel has released.
    fn read_batch(&mut self) -> Result<(), pcap::Error> {
        let most = self.max_batch_packets();
        self.memory.clear();
        self.records.clear();
        self.returned = 0;
        let Some(socket) = &mut self.socket else {
            return Ok(());
        };
        let (memory, records, link) = (&mut self.memory, &mut self.records, socket.link);
        let result = socket.handle.dispatch(Some(most), |packet| {
            let header = packet.header;
            records.push(Record {
                // The field contains nanoseconds, because the socket requests `Precision::Nano`.
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
        match result {
            // The packets before an error are valid. The next read returns the error again.
            Err(error) if self.records.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// Stops the kernel from capturing. Packets that it has already captured are still read.
    fn begin_stop(&mut self) {
        let wait = match &self.socket {
            Some(socket) => {
                socket::drop_new_packets(&socket.handle);
                READ_TIMEOUT + MAX_KERNEL_DELAY
            }
            None => Duration::ZERO,
        };
        self.end = Some(Instant::now() + wait);
    }

    /// Closes the socket of an interface that disappeared, and counts the packets that were lost
    /// with it.
    fn close_lost_interface(&mut self, error: &pcap::Error) {
        tracing::warn!(
            "interface {} is gone ({error}); metering continues when it is back",
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
        self.retry = Instant::now() + RETRY_INTERVAL;
    }

    fn retry_interface(&mut self) -> SourceEvent<'_> {
        if self.end.is_some() {
            return SourceEvent::End;
        }
        let before = now();
        std::thread::sleep(READ_TIMEOUT);
        if Instant::now() >= self.retry {
            self.retry = Instant::now() + RETRY_INTERVAL;
            match self.reopen() {
                Ok(None) => self.retry = Instant::now(),
                Ok(Some(socket)) => {
                    tracing::info!("interface {} is back", self.interface);
                    self.socket = Some(socket);
                    self.is_quiet = false;
                }
                Err(CaptureError::NoInterface { .. }) => {}
                Err(error) => tracing::debug!("{error}"),
            }
        }
        SourceEvent::Pause(Some(before))
    }

    /// Reads the kernel's counters, if the interface is open.
    pub(crate) fn count(&mut self) {
        if let Some(socket) = &mut self.socket
            && let Ok(counted) = socket.handle.stats()
        {
            socket.received.update(counted.received);
            socket.dropped.update(counted.dropped);
            socket.interface_dropped.update(counted.if_dropped);
        }
    }

    /// Returns the approximate fill level of the kernel's buffer, from 0.0 to about 1.0.
    ///
    /// It is 0.0 if the kernel also counts copies of packets, because the fill level is then
    /// unknown.
    fn buffer_fill(&self) -> f64 {
        let Some(socket) = self.socket.as_ref().filter(|socket| !socket.has_copies) else {
            return 0.0;
        };
        let unread = socket
            .received
            .sum
            .saturating_sub(socket.read + socket.dropped.sum);
        let bytes = self.bytes_read as f64 / self.packets_read.max(1) as f64 + RING_OVERHEAD;
        unread as f64 * bytes / f64::from(self.settings.socket_buffer_size.max(1))
    }

    /// Returns the overload level.
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

/// Returns the wall-clock time. The kernel uses the same clock for the times of packets.
fn now() -> Time {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(Time::EPOCH, |since| Time::EPOCH.after(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_clock_separates_packets() {
        let steps = ClockSteps::new(Duration::from_secs(15));
        let mut live = LiveCapture::new(
            "test",
            LiveSettings::default(),
            steps,
            StopSignal::default(),
        );
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
            read.push(match live.return_records() {
                SourceEvent::Packets(packets) => packets.len(),
                SourceEvent::Boundary(Boundary::ClockStep) => 0,
                _ => panic!("neither packets nor a step"),
            });
        }
        assert_eq!(read, [2, 0, 2, 0, 1]);
        assert_eq!((live.returned, live.clock_steps()), (5, 2));
    }

    #[test]
    fn an_interface_is_gone_when_errors_persist() {
        let (mut errors, start) = (ReadErrors::default(), Instant::now());
        assert!(!errors.record(start));
        assert!(!errors.record(start + READ_TIMEOUT));
        assert!(errors.record(start + 3 * READ_TIMEOUT));
        // A successful read resets the errors.
        errors = ReadErrors::default();
        assert!(!errors.record(start + 4 * READ_TIMEOUT));
        assert!(errors.record(start + 7 * READ_TIMEOUT));
    }
}
