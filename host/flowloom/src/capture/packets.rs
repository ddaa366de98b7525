//! Packets as a source returns them.

use std::fmt;

use flowloom_core::link_type::{LinkType, RawPacket};
use flowloom_core::time::Time;

/// Displays a link type: libpcap's name and the number, or only the number if it has no name.
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

/// Packets of a source, in order, in one buffer.
#[derive(Clone, Copy, Debug)]
pub struct Packets<'a> {
    block: &'a [u8],
    records: &'a [Record],
}

/// The position of a packet in the buffer, and the metadata of its record.
///
/// `start` and `len` are in bytes; `wire_len` is the length on the wire, at least `len`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) time: Time,
    pub(crate) start: u32,
    pub(crate) len: u32,
    pub(crate) wire_len: u32,
    pub(crate) link: LinkType,
}

impl Record {
    /// Returns the packet. `block` must be the buffer in which the record was found.
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

    /// Returns the number of packets.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns whether there are no packets.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the packets in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = RawPacket<'a>> + Clone + use<'a> {
        let block = self.block;
        self.records.iter().map(move |record| record.packet(block))
    }
}
