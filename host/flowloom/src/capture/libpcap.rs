//! Conversions between libpcap and this crate.

use flowloom_core::link_type::LinkType;

/// Returns libpcap's message without the prefix that the `pcap` crate adds.
pub(crate) fn message(error: pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message,
        other => other.to_string(),
    }
}

/// Returns libpcap's number (`DLT_…`) for a link type.
///
/// Most numbers equal those in files (`LINKTYPE_…`). A few differ for historical reasons. Those in
/// files are the same on all systems.
pub(crate) fn data_link(link: LinkType) -> i32 {
    match link.0 {
        // DLT_RAW is 14 on OpenBSD, 12 everywhere else.
        101 => {
            if cfg!(target_os = "openbsd") {
                14
            } else {
                12
            }
        }
        100 => 11,
        102 => 15,
        103 => 16,
        106 => 19,
        same => i32::from(same),
    }
}

/// Returns the link type for a number of libpcap. It is the inverse of [`data_link`].
pub(crate) fn link_type(data_link: i32) -> LinkType {
    LinkType(match data_link {
        11 => 100,
        // DLT_RAW is 14 on OpenBSD, 12 everywhere else.
        12 | 14 => 101,
        15 => 102,
        16 => 103,
        19 => 106,
        same => u16::try_from(same).unwrap_or(u16::MAX),
    })
}
