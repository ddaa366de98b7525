//! Packets as a source gives them.

use crate::time::Time;

/// A link-layer header type, as numbered in the tcpdump registry of `LINKTYPE_` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

/// One packet as captured.
#[derive(Clone, Copy, Debug)]
pub struct RawPacket<'a> {
    /// When it was captured.
    pub time: Time,
    /// What the first bytes of `data` are.
    pub link: LinkType,
    /// Bytes the packet had on the wire; at least `data.len()`.
    pub wire_len: u32,
    /// The captured bytes.
    pub data: &'a [u8],
}
