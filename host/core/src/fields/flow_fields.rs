//! The feature table: every flow field is declared here, once.
//!
//! This declaration feeds the CSV header, the JSON keys, the fields that plugins may ask for and the
//! documentation. Names, order and definitions are those of NFStream 6.6.0 unless a field's text
//! says otherwise.

use std::net::IpAddr;

use super::sensitivity::Sensitivity;
use crate::address::is_private;
use crate::record::{ApplicationText, DirectionCounters, DirectionScope, FlowView, Part};
use crate::value::{Type, Value};

/// A field of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// Its name: a CSV header, a JSON key, a plugin's request.
    pub name: &'static str,
    /// The type of its values.
    pub ty: Type,
    /// The unit of its values; empty where they have none.
    pub unit: &'static str,
    /// When it is there.
    pub group: Group,
    /// What a plugin must be granted to see it.
    pub sensitivity: Sensitivity,
    /// What it is.
    pub doc: &'static str,
    pub value: Extract,
}

/// How a field is read from a flow.
#[derive(Clone, Copy, Debug)]
pub enum Extract {
    Boolean(fn(&FlowView<'_>) -> bool),
    Integer(fn(&FlowView<'_>) -> i64),
    Float(fn(&FlowView<'_>) -> f64),
    Ip(fn(&FlowView<'_>) -> IpAddr),
    Mac(fn(&FlowView<'_>) -> [u8; 6]),
    Oui(fn(&FlowView<'_>) -> [u8; 3]),
    Text(for<'a> fn(&FlowView<'a>) -> &'a str),
    /// A list of this part of each packet.
    Splt(Part),
}

/// Fields that are switched on together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Always there.
    Core,
    /// There in runs over several sources.
    Capture,
    /// There unless tunnels are left undecoded.
    Tunnel,
    /// There with statistical analysis.
    Statistics,
    /// There with an analysis of the sequence of packet lengths and times.
    Splt,
    /// There with the dissection of flows' first packets.
    Application,
}

impl Group {
    /// When flows have its fields, as the end of a sentence that begins with "it is there".
    pub fn when(self) -> &'static str {
        match self {
            Self::Core => "always",
            Self::Capture => "with several sources",
            Self::Tunnel => "unless decode_tunnels is false",
            Self::Statistics => "with statistical_analysis",
            Self::Splt => "with splt_analysis",
            Self::Application => "unless n_dissections is 0",
        }
    }
}

/// Names are unique.
impl PartialEq for Feature {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Feature {}

impl Feature {
    pub fn value<'a>(&self, flow: &FlowView<'a>) -> Value<'a> {
        match self.value {
            Extract::Boolean(value) => Value::Boolean(value(flow)),
            Extract::Integer(value) => Value::Integer(value(flow)),
            Extract::Float(value) => Value::Float(value(flow)),
            Extract::Ip(value) => Value::Ip(value(flow)),
            Extract::Mac(value) => Value::Mac(value(flow)),
            Extract::Oui(value) => Value::Oui(value(flow)),
            Extract::Text(value) => Value::Text(value(flow)),
            Extract::Splt(part) => Value::Integers(flow.splt.map_or(&[], |splt| splt.list(part))),
        }
    }

    /// The field of that name.
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

    const fn of(self, group: Group) -> Self {
        Self { group, ..self }
    }

    const fn needs(self, sensitivity: Sensitivity) -> Self {
        Self {
            sensitivity,
            ..self
        }
    }
}

/// DirectionCounters and times stay below 2^63: they count what one machine has seen.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn oui([a, b, c, ..]: [u8; 6]) -> [u8; 3] {
    [a, b, c]
}

/// The five counters of a direction.
macro_rules! counters {
    ($direction:literal, $of:literal, $counters:expr) => {{
        const COUNTERS: fn(&FlowView<'_>) -> DirectionCounters = $counters;
        [
            Feature::new(
                concat!($direction, "_first_seen_ms"),
                Type::U64,
                "ms",
                concat!(
                    "Time of the first packet ",
                    $of,
                    ", since 1970-01-01 UTC, truncated; 0 without one."
                ),
                Extract::Integer(|flow| integer(COUNTERS(flow).first_seen_ms)),
            ),
            Feature::new(
                concat!($direction, "_last_seen_ms"),
                Type::U64,
                "ms",
                concat!(
                    "Time of the last packet ",
                    $of,
                    ", since 1970-01-01 UTC, truncated; 0 without one."
                ),
                Extract::Integer(|flow| integer(COUNTERS(flow).last_seen_ms)),
            ),
            Feature::new(
                concat!($direction, "_duration_ms"),
                Type::U64,
                "ms",
                concat!("From the first to the last packet ", $of, "."),
                Extract::Integer(|flow| {
                    integer(COUNTERS(flow).last_seen_ms - COUNTERS(flow).first_seen_ms)
                }),
            ),
            Feature::new(
                concat!($direction, "_packets"),
                Type::U64,
                "packets",
                concat!("How many packets ", $of, "."),
                Extract::Integer(|flow| integer(COUNTERS(flow).packets)),
            ),
            Feature::new(
                concat!($direction, "_bytes"),
                Type::U64,
                "bytes",
                concat!(
                    "Sum of the sizes of the packets ",
                    $of,
                    ", as the accounting mode measures: of whole frames on the wire by default."
                ),
                Extract::Integer(|flow| integer(COUNTERS(flow).bytes)),
            ),
        ]
    }};
}

const IDENTITY: [Feature; 17] = [
    Feature::new(
        "id",
        Type::U64,
        "",
        "The ordinal of the flow's first packet among all packets of its capture, from 0 on. In a run over several sources `capture` and `id` together are unique. (NFStream numbers flows in the order of their end.)",
        Extract::Integer(|flow| integer(flow.record.id)),
    ),
    Feature::new(
        "capture",
        Type::U32,
        "",
        "The number of the flow's capture, from 0 on: rotated files of one link are one capture, other files are captures of their own (`--group`). (Not in NFStream.)",
        Extract::Integer(|flow| flow.capture as i64),
    )
    .of(Group::Capture),
    Feature::new(
        "expiration_id",
        Type::I64,
        "",
        "Why the flow ended: 0 idle timeout or end of capture, 1 active timeout, 2 the TCP connection was closed (with end_on_fin), 3 the table of live flows was full, -1 cut by a plugin.",
        Extract::Integer(|flow| flow.expiration.id()),
    ),
    Feature::new(
        "src_ip",
        Type::Text,
        "",
        "Source address of the flow's first packet.",
        Extract::Ip(src_ip),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "src_ip_is_private",
        Type::Boolean,
        "",
        "Whether src_ip is not globally reachable, as Python's ipaddress.is_private says (IANA's special-purpose registries). (Not in NFStream 6.6.0.)",
        Extract::Boolean(|flow| is_private(src_ip(flow))),
    ),
    Feature::new(
        "src_mac",
        Type::Text,
        "",
        "Source MAC address of the flow's first packet; zeros where its link layer has none.",
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
        "Source port of the flow's first packet; 0 where its protocol has none.",
        Extract::Integer(|flow| integer(flow.record.src_port.into())),
    ),
    Feature::new(
        "dst_ip",
        Type::Text,
        "",
        "Destination address of the flow's first packet.",
        Extract::Ip(dst_ip),
    )
    .needs(Sensitivity::Addresses),
    Feature::new(
        "dst_ip_is_private",
        Type::Boolean,
        "",
        "Whether dst_ip is not globally reachable, as src_ip_is_private. (Not in NFStream 6.6.0.)",
        Extract::Boolean(|flow| is_private(dst_ip(flow))),
    ),
    Feature::new(
        "dst_mac",
        Type::Text,
        "",
        "Destination MAC address of the flow's first packet; zeros where its link layer has none.",
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
        "Destination port of the flow's first packet; 0 where its protocol has none.",
        Extract::Integer(|flow| integer(flow.record.dst_port.into())),
    ),
    Feature::new(
        "protocol",
        Type::U8,
        "",
        "IANA number of the protocol behind IP and its extension headers.",
        Extract::Integer(|flow| integer(flow.record.protocol.into())),
    ),
    Feature::new(
        "ip_version",
        Type::U8,
        "",
        "4 or 6.",
        Extract::Integer(|flow| integer(flow.record.ip_version.into())),
    ),
    Feature::new(
        "vlan_id",
        Type::U16,
        "",
        "Identifier of the innermost VLAN tag; 0 without one.",
        Extract::Integer(|flow| integer(flow.record.vlan_id.into())),
    ),
    Feature::new(
        "tunnel_id",
        Type::U32,
        "",
        "The tunnel that the flow was found in: 0 none, 1 GTP-U, 2 CAPWAP, 3 TZSP, 5 VXLAN, 6 GRE, 7 Geneve.",
        Extract::Integer(|flow| integer((flow.record.tunnel as u8).into())),
    )
    .of(Group::Tunnel),
];

/// The spread of the packet sizes of a direction.
macro_rules! sizes {
    ($direction:literal, $of:literal, $scope:expr) => {
        [
            Feature::new(
                concat!($direction, "_min_ps"),
                Type::U32,
                "bytes",
                concat!(
                    "Size of the smallest packet ",
                    $of,
                    ", as the accounting mode measures; 0 without one."
                ),
                Extract::Integer(|flow| {
                    integer(flow.statistics().sizes(flow.record, $scope).min())
                }),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_mean_ps"),
                Type::Float,
                "bytes",
                concat!("Mean size of the packets ", $of, "; 0 without one."),
                Extract::Float(|flow| flow.statistics().sizes(flow.record, $scope).mean()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_stddev_ps"),
                Type::Float,
                "bytes",
                concat!(
                    "Sample standard deviation of the sizes of the packets ",
                    $of,
                    "; 0 for fewer than two."
                ),
                Extract::Float(|flow| flow.statistics().sizes(flow.record, $scope).stddev()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_max_ps"),
                Type::U32,
                "bytes",
                concat!("Size of the largest packet ", $of, "; 0 without one."),
                Extract::Integer(|flow| {
                    integer(flow.statistics().sizes(flow.record, $scope).max())
                }),
            )
            .of(Group::Statistics),
        ]
    };
}

/// The spread of the inter-arrival times of a direction.
macro_rules! gaps {
    ($direction:literal, $of:literal, $scope:expr) => {
        [
            Feature::new(
                concat!($direction, "_min_piat_ms"),
                Type::U64,
                "ms",
                concat!(
                    "Least time between two successive packets ",
                    $of,
                    "; 0 for fewer than two."
                ),
                Extract::Integer(|flow| integer(flow.statistics().gaps(flow.record, $scope).min())),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_mean_piat_ms"),
                Type::Float,
                "ms",
                concat!(
                    "Mean time between two successive packets ",
                    $of,
                    "; 0 for fewer than two."
                ),
                Extract::Float(|flow| flow.statistics().gaps(flow.record, $scope).mean()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_stddev_piat_ms"),
                Type::Float,
                "ms",
                concat!(
                    "Sample standard deviation of the times between successive packets ",
                    $of,
                    "; 0 for fewer than three."
                ),
                Extract::Float(|flow| flow.statistics().gaps(flow.record, $scope).stddev()),
            )
            .of(Group::Statistics),
            Feature::new(
                concat!($direction, "_max_piat_ms"),
                Type::U64,
                "ms",
                concat!(
                    "Greatest time between two successive packets ",
                    $of,
                    "; 0 for fewer than two."
                ),
                Extract::Integer(|flow| integer(flow.statistics().gaps(flow.record, $scope).max())),
            )
            .of(Group::Statistics),
        ]
    };
}

/// How many packets of a direction have each TCP flag. The numbers are the flags' bits in the header.
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
                "How many packets ",
                $of,
                " have the TCP flag ",
                $flag,
                "; 0 for other protocols."
            ),
            Extract::Integer(|flow| integer(flow.statistics().flag($scope, $bit))),
        )
        .of(Group::Statistics)
    };
}

const SPLT: [Feature; 3] = [
    Feature::new("splt_direction", Type::Integers, "",
        "Which way each of the flow's first packets goes: 0 as the first one, 1 against it, -1 where there was no packet.",
        Extract::Splt(Part::Direction)).of(Group::Splt),
    Feature::new("splt_ps", Type::Integers, "bytes",
        "Size of each of the flow's first packets, as the accounting mode measures; -1 where there was no packet.",
        Extract::Splt(Part::Size)).of(Group::Splt),
    Feature::new("splt_piat_ms", Type::Integers, "ms",
        "Time from the packet before, of either direction, to each of the flow's first packets; 0 for the first, -1 where there was no packet.",
        Extract::Splt(Part::Gap)).of(Group::Splt),
];

/// What nDPI knows of the flow. Plugins are shown what it knows by then.
const APPLICATION: [Feature; 9] = [
    Feature::new("application_name", Type::Text, "",
        "The flow's application as nDPI names it, after the protocol that it uses where that is another one: TLS.Facebook, DNS; Unknown. (The names are those of the nDPI that is installed; NFStream brings another one.)",
        Extract::Text(|flow| &flow.application().name)).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_category_name", Type::Text, "",
        "What the application is for, as nDPI names it: SocialNetwork, Network; Unspecified.",
        Extract::Text(|flow| &flow.application().category)).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_is_guessed", Type::Boolean, "",
        "Whether the application was not found in the packets, but guessed by ports, addresses and flows before it.",
        Extract::Boolean(|flow| flow.application().is_guessed)).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("application_confidence", Type::U8, "",
        "How the application was found: nDPI's own number. (NFStream brings another nDPI, with other numbers.)",
        Extract::Integer(|flow| flow.application().confidence.into())).of(Group::Application).needs(Sensitivity::Application),
    Feature::new("requested_server_name", Type::Text, "",
        "The name that the client asked for: in TLS and QUIC (SNI), HTTP (Host), DNS, DHCP and others; of SSH the client's software, as nDPI's own reader has it. At most 79 bytes; empty without one.",
        Extract::Text(|flow| flow.application().text(ApplicationText::ServerName))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("client_fingerprint", Type::Text, "",
        "JA3 of a TLS or QUIC client, HASSH of an SSH client, fingerprint of a DHCP client; empty without one. (NFStream 6.6.0: JA4 in place of JA3.)",
        Extract::Text(|flow| flow.application().text(ApplicationText::ClientFingerprint))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("server_fingerprint", Type::Text, "",
        "JA3S of a TLS or QUIC server, HASSH of an SSH server; empty without one.",
        Extract::Text(|flow| flow.application().text(ApplicationText::ServerFingerprint))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("user_agent", Type::Text, "",
        "What the client says that it is, in HTTP and QUIC. At most 255 bytes; empty without one.",
        Extract::Text(|flow| flow.application().text(ApplicationText::UserAgent))).of(Group::Application).needs(Sensitivity::Names),
    Feature::new("content_type", Type::Text, "",
        "The content type of an HTTP response. At most 63 bytes; empty without one.",
        Extract::Text(|flow| flow.application().text(ApplicationText::ContentType))).of(Group::Application).needs(Sensitivity::Names),
];

/// All fields, in their order in every output.
pub static FEATURES: &[Feature] = &concat::<92>(&[
    &IDENTITY,
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
]);

const fn concat<const N: usize>(parts: &[&[Feature]]) -> [Feature; N] {
    let mut all = [IDENTITY[0]; N];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut n = 0;
        while n < parts[part].len() {
            all[at] = parts[part][n];
            at += 1;
            n += 1;
        }
        part += 1;
    }
    assert!(at == N, "the number of fields is not the one declared");
    all
}

fn src_ip(flow: &FlowView<'_>) -> IpAddr {
    flow.record.src.to_ip(flow.record.ip_version)
}

fn dst_ip(flow: &FlowView<'_>) -> IpAddr {
    flow.record.dst.to_ip(flow.record.ip_version)
}
