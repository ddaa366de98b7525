//! Link layers: from the link type to the network layer, through tags and labels.

use etherparse::{EtherType, Ethernet2HeaderSlice, SingleVlanSlice, ether_type};

use super::{FrameDecoder, IgnoreReason, Layer, be16};
use crate::link_type::LinkType;

pub(super) const MPLS: EtherType = EtherType(0x8847);
pub(super) const MPLS_MULTICAST: EtherType = EtherType(0x8848);
const PPPOE_SESSION: EtherType = EtherType(0x8864);
/// The protocol of 802.2 frames in a Linux cooked header.
const SLL_LLC: EtherType = EtherType(0x0004);

/// The maximum number of VLAN tags and LLC headers in sequence.
const MAX_TAGS: u8 = 16;

/// The address family of IPv4 in BSD loopback headers, on all systems.
const AF_INET: u32 = 2;
/// The address families of IPv6 in BSD loopback headers: of NetBSD and OpenBSD, FreeBSD, Darwin, Linux,
/// Windows.
const AF_INET6: [u32; 5] = [24, 28, 30, 10, 23];

impl FrameDecoder<'_> {
    /// Decodes a frame of the given link type.
    #[inline]
    pub(super) fn link(&mut self, link: LinkType, layer: Layer) -> Result<(), IgnoreReason> {
        match link.0 {
            1 => self.ethernet(layer),
            _ => self.other_link(link, layer),
        }
    }

    /// Decodes a frame of a link type other than Ethernet. Numbers and names are those of the tcpdump registry.
    fn other_link(&mut self, link: LinkType, layer: Layer) -> Result<(), IgnoreReason> {
        match link.0 {
            // NULL and LOOP differ only in byte order, which the decoder detects.
            0 | 108 => self.loopback(layer),
            // PPP, PPP_HDLC
            9 | 50 => self.serial(layer),
            // RAW, and its numbers on some systems
            12 | 14 | 101 => self.ip(layer),
            // PPP_ETHER
            51 => self.pppoe(layer),
            // C_HDLC
            104 => self.cisco_hdlc(layer),
            // IEEE802_11 and with PRISM, radiotap and AVS headers
            105 => self.wifi(layer),
            119 => self.prism(layer),
            127 => self.radiotap(layer),
            163 => self.avs(layer),
            // LINUX_SLL, LINUX_SLL2
            113 => self.cooked(layer, 14, 16),
            276 => self.cooked(layer, 0, 20),
            // PPI
            192 => self.ppi(layer),
            // IPV4, IPV6
            228 => self.ipv4(layer),
            229 => self.ipv6(layer),
            _ => Err(IgnoreReason::UnknownLinkType),
        }
    }

    /// Decodes an Ethernet frame.
    #[inline]
    pub(super) fn ethernet(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(layer);
        let header = Ethernet2HeaderSlice::from_slice(bytes).map_err(|_| IgnoreReason::CutLink)?;
        self.packet.src_mac = header.source();
        self.packet.dst_mac = header.destination();
        self.ethertype(header.ether_type(), layer.skip(header.slice().len()))
    }

    /// Decodes the payload of an ethertype. The ethertype alone decides the protocol.
    #[inline]
    pub(super) fn ethertype(
        &mut self,
        ethertype: EtherType,
        layer: Layer,
    ) -> Result<(), IgnoreReason> {
        match ethertype {
            ether_type::IPV4 => self.ipv4(layer),
            ether_type::IPV6 => self.ipv6(layer),
            _ => self.tagged(ethertype, layer),
        }
    }

    /// Decodes tags, labels and LLC headers. `vlan_id` becomes the identifier of the innermost tag.
    fn tagged(&mut self, mut ethertype: EtherType, mut layer: Layer) -> Result<(), IgnoreReason> {
        while self.tags < MAX_TAGS {
            self.tags += 1;
            match ethertype {
                ether_type::IPV4 => return self.ipv4(layer),
                ether_type::IPV6 => return self.ipv6(layer),
                ether_type::VLAN_TAGGED_FRAME
                | ether_type::PROVIDER_BRIDGING
                | ether_type::VLAN_DOUBLE_TAGGED_FRAME => {
                    let tag = SingleVlanSlice::from_slice(self.bytes(layer))
                        .map_err(|_| IgnoreReason::CutLink)?;
                    self.packet.vlan_id = tag.vlan_identifier().value();
                    ethertype = tag.ether_type();
                    layer = layer.skip(4);
                }
                MPLS | MPLS_MULTICAST => return self.mpls(layer),
                PPPOE_SESSION => return self.pppoe(layer),
                // IEEE 802.3: this is a length field.
                EtherType(0..=1500) => return self.llc(layer),
                _ => return Err(IgnoreReason::NotIp),
            }
        }
        Err(IgnoreReason::TooDeep)
    }

    /// Decodes MPLS labels up to the bottom of the stack (RFC 3032). Only the first bits of the payload tell
    /// its protocol.
    fn mpls(&mut self, mut layer: Layer) -> Result<(), IgnoreReason> {
        loop {
            let label = self.bytes(layer).first_chunk::<4>();
            let [_, _, bottom, _] = label.ok_or(IgnoreReason::CutLink)?;
            layer = layer.skip(4);
            if bottom & 1 == 1 {
                return self.ip(layer);
            }
        }
    }

    /// Decodes an 802.2 header: SNAP with an ethertype, or a protocol other than IP.
    pub(super) fn llc(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        match self.bytes(layer) {
            // Encapsulated Ethernet (RFC 1042) or a bridge tunnel (802.1H)
            [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, high, low, ..] => {
                let ethertype = u16::from_be_bytes([*high, *low]);
                if ethertype < 1536 {
                    return Err(IgnoreReason::NotIp);
                }
                self.ethertype(EtherType(ethertype), layer.skip(8))
            }
            [0xaa, 0xaa, 0x03, rest @ ..] if rest.len() < 5 => Err(IgnoreReason::CutLink),
            [_, _, _, ..] => Err(IgnoreReason::NotIp),
            _ => Err(IgnoreReason::CutLink),
        }
    }

    /// Decodes a BSD loopback header: the address family in the byte order of the capturing machine.
    fn loopback(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let header = self.bytes(layer).first_chunk::<4>();
        let header = *header.ok_or(IgnoreReason::CutLink)?;
        let family = u32::from_be_bytes(header).min(u32::from_le_bytes(header));
        let content = layer.skip(4);
        match family {
            AF_INET => self.ipv4(content),
            family if AF_INET6.contains(&family) => self.ipv6(content),
            _ => Err(IgnoreReason::NotIp),
        }
    }

    /// Decodes a Linux cooked header of `len` bytes with its protocol at `protocol_offset`.
    ///
    /// MAC addresses stay zero, because the header has at most one of the two.
    fn cooked(
        &mut self,
        layer: Layer,
        protocol_offset: usize,
        len: usize,
    ) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(layer);
        if bytes.len() < len {
            return Err(IgnoreReason::CutLink);
        }
        let protocol = be16(bytes, protocol_offset).ok_or(IgnoreReason::CutLink)?;
        match EtherType(protocol) {
            SLL_LLC => self.llc(layer.skip(len)),
            EtherType(..1536) => Err(IgnoreReason::NotIp),
            ethertype => self.ethertype(ethertype, layer.skip(len)),
        }
    }

    /// Decodes a header of per-packet information: its length and the link type after it, little-endian.
    fn ppi(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let header = self.bytes(layer).first_chunk::<8>();
        let [_, _, len0, len1, link0, link1, link2, link3] =
            *header.ok_or(IgnoreReason::CutLink)?;
        let len = usize::from(u16::from_le_bytes([len0, len1]));
        if len < 8 || len > self.bytes(layer).len() {
            return Err(IgnoreReason::CutLink);
        }
        match u32::from_le_bytes([link0, link1, link2, link3]) {
            // A PPI header within a PPI header is rejected, because the nesting would have no limit.
            192 => Err(IgnoreReason::UnknownLinkType),
            link => match u16::try_from(link) {
                Ok(link) => self.link(LinkType(link), layer.skip(len)),
                Err(_) => Err(IgnoreReason::UnknownLinkType),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn ethernet_gives_mac_addresses_and_excludes_padding() {
        let mut frame = ethernet(0x0800, &ipv4_udp(53, b"x"));
        let end = frame.len() as u32;
        frame.resize(60, 0);
        let packet = decode(1, &frame).expect("IP in it");
        assert_eq!((packet.src_mac, packet.dst_mac), (SRC_MAC, DST_MAC));
        assert_eq!((packet.raw_size, packet.ip_size), (60, 29));
        assert_eq!((packet.ip_at, packet.ip_end), (14, end));
    }

    #[test]
    fn the_innermost_tag_gives_the_vlan() {
        let packet = ipv4_udp(53, b"x");
        for outer in [0x8100, 0x88a8, 0x9100] {
            let tags = [0xe0, 5, 0x81, 0, 0x20, 6, 8, 0];
            let frame = ethernet(outer, &[&tags[..], &packet].concat());
            assert_eq!(decode(1, &frame).map(|p| p.vlan_id), Ok(6));
        }
        let tagged = |tags| {
            ethernet(
                0x8100,
                &[&[0, 5, 0x81, 0].repeat(tags), &[0, 5, 8, 0][..], &packet].concat(),
            )
        };
        assert_eq!(decode(1, &tagged(14)).map(|p| p.vlan_id), Ok(5));
        assert_eq!(decode(1, &tagged(16)), Err(IgnoreReason::TooDeep));
        let endless = [0, 5, 0x81, 0].repeat(100);
        assert_eq!(
            decode(1, &ethernet(0x8100, &endless)),
            Err(IgnoreReason::TooDeep)
        );
        // Alternating LLC headers and tags, in a frame of 60 MB
        let endless = [0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0, 0, 5, 0, 0].repeat(5_000_000);
        assert_eq!(
            decode(1, &ethernet(0, &endless)),
            Err(IgnoreReason::TooDeep)
        );
        assert_eq!(
            decode(1, &ethernet(0x8100, &[0, 5])),
            Err(IgnoreReason::CutLink)
        );
    }

    #[test]
    fn mpls_labels_and_pppoe_sessions_are_skipped() {
        let (v4, v6) = (ipv4_udp(53, b"x"), ipv6_udp(53, b"x"));
        let labels = [0, 0, 0x10, 64, 0, 0, 0x21, 64];
        let session = |protocol| [0x11, 0, 0, 1, 0, 0, 0, protocol];
        let frames = [
            (4, ethernet(0x8847, &[&labels[..], &v4].concat())),
            (6, ethernet(0x8848, &[&labels[..], &v6].concat())),
            (4, ethernet(0x8864, &[&session(0x21)[..], &v4].concat())),
            (6, ethernet(0x8864, &[&session(0x57)[..], &v6].concat())),
        ];
        for (version, frame) in frames {
            let packet = decode(1, &frame).expect("IP in it");
            assert_eq!((packet.ip_version, packet.dst_port), (version, 53));
        }
    }

    #[test]
    fn llc_carries_ip_by_snap_only() {
        let snap = |oui: u8| [&[0xaa, 0xaa, 3, 0, 0, oui, 8, 0][..], &ipv4_udp(53, b"x")].concat();
        assert!(decode(1, &ethernet(40, &snap(0))).is_ok());
        assert!(decode(1, &ethernet(40, &snap(0xf8))).is_ok());
        assert_eq!(
            decode(1, &ethernet(40, &snap(0x0c))),
            Err(IgnoreReason::NotIp)
        );
        // A length in place of the ethertype, and a header without a payload.
        let nested = [&[0xaa, 0xaa, 3, 0, 0, 0, 0, 40][..], &snap(0)].concat();
        for content in [&nested[..], &snap(0x0c)[..8]] {
            assert_eq!(decode(1, &ethernet(60, content)), Err(IgnoreReason::NotIp));
        }
        let spanning_tree = [0x42, 0x42, 3, 0, 0];
        assert_eq!(
            decode(1, &ethernet(40, &spanning_tree)),
            Err(IgnoreReason::NotIp)
        );
    }

    #[test]
    fn the_ethertype_decides() {
        let packet = ipv4_udp(53, b"x");
        for ethertype in [0x0806, 0x9999, 1501] {
            let frame = ethernet(ethertype, &packet);
            assert_eq!(decode(1, &frame), Err(IgnoreReason::NotIp));
        }
        let frame = ethernet(0x86dd, &[&packet[..], &[0; 20]].concat());
        assert_eq!(decode(1, &frame), Err(IgnoreReason::MalformedIpv6));
    }

    #[test]
    fn every_other_link_type_leads_to_ip() {
        let (v4, v6) = (ipv4_udp(53, b"x"), ipv6_udp(53, b"x"));
        let cooked = |protocol: [u8; 2]| [&[0; 14][..], &protocol].concat();
        let cooked2 = |protocol: [u8; 2]| [&protocol[..], &[0; 18]].concat();
        let cases: [(u16, Vec<u8>, &[u8]); 16] = [
            (0, vec![2, 0, 0, 0], &v4),
            (0, vec![0, 0, 0, 30], &v6),
            (108, vec![0, 0, 0, 24], &v6),
            (12, vec![], &v4),
            (14, vec![], &v6),
            (101, vec![], &v4),
            (228, vec![], &v4),
            (229, vec![], &v6),
            (51, vec![0x11, 0, 0, 1, 0, 0, 0, 0x21], &v4),
            (113, cooked([8, 0]), &v4),
            (113, cooked([0x86, 0xdd]), &v6),
            (276, cooked2([8, 0]), &v4),
            (276, cooked2([0x86, 0xdd]), &v6),
            (113, [cooked([0x81, 0]), vec![0, 7, 8, 0]].concat(), &v4),
            (
                113,
                [cooked([0, 4]), vec![0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat(),
                &v4,
            ),
            (192, vec![0, 0, 12, 0, 101, 0, 0, 0, 9, 9, 9, 9], &v6),
        ];
        for (link, header, packet) in cases {
            let frame = [&header[..], packet].concat();
            let packet = decode(link, &frame).unwrap_or_else(|why| panic!("{link}: {why}"));
            assert_eq!(packet.ip_at as usize, header.len(), "{link}");
            assert_eq!((packet.src_mac, packet.dst_port), ([0; 6], 53), "{link}");
            for len in 0..header.len() {
                assert_eq!(
                    decode(link, &frame[..len]),
                    Err(IgnoreReason::CutLink),
                    "{link}"
                );
            }
            let without_ip = decode(link, &frame[..header.len()]);
            assert!(
                without_ip.is_err_and(|why| why != IgnoreReason::CutLink),
                "{link}"
            );
        }
    }

    #[test]
    fn unknown_link_types_and_address_families_are_ignored() {
        assert_eq!(decode(147, &[0; 60]), Err(IgnoreReason::UnknownLinkType));
        assert_eq!(decode(0, &[7, 0, 0, 0, 0x45]), Err(IgnoreReason::NotIp));
        for len in [7, 200] {
            let ppi = [&[0, 0, len, 0, 101, 0, 0, 0][..], &ipv4_udp(53, b"x")].concat();
            assert_eq!(decode(192, &ppi), Err(IgnoreReason::CutLink), "{len}");
        }
        let nested = [0, 0, 8, 0, 192, 0, 0, 0].repeat(9);
        assert_eq!(decode(192, &nested), Err(IgnoreReason::UnknownLinkType));
    }
}
