//! Ports, flags and sizes of the transport layer.

use etherparse::{IpNumber, TcpHeaderSlice, UdpHeaderSlice, ip_number};

use super::{FrameDecoder, IgnoreReason, Layer, be16};

/// The length of a TCP header without options.
const TCP_LEN: usize = 20;
/// The length of a UDP header, and of the part that all ICMP messages have in common.
pub(super) const UDP_LEN: usize = 8;

impl FrameDecoder<'_> {
    /// Decodes the captured part of TCP, UDP and ICMP. Other protocols, and packets that are too short for a
    /// TCP or UDP header, get only a protocol number.
    #[inline]
    pub(super) fn transport(
        &mut self,
        protocol: IpNumber,
        layer: Layer,
    ) -> Result<(), IgnoreReason> {
        self.packet.protocol = protocol.0;
        self.packet.transport_at = layer.start as u32;
        self.packet.payload_at = layer.start as u32;
        match protocol {
            ip_number::TCP if layer.wire_len() >= TCP_LEN => self.tcp(layer),
            ip_number::UDP if layer.wire_len() >= UDP_LEN => self.udp(layer),
            ip_number::ICMP | ip_number::IPV6_ICMP => {
                self.set_sizes(layer, UDP_LEN);
                Ok(())
            }
            ip_number::GRE => self.gre(layer),
            _ => Ok(()),
        }
    }

    #[inline]
    fn tcp(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(layer);
        let header_len = match TcpHeaderSlice::from_slice(bytes) {
            Ok(header) => {
                self.packet.src_port = header.source_port();
                self.packet.dst_port = header.destination_port();
                self.packet.tcp_flags = header.slice()[13];
                header.slice().len()
            }
            Err(_) => self.partial_tcp(bytes)?,
        };
        self.set_sizes(layer, header_len);
        Ok(())
    }

    /// Decodes a TCP header that was cut, or whose data offset is below 5. Returns the length that the data
    /// offset states, or 20 if the capture ends before the data offset.
    #[cold]
    fn partial_tcp(&mut self, bytes: &[u8]) -> Result<usize, IgnoreReason> {
        self.ports(bytes)?;
        self.packet.tcp_flags = bytes.get(13).copied().unwrap_or_default();
        Ok(bytes
            .get(12)
            .map_or(TCP_LEN, |offset| usize::from(offset >> 4) * 4))
    }

    #[inline]
    fn udp(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(layer);
        match UdpHeaderSlice::from_slice(bytes) {
            Ok(header) => {
                self.packet.src_port = header.source_port();
                self.packet.dst_port = header.destination_port();
            }
            Err(_) => self.ports(bytes)?,
        }
        self.set_sizes(layer, UDP_LEN);
        self.udp_tunnel(layer)
    }

    /// Reads the ports of a header that was cut after them. Without ports, the packet belongs to no flow.
    #[cold]
    fn ports(&mut self, bytes: &[u8]) -> Result<(), IgnoreReason> {
        let (Some(src), Some(dst)) = (be16(bytes, 0), be16(bytes, 2)) else {
            return Err(IgnoreReason::CutTransport);
        };
        self.packet.src_port = src;
        self.packet.dst_port = dst;
        Ok(())
    }

    /// Stores the sizes by the IP header, and the offset of the captured payload.
    #[inline]
    fn set_sizes(&mut self, layer: Layer, header_len: usize) {
        self.packet.transport_size = layer.wire_len() as u32;
        self.packet.payload_size = layer.wire_len().saturating_sub(header_len) as u32;
        self.packet.payload_at = layer.captured_end.min(layer.start + header_len) as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn tcp_has_ports_flags_and_sizes() {
        let packet = decode(RAW, &ipv4_tcp(80, b"GET")).expect("TCP");
        assert_eq!((packet.src_port, packet.dst_port), (SRC_PORT, 80));
        assert_eq!((packet.protocol, packet.tcp_flags), (6, 0x18));
        assert_eq!((packet.transport_size, packet.payload_size), (23, 3));
        assert_eq!((packet.transport_at, packet.payload_at), (20, 40));
    }

    #[test]
    fn the_data_offset_is_taken_as_it_stands() {
        let mut tcp = ipv4_tcp(80, b"GET")[20..].to_vec();
        for (words, payload_size) in [(5, 3), (3, 11), (15, 0)] {
            tcp[12] = words << 4;
            let packet = decode(RAW, &ipv4(6, &tcp)).expect("TCP");
            assert_eq!((packet.dst_port, packet.tcp_flags), (80, 0x18));
            assert_eq!(packet.payload_size, payload_size);
            assert!(packet.payload_at <= packet.ip_end);
        }
    }

    #[test]
    fn a_cut_header_needs_its_ports() {
        let frame = ipv4_tcp(80, &[0; 100]);
        for len in 24..frame.len() {
            let packet = decode_cut(RAW, &frame, len).expect("the ports were captured");
            assert_eq!((packet.dst_port, packet.payload_size), (80, 100), "{len}");
            assert_eq!(packet.tcp_flags, if len > 33 { 0x18 } else { 0 }, "{len}");
        }
        for frame in [frame, ipv4_udp(80, b"x")] {
            for len in 20..24 {
                let cut = decode_cut(RAW, &frame, len);
                assert_eq!(cut, Err(IgnoreReason::CutTransport), "{len}");
            }
        }
    }

    #[test]
    fn icmp_has_sizes_and_no_ports() {
        for protocol in [1, 58] {
            let packet = decode(RAW, &ipv4(protocol, &[8, 0, 1, 2, 3, 4, 5, 6, 7])).expect("ICMP");
            assert_eq!((packet.src_port, packet.dst_port), (0, 0));
            assert_eq!((packet.transport_size, packet.payload_size), (9, 1));
            let packet = decode(RAW, &ipv4(protocol, &[8, 0])).expect("ICMP");
            assert_eq!((packet.transport_size, packet.payload_size), (2, 0));
        }
    }

    #[test]
    fn everything_else_is_a_protocol() {
        let contents: [(u8, &[u8]); 4] = [
            (132, &[1; 40]),
            (47, &[1; 40]),
            (6, &[1; 19]),
            (17, &[1; 7]),
        ];
        for (protocol, content) in contents {
            let packet = decode(RAW, &ipv4(protocol, content)).expect("metered");
            assert_eq!(packet.protocol, protocol);
            assert_eq!((packet.src_port, packet.dst_port), (0, 0));
            assert_eq!((packet.transport_size, packet.payload_size), (0, 0));
            assert_eq!(packet.ip_size as usize, 20 + content.len());
        }
    }
}
