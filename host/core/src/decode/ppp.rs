//! PPP and Cisco HDLC: on serial lines, in PPPoE and in GRE.

use etherparse::EtherType;

use super::link::{MPLS, MPLS_MULTICAST};
use super::{FrameDecoder, IgnoreReason, Layer, be16};

/// The address and control fields of PPP in HDLC framing (RFC 1662).
const HDLC_PPP: [u8; 2] = [0xff, 0x03];
/// The first byte of a Cisco HDLC frame, unicast or broadcast.
const CISCO_UNICAST: u8 = 0x0f;
const CISCO_BROADCAST: u8 = 0x8f;

impl FrameDecoder<'_> {
    /// Decodes a frame of a serial line: PPP with or without HDLC framing, or Cisco HDLC. The first byte
    /// decides.
    pub(super) fn serial(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        match self.bytes(layer).first() {
            Some(&CISCO_UNICAST | &CISCO_BROADCAST) => self.cisco_hdlc(layer),
            _ => self.ppp(layer),
        }
    }

    /// Decodes Cisco HDLC: address, control, ethertype.
    pub(super) fn cisco_hdlc(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let ethertype = be16(self.bytes(layer), 2).ok_or(IgnoreReason::CutLink)?;
        self.ethertype(EtherType(ethertype), layer.skip(4))
    }

    /// Decodes a PPP protocol field (RFC 1661) and its payload. A compressed field has one byte.
    pub(super) fn ppp(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let layer = if self.bytes(layer).starts_with(&HDLC_PPP) {
            layer.skip(HDLC_PPP.len())
        } else {
            layer
        };
        let bytes = self.bytes(layer);
        let first = *bytes.first().ok_or(IgnoreReason::CutLink)?;
        // The last byte of a protocol number is odd; the others are even.
        let (protocol, len) = if first & 1 == 1 {
            (u16::from(first), 1)
        } else {
            (be16(bytes, 0).ok_or(IgnoreReason::CutLink)?, 2)
        };
        let content = layer.skip(len);
        match protocol {
            0x0021 => self.ipv4(content),
            0x0057 => self.ipv6(content),
            0x0281 => self.ethertype(MPLS, content),
            0x0283 => self.ethertype(MPLS_MULTICAST, content),
            _ => Err(IgnoreReason::NotIp),
        }
    }

    /// Decodes PPPoE from its own header on (RFC 2516). Discovery packets, with a code other than 0, carry no
    /// PPP.
    pub(super) fn pppoe(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        match self.bytes(layer) {
            [_, 0, _, _, _, _, ..] => self.ppp(layer.skip(6)),
            [_, _, _, _, _, _, ..] => Err(IgnoreReason::NotIp),
            _ => Err(IgnoreReason::CutLink),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn serial_lines_are_told_apart_by_their_first_byte() {
        let (v4, v6) = (ipv4_udp(53, b"x"), ipv6_udp(53, b"x"));
        let cases: [(&[u8], &[u8]); 9] = [
            (&[0x02, 0x81, 0, 0, 1, 64], &v4),
            (&[0x02, 0x83, 0, 0, 1, 64], &v6),
            (&[0, 0x21], &v4),
            (&[0, 0x57], &v6),
            (&[0x21], &v4),
            (&[0xff, 3, 0, 0x21], &v4),
            (&[0xff, 3, 0x57], &v6),
            (&[0x0f, 0, 8, 0], &v4),
            (&[0x8f, 0, 0x86, 0xdd], &v6),
        ];
        for (header, packet) in cases {
            for link in [9, 50] {
                let packet = decode(link, &[header, packet].concat()).expect("IP in it");
                assert_eq!(packet.ip_at as usize, header.len());
                assert_eq!(packet.dst_port, 53);
            }
        }
        let discovery = [0x11, 9, 0, 0, 0, 0, 0, 0x21, 0x45];
        assert_eq!(decode(51, &discovery), Err(IgnoreReason::NotIp));
        let control = [0xff, 3, 0xc0, 0x21, 1, 1, 0, 4];
        assert_eq!(decode(9, &control), Err(IgnoreReason::NotIp));
        let keep_alive = [0x8f, 0, 0x80, 0x35, 0, 0, 0, 2];
        assert_eq!(decode(104, &keep_alive), Err(IgnoreReason::NotIp));
        assert_eq!(decode(9, &[0xff, 3]), Err(IgnoreReason::CutLink));
    }
}
