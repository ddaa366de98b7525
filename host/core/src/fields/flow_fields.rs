//! The feature table: the only declaration of each flow field.
//!
//! The CSV header, the JSON keys, the fields that plugins can request, and the documentation come from this
//! table. Names, order and definitions are those of NFStream 6.6.0, unless the description of a field says
//! otherwise.

use std::net::IpAddr;
use std::sync::Arc;

use super::sensitivity::Sensitivity;
use crate::address::is_private;
use crate::record::{ApplicationText, DirectionCounters, DirectionScope, FlowView, SpltValue};
use crate::value::{Type, Value};

/// A field of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// The name: a CSV header, a JSON key, and the name in a plugin's manifest.
    pub name: &'static str,
    /// The type of the values.
    pub ty: Type,
    /// The unit of the values; empty if they have none.
    pub unit: &'static str,
    /// The group, which decides when flows have the field.
    pub group: Group,
    /// The sensitivity, which decides what grant a plugin needs.
    pub sensitivity: Sensitivity,
    /// The definition, in full sentences.
    pub doc: &'static str,
    /// The function that computes the value.
    pub value: Extract,
}

/// The function that computes the value of a field, by the type of the value.
#[derive(Clone, Copy, Debug)]
pub enum Extract {
    /// A boolean.
    Boolean(fn(&FlowView<'_>) -> bool),
    /// An integer.
    Integer(NumberFunctions<i64>),
    /// A float.
    Float(NumberFunctions<f64>),
    /// An IP address.
    Ip(fn(&FlowView<'_>) -> IpAddr),
    /// A MAC address.
    Mac(fn(&FlowView<'_>) -> [u8; 6]),
    /// The first three bytes of a MAC address.
    Oui(fn(&FlowView<'_>) -> [u8; 3]),
    /// A text.
    Text(for<'a> fn(&FlowView<'a>) -> &'a str),
    /// A point in time, in milliseconds since 1970-01-01 UTC.
    Time(fn(&FlowView<'_>) -> u64),
    /// A list with one value of each of the flow's first packets.
    Splt(SpltValue),
    /// A list of texts.
    Texts(for<'a> fn(&FlowView<'a>) -> &'a [Arc<str>]),
    /// A value that may be null.
    Nullable(for<'a> fn(&FlowView<'a>) -> Value<'a>),
}

/// The functions that compute a number.
#[derive(Clone, Copy, Debug)]
pub struct NumberFunctions<T> {
    /// Returns the value of a flow.
    pub of: fn(&FlowView<'_>) -> T,
    /// Appends the values of several flows. It makes no call for each flow.
    pub all: fn(&[FlowView<'_>], &mut Vec<T>),
}

/// Expands to an [`Extract`] of a number: `number!(Integer, |flow| expression)`.
macro_rules! number {
    ($kind:ident, |$flow:ident| $value:expr) => {
        Extract::$kind(NumberFunctions {
            of: |$flow| $value,
            all: |flows, values| {
                values.extend(flows.iter().map(|$flow: &FlowView<'_>| $value));
            },
        })
    };
}

/// A group of fields that are enabled together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Group {
    /// Always present.
    Core,
    /// Present in runs over several sources.
    Capture,
    /// The Community ID; present on request.
    CommunityId,
    /// The identifier that is the same in every run; present on request.
    FlowUid,
    /// The file of the first packet; present on request.
    SourceFile,
    /// The process that owns the flow's socket; present on request.
    SystemProcess,
    /// Only in outputs that ask for times.
    Time,
    /// Present unless no tunnels are decoded.
    Tunnel,
    /// Present with statistical analysis.
    Statistics,
    /// Present with SPLT analysis.
    Splt,
    /// Present with dissection.
    Application,
}

impl Group {
    /// Returns when flows have the fields of the group, as a phrase that completes "The field is present".
    pub fn when(self) -> &'static str {
        match self {
            Self::Core => "always",
            Self::Capture => "with several sources",
            Self::CommunityId => "with community_id",
            Self::FlowUid => "with flow_uid",
            Self::SourceFile => "with source_file",
            Self::SystemProcess => "with system_visibility",
            Self::Time => "in Arrow and Parquet, and in other formats with --time-format iso8601",
            Self::Tunnel => "unless decode_tunnels is false",
            Self::Statistics => "with statistical_analysis",
            Self::Splt => "with splt_analysis",
            Self::Application => "unless n_dissections is 0",
        }
    }

    /// Returns whether the fields of the group are computed after the flow has ended. Plugins cannot request them,
    /// and their values may be null.
    pub fn follows_end(self) -> bool {
        matches!(
            self,
            Self::CommunityId | Self::FlowUid | Self::SourceFile | Self::SystemProcess
        )
    }
}

/// Compares names, which are unique.
impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Feature {}

impl Feature {
    /// Returns the value of the field for a flow.
    pub fn value<'a>(&self, flow: &FlowView<'a>) -> Value<'a> {
        match self.value {
            Extract::Boolean(value) => Value::Boolean(value(flow)),
            Extract::Integer(value) => Value::Integer((value.of)(flow)),
            Extract::Float(value) => Value::Float((value.of)(flow)),
            Extract::Ip(value) => Value::Ip(value(flow)),
            Extract::Mac(value) => Value::Mac(value(flow)),
            Extract::Oui(value) => Value::Oui(value(flow)),
            Extract::Text(value) => Value::Text(value(flow)),
            Extract::Time(value) => Value::time(value(flow)),
            Extract::Splt(part) => Value::Integers(flow.splt.map_or(&[], |splt| splt.list(part))),
            Extract::Texts(value) => Value::Texts(value(flow)),
            Extract::Nullable(value) => value(flow),
        }
    }

    /// Returns the field with the given name.
    pub fn by_name(name: &str) -> Option<&'static Feature> {
        FEATURES.iter().find(|feature| feature.name == name)
    }

    const fn new(
        name: &'static str,
        ty: Type,
        unit: &'static str,
        doc: &'static str,
        value: Extract,
    ) -> Self {
        Self {
            name,
            ty,
            unit,
            group: Group::Core,
            sensitivity: Sensitivity::None,
            doc,
            value,
        }
    }

    /// Sets the group.
    const fn of(self, group: Group) -> Self {
        Self { group, ..self }
    }

    /// Sets the sensitivity.
    const fn needs(self, sensitivity: Sensitivity) -> Self {
        Self {
            sensitivity,
            ..self
        }
    }
}

/// Converts a counter or a time. They are below 2^63 in practice; larger values saturate.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn oui([a, b, c, ..]: [u8; 6]) -> [u8; 3] {
    [a, b, c]
}

/// Expands to the five fields of the counters of a direction.
macro_rules! counters {
    ($direction:literal, $of:literal, $counters:expr) => {{
        const COUNTERS: fn(&FlowView<'_>) -> DirectionCounters = $counters;
        [
            Feature::new(
                concat!($direction, "_first_seen_ms"),
                Type::U64,
                "ms",
                concat!(
                    "The time of the first packet ",
                    $of,
                    " since 1970-01-01 UTC, truncated to milliseconds; 0 if there is none."
                ),
                number!(Integer, |flow| integer(COUNTERS(flow).first_seen_ms)),
            ),
            Feature::new(
                concat!($direction, "_last_seen_ms"),
                Type::U64,
                "ms",
                concat!(
                    "The time of the last packet ",
                    $of,
                    " since 1970-01-01 UTC, truncated to milliseconds; 0 if there is none."
                ),
                number!(Integer, |flow| integer(COUNTERS(flow).last_seen_ms)),
            ),
            Feature::new(
                concat!($direction, "_duration_ms"),
                Type::U64,
                "ms",
                concat!("The time from the first to the last packet ", $of, "."),
                number!(Integer, |flow| {
                    integer(COUNTERS(flow).last_seen_ms - COUNTERS(flow).first_seen_ms)
                }),
            ),
            Feature::new(
                concat!($direction, "_packets"),
                Type::U64,
                "packets",
                concat!("The number of packets ", $of, "."),
                number!(Integer, |flow| integer(COUNTERS(flow).packets)),
            ),
            Feature::new(
                concat!($direction, "_bytes"),
                Type::U64,
                "bytes",
                concat!(
                    "The sum of the sizes of the packets ",
                    $of,
                    ", as the accounting mode defines the size. By default, it is the size of the whole frame on the wire."
                ),
                number!(Integer, |flow| integer(COUNTERS(flow).bytes)),
            ),
        ]
    }};
}

const IDENTITY: [Feature; 20] = [
    Feature::new(
        "id",
        Type::U64,
        "",
        "The ordinal of the flow's first packet among all packets of its capture, from 0. In a run over several sources, `capture` and `id` together are unique. (NFStream numbers flows in the order of their end.)",
        number!(Integer, |flow| integer(flow.record.id)),
    ),
    Feature::new(
        "capture",
        Type::U32,
        "",
        "The number of the flow's capture, from 0. Rotated files of one link are one capture. Each other file is a separate capture (`--group`). (Not in NFStream.)",
        number!(Integer, |flow| flow.capture as i64),
    )
    .of(Group::Capture),
    Feature::new(
        "community_id",
        Type::Text,
        "",
        "The Community ID of the flow, version 1, by which other tools name the same connection: `1:` and the base64 of a SHA-1 digest of addresses, ports and protocol. It is the same for both directions. It does not include VLAN and tunnel. Null for ICMP and ICMPv6, whose types and codes flows do not have, and for SCTP, whose ports flows do not have. Plugins cannot request it. (Not in NFStream.)",
        Extract::Nullable(|flow| {
            let digest = flow.identity.and_then(|identity| identity.community_id);
            digest.map_or(Value::Null, Value::CommunityId)
        }),
    )
    .of(Group::CommunityId)
    .needs(Sensitivity::Addresses),
    Feature::new(
        "flow_uid",
        Type::Text,
        "",
        "An identifier of the flow that is the same in every run over the same capture: 32 hexadecimal digits of a BLAKE2b digest of the first packet's time, the flow key, `id` and the name of the capture's first file. docs/usage.md defines it. Plugins cannot request it. (Not in NFStream.)",
        Extract::Nullable(|flow| {
            let digest = flow.identity.and_then(|identity| identity.flow_uid);
            digest.map_or(Value::Null, Value::FlowUid)
        }),
    )
    .of(Group::FlowUid)
    .needs(Sensitivity::Addresses),
    Feature::new(
        "source_file",
        Type::Text,
        "",
        "The path of the file that contains the flow's first packet, as the run opened it. It is `-` for standard input, and the name of the interface in a live capture. U+FFFD replaces bytes that are not UTF-8. Plugins cannot request it. (Not in NFStream.)",
        Extract::Nullable(|flow| {
            let file = flow.identity.and_then(|identity| identity.source_file.as_deref());
            file.map_or(Value::Null, Value::Text)
        }),
    )
    .of(Group::SourceFile),
    Feature::new(
        "expiration_id",
        Type::I64,
        "",
        "The reason why the flow ended: 0 idle timeout or end of capture, 1 active timeout, 2 the TCP connection was closed (with end_on_fin), 3 the table of live flows was full, -1 a plugin cut the flow.",
        number!(Integer, |flow| flow.expiration.id()),
    ),
    Feature::new(
        "src_ip",
        Type::Text,
        "",
        "The source address of the flow's first packet.",
        Extract::Ip(src_ip),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "src_ip_is_private",
        Type::Boolean,
        "",
        "True if src_ip is not globally reachable, as Python's ipaddress.is_private defines it (IANA's special-purpose registries). (Not in NFStream 6.6.0.)",
        Extract::Boolean(|flow| is_private(src_ip(flow))),
    ),
    Feature::new(
        "src_mac",
        Type::Text,
        "",
        "The source MAC address of the flow's first packet; zeros if its link layer has none.",
        Extract::Mac(|flow| flow.record.src_mac),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "src_oui",
        Type::Text,
        "",
        "The first three bytes of src_mac.",
        Extract::Oui(|flow| oui(flow.record.src_mac)),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "src_port",
        Type::U16,
        "",
        "The source port of the flow's first packet; 0 if its protocol has none.",
        number!(Integer, |flow| integer(flow.record.src_port.into())),
    ),
    Feature::new(
        "dst_ip",
        Type::Text,
        "",
        "The destination address of the flow's first packet.",
        Extract::Ip(dst_ip),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "dst_ip_is_private",
        Type::Boolean,
        "",
        "True if dst_ip is not globally reachable, by the definition of src_ip_is_private. (Not in NFStream 6.6.0.)",
        Extract::Boolean(|flow| is_private(dst_ip(flow))),
    ),
    Feature::new(
        "dst_mac",
        Type::Text,
        "",
        "The destination MAC address of the flow's first packet; zeros if its link layer has none.",
        Extract::Mac(|flow| flow.record.dst_mac),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "dst_oui",
        Type::Text,
        "",
        "The first three bytes of dst_mac.",
        Extract::Oui(|flow| oui(flow.record.dst_mac)),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "dst_port",
        Type::U16,
        "",
        "The destination port of the flow's first packet; 0 if its protocol has none.",
        number!(Integer, |flow| integer(flow.record.dst_port.into())),
    ),
    Feature::new(
        "protocol",
        Type::U8,
        "",
        "The IANA number of the protocol after the IP header and its extension headers.",
        number!(Integer, |flow| integer(flow.record.protocol.into())),
    ),
    Feature::new(
        "ip_version",
        Type::U8,
        "",
        "The IP version: 4 or 6.",
        number!(Integer, |flow| integer(flow.record.ip_version.into())),
    ),
    Feature::new(
        "vlan_id",
        Type::U16,
        "",
        "The identifier of the innermost VLAN tag; 0 without a tag.",
        number!(Integer, |flow| integer(flow.record.vlan_id.into())),
    ),
    Feature::new(
        "tunnel_id",
        Type::U32,
        "",
        "The innermost tunnel that contains the flow: 0 none, 1 GTP-U, 2 CAPWAP, 3 TZSP, 5 VXLAN, 6 GRE, 7 Geneve.",
        number!(Integer, |flow| integer((flow.record.tunnel as u8).into())),
    )
    .of(Group::Tunnel),
];

const TIMES: [Feature; 2] = [
    Feature::new(
        "first_seen",
        Type::Time,
        "",
        "The time of the flow's first packet, truncated to milliseconds; null after 9999-12-30. It is bidirectional_first_seen_ms as a time. (Not in NFStream.)",
        Extract::Time(|flow| flow.record.first_seen_ms()),
    )
    .of(Group::Time),
    Feature::new(
        "last_seen",
        Type::Time,
        "",
        "The time of the flow's last packet, truncated to milliseconds; null after 9999-12-30. It is bidirectional_last_seen_ms as a time. (Not in NFStream.)",
        Extract::Time(|flow| flow.record.last_seen_ms()),
    )
    .of(Group::Time),
];

/// Expands to the four fields of the packet sizes of a direction.
macro_rules! sizes {
    ($direction:literal, $of:literal, $scope:expr) => {
        [
            Feature::new(
                concat!($direction, "_min_ps"),
                Type::U32,
                "bytes",
                concat!(
                    "The size of the smallest packet ",
                    $of,
                    ", as the accounting mode defines the size; 0 if there is none."
                ),
                number!(Integer, |flow| {
                    integer(flow.statistics().sizes(flow.record, $scope).min())
                }),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_mean_ps"),
                Type::Float,
                "bytes",
                concat!(
                    "The mean size of the packets ",
                    $of,
                    "; 0 if there are none."
                ),
                number!(Float, |flow| flow
                    .statistics()
                    .sizes(flow.record, $scope)
                    .mean()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_stddev_ps"),
                Type::Float,
                "bytes",
                concat!(
                    "The sample standard deviation of the sizes of the packets ",
                    $of,
                    "; 0 for fewer than two packets."
                ),
                number!(Float, |flow| flow
                    .statistics()
                    .sizes(flow.record, $scope)
                    .stddev()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_max_ps"),
                Type::U32,
                "bytes",
                concat!(
                    "The size of the largest packet ",
                    $of,
                    "; 0 if there is none."
                ),
                number!(Integer, |flow| {
                    integer(flow.statistics().sizes(flow.record, $scope).max())
                }),
            )
            .of(Group::Statistics),
        ]
    };
}

/// Expands to the four fields of the inter-arrival times of a direction.
macro_rules! gaps {
    ($direction:literal, $of:literal, $scope:expr) => {
        [
            Feature::new(
                concat!($direction, "_min_piat_ms"),
                Type::U64,
                "ms",
                concat!(
                    "The shortest time between two successive packets ",
                    $of,
                    "; 0 for fewer than two packets."
                ),
                number!(Integer, |flow| integer(
                    flow.statistics().gaps(flow.record, $scope).min()
                )),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_mean_piat_ms"),
                Type::Float,
                "ms",
                concat!(
                    "The mean time between two successive packets ",
                    $of,
                    "; 0 for fewer than two packets."
                ),
                number!(Float, |flow| flow
                    .statistics()
                    .gaps(flow.record, $scope)
                    .mean()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_stddev_piat_ms"),
                Type::Float,
                "ms",
                concat!(
                    "The sample standard deviation of the times between successive packets ",
                    $of,
                    "; 0 for fewer than three packets."
                ),
                number!(Float, |flow| flow
                    .statistics()
                    .gaps(flow.record, $scope)
                    .stddev()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_max_piat_ms"),
                Type::U64,
                "ms",
                concat!(
                    "The longest time between two successive packets ",
                    $of,
                    "; 0 for fewer than two packets."
                ),
                number!(Integer, |flow| integer(
                    flow.statistics().gaps(flow.record, $scope).max()
                )),
            )
            .of(Group::Statistics),
        ]
    };
}

/// Expands to the eight fields of the TCP flags of a direction. The numbers are the bits of the flags in the
/// header.
macro_rules! flags {
    ($direction:literal, $of:literal, $scope:expr) => {
        [
            flags!($direction, $of, $scope, "syn", 1),
            flags!($direction, $of, $scope, "cwr", 7),
            flags!($direction, $of, $scope, "ece", 6),
            flags!($direction, $of, $scope, "urg", 5),
            flags!($direction, $of, $scope, "ack", 4),
            flags!($direction, $of, $scope, "psh", 3),
            flags!($direction, $of, $scope, "rst", 2),
            flags!($direction, $of, $scope, "fin", 0),
        ]
    };
    ($direction:literal, $of:literal, $scope:expr, $flag:literal, $bit:literal) => {
        Feature::new(
            concat!($direction, "_", $flag, "_packets"),
            Type::U64,
            "packets",
            concat!(
                "The number of packets ",
                $of,
                " that have the TCP flag ",
                $flag,
                "; 0 for other protocols."
            ),
            number!(Integer, |flow| integer(
                flow.statistics().flag($scope, $bit)
            )),
        )
        .of(Group::Statistics)
    };
}

const SPLT: [Feature; 3] = [
    Feature::new("splt_direction", Type::Integers, "",
        "The direction of each of the flow's first packets: 0 for the direction of the first one, 1 for the opposite direction, -1 if there was no such packet.",
        Extract::Splt(SpltValue::Direction)).of(Group::Splt),
    Feature::new("splt_ps", Type::Integers, "bytes",
        "The size of each of the flow's first packets, as the accounting mode defines the size; -1 if there was no such packet.",
        Extract::Splt(SpltValue::Size)).of(Group::Splt),
    Feature::new("splt_piat_ms", Type::Integers, "ms",
        "The time from the previous packet, of either direction, to each of the flow's first packets; 0 for the first one, -1 if there was no such packet.",
        Extract::Splt(SpltValue::Gap)).of(Group::Splt),
];

/// The results of dissection by nDPI. Plugins see the results up to the current packet.
const APPLICATION: [Feature; 15] = [
    Feature::new("application_name", Type::Text, "",
        "The application of the flow, as nDPI names it, for example DNS. If the application uses another protocol, the name of that protocol comes first, for example TLS.Facebook. The value is Unknown if the application was not determined. (The names are those of the nDPI that is loaded. NFStream 6.6.0 includes nDPI 5.0.)",
        Extract::Text(|flow| &flow.application().name)).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_category_name", Type::Text, "",
        "The category of the application, as nDPI names it, for example SocialNetwork or Network. The value is Unspecified if there is none.",
        Extract::Text(|flow| &flow.application().category)).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_is_guessed", Type::Boolean, "",
        "True if nDPI did not find the application in the packets, but guessed it from ports, addresses and earlier flows.",
        Extract::Boolean(|flow| flow.application().is_guessed)).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_confidence", Type::U8, "",
        "The method by which nDPI found the application, as nDPI 5.0 numbers it.",
        number!(Integer, |flow| integer(flow.application().confidence.into()))).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("requested_server_name", Type::Text, "",
        "The name that the client requested: in TLS and QUIC (SNI), HTTP (Host), DNS, DHCP and others. With nDPI 4.2, it is the software of the client for SSH, as in nDPI's own reader. It has at most 79 bytes and is empty if there is none.",
        Extract::Text(|flow| flow.application().text(ApplicationText::ServerName))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("client_fingerprint", Type::Text, "",
        "The fingerprint of a TLS or QUIC client, the HASSH of an SSH client, or the fingerprint of a DHCP client; empty if there is none. For TLS and QUIC, it is JA4 with nDPI 5.0, as in NFStream 6.6.0, and JA3 with nDPI 4.2.",
        Extract::Text(|flow| flow.application().text(ApplicationText::ClientFingerprint))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("server_fingerprint", Type::Text, "",
        "The JA3S of a TLS or QUIC server, or the HASSH of an SSH server; empty if there is none.",
        Extract::Text(|flow| flow.application().text(ApplicationText::ServerFingerprint))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("user_agent", Type::Text, "",
        "The user agent that the client states in HTTP or QUIC. It has at most 255 bytes and is empty if there is none.",
        Extract::Text(|flow| flow.application().text(ApplicationText::UserAgent))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("content_type", Type::Text, "",
        "The content type of an HTTP response. It has at most 63 bytes and is empty if there is none.",
        Extract::Text(|flow| flow.application().text(ApplicationText::ContentType))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("client_ja4", Type::Text, "",
        "The JA4 fingerprint of a TLS, DTLS or QUIC client, as FoxIO defines it; empty if there is none. nDPI 4.2 does not compute it. (NFStream does not have this field.)",
        Extract::Text(|flow| flow.application().text(ApplicationText::ClientJa4))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("tcp_fingerprint", Type::Text, "",
        "nDPI's fingerprint of the client's first TCP packet: its flags, the time to live, the window size and a hash of the options; empty if there is none. nDPI 4.2 does not compute it. (NFStream does not have this field.)",
        Extract::Text(|flow| flow.application().text(ApplicationText::TcpFingerprint))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("application_domain", Type::Text, "",
        "The domain of the requested server name, as nDPI determines it; empty if there is none. nDPI 4.2 does not determine it. (NFStream does not have this field.)",
        Extract::Text(|flow| flow.application().text(ApplicationText::Domain))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("application_stack", Type::Texts, "",
        "The protocols of the flow from the outermost one on, as nDPI names them; empty if none is known. nDPI 4.2 finds at most 2, nDPI 5.0 at most 8. (NFStream does not have this field.)",
        Extract::Texts(|flow| flow.application().stack())).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_risks", Type::Texts, "",
        "The risks that nDPI sees in the flow, as nDPI names them, in the order of their numbers; empty if there are none. (NFStream does not have this field.)",
        Extract::Texts(|flow| flow.application().risks())).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_risk_score", Type::U16, "",
        "The sum of the scores that nDPI gives to the risks of the flow, for client and server; 0 without risks. (NFStream does not have this field.)",
        number!(Integer, |flow| integer(flow.application().risk_score.into()))).of(Group::Application).needs(Sensitivity::Application),
];

/// The process that owns the flow's socket on the machine that captures.
const SYSTEM: [Feature; 2] = [
    Feature::new(
        "system_process_pid",
        Type::I64,
        "",
        "The ID of the process of this machine that owned the flow's TCP or UDP socket. If both ends are on this machine, it is the process of the source. Null if it is not known. Plugins cannot request it. (NFStream: -1 if it is not known.)",
        Extract::Nullable(|flow| {
            let process = flow.identity.and_then(|identity| identity.process.as_ref());
            process.map_or(Value::Null, |process| Value::Integer(process.pid.into()))
        }),
    )
    .of(Group::SystemProcess)
    .needs(Sensitivity::Names),
    Feature::new(
        "system_process_name",
        Type::Text,
        "",
        "The name of that process: at most 15 bytes, which the process itself chooses. U+FFFD replaces bytes that are not UTF-8. Null if it is not known. Plugins cannot request it. (NFStream: empty if it is not known.)",
        Extract::Nullable(|flow| {
            let process = flow.identity.and_then(|identity| identity.process.as_ref());
            let name = process.and_then(|process| process.name.as_deref());
            name.map_or(Value::Null, Value::Text)
        }),
    )
    .of(Group::SystemProcess)
    .needs(Sensitivity::Names),
];

/// All fields, in the order of every output.
pub static FEATURES: &[Feature] = &concat::<105>(&[
    &IDENTITY,
    &TIMES,
    &counters!("bidirectional", "of the flow", |flow| flow
        .record
        .bidirectional()),
    &counters!("src2dst", "from source to destination", |flow| flow
        .record
        .directions[0]),
    &counters!("dst2src", "from destination to source", |flow| flow
        .record
        .directions[1]),
    &sizes!(
        "bidirectional",
        "of the flow",
        DirectionScope::Bidirectional
    ),
    &sizes!(
        "src2dst",
        "from source to destination",
        DirectionScope::Src2Dst
    ),
    &sizes!(
        "dst2src",
        "from destination to source",
        DirectionScope::Dst2Src
    ),
    &gaps!(
        "bidirectional",
        "of the flow",
        DirectionScope::Bidirectional
    ),
    &gaps!(
        "src2dst",
        "from source to destination",
        DirectionScope::Src2Dst
    ),
    &gaps!(
        "dst2src",
        "from destination to source",
        DirectionScope::Dst2Src
    ),
    &flags!(
        "bidirectional",
        "of the flow",
        DirectionScope::Bidirectional
    ),
    &flags!(
        "src2dst",
        "from source to destination",
        DirectionScope::Src2Dst
    ),
    &flags!(
        "dst2src",
        "from destination to source",
        DirectionScope::Dst2Src
    ),
    &SPLT,
    &APPLICATION,
    &SYSTEM,
]);

/// Concatenates arrays of fields at compile time. `N` must be their total length.
const fn concat<const N: usize>(parts: &[&[Feature]]) -> [Feature; N] {
    let mut all = [IDENTITY[0]; N];
    let (mut part, mut len) = (0, 0);
    while part < parts.len() {
        let mut n = 0;
        while n < parts[part].len() {
            all[len] = parts[part][n];
            len += 1;
            n += 1;
        }
        part += 1;
    }
    assert!(
        len == N,
        "the number of fields differs from the declared number"
    );
    all
}

fn src_ip(flow: &FlowView<'_>) -> IpAddr {
    flow.record.src.to_ip(flow.record.ip_version)
}

fn dst_ip(flow: &FlowView<'_>) -> IpAddr {
    flow.record.dst.to_ip(flow.record.ip_version)
}
