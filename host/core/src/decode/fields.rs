//! Header fields that are rarely needed. They are read from the frame on request.

use etherparse::{IpNumber, ip_number};

use super::Packet;

/// Header fields on request. `frame` must be the frame that the packet was decoded from.
impl Packet {
    /// Returns the time to live of IPv4, or the hop limit of IPv6.
    pub fn ttl(&self, frame: &[u8]) -> u8 {
        let offset = if self.ip_version == 4 { 8 } else { 7 };
        read(frame, self.ip_at, offset).map_or(0, u8::from_be_bytes)
    }

    /// Returns the identification of IPv4; 0 for IPv6.
    pub fn ip_id(&self, frame: &[u8]) -> u16 {
        if self.ip_version != 4 {
            return 0;
        }
        read(frame, self.ip_at, 4).map_or(0, u16::from_be_bytes)
    }

    /// Returns the TCP sequence number; 0 for other protocols, and if it was not captured.
    pub fn tcp_seq(&self, frame: &[u8]) -> u32 {
        self.tcp(frame, 4).map_or(0, u32::from_be_bytes)
    }

    /// Returns the TCP acknowledgement number, even if the ACK flag is not set; 0 for other protocols, and if
    /// it was not captured.
    pub fn tcp_ack(&self, frame: &[u8]) -> u32 {
        self.tcp(frame, 8).map_or(0, u32::from_be_bytes)
    }

    /// Returns the window field of the TCP header, without scaling; 0 for other protocols, and if it was not
    /// captured.
    pub fn tcp_window(&self, frame: &[u8]) -> u16 {
        self.tcp(frame, 14).map_or(0, u16::from_be_bytes)
    }

    /// Returns the type of an ICMP or ICMPv6 message; 0 for other protocols, and if it was not captured.
    pub fn icmp_type(&self, frame: &[u8]) -> u8 {
        self.icmp(frame, 0).map_or(0, u8::from_be_bytes)
    }

    /// Returns the code of an ICMP or ICMPv6 message; 0 for other protocols, and if it was not captured.
    pub fn icmp_code(&self, frame: &[u8]) -> u8 {
        self.icmp(frame, 1).map_or(0, u8::from_be_bytes)
    }

    /// Returns the captured bytes of the IP packet, from its header to its end, without padding.
    pub fn ip_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        slice(frame, self.ip_at, self.ip_end)
    }

    /// Returns the captured bytes after the transport header.
    ///
    /// For protocols other than TCP, UDP, ICMP and ICMPv6, these are the bytes after the IP header and its
    /// extension headers. The same holds if the IP header states too few bytes for a TCP or UDP header.
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        slice(frame, self.payload_at, self.ip_end)
    }

    /// Returns the `N` bytes at `offset` in the TCP header.
    fn tcp<const N: usize>(&self, frame: &[u8], offset: usize) -> Option<[u8; N]> {
        // A packet that is too short for a TCP header has a transport size of 0.
        let is_tcp = IpNumber(self.protocol) == ip_number::TCP && self.transport_size > 0;
        if !is_tcp {
            return None;
        }
        read(slice(frame, 0, self.ip_end), self.transport_at, offset)
    }

    /// Returns the byte at `offset` in the ICMP or ICMPv6 header.
    fn icmp(&self, frame: &[u8], offset: usize) -> Option<[u8; 1]> {
        let protocol = IpNumber(self.protocol);
        if !matches!(protocol, ip_number::ICMP | ip_number::IPV6_ICMP) {
            return None;
        }
        read(slice(frame, 0, self.ip_end), self.transport_at, offset)
    }
}

/// Returns the `N` bytes at `offset` in the header that starts at `header_start`.
fn read<const N: usize>(frame: &[u8], header_start: u32, offset: usize) -> Option<[u8; N]> {
    frame
        .get(header_start as usize + offset..)?
        .first_chunk()
        .copied()
}

/// Returns the bytes from `start` to `end`, or nothing if they are not in the frame.
fn slice(frame: &[u8], start: u32, end: u32) -> &[u8] {
    frame.get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;

    #[test]
    fn tcp_fields_are_0_if_they_were_not_captured() {
        let frame = ipv4_tcp(80, b"GET");
        let packet = decode(RAW, &frame).expect("TCP");
        assert_eq!((packet.ttl(&frame), packet.ip_id(&frame)), (64, 0));
        assert_eq!(packet.tcp_seq(&frame), 0x0102_0304);
        assert_eq!(packet.tcp_ack(&frame), 0x0506_0708);
        assert_eq!(packet.tcp_window(&frame), 512);
        assert_eq!(packet.icmp_type(&frame), 0);
        assert_eq!(packet.payload(&frame), b"GET");
        assert_eq!(packet.ip_bytes(&frame), frame);

        let packet = decode_cut(RAW, &frame, 30).expect("the ports were captured");
        assert_eq!(packet.tcp_seq(&frame[..30]), 0x0102_0304);
        assert_eq!(packet.tcp_ack(&frame[..30]), 0);
        assert_eq!(packet.payload(&frame[..30]), b"");
    }

    #[test]
    fn icmp_fields_are_0_for_other_protocols() {
        let frame = ipv4(1, &[3, 4, 0, 0, 0, 0, 0, 0]);
        let packet = decode(RAW, &frame).expect("ICMP");
        assert_eq!((packet.icmp_type(&frame), packet.icmp_code(&frame)), (3, 4));
        assert_eq!((packet.ip_id(&frame), packet.tcp_seq(&frame)), (0xabcd, 0));
        // Too short for a TCP header.
        let frame = ipv4(6, &[3; 19]);
        let packet = decode(RAW, &frame).expect("metered");
        assert_eq!((packet.tcp_seq(&frame), packet.icmp_type(&frame)), (0, 0));
    }

    #[test]
    fn without_a_transport_header_the_payload_starts_after_ip() {
        for (protocol, content) in [
            (132, &[1; 40][..]),
            (47, &[1; 40]),
            (6, &[1; 19]),
            (17, &[1; 7]),
        ] {
            for frame in [ipv4(protocol, content), ipv6(protocol, content)] {
                let packet = decode(RAW, &frame).expect("metered");
                assert_eq!(packet.payload(&frame), content, "{protocol}");
                assert_eq!(packet.payload_size, 0, "{protocol}");
            }
        }
        // IPv6 extension headers belong to the IP header.
        let frame = ipv6(60, &[&[132, 0, 1, 4, 0, 0, 0, 0][..], b"SCTP"].concat());
        let packet = decode(RAW, &frame).expect("metered");
        assert_eq!(
            (packet.protocol, packet.payload(&frame)),
            (132, &b"SCTP"[..])
        );
    }

    #[test]
    fn a_cut_transport_header_leaves_no_payload() {
        for (frame, header) in [
            (ipv4_tcp(80, b"GET"), 20),
            (ipv4_udp(53, b"GET"), 8),
            (ipv4(1, b"\x08\0\0\0\0\0\0\0GET"), 8),
        ] {
            for len in 4..header + 3 {
                let packet = decode_cut(RAW, &frame, 20 + len).expect("metered");
                let captured = &frame[..20 + len];
                let payload = &b"GET"[..len.saturating_sub(header)];
                assert_eq!(packet.payload(captured), payload, "{len}");
                assert_eq!(packet.payload_size, 3, "{len}");
            }
        }
    }

    #[test]
    fn ttl_is_the_hop_limit_and_the_payload_excludes_padding() {
        let mut frame = ethernet(0x86dd, &ipv6_udp(53, b"x"));
        frame.resize(80, 0xee);
        let packet = decode(ETHERNET, &frame).expect("UDP");
        assert_eq!((packet.ttl(&frame), packet.ip_id(&frame)), (64, 0));
        assert_eq!(packet.payload(&frame), b"x");
        assert_eq!(packet.ip_bytes(&frame).len(), 49);
    }
}
