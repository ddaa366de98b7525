//! Packets as a source hands them on.

use std::fmt;

use crate::time::Time;

/// A link-layer header type, as numbered in the tcpdump registry of `LINKTYPE_` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

/// The name that libpcap has for it, and its number; the number alone where libpcap does not know it.
impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match pcap::Linktype(self.0.into()).get_name() {
            Ok(name) => write!(f, "{name} ({})", self.0),
            Err(_) => write!(f, "{}", self.0),
        }
    }
}

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

/// Some packets of a source, in order, all in one block of memory.
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    block: &'a [u8],
    records: &'a [Record],
}

/// Where a packet stands in the block, and what its record said of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) time: Time,
    pub(super) start: u32,
    pub(super) len: u32,
    pub(super) wire_len: u32,
    pub(super) link: LinkType,
}

impl Record {
    /// The packet, `block` being the memory that the record was found in.
    pub(super) fn packet<'a>(&self, block: &'a [u8]) -> RawPacket<'a> {
        RawPacket {
            time: self.time,
            link: self.link,
            wire_len: self.wire_len,
            data: &block[self.start as usize..][..self.len as usize],
        }
    }
}

impl<'a> Packets<'a> {
    pub(super) fn new(block: &'a [u8], records: &'a [Record]) -> Self {
        Self { block, records }
    }

    /// How many packets these are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The packets, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RawPacket<'a>> + Clone + use<'a> {
        let block = self.block;
        self.records.iter().map(move |record| record.packet(block))
    }
}
