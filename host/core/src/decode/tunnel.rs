//! Tunnels: the packet in a UDP or GRE payload is metered in place of the outer packet.
//!
//! If a payload has no valid header of the tunnel, the outer packet is an ordinary packet. If the header is
//! valid, the inner packet decides: if it cannot be metered, the outer packet is not metered either.

use super::transport::UDP_LEN;
use super::tunnel_headers::{self as headers, ParsedHeader, PayloadType};
use super::{FrameDecoder, IgnoreReason, Layer, Tunnel};

/// UDP ports. VXLAN and Geneve are recognised by the destination port only, because their source port is
/// arbitrary.
const GTP_U: u16 = 2152;
const VXLAN: u16 = 4789;
const CAPWAP_DATA: u16 = 5247;
const GENEVE: u16 = 6081;
const TZSP: u16 = 37008;

impl FrameDecoder<'_> {
    /// Unwraps a UDP packet if one of its ports belongs to a tunnel.
    #[inline]
    pub(super) fn udp_tunnel(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let is_tunnel = |port| matches!(port, GTP_U | VXLAN | CAPWAP_DATA | GENEVE | TZSP);
        let (src, dst) = (self.packet.src_port, self.packet.dst_port);
        if self.unwraps && (is_tunnel(dst) || is_tunnel(src)) {
            return self.unwrap_udp([src, dst], layer.skip(UDP_LEN));
        }
        Ok(())
    }

    #[inline(never)]
    fn unwrap_udp(&mut self, ports: [u16; 2], payload: Layer) -> Result<(), IgnoreReason> {
        let [_, dst] = ports;
        let (tunnel, parse): (_, fn(&[u8]) -> ParsedHeader) = if ports.contains(&GTP_U) {
            (Tunnel::Gtp, headers::gtp)
        } else if ports.contains(&TZSP) {
            (Tunnel::Tzsp, headers::tzsp)
        } else if ports.contains(&CAPWAP_DATA) {
            (Tunnel::Capwap, headers::capwap)
        } else if dst == VXLAN {
            (Tunnel::Vxlan, headers::vxlan)
        } else if dst == GENEVE {
            (Tunnel::Geneve, headers::geneve)
        } else {
            return Ok(());
        };
        self.unwrap_tunnel(tunnel, parse, payload)
    }

    /// Unwraps GRE. `payload` starts with the GRE header.
    pub(super) fn gre(&mut self, payload: Layer) -> Result<(), IgnoreReason> {
        if !self.unwraps {
            return Ok(());
        }
        self.unwrap_tunnel(Tunnel::Gre, headers::gre, payload)
    }

    /// Unwraps a payload if the tunnel is enabled and `parse` accepts its header. Otherwise changes nothing.
    fn unwrap_tunnel(
        &mut self,
        tunnel: Tunnel,
        parse: fn(&[u8]) -> ParsedHeader,
        payload: Layer,
    ) -> Result<(), IgnoreReason> {
        if !self.tunnels.contains(tunnel) {
            return Ok(());
        }
        let bytes = self.bytes(payload);
        let Some((header_len, payload_type)) = parse(bytes).filter(|&(len, _)| len < bytes.len())
        else {
            return Ok(());
        };
        self.packet.tunnel = tunnel;
        self.tags = 0;
        self.packet.src_port = 0;
        self.packet.dst_port = 0;
        self.packet.transport_size = 0;
        self.packet.payload_size = 0;
        // As in NFStream, tunnels within GTP-U are not unwrapped: they belong to the mobile subscribers.
        self.unwraps = tunnel != Tunnel::Gtp;
        let layer = payload.skip(header_len);
        match payload_type {
            PayloadType::Ethernet => self.ethernet(layer),
            PayloadType::Ethertype(ethertype) => self.ethertype(ethertype, layer),
            PayloadType::Ip => self.ip(layer),
            PayloadType::Wifi if tunnel == Tunnel::Capwap => self.capwap_wifi(layer),
            PayloadType::Wifi => self.wifi(layer),
            PayloadType::Prism => self.prism(layer),
            PayloadType::Avs => self.avs(layer),
            PayloadType::Ppp => self.ppp(layer),
            PayloadType::LaterFragment => Err(IgnoreReason::LaterFragment),
        }
    }

    /// Decodes an 802.11 frame in CAPWAP.
    ///
    /// Some controllers swap the two bytes of the frame control field. Then the protocol version is not 0,
    /// which is its only valid value.
    fn capwap_wifi(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        match *self.bytes(layer) {
            [flags, control, ..] if flags & 0x03 != 0 => {
                self.wifi_with_control(control, flags, layer)
            }
            _ => self.wifi(layer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{Decoder, TunnelSet};
    use super::*;
    use crate::link_type::LinkType;

    fn inner() -> Vec<u8> {
        ipv4_udp(53, b"inner")
    }

    fn inner_frame() -> Vec<u8> {
        ethernet(0x8100, &[&[0, 9, 8, 0][..], &inner()].concat())
    }

    /// Asserts that a payload of this port is unwrapped over both IP versions to the inner packet.
    fn assert_unwraps(tunnel: Tunnel, port: u16, header: &[u8], content: &[u8]) {
        let payload = [header, content].concat();
        for outer in [ipv4_udp(port, &payload), ipv6_udp(port, &payload)] {
            let packet = decode(RAW, &outer).unwrap_or_else(|why| panic!("{tunnel:?}: {why}"));
            assert_eq!((packet.tunnel, packet.dst_port), (tunnel, 53));
            assert_eq!((packet.ip_size, packet.payload_size), (33, 5));
            assert_eq!(packet.raw_size as usize, outer.len());
            assert_eq!(packet.payload(&outer), b"inner");
            let none = Decoder::new(TunnelSet::NONE);
            let packet = none.decode(LinkType(RAW), &outer, outer.len() as u32);
            assert_eq!(
                packet.map(|p| (p.tunnel, p.dst_port)),
                Ok((Tunnel::None, port))
            );
        }
    }

    /// Asserts that a packet with this payload is an ordinary UDP packet.
    fn assert_ordinary(port: u16, payload: &[u8]) {
        let packet = decode(RAW, &ipv4_udp(port, payload)).expect("UDP");
        assert_eq!((packet.tunnel, packet.dst_port), (Tunnel::None, port));
        assert_eq!(packet.payload_size as usize, payload.len());
    }

    #[test]
    fn gtp_behind_every_header() {
        let headers: [&[u8]; 4] = [
            &[0x30, 0xff, 0, 0, 0, 0, 0, 1],
            &[0x32, 0xff, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0x85],
            &[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0],
            &[
                0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0x85, 1, 9, 9, 0xc0, 2, 9, 9, 9, 9, 9, 9, 0,
            ],
        ];
        for header in headers {
            assert_unwraps(Tunnel::Gtp, GTP_U, header, &inner());
        }
        assert_ordinary(
            GTP_U,
            &[&[0x50, 0xff, 0, 0, 0, 0, 0, 1][..], &inner()].concat(),
        );
        assert_ordinary(GTP_U, &[0x30, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
        assert_ordinary(GTP_U, &[0x30, 0xff, 0, 0, 0, 0, 0, 1]);
        assert_ordinary(
            GTP_U,
            &[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0x85, 0, 0, 0, 0, 0],
        );
        assert_ordinary(
            GTP_U,
            &[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 7, 0, 0x85, 99, 0, 0, 0],
        );
    }

    #[test]
    fn gtp_is_ignored_with_its_inner_packet_and_unwrapped_once() {
        let gtp = |content: &[u8]| {
            let header = [0x30, 0xff, 0, 0, 0, 0, 0, 1];
            decode(RAW, &ipv4_udp(GTP_U, &[&header[..], content].concat()))
        };
        assert_eq!(gtp(&[0xff; 30]), Err(IgnoreReason::NotIp));
        assert_eq!(gtp(&[0x41; 30]), Err(IgnoreReason::MalformedIpv4));
        let packet = gtp(&ipv4(4, &inner())).expect("metered");
        assert_eq!((packet.tunnel, packet.protocol), (Tunnel::Gtp, 4));
        assert_eq!((packet.src_port, packet.transport_size), (0, 0));
    }

    #[test]
    fn tzsp_behind_every_tag() {
        let frame = inner_frame();
        let headers: [&[u8]; 4] = [
            &[1, 0, 0, 1, 1],
            &[1, 1, 0, 1, 1],
            &[1, 0, 0, 1, 0, 0, 1],
            &[1, 0, 0, 1, 10, 1, 7, 0, 41, 3, 1, 1, 1, 1],
        ];
        for header in headers {
            assert_unwraps(Tunnel::Tzsp, TZSP, header, &frame);
        }
        assert_unwraps(
            Tunnel::Tzsp,
            TZSP,
            &[1, 0, 0, 0x12, 1],
            &wifi(0x08, &[], &inner()),
        );
        // The shortest Prism and AVS headers have eight bytes.
        let prism = [1, 0, 0, 0x77, 1, 0, 0, 0, 0, 8, 0, 0, 0];
        let avs = [1, 0, 0, 0x7f, 1, 0, 0, 0, 0, 0, 0, 0, 8];
        for header in [prism, avs] {
            assert_unwraps(Tunnel::Tzsp, TZSP, &header, &wifi(0x08, &[], &inner()));
        }
        assert_ordinary(TZSP, &[1, 4, 0, 0]);
        assert_ordinary(TZSP, &[1, 0, 0, 1, 10, 200, 1]);
        assert_ordinary(TZSP, &[1, 0, 0, 1, 1]);
    }

    #[test]
    fn a_tunnelled_frame_gives_mac_addresses_and_vlan() {
        let tzsp = [&[1, 0, 0, 1, 1][..], &inner_frame()].concat();
        let outer = [&[0xff; 12][..], &[8, 0], &ipv4_udp(TZSP, &tzsp)].concat();
        let packet = decode(ETHERNET, &outer).expect("unwrapped");
        assert_eq!((packet.src_mac, packet.dst_mac), (SRC_MAC, DST_MAC));
        assert_eq!(packet.vlan_id, 9);
    }

    #[test]
    fn capwap_carries_frames_of_both_kinds() {
        let header = |len: u8, native: u8, flags| [0, len << 3, 2 | native, flags, 0, 0, 0, 0];
        let plain = wifi(0x08, &[], &inner());
        let mut swapped = plain.clone();
        swapped.swap(0, 1);
        let (native, ethernet) = (header(2, 1, 0), header(2, 0, 0));
        let with_radio = [&header(4, 1, 0x20)[..], &[3, 1, 2, 3, 0, 0, 0, 0]].concat();
        assert_unwraps(Tunnel::Capwap, CAPWAP_DATA, &native, &plain);
        assert_unwraps(Tunnel::Capwap, CAPWAP_DATA, &native, &swapped);
        assert_unwraps(
            Tunnel::Capwap,
            CAPWAP_DATA,
            &with_radio,
            &wifi(0x88, &[0, 0], &inner()),
        );
        assert_unwraps(Tunnel::Capwap, CAPWAP_DATA, &ethernet, &inner_frame());

        let keep_alive = [&header(2, 1, 8)[..], &[0; 40]].concat();
        assert_ordinary(CAPWAP_DATA, &keep_alive);
        assert_ordinary(CAPWAP_DATA, &[&native[..], &[0; 32]].concat());
        let encrypted = [&[1, 0, 0, 0, 0x16, 0xfe, 0xff, 0][..], &[0; 40]].concat();
        assert_ordinary(CAPWAP_DATA, &encrypted);

        let too_short = [&header(1, 1, 0)[..], &plain].concat();
        assert_ordinary(CAPWAP_DATA, &too_short);
        let mut encrypted = [&native[..], &plain].concat();
        encrypted[0] = 1;
        assert_ordinary(CAPWAP_DATA, &encrypted);

        let mut first = header(2, 1, 0x80);
        first[7] = 7;
        assert_unwraps(Tunnel::Capwap, CAPWAP_DATA, &first, &plain);
        let mut later = header(2, 1, 0x80);
        later[7] = 8;
        let later = ipv4_udp(CAPWAP_DATA, &[&later[..], &plain].concat());
        assert_eq!(decode(RAW, &later), Err(IgnoreReason::LaterFragment));
    }

    #[test]
    fn vxlan_and_geneve_on_request() {
        let frame = inner_frame();
        assert_unwraps(Tunnel::Vxlan, VXLAN, &[8, 0, 0, 0, 0, 0, 1, 0], &frame);
        assert_ordinary(VXLAN, &[0; 40]);
        assert_unwraps(
            Tunnel::Geneve,
            GENEVE,
            &[0, 0, 0x65, 0x58, 0, 0, 1, 0],
            &frame,
        );
        let options = [1, 0, 8, 0, 0, 0, 1, 0, 1, 2, 3, 0];
        assert_unwraps(Tunnel::Geneve, GENEVE, &options, &inner());
        assert_ordinary(
            GENEVE,
            &[&[0x40, 0, 0x65, 0x58, 0, 0, 1, 0][..], &frame].concat(),
        );
        assert_ordinary(GENEVE, &[0x3f, 0, 8, 0, 0, 0, 1, 0, 1, 2, 3, 0]);
    }

    #[test]
    fn gre_behind_every_field() {
        let frame = inner_frame();
        let (v4, v6, sequence) = (inner(), ipv6_udp(53, b"inner"), [0; 4]);
        let cases: [(&[u8], &[u8]); 11] = [
            (&[0, 0, 0x86, 0xdd], &v6),
            (&[0, 0, 0x81, 0, 0, 9, 8, 0], &v4),
            (
                &[
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                ],
                &frame,
            ),
            (
                &[
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2,
                    2, 2, 2, 2, 2,
                ],
                &frame,
            ),
            (&[0, 0, 8, 0], &v4),
            (&[0xb0, 0, 8, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3], &v4),
            (&[0x20, 0, 0x65, 0x58, 0, 0, 0, 1], &frame),
            (&[0, 0, 0x88, 0xbe], &frame),
            (
                &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
                &frame,
            ),
            (
                &[
                    0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0x21,
                ],
                &v4,
            ),
            (&[0, 0, 0x88, 0x47, 0, 0, 1, 64], &v4),
        ];
        for (header, content) in cases {
            let outer = ipv4(47, &[header, content].concat());
            let packet = decode(RAW, &outer).unwrap_or_else(|why| panic!("{header:?}: {why}"));
            assert_eq!((packet.tunnel, packet.dst_port), (Tunnel::Gre, 53));
            assert_eq!(packet.payload(&outer), b"inner");
        }
        for header in [[0x40, 0, 8, 0], [0, 0, 0, 0], [0, 2, 8, 0]] {
            let outer = ipv4(47, &[&header[..], &sequence, &v4].concat());
            let packet = decode(RAW, &outer).expect("metered without unwrapping");
            assert_eq!((packet.tunnel, packet.protocol), (Tunnel::None, 47));
        }
    }

    #[test]
    fn nested_tunnels_are_unwrapped_to_a_depth() {
        let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &inner_frame()].concat();
        let gre = [&[0, 0, 8, 0][..], &ipv4_udp(VXLAN, &vxlan)].concat();
        let packet = decode(RAW, &ipv4(47, &gre)).expect("unwrapped");
        assert_eq!((packet.tunnel, packet.dst_port), (Tunnel::Vxlan, 53));
        let endless = (0..9).fold(inner(), |packet, _| {
            ipv4(47, &[&[0, 0, 8, 0][..], &packet].concat())
        });
        assert_eq!(decode(RAW, &endless), Err(IgnoreReason::TooDeep));
    }

    #[test]
    fn the_source_port_counts_unless_it_is_arbitrary() {
        let gtp = [&[0x30, 0xff, 0, 0, 0, 0, 0, 1][..], &inner()].concat();
        let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &inner_frame()].concat();
        let geneve = [&[0, 0, 0x65, 0x58, 0, 0, 1, 0][..], &inner_frame()].concat();
        for (port, payload, tunnel) in [
            (GTP_U, gtp, Tunnel::Gtp),
            (VXLAN, vxlan, Tunnel::None),
            (GENEVE, geneve, Tunnel::None),
        ] {
            let mut packet = ipv4_udp(40_001, &payload);
            packet[20..22].copy_from_slice(&port.to_be_bytes());
            assert_eq!(decode(RAW, &packet).map(|p| p.tunnel), Ok(tunnel), "{port}");
        }
    }

    #[test]
    fn tunnels_in_gtp_are_not_unwrapped() {
        let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &inner_frame()].concat();
        let gre = ipv4(47, &[&[0, 0, 8, 0][..], &inner()].concat());
        for (content, port) in [(ipv4_udp(VXLAN, &vxlan), VXLAN), (gre, 0)] {
            let gtp = [&[0x30, 0xff, 0, 0, 0, 0, 0, 1][..], &content].concat();
            let packet = decode(RAW, &ipv4_udp(GTP_U, &gtp)).expect("unwrapped once");
            assert_eq!((packet.tunnel, packet.dst_port), (Tunnel::Gtp, port));
        }
    }
}
