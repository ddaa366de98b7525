//! The reasons for which a packet is not metered.

use std::fmt;

/// Why a packet was not metered. Every such packet is counted under exactly one of these.
///
/// "Cut" means that the capture kept too few bytes of the packet (a snapshot length); "malformed",
/// that the packet contradicts itself however many bytes were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ignored {
    /// No decoder for this link type.
    UnknownLinkType,
    /// The frame ends within its link-layer header, tags and labels included.
    CutLink,
    /// The link layer or the tunnel carries something else than IP: ARP, LLC, spanning tree,
    /// 802.11 management …
    NotIp,
    /// An 802.11 frame whose body is encrypted.
    Encrypted,
    /// An 802.11 frame that was received with a wrong checksum.
    BadFcs,
    /// The captured bytes end within the IP header or its extension headers.
    CutIp,
    /// Not version 4, a header length below 20 bytes, or a total length below the header's.
    MalformedIpv4,
    /// Not version 6, or extension headers that are longer than the packet.
    MalformedIpv6,
    /// A fragment other than the first: it has no transport header. IPv4 and IPv6.
    LaterFragment,
    /// IPv6 without a next header (59).
    NoNextHeader,
    /// The captured bytes end before the ports of a TCP or UDP header.
    CutTransport,
    /// More IP headers within each other, or more link-layer tags, than are followed.
    TooDeep,
}

impl Ignored {
    /// Every reason, in the order of [`index`](Ignored::index).
    pub const ALL: [Ignored; 12] = [
        Ignored::UnknownLinkType,
        Ignored::CutLink,
        Ignored::NotIp,
        Ignored::Encrypted,
        Ignored::BadFcs,
        Ignored::CutIp,
        Ignored::MalformedIpv4,
        Ignored::MalformedIpv6,
        Ignored::LaterFragment,
        Ignored::NoNextHeader,
        Ignored::CutTransport,
        Ignored::TooDeep,
    ];

    /// Its place in [`ALL`](Ignored::ALL), and so in an array of counters of that length.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A name for machines, which stays the same from release to release.
    pub const fn name(self) -> &'static str {
        match self {
            Ignored::UnknownLinkType => "unknown-link-type",
            Ignored::CutLink => "cut-link",
            Ignored::NotIp => "not-ip",
            Ignored::Encrypted => "encrypted",
            Ignored::BadFcs => "bad-fcs",
            Ignored::CutIp => "cut-ip",
            Ignored::MalformedIpv4 => "malformed-ipv4",
            Ignored::MalformedIpv6 => "malformed-ipv6",
            Ignored::LaterFragment => "later-fragment",
            Ignored::NoNextHeader => "no-next-header",
            Ignored::CutTransport => "cut-transport",
            Ignored::TooDeep => "too-deep",
        }
    }
}

/// A sentence for people, without a full stop.
impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ignored::UnknownLinkType => "the link type is not one that is decoded",
            Ignored::CutLink => "the frame ends within its link-layer header",
            Ignored::NotIp => "the frame does not carry IP",
            Ignored::Encrypted => "the 802.11 frame is encrypted",
            Ignored::BadFcs => "the 802.11 frame was received with a wrong checksum",
            Ignored::CutIp => "the captured bytes end within the IP header",
            Ignored::MalformedIpv4 => "the IPv4 header contradicts itself",
            Ignored::MalformedIpv6 => "the IPv6 header contradicts itself",
            Ignored::LaterFragment => "the packet is a fragment other than the first",
            Ignored::NoNextHeader => "the IPv6 packet says that nothing follows its header",
            Ignored::CutTransport => "the captured bytes end before the ports",
            Ignored::TooDeep => "too many headers are nested in each other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Ignored;

    #[test]
    fn all_is_ordered_by_index_and_names_are_unique() {
        for (index, reason) in Ignored::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            let same = Ignored::ALL.iter().filter(|r| r.name() == reason.name());
            assert_eq!(same.count(), 1, "{}", reason.name());
        }
    }
}
