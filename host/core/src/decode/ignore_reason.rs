//! The reasons for which a packet is not metered.

use std::fmt;

/// Why a packet was not metered. Every such packet is counted under exactly one of these.
///
/// "Cut" means that the capture kept too few bytes of the packet (a snapshot length); "malformed",
/// that the packet contradicts itself however many bytes were kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IgnoreReason {
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

impl IgnoreReason {
    /// Every reason, in the order of [`index`](IgnoreReason::index).
    pub const ALL: [IgnoreReason; 12] = [
        IgnoreReason::UnknownLinkType,
        IgnoreReason::CutLink,
        IgnoreReason::NotIp,
        IgnoreReason::Encrypted,
        IgnoreReason::BadFcs,
        IgnoreReason::CutIp,
        IgnoreReason::MalformedIpv4,
        IgnoreReason::MalformedIpv6,
        IgnoreReason::LaterFragment,
        IgnoreReason::NoNextHeader,
        IgnoreReason::CutTransport,
        IgnoreReason::TooDeep,
    ];

    /// Its place in [`ALL`](IgnoreReason::ALL), and so in an array of counters of that length.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// A name for machines, which stays the same from release to release.
    pub const fn name(self) -> &'static str {
        match self {
            IgnoreReason::UnknownLinkType => "unknown-link-type",
            IgnoreReason::CutLink => "cut-link",
            IgnoreReason::NotIp => "not-ip",
            IgnoreReason::Encrypted => "encrypted",
            IgnoreReason::BadFcs => "bad-fcs",
            IgnoreReason::CutIp => "cut-ip",
            IgnoreReason::MalformedIpv4 => "malformed-ipv4",
            IgnoreReason::MalformedIpv6 => "malformed-ipv6",
            IgnoreReason::LaterFragment => "later-fragment",
            IgnoreReason::NoNextHeader => "no-next-header",
            IgnoreReason::CutTransport => "cut-transport",
            IgnoreReason::TooDeep => "too-deep",
        }
    }
}

/// A sentence for people, without a full stop.
impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IgnoreReason::UnknownLinkType => "the link type is not one that is decoded",
            IgnoreReason::CutLink => "the frame ends within its link-layer header",
            IgnoreReason::NotIp => "the frame does not carry IP",
            IgnoreReason::Encrypted => "the 802.11 frame is encrypted",
            IgnoreReason::BadFcs => "the 802.11 frame was received with a wrong checksum",
            IgnoreReason::CutIp => "the captured bytes end within the IP header",
            IgnoreReason::MalformedIpv4 => "the IPv4 header contradicts itself",
            IgnoreReason::MalformedIpv6 => "the IPv6 header contradicts itself",
            IgnoreReason::LaterFragment => "the packet is a fragment other than the first",
            IgnoreReason::NoNextHeader => "the IPv6 packet says that nothing follows its header",
            IgnoreReason::CutTransport => "the captured bytes end before the ports",
            IgnoreReason::TooDeep => "too many headers are nested in each other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::IgnoreReason;

    #[test]
    fn all_is_ordered_by_index_and_names_are_unique() {
        for (index, reason) in IgnoreReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            let same = IgnoreReason::ALL
                .iter()
                .filter(|r| r.name() == reason.name());
            assert_eq!(same.count(), 1, "{}", reason.name());
        }
    }
}
