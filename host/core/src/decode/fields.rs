//! Header fields that few ask for, read from the frame when somebody does.

use etherparse::{IpNumber, ip_number};

use super::Packet;

/// Each of these takes the frame that the packet was decoded from.
impl Packet {
    /// Time to live of IPv4, hop limit of IPv6.
    pub fn ttl(&self, frame: &[u8]) -> u8 {
        let at = if self.ip_version == 4 { 8 } else { 7 };
        read(frame, self.ip_at, at).map_or(0, u8::from_be_bytes)
    }

    /// Identification of IPv4; 0 for IPv6.
    pub fn ip_id(&self, frame: &[u8]) -> u16 {
        if self.ip_version != 4 {
            return 0;
        }
        read(frame, self.ip_at, 4).map_or(0, u16::from_be_bytes)
    }

    /// Sequence number of TCP; 0 for other protocols and where it was not captured.
    pub fn tcp_seq(&self, frame: &[u8]) -> u32 {
        self.tcp(frame, 4).map_or(0, u32::from_be_bytes)
    }

    /// Acknowledgment number of TCP, whatever the ACK flag says; 0 for other protocols and where it
    /// was not captured.
    pub fn tcp_ack(&self, frame: &[u8]) -> u32 {
        self.tcp(frame, 8).map_or(0, u32::from_be_bytes)
    }

    /// Window of TCP as it stands in the header, not scaled; 0 for other protocols and where it was
    /// not captured.
    pub fn tcp_window(&self, frame: &[u8]) -> u16 {
        self.tcp(frame, 14).map_or(0, u16::from_be_bytes)
    }

    /// Type of an ICMP or ICMPv6 message; 0 for other protocols and where it was not captured.
    pub fn icmp_type(&self, frame: &[u8]) -> u8 {
        self.icmp(frame, 0).map_or(0, u8::from_be_bytes)
    }

    /// Code of an ICMP or ICMPv6 message; 0 for other protocols and where it was not captured.
    pub fn icmp_code(&self, frame: &[u8]) -> u8 {
        self.icmp(frame, 1).map_or(0, u8::from_be_bytes)
    }

    /// The captured bytes of the IP packet, from its header to its end: no padding.
    pub fn ip_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        slice(frame, self.ip_at, self.ip_end)
    }

    /// The captured bytes behind the transport header. Of protocols other than TCP, UDP and ICMP, and
    /// of what is too short by its IP header to be TCP or UDP: those behind the IP header.
    pub fn payload<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        slice(frame, self.payload_at, self.ip_end)
    }

    fn tcp<const N: usize>(&self, frame: &[u8], at: usize) -> Option<[u8; N]> {
        // What is too short for a TCP header has no size.
        let is_tcp = IpNumber(self.protocol) == ip_number::TCP && self.transport_size > 0;
        if !is_tcp {
            return None;
        }
        read(slice(frame, 0, self.ip_end), self.transport_at, at)
    }

    fn icmp(&self, frame: &[u8], at: usize) -> Option<[u8; 1]> {
        let protocol = IpNumber(self.protocol);
        if !matches!(protocol, ip_number::ICMP | ip_number::IPV6_ICMP) {
            return None;
        }
        read(slice(frame, 0, self.ip_end), self.transport_at, at)
    }
}

/// The `N` bytes at `at` of a header that starts at `header_at`.
fn read<const N: usize>(frame: &[u8], header_at: u32, at: usize) -> Option<[u8; N]> {
    frame.get(header_at as usize + at..)?.first_chunk().copied()
}

fn slice(frame: &[u8], start: u32, end: u32) -> &[u8] {
    frame.get(start as usize..end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;

    #[test]
    fn tcp_fields_are_read_where_they_were_captured() {
        let frame = ipv4_tcp(80, b"GET");
        let packet = decode(RAW, &frame).expect("TCP");
        assert_eq!((packet.ttl(&frame), packet.ip_id(&frame)), (64, 0));
        assert_eq!(packet.tcp_seq(&frame), 0x0102_0304);
        assert_eq!(packet.tcp_ack(&frame), 0x0506_0708);
        assert_eq!(packet.tcp_window(&frame), 512);
        assert_eq!(packet.icmp_type(&frame), 0);
        assert_eq!(packet.payload(&frame), b"GET");
        assert_eq!(packet.ip_bytes(&frame), frame);

        let packet = decode_cut(RAW, &frame, 30).expect("the ports are there");
        assert_eq!(packet.tcp_seq(&frame[..30]), 0x0102_0304);
        assert_eq!(packet.tcp_ack(&frame[..30]), 0);
        assert_eq!(packet.payload(&frame[..30]), b"");
    }

    #[test]
    fn icmp_fields_are_those_of_icmp_only() {
        let frame = ipv4(1, &[3, 4, 0, 0, 0, 0, 0, 0]);
        let packet = decode(RAW, &frame).expect("ICMP");
        assert_eq!((packet.icmp_type(&frame), packet.icmp_code(&frame)), (3, 4));
        assert_eq!((packet.ip_id(&frame), packet.tcp_seq(&frame)), (0xabcd, 0));
        // Too short to be TCP
        let frame = ipv4(6, &[3; 19]);
        let packet = decode(RAW, &frame).expect("metered");
        assert_eq!((packet.tcp_seq(&frame), packet.icmp_type(&frame)), (0, 0));
    }

    #[test]
    fn without_a_known_transport_header_all_behind_ip_is_payload() {
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
        // Extensions of IPv6 are its header.
        let frame = ipv6(60, &[&[132, 0, 1, 4, 0, 0, 0, 0][..], b"SCTP"].concat());
        let packet = decode(RAW, &frame).expect("metered");
        assert_eq!(
            (packet.protocol, packet.payload(&frame)),
            (132, &b"SCTP"[..])
        );
    }

    #[test]
    fn of_a_header_that_was_cut_there_is_no_payload() {
        for (frame, header) in [
            (ipv4_tcp(80, b"GET"), 20),
            (ipv4_udp(53, b"GET"), 8),
            (ipv4(1, b"\x08\0\0\0\0\0\0\0GET"), 8),
        ] {
            for behind_ip in 4..header + 3 {
                let packet = decode_cut(RAW, &frame, 20 + behind_ip).expect("metered");
                let captured = &frame[..20 + behind_ip];
                let payload = &b"GET"[..behind_ip.saturating_sub(header)];
                assert_eq!(packet.payload(captured), payload, "{behind_ip}");
                assert_eq!(packet.payload_size, 3, "{behind_ip}");
            }
        }
    }

    #[test]
    fn the_hop_limit_is_a_ttl_and_padding_is_no_payload() {
        let mut frame = ethernet(0x86dd, &ipv6_udp(53, b"x"));
        frame.resize(80, 0xee);
        let packet = decode(ETHERNET, &frame).expect("UDP");
        assert_eq!((packet.ttl(&frame), packet.ip_id(&frame)), (64, 0));
        assert_eq!(packet.payload(&frame), b"x");
        assert_eq!(packet.ip_bytes(&frame).len(), 49);
    }
}
