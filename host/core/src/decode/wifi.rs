//! IEEE 802.11 data frames, and the headers that capture programs add before them.

use super::{FrameDecoder, IgnoreReason, Layer};

/// The length of frame control, duration, three addresses and sequence control.
const HEADER_LEN: usize = 24;

/// Bits in the first byte of the frame control field. Bits 2 and 3 are the type of the frame. In a data frame,
/// one bit of the subtype means "without data", and another means "with a quality of service field".
const TYPE: u8 = 0x0c;
const DATA: u8 = 0x08;
const NO_DATA: u8 = 0x40;
const QOS: u8 = 0x80;

/// Bits in the second byte of the frame control field.
const TO_AND_FROM_DS: u8 = 0x03;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;

/// A bit in the quality of service field: the body contains several frames (A-MSDU).
const AGGREGATED: u8 = 0x80;

/// The first bytes of the body of a data frame that carries an ethertype.
const SNAP: [u8; 3] = [0xaa, 0xaa, 0x03];

/// Presence bits and flags of a radiotap header.
const HAS_TIME: u32 = 1 << 0;
const HAS_FLAGS: u32 = 1 << 1;
const MORE_PRESENCE_BITS: u32 = 1 << 31;
const FAILED_FCS: u8 = 0x40;

impl FrameDecoder<'_> {
    /// Decodes an 802.11 frame.
    pub(super) fn wifi(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        match *self.bytes(layer) {
            [control, flags, ..] => self.wifi_with_control(control, flags, layer),
            _ => Err(IgnoreReason::CutLink),
        }
    }

    /// Decodes an 802.11 frame with the given two bytes of its frame control field.
    ///
    /// The source MAC address is the address of the transmitter (address 2). The destination MAC address is
    /// address 3, in both directions. This is the rule of NFStream.
    pub(super) fn wifi_with_control(
        &mut self,
        control: u8,
        flags: u8,
        layer: Layer,
    ) -> Result<(), IgnoreReason> {
        if control & TYPE != DATA || control & NO_DATA != 0 {
            return Err(IgnoreReason::NotIp);
        }
        let bytes = self.bytes(layer);
        let mut len = HEADER_LEN;
        if flags & TO_AND_FROM_DS == TO_AND_FROM_DS {
            // The fourth address.
            len += 6;
        }
        if control & QOS != 0 {
            if bytes.get(len).ok_or(IgnoreReason::CutLink)? & AGGREGATED != 0 {
                return Err(IgnoreReason::NotIp);
            }
            len += 2;
            if flags & ORDER != 0 {
                // The high throughput control field.
                len += 4;
            }
        }
        let header = bytes
            .first_chunk::<HEADER_LEN>()
            .ok_or(IgnoreReason::CutLink)?;
        self.packet.src_mac = mac_at(header, 10);
        self.packet.dst_mac = mac_at(header, 16);
        let body = layer.skip(len);
        // A receiver that decrypted the frame does not clear the flag, so the body is checked as well.
        if flags & PROTECTED != 0 && !self.bytes(body).starts_with(&SNAP) {
            return Err(IgnoreReason::Encrypted);
        }
        self.llc(body)
    }

    /// Decodes an 802.11 frame after a radiotap header: version, padding, little-endian length, presence
    /// bits, fields.
    pub(super) fn radiotap(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(layer);
        let header = bytes.first_chunk::<8>().ok_or(IgnoreReason::CutLink)?;
        let len = usize::from(u16::from_le_bytes([header[2], header[3]]));
        if len < header.len() || len > bytes.len() {
            return Err(IgnoreReason::CutLink);
        }
        let flags = radiotap_flags(&bytes[..len]);
        if flags.is_some_and(|flags| flags & FAILED_FCS != 0) {
            return Err(IgnoreReason::BadFcs);
        }
        self.wifi(layer.skip(len))
    }

    /// Decodes an 802.11 frame after a Prism header. The second word of the header is its length, in the byte
    /// order of the capturing machine. Some drivers write an AVS header with this link type.
    pub(super) fn prism(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(layer);
        let [code @ .., len0, len1, len2, len3] =
            *bytes.first_chunk::<8>().ok_or(IgnoreReason::CutLink)?;
        if u32::from_be_bytes(code) & 0xffff_f000 == 0x8021_1000 {
            return self.avs(layer);
        }
        let len = [len0, len1, len2, len3];
        let len = u32::from_be_bytes(len).min(u32::from_le_bytes(len));
        self.wifi_after(len, layer)
    }

    /// Decodes an 802.11 frame after an AVS header: version and length, big-endian.
    pub(super) fn avs(&mut self, layer: Layer) -> Result<(), IgnoreReason> {
        let bytes = self.bytes(layer);
        let [.., len0, len1, len2, len3] =
            *bytes.first_chunk::<8>().ok_or(IgnoreReason::CutLink)?;
        self.wifi_after(u32::from_be_bytes([len0, len1, len2, len3]), layer)
    }

    /// Decodes an 802.11 frame after a header of `header_len` bytes, which must be at least 8.
    fn wifi_after(&mut self, header_len: u32, layer: Layer) -> Result<(), IgnoreReason> {
        let len = header_len as usize;
        if len < 8 || len > self.bytes(layer).len() {
            return Err(IgnoreReason::CutLink);
        }
        self.wifi(layer.skip(len))
    }
}

/// Returns the flags field of a radiotap header, if it is present.
///
/// It is the second field. The first one is the time, aligned to eight bytes, if that is present.
fn radiotap_flags(header: &[u8]) -> Option<u8> {
    let words = header.get(4..)?.as_chunks::<4>().0;
    let presence = u32::from_le_bytes(*words.first()?);
    if presence & HAS_FLAGS == 0 {
        return None;
    }
    let more = words
        .iter()
        .take_while(|word| u32::from_le_bytes(**word) & MORE_PRESENCE_BITS != 0);
    let mut offset = 4 + 4 * (more.count() + 1);
    if presence & HAS_TIME != 0 {
        offset = offset.next_multiple_of(8) + 8;
    }
    header.get(offset).copied()
}

/// Returns the MAC address at `offset`, which must be at most `HEADER_LEN - 6`.
fn mac_at(header: &[u8; HEADER_LEN], offset: usize) -> [u8; 6] {
    let mut mac = [0; 6];
    mac.copy_from_slice(&header[offset..offset + 6]);
    mac
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    const WIFI: u16 = 105;

    #[test]
    fn data_frames_carry_ip_behind_headers_of_every_length() {
        let packet = ipv4_udp(53, b"query");
        let plain = wifi(0x08, &[], &packet);
        let qos = wifi(0x88, &[0, 0], &packet);
        let mut throughput = wifi(0x88, &[0; 6], &packet);
        throughput[1] |= ORDER;
        let mut wireless_bridge = wifi(0x08, &[0; 6], &packet);
        wireless_bridge[1] |= TO_AND_FROM_DS;
        for frame in [plain, qos, throughput, wireless_bridge] {
            let packet = decode(WIFI, &frame).expect("IP in it");
            assert_eq!((packet.src_port, packet.dst_port), (SRC_PORT, 53));
            assert_eq!((packet.src_mac, packet.dst_mac), (SRC_MAC, DST_MAC));
        }
    }

    #[test]
    fn other_frames_are_told_apart() {
        let packet = ipv4_udp(53, b"query");
        let beacon = wifi(0x80, &[], &packet);
        let null = wifi(0x48, &[], &[]);
        let aggregated = wifi(0x88, &[0x80, 0], &packet);
        for frame in [beacon, null, aggregated] {
            assert_eq!(decode(WIFI, &frame), Err(IgnoreReason::NotIp));
        }
        let mut protected = wifi(0x08, &[], &packet);
        protected[1] |= PROTECTED;
        assert!(decode(WIFI, &protected).is_ok(), "decrypted on reception");
        protected[HEADER_LEN] = 0x17;
        assert_eq!(decode(WIFI, &protected), Err(IgnoreReason::Encrypted));
        assert_eq!(decode(WIFI, &protected[..20]), Err(IgnoreReason::CutLink));
        // Without the flag, such a body is not called encrypted.
        protected[1] &= !PROTECTED;
        assert_eq!(decode(WIFI, &protected), Err(IgnoreReason::NotIp));
    }

    #[test]
    fn a_failed_checksum_is_found_among_radiotap_fields() {
        let frame = wifi(0x08, &[], &ipv4_udp(53, b"query"));
        let with = |header: &[u8]| decode(127, &[header, &frame].concat());
        assert!(with(&[0, 0, 8, 0, 0, 0, 0, 0]).is_ok());
        assert!(with(&[0, 0, 9, 0, 2, 0, 0, 0, 0x10]).is_ok());
        assert_eq!(
            with(&[0, 0, 9, 0, 2, 0, 0, 0, 0x40]),
            Err(IgnoreReason::BadFcs)
        );
        // A second word of presence bits, four bytes of padding before the time, and the time
        let mut header = [0; 25];
        header[2] = 25;
        header[4..8].copy_from_slice(&(HAS_TIME | HAS_FLAGS | MORE_PRESENCE_BITS).to_le_bytes());
        assert!(with(&header).is_ok());
        header[24] = FAILED_FCS;
        assert_eq!(with(&header), Err(IgnoreReason::BadFcs));
        for len in [7, 200] {
            header[2] = len;
            assert_eq!(with(&header), Err(IgnoreReason::CutLink), "{len}");
        }
        // Without the presence bit, the byte is another field.
        assert!(with(&[0, 0, 9, 0, 0, 0, 0, 0, 0x40]).is_ok());
    }

    #[test]
    fn prism_and_avs_headers_are_skipped() {
        let frame = wifi(0x08, &[], &ipv4_udp(53, b"query"));
        let mut prism = [0; 144];
        prism[4] = 144;
        let mut avs = [0; 64];
        avs[..8].copy_from_slice(&[0x80, 0x21, 0x10, 0x01, 0, 0, 0, 64]);
        let mut short = [0; 8];
        short[4] = 8;
        assert!(decode(119, &[&short[..], &frame].concat()).is_ok());
        for len in [0, 7, 200] {
            short[4] = len;
            let cut = decode(119, &[&short[..], &frame].concat());
            assert_eq!(cut, Err(IgnoreReason::CutLink), "{len}");
        }
        assert!(decode(119, &[&prism[..], &frame].concat()).is_ok());
        assert!(decode(119, &[&avs[..], &frame].concat()).is_ok());
        assert!(decode(163, &[&avs[..], &frame].concat()).is_ok());
    }
}
