//! The meter: packets in, flows out.
//!
//! It reads no clock, opens no file and starts no thread: time is the packets' time, so that a
//! capture read from a file and the same packets on a wire give the same flows.

use std::sync::Arc;

use crate::capture::{Boundary, LinkType, RawPacket};
use crate::decode::{IgnoreReason, Packet, TunnelSet};
use crate::dissect::{DEFAULT_DISSECTIONS, DissectError, NdpiFiles};
use crate::flow::features::Group;
use crate::flow::{Analyses, DecodedChunk, Flow, KeyHasher, Schema, Timeouts};
use crate::ingress::Ingress;
use crate::overload::OverloadLevel;
use crate::plugin::{Plugin, PluginError, PluginReport, PluginSet};
use crate::time::Time;
use crate::worker::MeterWorker;

/// How packets become flows: NFStream's parameters, by their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A flow ends when it has seen no packet for so many seconds.
    pub idle_timeout: u64,
    /// A packet that comes so many seconds after a flow's first one begins a new flow.
    pub active_timeout: u64,
    /// Whether a flow also ends with its TCP connection: with a reset, or the acknowledgement of both
    /// sides' FIN. (Not in NFStream.)
    pub end_on_fin: bool,
    /// Which bytes of a packet count.
    pub accounting_mode: AccountingMode,
    /// Tunnels whose content is metered in place of the packets that carry it.
    pub decode_tunnels: TunnelSet,
    /// Whether flows have statistics of packet sizes, inter-arrival times and TCP flags.
    pub statistical_analysis: bool,
    /// Of how many of a flow's first packets direction, size and inter-arrival time are kept.
    pub splt_analysis: u16,
    /// How many of a flow's first packets are dissected for its application. 0 leaves out those
    /// columns, and all that they cost; a build without nDPI takes nothing else.
    pub n_dissections: u8,
    /// Whether flows have the column `capture`: runs over several sources.
    pub capture_column: bool,
    /// How many flows may be live at once; the oldest ends early to make room for one more. 0 is no
    /// limit. Several meters share it.
    pub max_flows: u64,
    /// How many bytes of memory flows that have ended may hold until they are written, over all meters: a
    /// half for those that meters hold, which counts the values of plugins alone, and a half for
    /// [`BackgroundSink`](crate::sink::BackgroundSink). When captures are read, whoever makes flows waits;
    /// values that cannot wait are null and counted.
    pub queue_bytes: usize,
}

/// The default of [`Settings::queue_bytes`]: 256 MiB. A machine that has plugins has as much for each
/// instance.
pub(crate) const QUEUE_BYTES: usize = 256 << 20;

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: 15,
            active_timeout: 1800,
            end_on_fin: false,
            accounting_mode: AccountingMode::default(),
            decode_tunnels: TunnelSet::default(),
            statistical_analysis: false,
            splt_analysis: 0,
            n_dissections: DEFAULT_DISSECTIONS,
            capture_column: false,
            max_flows: 0,
            queue_bytes: QUEUE_BYTES,
        }
    }
}

impl Settings {
    /// The features that flows have under these settings.
    pub fn schema(&self) -> Schema {
        Schema::new(|group| self.has(group), Vec::new())
    }

    /// Bytes of plugins' values that may wait in each of so many meters, and on the way from it.
    pub(crate) fn flow_bytes(&self, meters: usize) -> usize {
        self.queue_bytes / 2 / meters.max(1)
    }

    fn has(&self, group: Group) -> bool {
        match group {
            Group::Core => true,
            Group::Capture => self.capture_column,
            Group::Tunnel => self.decode_tunnels != TunnelSet::NONE,
            Group::Statistics => self.statistical_analysis,
            Group::Splt => self.splt_analysis > 0,
            Group::Application => self.n_dissections > 0,
        }
    }

    pub(crate) fn analyses(&self) -> Analyses {
        Analyses {
            statistics: self.statistical_analysis,
            splt: self.splt_analysis,
            closing: self.end_on_fin,
        }
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_ms: self.idle_timeout.saturating_mul(1_000),
            active_ms: self.active_timeout.saturating_mul(1_000),
        }
    }
}

/// Which of a packet's sizes the byte counters add up, numbered as NFStream does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum AccountingMode {
    /// The whole frame on the wire.
    #[default]
    Raw = 0,
    /// The IP packet, by its own header.
    Ip = 1,
    /// Transport header and payload.
    Transport = 2,
    /// Transport payload.
    Payload = 3,
}

impl AccountingMode {
    #[inline]
    pub(crate) fn size(self, packet: &Packet) -> u32 {
        match self {
            Self::Raw => packet.raw_size,
            Self::Ip => packet.ip_size,
            Self::Transport => packet.transport_size,
            Self::Payload => packet.payload_size,
        }
    }
}

/// What became of the packets that a meter was given: each was metered or ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets given.
    pub packets: u64,
    /// Packets that are part of a flow.
    pub metered: u64,
    /// Packets that are not, by [`IgnoreReason::index`].
    pub ignored: [u64; IgnoreReason::ALL.len()],
    /// Metered packets that came with a time before an earlier one's, and were given that.
    pub clamped: u64,
    /// Flows that ended.
    pub flows: u64,
    /// Those of them that ended early because the table was full.
    pub evicted: u64,
}

impl Counters {
    /// Those of another meter too.
    pub(crate) fn and(self, other: &Self) -> Self {
        let mut ignored = self.ignored;
        for (sum, count) in ignored.iter_mut().zip(other.ignored) {
            *sum += count;
        }
        Self {
            packets: self.packets + other.packets,
            metered: self.metered + other.metered,
            ignored,
            clamped: self.clamped + other.clamped,
            flows: self.flows + other.flows,
            evicted: self.evicted + other.evicted,
        }
    }

    /// The reasons for which packets were ignored, and how many each.
    pub fn ignored(&self) -> impl Iterator<Item = (IgnoreReason, u64)> {
        IgnoreReason::ALL
            .into_iter()
            .zip(self.ignored)
            .filter(|(_, count)| *count > 0)
    }
}

/// Meters packets into flows.
///
/// ```
/// use flowloom::capture::{LinkType, RawPacket};
/// use flowloom::{Meter, Settings, Time};
///
/// # fn main() -> Result<(), flowloom::MeterError> {
/// let mut meter = Meter::new(Settings::default(), &[])?;
/// // An IPv4 packet without anything in it, protocol 255.
/// let data = &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
/// meter.push([RawPacket { time: Time::EPOCH, link: LinkType(101), wire_len: 20, data }]);
/// meter.finish();
/// let flow = meter.next_flow().expect("a flow");
/// assert_eq!(flow.id(), 0);
/// # Ok(())
/// # }
/// ```
pub struct Meter {
    ingress: Ingress,
    worker: MeterWorker,
}

/// Why there is no meter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MeterError {
    /// A plugin cannot be opened.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Flows cannot be dissected.
    #[error(transparent)]
    Dissect(#[from] DissectError),
    /// The system does not start a thread for it.
    #[error("the system does not start a thread: {0}")]
    Thread(#[source] std::io::Error),
}

impl Meter {
    /// A meter with its own instance of each plugin.
    ///
    /// # Errors
    ///
    /// A plugin cannot be opened, or flows cannot be dissected.
    pub fn new(settings: Settings, plugins: &[Arc<Plugin>]) -> Result<Self, MeterError> {
        Self::with_ndpi_files(settings, plugins, &NdpiFiles::default())
    }

    /// A meter that also knows the protocols and categories of these files.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_ndpi_files(
        settings: Settings,
        plugins: &[Arc<Plugin>],
        files: &NdpiFiles,
    ) -> Result<Self, MeterError> {
        Self::with_set(
            settings,
            &PluginSet::new(&settings.schema(), plugins),
            files,
        )
    }

    pub(crate) fn with_set(
        settings: Settings,
        plugins: &PluginSet,
        files: &NdpiFiles,
    ) -> Result<Self, MeterError> {
        let hasher = KeyHasher::new();
        Ok(Self {
            ingress: Ingress::new(&settings, hasher),
            worker: MeterWorker::new(&settings, hasher, 1, plugins, files)?,
        })
    }

    /// Gives packets the ordinals from `first` on, by steps: those between are other meters'.
    pub(crate) fn count_from(&mut self, first: u64, step: u64) {
        self.ingress.count_from(first, step);
    }

    /// Shows flows that begin from now on to another set of plugins: that of a
    /// [`Registry`](crate::plugin::Registry). Flows that have begun finish with the plugins that they
    /// began with; those that take longer than 60 s have null values of plugins that were replaced.
    ///
    /// Where a plugin was replaced so often that four generations of it have live flows, nothing is
    /// done and the answer is `false`: ask again later.
    pub fn set_plugins(&mut self, plugins: &PluginSet) -> bool {
        self.worker.switch(plugins, self.ingress.next)
    }

    /// The columns of flows that begin now.
    pub fn schema(&self) -> &Arc<Schema> {
        self.worker.schema()
    }

    /// Meters some packets, in this order.
    pub fn push<'a>(&mut self, packets: impl IntoIterator<Item = RawPacket<'a>>) {
        let mut packets = packets.into_iter();
        let mut chunk = DecodedChunk::default();
        loop {
            let has_more = self.ingress.fill(&mut chunk, &mut packets);
            self.worker.push(&mut chunk.flow_packets()[..chunk.len()]);
            if !has_more {
                return;
            }
        }
    }

    /// Lets time pass without packets: flows that are idle by then end, and what waits for plugins is
    /// delivered. Packets may still come with earlier times.
    pub fn advance(&mut self, now: Time) {
        self.worker.pass(now.ms(), self.ingress.next);
        self.flush();
    }

    /// Delivers what waits for plugins, as no more may come for a while.
    pub fn flush(&mut self) {
        self.worker.flush();
    }

    /// Gives up what this load asks for, from now on: for a source that loses packets when they are
    /// not metered quickly enough.
    pub fn set_overload(&mut self, level: OverloadLevel) {
        self.worker.set_overload(level);
    }

    /// How many flows were not dissected because of the load.
    pub fn undissected(&self) -> u64 {
        self.worker.undissected()
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then gives: once it has given the last one,
    /// [`counters`](Self::counters) and [`plugins`](Self::plugins) are complete. Nothing may be pushed
    /// afterwards.
    pub fn finish(&mut self) {
        self.worker.end_all(None);
    }

    /// Ends all flows, which [`next_flow`](Self::next_flow) then gives; once it has given the last one,
    /// what the boundary says begins anew. Until then nothing may be pushed.
    pub(crate) fn cross(&mut self, boundary: Boundary) {
        self.worker.end_all(Some(boundary));
        self.ingress.cross(boundary);
    }

    /// The next flow that has ended.
    ///
    /// They come in the order of the packets that ended them. Of those that one packet ended, the
    /// ones it does not belong to come first, in the order of their ids.
    pub fn next_flow(&mut self) -> Option<Flow> {
        loop {
            match self.worker.ready().pop() {
                Some(flow) => return Some(flow),
                None if self.worker.end_more() => {}
                None => return None,
            }
        }
    }

    /// What became of the packets so far.
    pub fn counters(&self) -> Counters {
        Counters {
            flows: self.worker.flows(),
            evicted: self.worker.evicted(),
            ..self.ingress.counters
        }
    }

    /// Link types of packets that were ignored for it.
    pub fn unknown_links(&self) -> &[LinkType] {
        &self.ingress.unknown_links
    }

    /// What the plugins did so far.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.worker.plugins()
    }

    /// How many flows are live.
    pub fn live_flows(&self) -> usize {
        self.worker.live_flows()
    }

    /// Bytes that the flow table and the dissector hold for live flows.
    pub fn memory(&self) -> usize {
        self.worker.memory()
    }
}
