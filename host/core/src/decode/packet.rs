//! The compact header that decoding leaves of a packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the flow table and the plugins' columns need to know of one packet.
///
/// Of a tunnelled packet the addresses, ports and all sizes but [`raw_size`](Packet::raw_size) are
/// those of the innermost packet. Offsets count from the start of the captured frame and never point
/// past its end, so that slicing the frame with them cannot fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Source and destination address.
    pub src: Addr,
    /// See [`src`](Packet::src).
    pub dst: Addr,
    /// Transport ports; 0 where the protocol has none.
    pub src_port: u16,
    /// See [`src_port`](Packet::src_port).
    pub dst_port: u16,
    /// The innermost 802.1Q or 802.1ad identifier, 12 bits; 0 without a tag.
    pub vlan_id: u16,
    /// IANA protocol number behind the IP header and its extension headers.
    pub protocol: u8,
    /// 4 or 6.
    pub ip_version: u8,
    /// The tunnel that the packet was found in.
    pub tunnel: Tunnel,
    /// The eight flag bits of a TCP header as they stand in it (FIN is bit 0, CWR bit 7); 0 for other protocols.
    pub tcp_flags: u8,
    /// Source and destination MAC address of this frame, or of the one in its tunnel if that carries
    /// frames; zeros where the link layer has none or only one. Of an 802.11 frame: addresses 2 and 3,
    /// as NFStream has it.
    pub src_mac: [u8; 6],
    /// See [`src_mac`](Packet::src_mac).
    pub dst_mac: [u8; 6],
    /// Bytes on the wire, link layer included, however few were captured.
    pub raw_size: u32,
    /// Bytes of the IP packet by its own header.
    pub ip_size: u32,
    /// Bytes of the transport header and payload by the IP header; 0 for protocols other than TCP, UDP
    /// and ICMP (v6 too), and for what is too short to be TCP or UDP.
    pub transport_size: u32,
    /// Bytes of the transport payload by the IP header; 0 where `transport_size` is.
    pub payload_size: u32,
    /// Where the IP header starts.
    pub ip_at: u32,
    /// Where the transport header starts, behind IPv6 extension headers.
    pub transport_at: u32,
    /// Where the transport payload starts, or the capture ends; where the transport header does for what
    /// has no `transport_size`.
    pub payload_at: u32,
    /// Where the captured part of the IP packet ends: at its own length, so that Ethernet padding stays out.
    pub ip_end: u32,
}

/// An IP address in 16 bytes; an IPv4 address takes the first four, the rest is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// As an address of the given version (4 or 6).
    pub fn to_ip(self, version: u8) -> IpAddr {
        if version == 4 {
            let [a, b, c, d, ..] = self.0;
            Ipv4Addr::new(a, b, c, d).into()
        } else {
            Ipv6Addr::from(self.0).into()
        }
    }
}

impl From<[u8; 4]> for Addr {
    fn from([a, b, c, d]: [u8; 4]) -> Self {
        Addr([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }
}

impl From<[u8; 16]> for Addr {
    fn from(bytes: [u8; 16]) -> Self {
        Addr(bytes)
    }
}

/// The tunnel that a metered packet was found in; its number is the flow's `tunnel_id` (numbered as
/// in nDPI's `ndpi_packet_tunnel`, so that the first three equal NFStream's).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the protocols")]
pub enum Tunnel {
    #[default]
    None = 0,
    Gtp = 1,
    Capwap = 2,
    Tzsp = 3,
    Vxlan = 5,
    Gre = 6,
    Geneve = 7,
}

impl Tunnel {
    /// Every tunnel, by number.
    pub const ALL: [Tunnel; 6] = [
        Tunnel::Gtp,
        Tunnel::Capwap,
        Tunnel::Tzsp,
        Tunnel::Vxlan,
        Tunnel::Gre,
        Tunnel::Geneve,
    ];

    /// Its name in lower case, as it stands in a list of tunnels.
    pub const fn name(self) -> &'static str {
        match self {
            Tunnel::None => "none",
            Tunnel::Gtp => "gtp",
            Tunnel::Capwap => "capwap",
            Tunnel::Tzsp => "tzsp",
            Tunnel::Vxlan => "vxlan",
            Tunnel::Gre => "gre",
            Tunnel::Geneve => "geneve",
        }
    }

    /// How its packets are told, and when they are looked into.
    pub const fn doc(self) -> &'static str {
        match self {
            Tunnel::None => "No tunnel, or one that is not looked into.",
            Tunnel::Gtp => "GTP-U: UDP port 2152 of either side. By default.",
            Tunnel::Capwap => "CAPWAP data: UDP port 5247 of either side. By default.",
            Tunnel::Tzsp => "TZSP: UDP port 37008 of either side. By default.",
            Tunnel::Vxlan => "VXLAN: UDP destination port 4789. If decode_tunnels names vxlan.",
            Tunnel::Gre => "GRE and ERSPAN: IP protocol 47. If decode_tunnels names gre.",
            Tunnel::Geneve => "Geneve: UDP destination port 6081. If decode_tunnels names geneve.",
        }
    }
}
