//! The parameters of metering.

use crate::decode::{Packet, TunnelSet};
use crate::fields::Group;
use crate::schema::Schema;
use crate::table::{Analyses, Timeouts};

/// The default of [`Settings::n_dissections`]: as many packets of a flow as NFStream dissects, or none in a
/// build without nDPI.
pub const DEFAULT_DISSECTIONS: u8 = if cfg!(feature = "dissection") { 20 } else { 0 };

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
    /// the sink. When captures are read, whoever makes flows waits;
    /// values that cannot wait are null and counted.
    pub queue_bytes: usize,
}

/// The default of [`Settings::queue_bytes`]: 256 MiB. A machine that has plugins has as much for each
/// instance.
pub const QUEUE_BYTES: usize = 256 << 20;

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
    pub fn flow_bytes(&self, meters: usize) -> usize {
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
            tcp_close: self.end_on_fin,
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
    pub fn size(self, packet: &Packet) -> u32 {
        match self {
            Self::Raw => packet.raw_size,
            Self::Ip => packet.ip_size,
            Self::Transport => packet.transport_size,
            Self::Payload => packet.payload_size,
        }
    }
}
