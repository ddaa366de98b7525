//! Packets as a source delivers them.

use crate::time::Time;

/// A link-layer header type. The numbers are the `LINKTYPE_` values of the tcpdump registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

/// One captured packet.
#[derive(Clone, Copy, Debug)]
pub struct RawPacket<'a> {
    /// The time of capture.
    pub time: Time,
    /// The type of the header that `data` starts with.
    pub link: LinkType,
    /// The length of the packet on the wire in bytes; at least `data.len()`.
    pub wire_len: u32,
    /// The captured bytes.
    pub data: &'a [u8],
}
