//! Packets as a source hands them on.

use std::fmt;

use flowloom_core::link_type::{LinkType, RawPacket};
use flowloom_core::time::Time;

/// The name that libpcap has for a link type, and its number; the number alone without a name.
#[derive(Clone, Copy, Debug)]
pub struct LinkTypeName(pub LinkType);

impl fmt::Display for LinkTypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.0.0;
        match pcap::Linktype(number.into()).get_name() {
            Ok(name) => write!(f, "{name} ({number})"),
            Err(_) => write!(f, "{number}"),
        }
    }
}

/// Some packets of a source, in order, all in one block of memory.
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    block: &'a [u8],
    records: &'a [Record],
}

/// Where a packet stands in the block, and what its record said of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) time: Time,
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) wire_len: u32,
    pub(crate) link: LinkType,
}

impl Record {
    /// The packet, `block` being the memory that the record was found in.
    pub(crate) fn packet<'a>(&self, block: &'a [u8]) -> RawPacket<'a> {
        RawPacket {
            time: self.time,
            link: self.link,
            wire_len: self.wire_len,
            data: &block[self.start as usize..][..self.len as usize],
        }
    }
}

impl<'a> Packets<'a> {
    pub(crate) fn new(block: &'a [u8], records: &'a [Record]) -> Self {
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
