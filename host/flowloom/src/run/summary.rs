//! What happened in a run.

use flowloom_core::link_type::LinkType;
use flowloom_core::meter::Counters;
use flowloom_plugin::PluginReport;

use super::status::CpuTime;
use crate::capture::{CaptureError, Dropped};

/// What happened in a run so far.
#[derive(Debug)]
pub struct RunSummary<'a> {
    /// Packets read from the captures: those that the filter kept out, and those of the counters.
    pub packets_read: u64,
    /// Packets that the filter kept out.
    pub packets_filtered: u64,
    /// Captured bytes read: of files as they are on disk.
    pub bytes_read: u64,
    /// Packets of an interface that were lost before they could be read; `None` for files.
    pub packets_dropped: Option<Dropped>,
    /// How many captures there were: files that continue each other are one.
    pub captures: u64,
    /// Files that were left out because they cannot be read.
    pub files_skipped: u64,
    /// How often the clock of live packets stepped back; then all flows ended.
    pub clock_steps: u64,
    /// What became of the others.
    pub counters: Counters,
    /// Flows that ended after [`max_nflows`](StreamerBuilder::max_nflows) had been given.
    pub flows_withheld: u64,
    /// Flows that were not dissected, as an interface's packets came too quickly.
    pub flows_undissected: u64,
    /// Flows that are live.
    pub flows_live: u64,
    /// Bytes that the flow tables and the dissectors hold for live flows.
    pub memory: u64,
    /// Packets that each meter was given.
    pub packets_per_meter: Vec<u64>,
    /// What each plugin did; while several meters work, as they told within the last second.
    pub plugins: Vec<PluginReport>,
    /// Changes of plugins under way that were refused; the log says why.
    pub changes_refused: u64,
    /// Panics of helper threads, each of which was started again; the log says which.
    pub thread_panics: u64,
    /// What was wrong with captures; each ended the one that it names.
    pub problems: &'a [CaptureError],
    /// Link types of packets that were ignored for it.
    pub unknown_links: &'a [LinkType],
    /// How long the threads worked.
    pub cpu_time: CpuTime,
}
