//! The headers of tunnels: whether a payload is one, and where in it the content is.
//!
//! Each of these takes the captured payload of a UDP or GRE packet, and gives nothing if that does
//! not read as its tunnel.

use etherparse::{EtherType, ether_type};

use super::be16;
use super::link::{MPLS, MPLS_MULTICAST};

/// What a tunnel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Ethernet,
    Ethertype(EtherType),
    /// IP by its version field.
    Ip,
    Wifi,
    /// 802.11 behind a Prism or an AVS header.
    Prism,
    Avs,
    Ppp,
    /// A fragment by the tunnel's own fragmentation, and not the first.
    LaterFragment,
}

/// Where in a payload the content of a tunnel is, and what it is.
pub(super) type Found = Option<(usize, Content)>;

const TRANSPARENT_ETHERNET: EtherType = EtherType(0x6558);
const ERSPAN: EtherType = EtherType(0x88be);
const ERSPAN_III: EtherType = EtherType(0x22eb);
const PPP: EtherType = EtherType(0x880b);

/// An 802.11 header and an LLC header.
const WIFI_LLC_LEN: usize = 24 + 8;

/// GTP-U (3GPP TS 29.281): a G-PDU of version 1, behind its optional fields and extension headers.
pub(super) fn gtp(bytes: &[u8]) -> Found {
    const VERSION_1: u8 = 1;
    const G_PDU: u8 = 0xff;
    const HAS_EXTENSION: u8 = 0x04;
    const HAS_OPTIONAL_FIELDS: u8 = 0x07;

    let &[flags, message, ..] = bytes.first_chunk::<8>()?;
    if flags >> 5 != VERSION_1 || message != G_PDU {
        return None;
    }
    if flags & HAS_OPTIONAL_FIELDS == 0 {
        return Some((8, Content::Ip));
    }
    let mut at = 12;
    // The byte before an extension header is its type, and 0 says that there is none. The
    // optional fields end with such a byte, which counts only with its flag.
    let mut extension = *bytes.get(at - 1)?;
    if flags & HAS_EXTENSION == 0 {
        extension = 0;
    }
    while extension != 0 {
        let words = usize::from(*bytes.get(at)?);
        if words == 0 {
            return None;
        }
        at += 4 * words;
        extension = *bytes.get(at - 1)?;
    }
    Some((at, Content::Ip))
}

/// TZSP: a received or a sent frame, behind its tags.
pub(super) fn tzsp(bytes: &[u8]) -> Found {
    const PADDING: u8 = 0;
    const END: u8 = 1;

    let content = match *bytes {
        [1, 0 | 1, 0, 0x01, ..] => Content::Ethernet,
        [1, 0 | 1, 0, 0x12, ..] => Content::Wifi,
        [1, 0 | 1, 0, 0x77, ..] => Content::Prism,
        [1, 0 | 1, 0, 0x7f, ..] => Content::Avs,
        _ => return None,
    };
    let mut at = 4;
    loop {
        match *bytes.get(at)? {
            END => return Some((at + 1, content)),
            PADDING => at += 1,
            _ => at += 2 + usize::from(*bytes.get(at + 1)?),
        }
    }
}

/// CAPWAP data (RFC 5415, section 4.3): an 802.11 or an 802.3 frame in plain text. A keep-alive is
/// neither, and what is encrypted (DTLS) starts with another preamble.
pub(super) fn capwap(bytes: &[u8]) -> Found {
    const NATIVE: u8 = 0x01;
    const FRAGMENT: u8 = 0x80;
    const KEEP_ALIVE: u8 = 0x08;

    let &[preamble, len, native, flags, ..] = bytes.first_chunk::<8>()?;
    let at = usize::from(len >> 3) * 4;
    if preamble != 0 || at < 8 || flags & KEEP_ALIVE != 0 {
        return None;
    }
    if flags & FRAGMENT != 0 && be16(bytes, 6)? >> 3 != 0 {
        return Some((at, Content::LaterFragment));
    }
    if native & NATIVE == 0 {
        return Some((at, Content::Ethernet));
    }
    // A frame that cannot carry IP leaves the packet as it is.
    (bytes.len() > at + WIFI_LLC_LEN).then_some((at, Content::Wifi))
}

/// VXLAN (RFC 7348).
pub(super) fn vxlan(bytes: &[u8]) -> Found {
    const HAS_NETWORK_ID: u8 = 0x08;
    let &[flags, ..] = bytes.first_chunk::<8>()?;
    (flags & HAS_NETWORK_ID != 0).then_some((8, Content::Ethernet))
}

/// Geneve (RFC 8926), behind its options.
pub(super) fn geneve(bytes: &[u8]) -> Found {
    let &[version_and_len, ..] = bytes.first_chunk::<8>()?;
    if version_and_len >> 6 != 0 {
        return None;
    }
    let at = 8 + 4 * usize::from(version_and_len & 0x3f);
    Some((at, carried(EtherType(be16(bytes, 2)?))?))
}

/// GRE (RFC 2784 and 2890), PPTP's version 1 of it (RFC 2637), and ERSPAN.
pub(super) fn gre(bytes: &[u8]) -> Found {
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
    let at = 4 + fields(HAS_CHECKSUM | HAS_KEY | HAS_SEQUENCE);
    match (flags & VERSION, protocol) {
        (0, ERSPAN) if flags & HAS_SEQUENCE == 0 => Some((at, Content::Ethernet)),
        (0, ERSPAN) => Some((at + 8, Content::Ethernet)),
        (0, ERSPAN_III) => {
            // The last bit says that a part for the platform follows.
            let more = bytes.get(at + 11)? & 1;
            Some((at + 12 + 8 * usize::from(more), Content::Ethernet))
        }
        (0, protocol) => Some((at, carried(protocol)?)),
        (1, PPP) => Some((at + fields(HAS_ACKNOWLEDGMENT), Content::Ppp)),
        _ => None,
    }
}

/// The protocol types of Geneve and GRE are ethertypes.
fn carried(protocol: EtherType) -> Option<Content> {
    match protocol {
        TRANSPARENT_ETHERNET => Some(Content::Ethernet),
        ether_type::IPV4
        | ether_type::IPV6
        | ether_type::VLAN_TAGGED_FRAME
        | MPLS
        | MPLS_MULTICAST => Some(Content::Ethertype(protocol)),
        _ => None,
    }
}
