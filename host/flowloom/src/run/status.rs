//! How a run is doing.

use std::time::Duration;

use flowloom_core::flow::Flow;
use flowloom_core::link_type::LinkType;
use flowloom_core::meter::Counters;
use flowloom_plugin::PluginReport;

use crate::capture::{CaptureError, Dropped, Origin};

/// Processor time that each thread of a run has taken, plugins included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// The reader of several meters; one that is alone reads itself.
    pub reader: Option<Duration>,
    /// Each meter. One that is alone works in the caller's thread, and what else that does counts.
    pub meters: Vec<Duration>,
}

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) bytes_read: u64,
    pub(crate) total_bytes: Option<u64>,
    pub(crate) packets_read: u64,
    pub(crate) packets_filtered: u64,
    pub(crate) packets_dropped: Option<Dropped>,
    pub(crate) captures: u64,
    pub(crate) files_skipped: u64,
    pub(crate) clock_steps: u64,
}

impl Progress {
    pub(crate) fn of(origin: &Origin) -> Self {
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

    /// That of another part of the same.
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
            // All parts are of one interface, whose clock is one.
            captures: self.captures.max(other.captures),
            files_skipped: self.files_skipped.max(other.files_skipped),
            clock_steps: self.clock_steps.max(other.clock_steps),
        }
    }
}

/// Several meters that run in their own threads.
pub(crate) trait ParallelMeters: Send {
    /// A flow that has ended, in the order of [`Meter::next_flow`](flowloom_core::meter::Meter::next_flow) if they keep
    /// one.
    fn ready(&mut self) -> Option<Flow>;

    /// Waits for more; the flows of before were taken.
    fn gather(&mut self);

    /// Stops reading and ends all flows: what comes out is counted and dropped.
    fn stop(&mut self);

    /// What is known by now.
    fn state(&self) -> &State;
}

/// What is known by the batches that are done.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) counters: Counters,
    pub(crate) progress: Progress,
    pub(crate) problems: Vec<CaptureError>,
    pub(crate) unknown_links: Vec<LinkType>,
    pub(crate) undissected: u64,
    pub(crate) flows_live: u64,
    pub(crate) memory: u64,
    pub(crate) packets_per_meter: Vec<u64>,
    /// Of each meter.
    pub(crate) plugins: Vec<Vec<PluginReport>>,
    pub(crate) cpu_time: CpuTime,
    pub(crate) finished: bool,
}
