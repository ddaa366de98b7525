//! IPv4, IPv6 with its extension headers, and IP in IP.

use etherparse::err::{ipv4, ipv6};
use etherparse::{IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, ip_number};

use super::{FrameDecoder, IgnoreReason, Layer, MAX_IP_HEADERS, be16};

impl FrameDecoder<'_> {
    /// Decodes IP if the enclosing layer does not state the version. The first four bits are the version.
    pub(super) fn ip(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        match self.bytes(layer).first().map(|first| first >> 4) {
            Some(4) => self.ipv4(layer),
            Some(6) => self.ipv6(layer),
            Some(_) => Err(IgnoreReason::NotIp),
            None => Err(layer.too_short(1, IgnoreReason::CutIp, IgnoreReason::NotIp)),
        }
    }

    /// Decodes an IPv4 packet.
    #[inline]
    pub(super) fn ipv4(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let header =
            Ipv4HeaderSlice::from_slice(self.bytes(layer)).map_err(|error| match error {
                ipv4::HeaderSliceError::Len(error) => layer.too_short(
                    error.required_len,
                    IgnoreReason::CutIp,
                    IgnoreReason::MalformedIpv4,
                ),
                ipv4::HeaderSliceError::Content(_) => IgnoreReason::MalformedIpv4,
            })?;
        let header_len = header.slice().len();
        let total_len = match usize::from(header.total_len()) {
            // Segmentation offload: the network card would have filled in the length.
            0 => layer.wire_len(),
            len => len,
        };
        if total_len < header_len {
            return Err(IgnoreReason::MalformedIpv4);
        }
        if header.fragments_offset().value() != 0 {
            return Err(IgnoreReason::LaterFragment);
        }
        self.count_ip_header()?;
        let packet = layer.with_wire_len(total_len);
        self.packet.ip_version = 4;
        self.packet.src = header.source().into();
        self.packet.dst = header.destination().into();
        self.set_ip_range(packet);
        self.ip_payload(header.protocol(), packet.skip(header_len))
    }

    /// Decodes an IPv6 packet.
    #[inline]
    pub(super) fn ipv6(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let header =
            Ipv6HeaderSlice::from_slice(self.bytes(layer)).map_err(|error| match error {
                ipv6::HeaderSliceError::Len(error) => layer.too_short(
                    error.required_len,
                    IgnoreReason::CutIp,
                    IgnoreReason::MalformedIpv6,
                ),
                ipv6::HeaderSliceError::Content(_) => IgnoreReason::MalformedIpv6,
            })?;
        let header_len = header.slice().len();
        let total_len = match usize::from(header.payload_length()) {
            // A jumbogram (RFC 2675) or segmentation offload.
            0 => layer.wire_len(),
            len => header_len + len,
        };
        let packet = layer.with_wire_len(total_len);
        let (protocol, payload) = self.extensions(header.next_header(), packet.skip(header_len))?;
        self.count_ip_header()?;
        self.packet.ip_version = 6;
        self.packet.src = header.source().into();
        self.packet.dst = header.destination().into();
        self.set_ip_range(packet);
        self.ip_payload(protocol, payload)
    }

    /// Skips the extension headers that NFStream skips. Returns the protocol and its layer.
    ///
    /// The headers of IPsec are not skipped: they are the protocol of the packet.
    #[inline]
    fn extensions(
        &self,
        mut next: IpNumber,
        mut layer: Layer,
    ) -> Result<(IpNumber, Layer), IgnoreReason> {
        loop {
            match next {
                ip_number::IPV6_HEADER_HOP_BY_HOP
                | ip_number::IPV6_ROUTE_HEADER
                | ip_number::IPV6_FRAGMENTATION_HEADER
                | ip_number::IPV6_DESTINATION_OPTIONS
                | ip_number::MOBILITY_HEADER => {}
                ip_number::IPV6_NO_NEXT_HEADER => return Err(IgnoreReason::NoNextHeader),
                _ => return Ok((next, layer)),
            }
            // Every extension header has at least eight bytes. They contain the next header, the length of
            // this header, and, in a fragment header, the fragment offset.
            let bytes = self.bytes(layer);
            let Some([following, len, fragment @ ..]) = bytes.first_chunk::<8>() else {
                return Err(layer.too_short(8, IgnoreReason::CutIp, IgnoreReason::MalformedIpv6));
            };
            let len = if next == ip_number::IPV6_FRAGMENTATION_HEADER {
                if be16(fragment, 0).is_some_and(|field| field >> 3 != 0) {
                    return Err(IgnoreReason::LaterFragment);
                }
                8
            } else {
                8 + 8 * usize::from(*len)
            };
            if bytes.len() < len {
                return Err(layer.too_short(len, IgnoreReason::CutIp, IgnoreReason::MalformedIpv6));
            }
            next = IpNumber(*following);
            layer = layer.skip(len);
        }
    }

    /// Decodes the payload of an IP header: another IP header, or a transport header.
    #[inline]
    fn ip_payload(&mut self, protocol: IpNumber, payload: Layer) -> Result<(), IgnoreReason> {
        if matches!(protocol, ip_number::IPV4 | ip_number::IPV6) && self.unwraps {
            return self.ip_in_ip(protocol, payload);
        }
        self.transport(protocol, payload)
    }

    /// Decodes IP in IP: the inner packet replaces the outer one.
    ///
    /// If the payload does not start with an IP header, the outer packet remains, with protocol 4 or 41.
    fn ip_in_ip(&mut self, protocol: IpNumber, payload: Layer) -> Result<(), IgnoreReason> {
        let outer = self.ip_headers;
        match self.ip(payload) {
            Err(
                IgnoreReason::NotIp | IgnoreReason::MalformedIpv4 | IgnoreReason::MalformedIpv6,
            ) if self.ip_headers == outer => self.transport(protocol, payload),
            done => done,
        }
    }

    /// Counts an IP header. From here on, the packet with this header replaces the one that encloses it.
    #[inline]
    fn count_ip_header(&mut self) -> Result<(), IgnoreReason> {
        if self.ip_headers == MAX_IP_HEADERS {
            return Err(IgnoreReason::TooDeep);
        }
        self.ip_headers += 1;
        Ok(())
    }

    /// Stores the size and the offsets of the IP packet.
    #[inline]
    fn set_ip_range(&mut self, packet: Layer) {
        self.packet.ip_size = packet.wire_len() as u32;
        self.packet.ip_at = packet.start as u32;
        self.packet.ip_end = packet.captured_end as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// Overwrites the bytes of a packet at an offset.
    fn with(mut packet: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
        packet[offset..offset + bytes.len()].copy_from_slice(bytes);
        packet
    }

    #[test]
    fn headers_are_believed_and_nothing_is_read_past_the_capture() {
        let packet = ipv4_udp(53, &[7; 100]);
        let cut = decode_cut(RAW, &packet, 40).expect("the ports were captured");
        assert_eq!((cut.ip_size, cut.transport_size), (128, 108));
        assert_eq!((cut.payload_size, cut.ip_end), (100, 40));
        assert_eq!(cut.payload(&packet[..40]), [7; 12]);

        let too_long = with(packet, 2, &9000u16.to_be_bytes());
        let packet = decode(RAW, &too_long).expect("the header takes precedence");
        assert_eq!((packet.ip_size, packet.ip_end), (9000, 128));

        let packet = ipv6_udp(53, &[7; 100]);
        let cut = decode_cut(RAW, &packet, 60).expect("the ports were captured");
        assert_eq!((cut.ip_size, cut.payload_size), (148, 100));
    }

    #[test]
    fn without_a_length_the_wire_tells_it() {
        let v4 = with(ipv4_udp(53, &[7; 100]), 2, &[0, 0]);
        let v6 = with(ipv6_udp(53, &[7; 100]), 4, &[0, 0]);
        for packet in [v4, v6] {
            let len = packet.len() as u32;
            let frame = [&[2, 0, 0, 0], &packet[..]].concat();
            let link = if packet[0] >> 4 == 4 { 0 } else { RAW };
            let frame = if link == 0 { &frame } else { &packet };
            let cut = decode_cut(link, frame, 60).expect("the ports were captured");
            assert_eq!((cut.ip_size, cut.payload_size), (len, 100));
        }
    }

    #[test]
    fn contradictions_are_malformed_and_cuts_are_cut() {
        let packet = ipv4_udp(53, b"x");
        let malformed = [
            with(packet.clone(), 0, &[0x44]),
            with(packet.clone(), 0, &[0x4f]),
            with(packet.clone(), 2, &[0, 19]),
        ];
        for packet in malformed {
            assert_eq!(decode(RAW, &packet), Err(IgnoreReason::MalformedIpv4));
        }
        assert_eq!(decode_cut(RAW, &packet, 19), Err(IgnoreReason::CutIp));
        assert_eq!(
            decode_cut(RAW, &ipv4(255, b""), 19),
            Err(IgnoreReason::CutIp)
        );
        assert_eq!(decode(RAW, &packet[..19]), Err(IgnoreReason::MalformedIpv4));
        assert_eq!(decode(RAW, &[0x50; 40]), Err(IgnoreReason::NotIp));

        let packet = ipv6(0, &[17, 1, 1, 4, 0, 0, 0, 0]);
        assert_eq!(decode(RAW, &packet), Err(IgnoreReason::MalformedIpv6));
        assert_eq!(decode_cut(RAW, &packet, 44), Err(IgnoreReason::CutIp));
    }

    #[test]
    fn first_fragments_are_metered_and_later_ones_are_not() {
        let first = with(ipv4_udp(53, b"x"), 6, &[0x20, 0]);
        assert_eq!(decode(RAW, &first).map(|p| p.dst_port), Ok(53));
        let later = with(first, 6, &[0x20, 1]);
        assert_eq!(decode(RAW, &later), Err(IgnoreReason::LaterFragment));

        let udp = &ipv6_udp(53, b"x")[40..];
        let fragment = |offset| ipv6(44, &[&[17, 0, 0, offset, 0, 0, 0, 1], udp].concat());
        let first = decode(RAW, &fragment(1)).expect("a first fragment");
        assert_eq!((first.dst_port, first.transport_size), (53, 9));
        assert_eq!(decode(RAW, &fragment(9)), Err(IgnoreReason::LaterFragment));
    }

    #[test]
    fn extension_headers_are_skipped_save_those_of_ipsec() {
        let udp = &ipv6_udp(53, b"x")[40..];
        let options = |next| [next, 0, 1, 4, 0, 0, 0, 0];
        let chain = [options(43), options(60), options(135), options(17)].concat();
        let packet = decode(RAW, &ipv6(0, &[&chain, udp].concat())).expect("all are skipped");
        assert_eq!((packet.protocol, packet.dst_port), (17, 53));
        assert_eq!((packet.ip_size, packet.transport_size), (81, 9));
        assert_eq!((packet.transport_at, packet.payload_at), (72, 80));

        let long = [17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let packet = decode(RAW, &ipv6(60, &[&long, udp].concat())).expect("skipped");
        assert_eq!((packet.dst_port, packet.transport_at), (53, 56));
        let packet = decode(RAW, &ipv6(60, &options(17))).expect("metered");
        assert_eq!((packet.protocol, packet.transport_size), (17, 0));

        let packet = decode(RAW, &ipv6(51, &[&options(17), udp].concat())).expect("metered");
        assert_eq!((packet.protocol, packet.transport_size), (51, 0));
        assert_eq!(decode(RAW, &ipv6(59, b"")), Err(IgnoreReason::NoNextHeader));
    }

    #[test]
    fn no_next_header_is_no_protocol() {
        for rest in [&b""[..], b"rest"] {
            let packet = ipv6(59, rest);
            assert_eq!(decode(RAW, &packet), Err(IgnoreReason::NoNextHeader));
            assert_eq!(
                decode(RAW, &ipv4(41, &packet)),
                Err(IgnoreReason::NoNextHeader)
            );
        }
    }

    #[test]
    fn ip_in_ip_is_unwrapped_to_a_depth() {
        let inner = ipv6_udp(53, b"x");
        let packet = decode(RAW, &ipv4(41, &ipv6(41, &inner))).expect("unwrapped");
        assert_eq!((packet.ip_version, packet.dst_port), (6, 53));
        assert_eq!((packet.ip_at, packet.ip_size), (60, inner.len() as u32));

        let nested = |times| (0..times).fold(ipv4_udp(53, b"x"), |packet, _| ipv4(4, &packet));
        assert!(decode(RAW, &nested(7)).is_ok());
        assert_eq!(decode(RAW, &nested(8)), Err(IgnoreReason::TooDeep));
    }

    #[test]
    fn what_is_no_ip_in_ip_is_its_protocol() {
        for content in [&b""[..], &[0xff; 40], &[0x44; 40]] {
            let packet = decode(RAW, &ipv4(4, content)).expect("metered");
            assert_eq!((packet.protocol, packet.transport_size), (4, 0));
            assert_eq!(packet.src, SRC.into());
        }
        let later = with(ipv4_udp(53, b"x"), 6, &[0, 1]);
        assert_eq!(
            decode(RAW, &ipv4(4, &later)),
            Err(IgnoreReason::LaterFragment)
        );
        // The inner packet has a tunnel, whose content decides.
        let gtp = [&[0x30, 0xff, 0, 0, 0, 0, 0, 1][..], &[0xff; 30]].concat();
        assert_eq!(
            decode(RAW, &ipv4(4, &ipv4_udp(2152, &gtp))),
            Err(IgnoreReason::NotIp)
        );
        let cut = decode_cut(RAW, &ipv4(4, &ipv4_udp(53, b"x")), 30);
        assert_eq!(cut, Err(IgnoreReason::CutIp));
    }
}
