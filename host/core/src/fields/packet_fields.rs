//! The packet fields that plugins may ask for: each is declared here, once.

use std::net::IpAddr;

use super::column_buffer::{ColumnBuffer, TextWriter};
use super::sensitivity::Sensitivity;
use crate::record::FlowPacket;
use crate::value::{AddressText, Type};

/// A field of a packet.
#[derive(Clone, Copy, Debug)]
pub struct PacketField {
    /// Its name in a manifest.
    pub name: &'static str,
    /// The type of its values.
    pub ty: Type,
    /// The unit of its values; empty where they have none.
    pub unit: &'static str,
    /// What a plugin must be granted to see it.
    pub sensitivity: Sensitivity,
    /// What it is.
    pub doc: &'static str,
    /// Whether the contract's `packet` record has a place for it.
    pub in_record: bool,
    pub value: PacketExtract,
}

/// How a field is read from a packet.
#[derive(Clone, Copy, Debug)]
pub enum PacketExtract {
    Number {
        of: fn(&FlowPacket<'_>) -> u64,
        /// Puts those of several packets into a column.
        all: fn(Picked<'_, '_>, &mut ColumnBuffer),
    },
    /// The number of this address.
    Pseudonym(fn(&FlowPacket<'_>) -> IpAddr),
    Text(fn(&FlowPacket<'_>, &mut TextWriter<'_>)),
}

/// How a number is read from a packet, and, without a call for each, from several.
macro_rules! number {
    (|$flow_packet:ident| $value:expr) => {
        PacketExtract::Number {
            of: |$flow_packet| $value,
            all: |packets, column| column.extend_numbers(packets.iter().map(|$flow_packet| $value)),
        }
    };
}

/// The packets of a chunk at some places.
#[derive(Clone, Copy)]
pub struct Picked<'c, 'a> {
    pub chunk: &'c [FlowPacket<'a>],
    pub places: &'c [u8],
}

impl<'c, 'a> Picked<'c, 'a> {
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = &'c FlowPacket<'a>> {
        let packet = move |&place: &u8| &self.chunk[usize::from(place)];
        self.places.iter().map(packet)
    }
}

/// Names are unique.
impl PartialEq for PacketField {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for PacketField {}

impl PacketField {
    /// The field of that name.
    pub fn by_name(name: &str) -> Option<&'static PacketField> {
        PACKET_FIELDS.iter().find(|field| field.name == name)
    }

    /// Adds the field of some packets to a column of it.
    pub fn extend(
        &self,
        packets: Picked<'_, '_>,
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
            in_record: true,
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

    /// Comes through `more` where packets are records.
    const fn beside(self) -> Self {
        Self {
            in_record: false,
            ..self
        }
    }
}

fn flag(flow_packet: &FlowPacket<'_>, bit: u8) -> u64 {
    (flow_packet.packet.tcp_flags >> bit & 1).into()
}

/// All packet fields.
pub static PACKET_FIELDS: &[PacketField] = &[
    PacketField::number(
        "time_ns",
        Type::U64,
        "ns",
        "Time of capture since 1970-01-01 UTC; never less than an earlier packet's.",
        number!(|a| a.time.ns()),
    ),
    PacketField::number(
        "time_ms",
        Type::U64,
        "ms",
        "time_ns, truncated to milliseconds.",
        number!(|a| a.time_ms()),
    )
    .beside(),
    PacketField::number(
        "delta_time_ms",
        Type::U64,
        "ms",
        "Since the flow's previous packet, of either direction; 0 for the first. The difference of two times each truncated to milliseconds.",
        number!(|a| a.delta_ms),
    ),
    PacketField::number(
        "direction",
        Type::U8,
        "",
        "0 as the flow's first packet, 1 against it.",
        number!(|a| a.direction as u64),
    ),
    PacketField::number(
        "raw_size",
        Type::U32,
        "bytes",
        "Size on the wire, link layer included.",
        number!(|a| a.packet.raw_size.into()),
    ),
    PacketField::number(
        "ip_size",
        Type::U32,
        "bytes",
        "Size of the IP packet by its own header.",
        number!(|a| a.packet.ip_size.into()),
    ),
    PacketField::number(
        "transport_size",
        Type::U32,
        "bytes",
        "Size of transport header and payload by the IP header; 0 for protocols other than TCP, UDP and ICMP, and for what is too short to be TCP or UDP.",
        number!(|a| a.packet.transport_size.into()),
    ),
    PacketField::number(
        "payload_size",
        Type::U32,
        "bytes",
        "Size of the transport payload by the IP header; 0 where `transport_size` is.",
        number!(|a| a.packet.payload_size.into()),
    ),
    PacketField::address("src_ip", "Source address.", |a, text| {
        text.0
            .extend_from_slice(AddressText::ip(a.packet.src.to_ip(a.packet.ip_version)).as_bytes());
    }),
    PacketField::address(
        "src_mac",
        "Source MAC address of this frame; zeros where its link layer has none.",
        |a, text| {
            text.0
                .extend_from_slice(AddressText::mac(&a.packet.src_mac).as_bytes());
        },
    ),
    PacketField::address("src_oui", "The first three bytes of src_mac.", |a, text| {
        text.0
            .extend_from_slice(AddressText::mac(&a.packet.src_mac[..3]).as_bytes());
    })
    .beside(),
    PacketField::address("dst_ip", "Destination address.", |a, text| {
        text.0
            .extend_from_slice(AddressText::ip(a.packet.dst.to_ip(a.packet.ip_version)).as_bytes());
    }),
    PacketField::address(
        "dst_mac",
        "Destination MAC address of this frame; zeros where its link layer has none.",
        |a, text| {
            text.0
                .extend_from_slice(AddressText::mac(&a.packet.dst_mac).as_bytes());
        },
    ),
    PacketField::address("dst_oui", "The first three bytes of dst_mac.", |a, text| {
        text.0
            .extend_from_slice(AddressText::mac(&a.packet.dst_mac[..3]).as_bytes());
    })
    .beside(),
    PacketField::pseudonym(
        "src_pseudonym",
        "A number in place of the source address, below 2^63: the same for the same address throughout the run, and under the same key.",
        |a| a.packet.src.to_ip(a.packet.ip_version),
    ),
    PacketField::pseudonym(
        "dst_pseudonym",
        "A number in place of the destination address, as src_pseudonym.",
        |a| a.packet.dst.to_ip(a.packet.ip_version),
    ),
    PacketField::number(
        "src_port",
        Type::U16,
        "",
        "Source port; 0 where there is none.",
        number!(|a| a.packet.src_port.into()),
    ),
    PacketField::number(
        "dst_port",
        Type::U16,
        "",
        "Destination port; 0 where there is none.",
        number!(|a| a.packet.dst_port.into()),
    ),
    PacketField::number(
        "protocol",
        Type::U8,
        "",
        "IANA protocol number.",
        number!(|a| a.packet.protocol.into()),
    ),
    PacketField::number(
        "ip_version",
        Type::U8,
        "",
        "4 or 6.",
        number!(|a| a.packet.ip_version.into()),
    ),
    PacketField::number(
        "vlan_id",
        Type::U16,
        "",
        "Innermost VLAN identifier; 0 without a tag.",
        number!(|a| a.packet.vlan_id.into()),
    ),
    PacketField::number(
        "tunnel_id",
        Type::U32,
        "",
        "0 none, 1 GTP-U, 2 CAPWAP, 3 TZSP, 5 VXLAN, 6 GRE, 7 Geneve.",
        number!(|a| a.packet.tunnel as u64),
    ),
    PacketField::number(
        "tcp_flags",
        Type::U8,
        "",
        "The flag bits of a TCP header, FIN lowest, CWR highest; 0 for others.",
        number!(|a| a.packet.tcp_flags.into()),
    ),
    PacketField::number(
        "syn",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 1)),
    ),
    PacketField::number(
        "cwr",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 7)),
    ),
    PacketField::number(
        "ece",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 6)),
    ),
    PacketField::number(
        "urg",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 5)),
    ),
    PacketField::number(
        "ack",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 4)),
    ),
    PacketField::number(
        "psh",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 3)),
    ),
    PacketField::number(
        "rst",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 2)),
    ),
    PacketField::number(
        "fin",
        Type::Boolean,
        "",
        "TCP flag.",
        number!(|a| flag(a, 0)),
    ),
    PacketField::number(
        "ttl",
        Type::U8,
        "",
        "IPv4 time to live or IPv6 hop limit.",
        number!(|a| a.packet.ttl(a.frame).into()),
    ),
    PacketField::number(
        "ip_id",
        Type::U16,
        "",
        "IPv4 identification; 0 for IPv6.",
        number!(|a| a.packet.ip_id(a.frame).into()),
    ),
    PacketField::number(
        "tcp_window",
        Type::U16,
        "bytes",
        "TCP window as it stands in the header, not scaled; 0 for others.",
        number!(|a| a.packet.tcp_window(a.frame).into()),
    ),
    PacketField::number(
        "tcp_seq",
        Type::U32,
        "",
        "TCP sequence number; 0 for others.",
        number!(|a| a.packet.tcp_seq(a.frame).into()),
    ),
    PacketField::number(
        "tcp_ack",
        Type::U32,
        "",
        "TCP acknowledgement number; 0 for others.",
        number!(|a| a.packet.tcp_ack(a.frame).into()),
    ),
    PacketField::number(
        "icmp_type",
        Type::U8,
        "",
        "ICMP or ICMPv6 type; 0 for others.",
        number!(|a| a.packet.icmp_type(a.frame).into()),
    ),
    PacketField::number(
        "icmp_code",
        Type::U8,
        "",
        "ICMP or ICMPv6 code; 0 for others.",
        number!(|a| a.packet.icmp_code(a.frame).into()),
    ),
];
