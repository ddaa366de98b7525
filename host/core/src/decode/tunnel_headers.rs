//! The headers of tunnels.
//!
//! Each function takes the captured payload of a UDP packet, or of IP protocol GRE. It returns `None` if the
//! payload does not start with a valid header of its tunnel.

use etherparse::{EtherType, ether_type};

use super::be16;
use super::link::{MPLS, MPLS_MULTICAST};

/// The type of the payload of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PayloadType {
    Ethernet,
    Ethertype(EtherType),
    /// IP of the version in its first four bits.
    Ip,
    /// An 802.11 frame.
    Wifi,
    /// An 802.11 frame after a Prism header.
    Prism,
    /// An 802.11 frame after an AVS header.
    Avs,
    Ppp,
    /// A fragment other than the first, by the fragmentation of the tunnel itself.
    LaterFragment,
}

/// The length of the tunnel header in bytes, and the type of the payload after it.
pub(super) type ParsedHeader = Option<(usize, PayloadType)>;

const TRANSPARENT_ETHERNET: EtherType = EtherType(0x6558);
const ERSPAN: EtherType = EtherType(0x88be);
const ERSPAN_III: EtherType = EtherType(0x22eb);
const PPP: EtherType = EtherType(0x880b);

/// The length of an 802.11 header and an LLC header.
const WIFI_LLC_LEN: usize = 24 + 8;

/// Parses GTP-U (3GPP TS 29.281): a G-PDU of version 1, with optional fields and extension headers.
pub(super) fn gtp(bytes: &[u8]) -> ParsedHeader {
    const VERSION_1: u8 = 1;
    const G_PDU: u8 = 0xff;
    const HAS_EXTENSION: u8 = 0x04;
    const HAS_OPTIONAL_FIELDS: u8 = 0x07;

    let &[flags, message, ..] = bytes.first_chunk::<8>()?;
    if flags >> 5 != VERSION_1 || message != G_PDU {
        return None;
    }
    if flags & HAS_OPTIONAL_FIELDS == 0 {
        return Some((8, PayloadType::Ip));
    }
    let mut len = 12;
    // The byte before an extension header is its type; 0 means that there is none. The optional fields end
    // with such a byte, which is valid only if the flag is set.
    let mut extension = *bytes.get(len - 1)?;
    if flags & HAS_EXTENSION == 0 {
        extension = 0;
    }
    while extension != 0 {
        let words = usize::from(*bytes.get(len)?);
        if words == 0 {
            return None;
        }
        len += 4 * words;
        extension = *bytes.get(len - 1)?;
    }
    Some((len, PayloadType::Ip))
}

/// Parses TZSP: a received or a sent frame after tagged fields.
pub(super) fn tzsp(bytes: &[u8]) -> ParsedHeader {
    const PADDING: u8 = 0;
    const END: u8 = 1;

    let payload_type = match *bytes {
        [1, 0 | 1, 0, 0x01, ..] => PayloadType::Ethernet,
        [1, 0 | 1, 0, 0x12, ..] => PayloadType::Wifi,
        [1, 0 | 1, 0, 0x77, ..] => PayloadType::Prism,
        [1, 0 | 1, 0, 0x7f, ..] => PayloadType::Avs,
        _ => return None,
    };
    let mut len = 4;
    loop {
        match *bytes.get(len)? {
            END => return Some((len + 1, payload_type)),
            PADDING => len += 1,
            _ => len += 2 + usize::from(*bytes.get(len + 1)?),
        }
    }
}

/// Parses CAPWAP data (RFC 5415, section 4.3): an unencrypted 802.11 or 802.3 frame.
///
/// Keep-alive packets have no frame. Encrypted packets (DTLS) start with another preamble.
pub(super) fn capwap(bytes: &[u8]) -> ParsedHeader {
    const NATIVE: u8 = 0x01;
    const FRAGMENT: u8 = 0x80;
    const KEEP_ALIVE: u8 = 0x08;

    let &[preamble, words, native, flags, ..] = bytes.first_chunk::<8>()?;
    let len = usize::from(words >> 3) * 4;
    if preamble != 0 || len < 8 || flags & KEEP_ALIVE != 0 {
        return None;
    }
    if flags & FRAGMENT != 0 && be16(bytes, 6)? >> 3 != 0 {
        return Some((len, PayloadType::LaterFragment));
    }
    if native & NATIVE == 0 {
        return Some((len, PayloadType::Ethernet));
    }
    // A frame that is too short to carry IP is not unwrapped.
    (bytes.len() > len + WIFI_LLC_LEN).then_some((len, PayloadType::Wifi))
}

/// Parses VXLAN (RFC 7348).
pub(super) fn vxlan(bytes: &[u8]) -> ParsedHeader {
    const HAS_NETWORK_ID: u8 = 0x08;
    let &[flags, ..] = bytes.first_chunk::<8>()?;
    (flags & HAS_NETWORK_ID != 0).then_some((8, PayloadType::Ethernet))
}

/// Parses Geneve with its options (RFC 8926).
pub(super) fn geneve(bytes: &[u8]) -> ParsedHeader {
    let &[version_and_len, ..] = bytes.first_chunk::<8>()?;
    if version_and_len >> 6 != 0 {
        return None;
    }
    let len = 8 + 4 * usize::from(version_and_len & 0x3f);
    Some((len, payload_type(EtherType(be16(bytes, 2)?))?))
}

/// Parses GRE (RFC 2784 and 2890), version 1 of GRE in PPTP (RFC 2637), and ERSPAN.
pub(super) fn gre(bytes: &[u8]) -> ParsedHeader {
    const HAS_CHECKSUM: u16 = 0x8000;
    const HAS_ROUTING: u16 = 0x4000;
    const HAS_KEY: u16 = 0x2000;
    const HAS_SEQUENCE: u16 = 0x1000;
    const HAS_ACKNOWLEDGMENT: u16 = 0x0080;
    const VERSION: u16 = 0x0007;

    let flags = be16(bytes, 0)?;
    let protocol = EtherType(be16(bytes, 2)?);
    if flags & HAS_ROUTING != 0 {
        return None;
    }
    let fields = |mask: u16| 4 * (flags & mask).count_ones() as usize;
    let len = 4 + fields(HAS_CHECKSUM | HAS_KEY | HAS_SEQUENCE);
    match (flags & VERSION, protocol) {
        (0, ERSPAN) if flags & HAS_SEQUENCE == 0 => Some((len, PayloadType::Ethernet)),
        (0, ERSPAN) => Some((len + 8, PayloadType::Ethernet)),
        (0, ERSPAN_III) => {
            // If the last bit is set, a platform-specific subheader of 8 bytes follows.
            let has_subheader = bytes.get(len + 11)? & 1;
            Some((
                len + 12 + 8 * usize::from(has_subheader),
                PayloadType::Ethernet,
            ))
        }
        (0, protocol) => Some((len, payload_type(protocol)?)),
        (1, PPP) => Some((len + fields(HAS_ACKNOWLEDGMENT), PayloadType::Ppp)),
        _ => None,
    }
}

/// Returns the payload type for a protocol type of Geneve or GRE, which is an ethertype.
fn payload_type(protocol: EtherType) -> Option<PayloadType> {
    match protocol {
        TRANSPARENT_ETHERNET => Some(PayloadType::Ethernet),
        ether_type::IPV4
        | ether_type::IPV6
        | ether_type::VLAN_TAGGED_FRAME
        | MPLS
        | MPLS_MULTICAST => Some(PayloadType::Ethertype(protocol)),
        _ => None,
    }
}
