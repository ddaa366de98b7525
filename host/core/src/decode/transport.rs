//! Ports, flags and sizes of the transport layer.

use etherparse::{IpNumber, TcpHeaderSlice, UdpHeaderSlice, ip_number};

use super::{IgnoreReason, Span, Walk, be16};

/// A TCP header without options.
const TCP_LEN: usize = 20;
/// A UDP header; also the part that ICMP messages have in common.
pub(super) const UDP_LEN: usize = 8;

impl Walk<'_> {
    /// TCP, UDP and ICMP as far as they were captured; a protocol and no more of everything else,
    /// and of what is too short to be TCP or UDP.
    #[inline]
    pub(super) fn transport(&mut self, protocol: IpNumber, span: Span) -> Result<(), IgnoreReason> {
        self.packet.protocol = protocol.0;
        self.packet.transport_at = span.at as u32;
        self.packet.payload_at = span.at as u32;
        match protocol {
            ip_number::TCP if span.wire_len() >= TCP_LEN => self.tcp(span),
            ip_number::UDP if span.wire_len() >= UDP_LEN => self.udp(span),
            ip_number::ICMP | ip_number::IPV6_ICMP => {
                self.sizes(span, UDP_LEN);
                Ok(())
            }
            ip_number::GRE => self.gre(span),
            _ => Ok(()),
        }
    }

    #[inline]
    fn tcp(&mut self, span: Span) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(span);
        let header_len = match TcpHeaderSlice::from_slice(bytes) {
            Ok(header) => {
                self.packet.src_port = header.source_port();
                self.packet.dst_port = header.destination_port();
                self.packet.tcp_flags = header.slice()[13];
                header.slice().len()
            }
            Err(_) => self.partial_tcp(bytes)?,
        };
        self.sizes(span, header_len);
        Ok(())
    }

    /// A TCP header that was cut, or whose data offset is below 5: its length as it states it, five
    /// words when the capture ends before the data offset.
    #[cold]
    fn partial_tcp(&mut self, bytes: &[u8]) -> Result<usize, IgnoreReason> {
        self.ports(bytes)?;
        self.packet.tcp_flags = bytes.get(13).copied().unwrap_or_default();
        Ok(bytes
            .get(12)
            .map_or(TCP_LEN, |offset| usize::from(offset >> 4) * 4))
    }

    #[inline]
    fn udp(&mut self, span: Span) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(span);
        match UdpHeaderSlice::from_slice(bytes) {
            Ok(header) => {
                self.packet.src_port = header.source_port();
                self.packet.dst_port = header.destination_port();
            }
            Err(_) => self.ports(bytes)?,
        }
        self.sizes(span, UDP_LEN);
        self.udp_tunnel(span)
    }

    /// The ports of a header of which the capture may have no more. Without them the packet belongs
    /// to no flow.
    #[cold]
    fn ports(&mut self, bytes: &[u8]) -> Result<(), IgnoreReason> {
        let (Some(src), Some(dst)) = (be16(bytes, 0), be16(bytes, 2)) else {
            return Err(IgnoreReason::CutTransport);
        };
        self.packet.src_port = src;
        self.packet.dst_port = dst;
        Ok(())
    }

    /// The sizes by the IP header, and where the payload starts in what was captured.
    #[inline]
    fn sizes(&mut self, span: Span, header_len: usize) {
        self.packet.transport_size = span.wire_len() as u32;
        self.packet.payload_size = span.wire_len().saturating_sub(header_len) as u32;
        self.packet.payload_at = span.captured.min(span.at + header_len) as u32;
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
            let packet = decode_cut(RAW, &frame, len).expect("the ports are there");
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
