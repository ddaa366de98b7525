//! The decoded form of a packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The header fields of one packet that the flow table and the columns of plugins need.
///
/// For a tunnelled packet, addresses, ports and sizes are those of the innermost packet. Only
/// [`raw_size`](Packet::raw_size) is the size of the whole frame. Offsets count from the start of the captured
/// frame. They never exceed its length, so slicing the frame with them cannot fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// The source address.
    pub src: Addr,
    /// The destination address.
    pub dst: Addr,
    /// The source port; 0 if the protocol has no ports.
    pub src_port: u16,
    /// The destination port; 0 if the protocol has no ports.
    pub dst_port: u16,
    /// The innermost 802.1Q or 802.1ad identifier, 12 bits; 0 without a tag.
    pub vlan_id: u16,
    /// The IANA number of the protocol after the IP header and its extension headers.
    pub protocol: u8,
    /// 4 or 6.
    pub ip_version: u8,
    /// The innermost tunnel that contains the packet.
    pub tunnel: Tunnel,
    /// The flag bits of the TCP header (FIN is bit 0, CWR is bit 7); 0 for other protocols.
    pub tcp_flags: u8,
    /// The source MAC address of the frame, or of the frame within the tunnel if the tunnel carries frames.
    /// Zeros if the link layer has fewer than two addresses. For an 802.11 frame it is address 2, as in
    /// NFStream.
    pub src_mac: [u8; 6],
    /// The destination MAC address, by the rules of [`src_mac`](Packet::src_mac). For an 802.11 frame it is
    /// address 3.
    pub dst_mac: [u8; 6],
    /// The size on the wire in bytes, including the link layer, regardless of how much was captured.
    pub raw_size: u32,
    /// The size of the IP packet in bytes, as its header states it.
    pub ip_size: u32,
    /// The size of transport header and payload in bytes, by the IP header. 0 for protocols other than TCP,
    /// UDP, ICMP and ICMPv6, and for packets that are too short for a TCP or UDP header.
    pub transport_size: u32,
    /// The size of the transport payload in bytes, by the IP header; 0 if `transport_size` is 0.
    pub payload_size: u32,
    /// The offset of the IP header.
    pub ip_at: u32,
    /// The offset of the transport header, after IPv6 extension headers.
    pub transport_at: u32,
    /// The offset of the transport payload, or the end of the capture if that comes first. Equal to
    /// `transport_at` if `transport_size` is 0.
    pub payload_at: u32,
    /// The end of the captured part of the IP packet. It excludes Ethernet padding, because the IP header
    /// states the length.
    pub ip_end: u32,
}

/// An IP address in 16 bytes. An IPv4 address is in the first four bytes; the others are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// Converts to an address of the given IP version (4 or 6).
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

/// A tunnel that can contain a metered packet. Its number is the flow's `tunnel_id`.
///
/// The numbers are those of nDPI's `ndpi_packet_tunnel`, so that the first three are the same as in NFStream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the protocols")]
#[non_exhaustive]
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
    /// All tunnels except `None`, in the order of their numbers.
    pub const ALL: [Tunnel; 6] = [
        Tunnel::Gtp,
        Tunnel::Capwap,
        Tunnel::Tzsp,
        Tunnel::Vxlan,
        Tunnel::Gre,
        Tunnel::Geneve,
    ];

    /// Returns the name in lower case, as in a list of tunnels.
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

    /// Returns a description: how the decoder recognises packets of the tunnel, and when it unwraps them.
    pub const fn doc(self) -> &'static str {
        match self {
            Tunnel::None => "No tunnel, or a tunnel that is not decoded.",
            Tunnel::Gtp => "GTP-U: source or destination UDP port 2152. Decoded by default.",
            Tunnel::Capwap => {
                "CAPWAP data: source or destination UDP port 5247. Decoded by default."
            }
            Tunnel::Tzsp => "TZSP: source or destination UDP port 37008. Decoded by default.",
            Tunnel::Vxlan => {
                "VXLAN: UDP destination port 4789. Decoded if decode_tunnels includes vxlan."
            }
            Tunnel::Gre => {
                "GRE and ERSPAN: IP protocol 47. Decoded if decode_tunnels includes gre."
            }
            Tunnel::Geneve => {
                "Geneve: UDP destination port 6081. Decoded if decode_tunnels includes geneve."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_form_for_each_version() {
        let v4 = Addr::from([192, 0, 2, 1]);
        assert_eq!(v4.to_ip(4).to_string(), "192.0.2.1");
        let v6 = Addr::from([0xfd; 16]);
        assert_eq!(v6.to_ip(6), IpAddr::from([0xfd; 16]));
        assert_eq!(v4.to_ip(6).to_string(), "c000:201::");
    }

    #[test]
    fn tunnels_have_names_and_descriptions() {
        for (tunnel, name) in [
            (Tunnel::None, "none"),
            (Tunnel::Gtp, "gtp"),
            (Tunnel::Capwap, "capwap"),
            (Tunnel::Tzsp, "tzsp"),
            (Tunnel::Vxlan, "vxlan"),
            (Tunnel::Gre, "gre"),
            (Tunnel::Geneve, "geneve"),
        ] {
            assert_eq!(tunnel.name(), name);
            assert!(tunnel.doc().ends_with('.'), "{name}");
        }
    }
}
