//! The summary of a run.

use flowloom_core::link_type::LinkType;
use flowloom_core::meter::Counters;
use flowloom_plugin::PluginReport;

use super::status::CpuTime;
use crate::capture::{CaptureError, Dropped};
use crate::dissect::Ndpi;
use crate::processes::SystemReport;

/// The counters and problems of a run so far.
///
/// [`Streamer::summary`](super::Streamer::summary) returns it. With several meters, values are as of the last
/// results that the caller's thread received from them.
///
/// # Examples
///
/// ```
/// use flowloom::Streamer;
///
/// # fn main() -> Result<(), flowloom::StreamerError> {
/// # let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures/dns.pcap");
/// let mut streamer = Streamer::builder([capture]).build()?;
/// let flows = streamer.by_ref().count() as u64;
/// let summary = streamer.summary();
/// assert_eq!(summary.counters.flows, flows);
/// assert_eq!(summary.packets_read, summary.packets_filtered + summary.counters.packets);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct RunSummary<'a> {
    /// The number of packets that were read: `packets_filtered` plus the packets of `counters`.
    pub packets_read: u64,
    /// The number of packets that the filter excluded. Always 0 for an interface, where the kernel filters
    /// packets without counting them.
    pub packets_filtered: u64,
    /// The number of bytes that were read. For an interface, these are captured bytes. For files, these are bytes
    /// on disk, before decompression.
    pub bytes_read: u64,
    /// The numbers of packets of an interface that were lost before they were read; `None` for files.
    pub packets_dropped: Option<Dropped>,
    /// The number of captures. Files that continue each other are one capture.
    pub captures: u64,
    /// The number of files that were skipped because they cannot be read.
    pub files_skipped: u64,
    /// The number of times that the clock of live packets stepped back. All flows end at each step.
    pub clock_steps: u64,
    /// The counters of metered and ignored packets, and of flows.
    pub counters: Counters,
    /// The number of flows for which the [condition](super::StreamerBuilder::filter) is not true. They were not
    /// returned.
    pub flows_excluded: u64,
    /// The number of flows beyond [`max_nflows`](super::StreamerBuilder::max_nflows), which were not returned.
    /// 0 until the run has finished.
    pub flows_withheld: u64,
    /// The number of flows that were not dissected because of overload.
    pub flows_undissected: u64,
    /// The number of live flows.
    pub flows_live: u64,
    /// The memory of flow tables and dissectors for live flows, in bytes.
    pub memory: u64,
    /// The number of packets that each meter metered.
    pub packets_per_meter: Vec<u64>,
    /// A report of each plugin. With several meters, the reports of a run in progress are up to about 1 s old.
    pub plugins: Vec<PluginReport>,
    /// The number of plugin changes during the run that were rejected. The log contains the reasons.
    pub changes_refused: u64,
    /// The number of panics of helper threads. Each thread was restarted. The log names the threads.
    pub thread_panics: u64,
    /// The nDPI that determines applications, or `None` if flows are not dissected.
    pub ndpi: Option<&'a Ndpi>,
    /// The counters of the polls for the processes of flows, or `None` without
    /// [`system_visibility`](super::StreamerBuilder::system_visibility).
    pub system: Option<SystemReport>,
    /// The errors of captures. Each ended the capture that it names.
    pub problems: &'a [CaptureError],
    /// The link types of packets that were ignored because of an unknown link type, each once.
    pub unknown_links: &'a [LinkType],
    /// The processor time of the threads.
    pub cpu_time: CpuTime,
}
