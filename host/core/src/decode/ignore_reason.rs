//! The reasons why a packet is not metered.

use std::fmt;

/// The reason why a packet was not metered. Every ignored packet is counted under exactly one reason.
///
/// "Cut" means that the capture has too few bytes of the packet, for example because of a snapshot length.
/// "Malformed" means that the packet itself is invalid, regardless of the number of captured bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum IgnoreReason {
    /// The decoder does not know the link type.
    UnknownLinkType,
    /// The frame ends within its link-layer header, including tags and labels.
    CutLink,
    /// The link layer or the tunnel carries a protocol other than IP, for example ARP, spanning tree or
    /// 802.11 management.
    NotIp,
    /// The body of the 802.11 frame is encrypted.
    Encrypted,
    /// The 802.11 frame was received with a wrong checksum.
    BadFcs,
    /// The captured bytes end within the IP header or its extension headers.
    CutIp,
    /// The version is not 4, the header length is below 20 bytes, or the total length is below the header
    /// length.
    MalformedIpv4,
    /// The version is not 6, or the extension headers are longer than the packet.
    MalformedIpv6,
    /// The IPv4 or IPv6 packet is a fragment other than the first, so it has no transport header.
    LaterFragment,
    /// The IPv6 packet has no next header (59).
    NoNextHeader,
    /// The captured bytes end before the ports of a TCP or UDP header.
    CutTransport,
    /// The packet has more nested IP headers or link-layer tags than the decoder follows.
    TooDeep,
}

impl IgnoreReason {
    /// All reasons, in the order of [`index`](IgnoreReason::index).
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

    /// Returns the index of the reason in [`ALL`](IgnoreReason::ALL), for arrays of counters of that length.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the machine-readable name, which is stable across releases.
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

/// Writes a sentence for people, without a full stop.
impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            IgnoreReason::UnknownLinkType => "Flowloom does not decode this link type",
            IgnoreReason::CutLink => "the frame ends within its link-layer header",
            IgnoreReason::NotIp => "the frame does not carry IP",
            IgnoreReason::Encrypted => "the 802.11 frame is encrypted",
            IgnoreReason::BadFcs => "the 802.11 frame was received with a wrong checksum",
            IgnoreReason::CutIp => "the captured bytes end within the IP header",
            IgnoreReason::MalformedIpv4 => "the IPv4 header is invalid",
            IgnoreReason::MalformedIpv6 => "the IPv6 header is invalid",
            IgnoreReason::LaterFragment => "the packet is a fragment other than the first",
            IgnoreReason::NoNextHeader => "the IPv6 packet has no next header",
            IgnoreReason::CutTransport => "the captured bytes end before the ports",
            IgnoreReason::TooDeep => "the packet has too many nested headers",
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
            assert!(reason.to_string().contains(' '), "{}", reason.name());
        }
    }
}
