//! The parameters of metering.

use serde::{Deserialize, Serialize};

use crate::decode::{Packet, TunnelSet};
use crate::fields::Group;
use crate::schema::Schema;
use crate::table::{Analyses, Timeouts};

/// The default of [`Settings::n_dissections`]: the same as in NFStream, or 0 in a build without nDPI.
pub const DEFAULT_DISSECTIONS: u8 = if cfg!(feature = "dissection") { 20 } else { 0 };

/// The parameters of metering. Most have the names and defaults of NFStream's parameters.
///
/// # Examples
///
/// ```
/// use flowloom_core::meter::Settings;
///
/// let mut settings = Settings::default();
/// settings.idle_timeout = 60;
/// settings.splt_analysis = 10;
/// assert!(settings.schema().position("splt_ps").is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The idle timeout in seconds: a flow ends if it has no packet for this time.
    pub idle_timeout: u64,
    /// The active timeout in seconds: a packet that arrives this time after the first packet of a flow begins a
    /// new flow.
    pub active_timeout: u64,
    /// Whether a flow also ends with its TCP connection: with a reset, or when the FINs of both directions are
    /// acknowledged. (Not in NFStream.)
    pub end_on_fin: bool,
    /// The accounting mode: which bytes of a packet are counted.
    pub accounting_mode: AccountingMode,
    /// The tunnels whose inner packets are metered in place of the outer packets.
    pub decode_tunnels: TunnelSet,
    /// Whether flows have statistics of packet sizes, inter-arrival times and TCP flags.
    pub statistical_analysis: bool,
    /// The number of first packets of a flow whose direction, size and inter-arrival time are stored; 0 disables
    /// SPLT analysis.
    pub splt_analysis: u16,
    /// The maximum number of packets of a flow that are dissected. 0 disables dissection and removes its
    /// columns. A build without nDPI accepts only 0.
    pub n_dissections: u8,
    /// Whether flows have the column `capture`, for runs over several sources. A run sets it.
    #[serde(skip)]
    pub capture_column: bool,
    /// The columns of identifiers. A run sets them and computes their values. In flows of a meter alone, the values
    /// are null.
    #[serde(skip)]
    pub identity_columns: IdentityColumns,
    /// The maximum number of live flows; 0 means no limit. If the limit is reached, the oldest flow ends early
    /// when a new one begins. Several meters share the limit.
    pub max_flows: u64,
    /// The maximum memory in bytes of ended flows that are not written yet, over all meters.
    ///
    /// One half is for flows in the meters, where only the values of plugins count. The other half is for the
    /// queue of the sink. For files, metering waits when the limit is reached. Values that cannot wait become
    /// null and are counted.
    pub queue_bytes: usize,
}

/// The default of [`Settings::queue_bytes`]: 256 MiB, the same as the default memory limit of a plugin instance.
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
            identity_columns: IdentityColumns::default(),
            max_flows: 0,
            queue_bytes: QUEUE_BYTES,
        }
    }
}

impl Settings {
    /// Returns the columns of flows with these settings, without those of plugins.
    pub fn schema(&self) -> Schema {
        Schema::new(|group| self.has(group), Vec::new())
    }

    /// Returns the maximum bytes of plugin values that wait in each of `meters` meters and on the way from it.
    pub fn flow_bytes(&self, meters: usize) -> usize {
        self.queue_bytes / 2 / meters.max(1)
    }

    /// Returns whether flows have the features of a group.
    fn has(&self, group: Group) -> bool {
        match group {
            Group::Core => true,
            Group::Capture => self.capture_column,
            Group::CommunityId => self.identity_columns.community_id,
            Group::FlowUid => self.identity_columns.flow_uid,
            Group::SourceFile => self.identity_columns.source_file,
            Group::SystemProcess => self.identity_columns.system_process,
            Group::Time => false,
            Group::Tunnel => self.decode_tunnels != TunnelSet::NONE,
            Group::Statistics => self.statistical_analysis,
            Group::Splt => self.splt_analysis > 0,
            Group::Application => self.n_dissections > 0,
        }
    }

    /// Returns the optional data that flows need.
    pub(crate) fn analyses(&self) -> Analyses {
        Analyses {
            statistics: self.statistical_analysis,
            splt: self.splt_analysis,
            tcp_close: self.end_on_fin,
        }
    }

    /// Returns the timeouts in ms. They saturate at `u64::MAX`.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_ms: self.idle_timeout.saturating_mul(1_000),
            active_ms: self.active_timeout.saturating_mul(1_000),
        }
    }
}

/// The columns of identifiers, by which flows are found in other tools, runs and captures. By default, there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdentityColumns {
    /// Whether flows have the column `community_id`.
    pub community_id: bool,
    /// Whether flows have the column `flow_uid`.
    pub flow_uid: bool,
    /// Whether flows have the column `source_file`.
    pub source_file: bool,
    /// Whether flows have the columns `system_process_pid` and `system_process_name`.
    pub system_process: bool,
}

/// The size of a packet that is counted. The numbers are those of NFStream.
///
/// # Examples
///
/// ```
/// use flowloom_core::meter::{AccountingMode, Settings};
///
/// let mut settings = Settings::default();
/// settings.accounting_mode = AccountingMode::Payload;
/// assert_eq!(settings.accounting_mode as u8, 3);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum AccountingMode {
    /// The whole frame on the wire.
    #[default]
    Raw = 0,
    /// The IP packet, as its header states the size.
    Ip = 1,
    /// The transport header and payload.
    Transport = 2,
    /// The transport payload.
    Payload = 3,
}

impl AccountingMode {
    /// Returns the size of a packet in bytes in this mode.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::testing::{metered, udp};
    use crate::value::Value;

    #[test]
    fn each_group_of_columns_has_its_setting() {
        let settings = Settings {
            decode_tunnels: TunnelSet::NONE,
            n_dissections: 0,
            ..Settings::default()
        };
        let with = |change: fn(&mut Settings)| {
            let mut settings = settings;
            change(&mut settings);
            settings
        };
        for (group, settings, column) in [
            (Group::Capture, with(|s| s.capture_column = true), "capture"),
            (
                Group::CommunityId,
                with(|s| s.identity_columns.community_id = true),
                "community_id",
            ),
            (
                Group::FlowUid,
                with(|s| s.identity_columns.flow_uid = true),
                "flow_uid",
            ),
            (
                Group::SourceFile,
                with(|s| s.identity_columns.source_file = true),
                "source_file",
            ),
            (
                Group::SystemProcess,
                with(|s| s.identity_columns.system_process = true),
                "system_process_pid",
            ),
            (
                Group::Tunnel,
                with(|s| s.decode_tunnels = TunnelSet::DEFAULT),
                "tunnel_id",
            ),
            (
                Group::Statistics,
                with(|s| s.statistical_analysis = true),
                "src2dst_max_ps",
            ),
            (Group::Splt, with(|s| s.splt_analysis = 1), "splt_ps"),
            (
                Group::Application,
                with(|s| s.n_dissections = 1),
                "application_name",
            ),
        ] {
            let schema = settings.schema();
            assert!(schema.position(column).is_some(), "{column}");
            let groups = schema.features().iter().map(|feature| feature.group);
            assert!({ groups }.all(|other| other == group || other == Group::Core));
        }
        let schema = settings.schema();
        assert!(
            schema
                .features()
                .iter()
                .all(|feature| feature.group == Group::Core)
        );
        assert!(!schema.is_empty());
    }

    #[test]
    fn the_accounting_mode_decides_the_size_of_a_packet() {
        for (mode, size) in [
            (AccountingMode::Raw, 33),
            (AccountingMode::Ip, 30),
            (AccountingMode::Transport, 10),
            (AccountingMode::Payload, 2),
        ] {
            let settings = Settings {
                accounting_mode: mode,
                ..Settings::default()
            };
            // The IP header states a shorter packet than the frame has.
            let mut packet = udp(1);
            packet[3] = 30;
            let flow = &metered(settings, &[packet])[0];
            let bytes = flow.get("bidirectional_bytes");
            assert_eq!(bytes, Some(Value::Integer(size)), "{mode:?}");
        }
    }

    #[test]
    fn half_of_the_waiting_bytes_are_for_the_meters() {
        let mut settings = Settings::default();
        assert_eq!(settings.queue_bytes, 268_435_456);
        settings.queue_bytes = 100;
        for (meters, bytes) in [(0, 50), (1, 50), (2, 25), (5, 10)] {
            assert_eq!(settings.flow_bytes(meters), bytes, "{meters}");
        }
    }
}
