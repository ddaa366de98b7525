//! The status of a run.

use std::time::Duration;

use flowloom_core::flow::Flow;
use flowloom_core::link_type::LinkType;
use flowloom_core::meter::Counters;
use flowloom_plugin::PluginReport;

use crate::capture::{CaptureError, Dropped, PacketSource};

/// The processor time that each thread of a run has used so far, including plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// The time of all reader threads. `None` if each meter reads its own packets: for one meter in the caller's
    /// thread, and with [`fanout`](super::StreamerBuilder::fanout).
    pub reader: Option<Duration>,
    /// The part of [`reader`](Self::reader) that only one reader thread at a time can use: finding the packets, and sending
    /// decoded packets in order. A run cannot take less time.
    pub reader_turns: Option<Duration>,
    /// The time of each meter's thread. For one meter in the caller's thread, this is the time of that thread
    /// since the start of the run, including other work of the caller.
    pub meters: Vec<Duration>,
}

/// The progress of reading.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes_read: u64,
    /// `None` if the size is not known.
    pub(crate) total_bytes: Option<u64>,
    pub(crate) packets_read: u64,
    pub(crate) packets_filtered: u64,
    /// `None` for files.
    pub(crate) packets_dropped: Option<Dropped>,
    pub(crate) captures: u64,
    pub(crate) files_skipped: u64,
    pub(crate) clock_steps: u64,
}

impl Progress {
    pub(crate) fn of(origin: &PacketSource) -> Self {
        Self {
            bytes_read: origin.bytes_read(),
            total_bytes: origin.total_bytes(),
            packets_read: origin.packets_read(),
            packets_filtered: origin.packets_filtered(),
            packets_dropped: origin.dropped(),
            captures: origin.captures(),
            files_skipped: origin.files_skipped(),
            clock_steps: origin.clock_steps(),
        }
    }

    /// Returns the sum of two meters' progress on the same interface.
    pub(crate) fn and(self, other: &Self) -> Self {
        Self {
            bytes_read: self.bytes_read + other.bytes_read,
            total_bytes: None,
            packets_read: self.packets_read + other.packets_read,
            packets_filtered: self.packets_filtered + other.packets_filtered,
            packets_dropped: match (self.packets_dropped, other.packets_dropped) {
                (Some(one), Some(other)) => Some(one.and(other)),
                (one, other) => one.or(other),
            },
            // All meters read the same interface and have the same clock.
            captures: self.captures.max(other.captures),
            files_skipped: self.files_skipped.max(other.files_skipped),
            clock_steps: self.clock_steps.max(other.clock_steps),
        }
    }
}

/// Meters that run in their own threads.
pub(crate) trait ParallelMeters: Send {
    /// Returns the next ended flow that is ready.
    ///
    /// Without fan-out, flows have the order of
    /// [`Meter::next_flow`](flowloom_core::meter::Meter::next_flow).
    fn ready(&mut self) -> Option<Flow>;

    /// Waits for further results. All flows that were ready must have been taken.
    fn gather(&mut self);

    /// Stops reading and ends all flows, which are counted and dropped.
    fn stop(&mut self);

    /// Returns the state as of the last results.
    fn state(&self) -> &State;
}

/// The state of the meters as of the last results that the caller's thread received.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) counters: Counters,
    pub(crate) progress: Progress,
    pub(crate) problems: Vec<CaptureError>,
    pub(crate) unknown_links: Vec<LinkType>,
    /// The number of flows that were not dissected because of overload.
    pub(crate) undissected: u64,
    pub(crate) flows_live: u64,
    /// In bytes.
    pub(crate) memory: u64,
    pub(crate) packets_per_meter: Vec<u64>,
    /// The reports of each meter, empty before its first report.
    pub(crate) plugins: Vec<Vec<PluginReport>>,
    pub(crate) cpu_time: CpuTime,
    /// Whether all packets were read and no further flows follow those that are ready.
    pub(crate) finished: bool,
}
