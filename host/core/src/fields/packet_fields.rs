//! The table of packet fields that plugins can request: the only declaration of each field.

use std::net::IpAddr;

use super::column_buffer::{ColumnBuffer, TextWriter};
use super::sensitivity::Sensitivity;
use crate::record::FlowPacket;
use crate::value::{AddressText, Type};

/// A field of a packet.
#[derive(Clone, Copy, Debug)]
pub struct PacketField {
    /// The name in a plugin's manifest.
    pub name: &'static str,
    /// The type of the values.
    pub ty: Type,
    /// The unit of the values; empty if they have none.
    pub unit: &'static str,
    /// The sensitivity, which decides what grant a plugin needs.
    pub sensitivity: Sensitivity,
    /// The definition, in full sentences.
    pub doc: &'static str,
    /// Whether the record `packet` of the plugin interface (WIT) contains the field, so that a plugin which is
    /// called per event does not receive it again among its values.
    pub in_record: bool,
    /// The function that computes the value.
    pub value: PacketExtract,
}

/// The function that computes the value of a field, by the type of the value.
#[derive(Clone, Copy, Debug)]
pub enum PacketExtract {
    /// A number.
    Number {
        /// Returns the number of one packet.
        of: fn(&FlowPacket<'_>) -> u64,
        /// Appends the numbers of several packets to a column.
        all: fn(PacketSubset<'_, '_>, &mut ColumnBuffer),
    },
    /// The address that the field replaces with a number.
    Pseudonym(fn(&FlowPacket<'_>) -> IpAddr),
    /// A text, which the function writes.
    Text(fn(&FlowPacket<'_>, &mut TextWriter<'_>)),
}

/// Expands to a [`PacketExtract::Number`]. The function for several packets makes no call for each packet.
macro_rules! number {
    (|$flow_packet:ident| $value:expr) => {
        PacketExtract::Number {
            of: |$flow_packet| $value,
            all: |packets, column| column.extend_numbers(packets.iter().map(|$flow_packet| $value)),
        }
    };
}

/// Some packets of a chunk.
#[derive(Clone, Copy)]
pub struct PacketSubset<'c, 'a> {
    /// The packets of the chunk.
    pub chunk: &'c [FlowPacket<'a>],
    /// The indices of the selected packets in the chunk.
    pub places: &'c [u8],
}

impl<'c, 'a> PacketSubset<'c, 'a> {
    /// Returns the selected packets.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = &'c FlowPacket<'a>> {
        let packet = move |&place: &u8| &self.chunk[usize::from(place)];
        self.places.iter().map(packet)
    }
}

/// Compares names, which are unique.
impl PartialEq for PacketField {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for PacketField {}

impl PacketField {
    /// Returns the field with the given name.
    pub fn by_name(name: &str) -> Option<&'static PacketField> {
        PACKET_FIELDS.iter().find(|field| field.name == name)
    }

    /// Appends the values of the field for some packets to its column.
    ///
    /// `pseudonym` returns the number that replaces an address.
    pub fn extend(
        &self,
        packets: PacketSubset<'_, '_>,
        pseudonym: &dyn Fn(IpAddr) -> u64,
        column: &mut ColumnBuffer,
    ) {
        match self.value {
            PacketExtract::Number { all, .. } => all(packets, column),
            PacketExtract::Pseudonym(address) => {
                let of = |packet| pseudonym(address(packet));
                column.extend_numbers(packets.iter().map(of));
            }
            PacketExtract::Text(write) => packets
                .iter()
                .for_each(|packet| column.push_text(|bytes| write(packet, &mut TextWriter(bytes)))),
        }
    }

    const fn number(
        name: &'static str,
        ty: Type,
        unit: &'static str,
        doc: &'static str,
        value: PacketExtract,
    ) -> Self {
        Self {
            name,
            ty,
            unit,
            sensitivity: Sensitivity::None,
            doc,
            in_record: true,
            value,
        }
    }

    const fn address(
        name: &'static str,
        doc: &'static str,
        write: fn(&FlowPacket<'_>, &mut TextWriter<'_>),
    ) -> Self {
        Self {
            name,
            ty: Type::Text,
            unit: "",
            sensitivity: Sensitivity::Addresses,
            doc,
            in_record: false,
            value: PacketExtract::Text(write),
        }
    }

    const fn pseudonym(
        name: &'static str,
        doc: &'static str,
        address: fn(&FlowPacket<'_>) -> IpAddr,
    ) -> Self {
        Self {
            name,
            ty: Type::U64,
            unit: "",
            sensitivity: Sensitivity::Pseudonyms,
            doc,
            in_record: false,
            value: PacketExtract::Pseudonym(address),
        }
    }

    /// Marks a field that the record `packet` does not contain. A plugin that is called per event receives it
    /// among the values.
    const fn not_in_record(self) -> Self {
        Self {
            in_record: false,
            ..self
        }
    }
}

/// Returns a TCP flag as 0 or 1, given by its bit in the header.
fn flag(flow_packet: &FlowPacket<'_>, bit: u8) -> u64 {
    (flow_packet.packet.tcp_flags >> bit & 1).into()
}

/// All packet fields.
pub static PACKET_FIELDS: &[PacketField] = &[
    PacketField::number(
        "time_ns",
        Type::U64,
        "ns",
        "The time of capture since 1970-01-01 UTC. It is never less than the time of an earlier packet.",
        number!(|a| a.time.ns()),
    ),
    PacketField::number(
        "time_ms",
        Type::U64,
        "ms",
        "The value of time_ns, truncated to milliseconds.",
        number!(|a| a.time_ms()),
    )
    .not_in_record(),
    PacketField::number(
        "time_us",
        Type::U64,
        "us",
        "The value of time_ns, truncated to microseconds.",
        number!(|a| a.time.ns() / 1_000),
    )
    .not_in_record(),
    PacketField::number(
        "delta_time_ms",
        Type::U64,
        "ms",
        "The time since the flow's previous packet, of either direction; 0 for the first packet. It is the difference of two times that are each truncated to milliseconds.",
        number!(|a| a.delta_ms),
    ),
    PacketField::number(
        "direction",
        Type::U8,
        "",
        "The direction of the packet: 0 for the direction of the flow's first packet, 1 for the opposite direction.",
        number!(|a| a.direction as u64),
    ),
    PacketField::number(
        "raw_size",
        Type::U32,
        "bytes",
        "The size of the frame on the wire, including the link layer.",
        number!(|a| a.packet.raw_size.into()),
    ),
    PacketField::number(
        "ip_size",
        Type::U32,
        "bytes",
        "The size of the IP packet, as its header states it.",
        number!(|a| a.packet.ip_size.into()),
    ),
    PacketField::number(
        "transport_size",
        Type::U32,
        "bytes",
        "The size of transport header and payload, by the IP header. It is 0 for protocols other than TCP, UDP, ICMP and ICMPv6, and for packets that are too short for a TCP or UDP header.",
        number!(|a| a.packet.transport_size.into()),
    ),
    PacketField::number(
        "payload_size",
        Type::U32,
        "bytes",
        "The size of the transport payload, by the IP header; 0 if `transport_size` is 0.",
        number!(|a| a.packet.payload_size.into()),
    ),
    PacketField::address("src_ip", "The source address.", |a, text| {
        text.0
            .extend_from_slice(AddressText::ip(a.packet.src.to_ip(a.packet.ip_version)).as_bytes());
    }),
    PacketField::address(
        "src_mac",
        "The source MAC address of this frame; zeros if its link layer has none.",
        |a, text| {
            text.0
                .extend_from_slice(AddressText::mac(&a.packet.src_mac).as_bytes());
        },
    ),
    PacketField::address("src_oui", "The first three bytes of src_mac.", |a, text| {
        text.0
            .extend_from_slice(AddressText::mac(&a.packet.src_mac[..3]).as_bytes());
    }),
    PacketField::address("dst_ip", "The destination address.", |a, text| {
        text.0
            .extend_from_slice(AddressText::ip(a.packet.dst.to_ip(a.packet.ip_version)).as_bytes());
    }),
    PacketField::address(
        "dst_mac",
        "The destination MAC address of this frame; zeros if its link layer has none.",
        |a, text| {
            text.0
                .extend_from_slice(AddressText::mac(&a.packet.dst_mac).as_bytes());
        },
    ),
    PacketField::address("dst_oui", "The first three bytes of dst_mac.", |a, text| {
        text.0
            .extend_from_slice(AddressText::mac(&a.packet.dst_mac[..3]).as_bytes());
    }),
    PacketField::pseudonym(
        "src_pseudonym",
        "A number below 2^63 that replaces the source address. The same address has the same number throughout the run, and in all runs with the same key.",
        |a| a.packet.src.to_ip(a.packet.ip_version),
    ),
    PacketField::pseudonym(
        "dst_pseudonym",
        "A number that replaces the destination address, with the same properties as src_pseudonym.",
        |a| a.packet.dst.to_ip(a.packet.ip_version),
    ),
    PacketField::number(
        "src_port",
        Type::U16,
        "",
        "The source port; 0 if there is none.",
        number!(|a| a.packet.src_port.into()),
    ),
    PacketField::number(
        "dst_port",
        Type::U16,
        "",
        "The destination port; 0 if there is none.",
        number!(|a| a.packet.dst_port.into()),
    ),
    PacketField::number(
        "protocol",
        Type::U8,
        "",
        "The IANA number of the protocol after the IP header and its extension headers.",
        number!(|a| a.packet.protocol.into()),
    ),
    PacketField::number(
        "ip_version",
        Type::U8,
        "",
        "The IP version: 4 or 6.",
        number!(|a| a.packet.ip_version.into()),
    )
    .not_in_record(),
    PacketField::number(
        "vlan_id",
        Type::U16,
        "",
        "The identifier of the innermost VLAN tag; 0 without a tag.",
        number!(|a| a.packet.vlan_id.into()),
    )
    .not_in_record(),
    PacketField::number(
        "tunnel_id",
        Type::U32,
        "",
        "The innermost tunnel that contains the packet: 0 none, 1 GTP-U, 2 CAPWAP, 3 TZSP, 5 VXLAN, 6 GRE, 7 Geneve.",
        number!(|a| a.packet.tunnel as u64),
    )
    .not_in_record(),
    PacketField::number(
        "tcp_flags",
        Type::U8,
        "",
        "The flag bits of the TCP header: FIN is the lowest bit, CWR the highest; 0 for other protocols.",
        number!(|a| a.packet.tcp_flags.into()),
    ),
    PacketField::number(
        "syn",
        Type::Boolean,
        "",
        "True if the TCP flag syn is set; false for other protocols.",
        number!(|a| flag(a, 1)),
    ),
    PacketField::number(
        "cwr",
        Type::Boolean,
        "",
        "True if the TCP flag cwr is set; false for other protocols.",
        number!(|a| flag(a, 7)),
    ),
    PacketField::number(
        "ece",
        Type::Boolean,
        "",
        "True if the TCP flag ece is set; false for other protocols.",
        number!(|a| flag(a, 6)),
    ),
    PacketField::number(
        "urg",
        Type::Boolean,
        "",
        "True if the TCP flag urg is set; false for other protocols.",
        number!(|a| flag(a, 5)),
    ),
    PacketField::number(
        "ack",
        Type::Boolean,
        "",
        "True if the TCP flag ack is set; false for other protocols.",
        number!(|a| flag(a, 4)),
    ),
    PacketField::number(
        "psh",
        Type::Boolean,
        "",
        "True if the TCP flag psh is set; false for other protocols.",
        number!(|a| flag(a, 3)),
    ),
    PacketField::number(
        "rst",
        Type::Boolean,
        "",
        "True if the TCP flag rst is set; false for other protocols.",
        number!(|a| flag(a, 2)),
    ),
    PacketField::number(
        "fin",
        Type::Boolean,
        "",
        "True if the TCP flag fin is set; false for other protocols.",
        number!(|a| flag(a, 0)),
    ),
    PacketField::number(
        "ttl",
        Type::U8,
        "",
        "The time to live of IPv4, or the hop limit of IPv6.",
        number!(|a| a.packet.ttl(a.frame).into()),
    )
    .not_in_record(),
    PacketField::number(
        "ip_id",
        Type::U16,
        "",
        "The identification of IPv4; 0 for IPv6.",
        number!(|a| a.packet.ip_id(a.frame).into()),
    )
    .not_in_record(),
    PacketField::number(
        "tcp_window",
        Type::U16,
        "bytes",
        "The window in the TCP header, without scaling; 0 for other protocols.",
        number!(|a| a.packet.tcp_window(a.frame).into()),
    )
    .not_in_record(),
    PacketField::number(
        "tcp_seq",
        Type::U32,
        "",
        "The TCP sequence number; 0 for other protocols.",
        number!(|a| a.packet.tcp_seq(a.frame).into()),
    )
    .not_in_record(),
    PacketField::number(
        "tcp_ack",
        Type::U32,
        "",
        "The TCP acknowledgement number; 0 for other protocols.",
        number!(|a| a.packet.tcp_ack(a.frame).into()),
    )
    .not_in_record(),
    PacketField::number(
        "icmp_type",
        Type::U8,
        "",
        "The type of the ICMP or ICMPv6 message; 0 for other protocols.",
        number!(|a| a.packet.icmp_type(a.frame).into()),
    )
    .not_in_record(),
    PacketField::number(
        "icmp_code",
        Type::U8,
        "",
        "The code of the ICMP or ICMPv6 message; 0 for other protocols.",
        number!(|a| a.packet.icmp_code(a.frame).into()),
    )
    .not_in_record(),
];
