//! Builders of captures for the tests of this module.

use super::file::record_io::ByteOrder;
use super::{CaptureError, Files};

impl ByteOrder {
    pub(crate) fn put16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn put32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(crate) fn put64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

pub(crate) const BOTH: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

/// A packet that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) time_ns: u64,
    pub(crate) link: u16,
    pub(crate) wire_len: u32,
    pub(crate) data: Vec<u8>,
}

/// Reads to the end and returns all packets and all errors.
pub(crate) fn read_all(mut files: Files) -> (Vec<Packet>, Vec<CaptureError>) {
    let (mut packets, mut errors) = (Vec::new(), Vec::new());
    loop {
        match files.read() {
            Ok(Some(found)) => packets.extend(found.iter().map(|packet| Packet {
                time_ns: packet.time.ns(),
                link: packet.link.0,
                wire_len: packet.wire_len,
                data: packet.data.to_vec(),
            })),
            Ok(None) => return (packets, errors),
            Err(error) => errors.push(error),
        }
    }
}

pub(crate) fn read_bytes(bytes: impl Into<Vec<u8>>) -> (Vec<Packet>, Vec<CaptureError>) {
    read_all(Files::from_reader(
        "test",
        std::io::Cursor::new(bytes.into()),
    ))
}

/// A pcap file.
pub(crate) struct PcapFile {
    pub(crate) order: ByteOrder,
    pub(crate) magic: u32,
    pub(crate) version: (u16, u16),
    pub(crate) snaplen: u32,
    /// The link type in the lower 16 bits, and the flags above them.
    pub(crate) link: u32,
}

impl Default for PcapFile {
    fn default() -> Self {
        Self {
            order: ByteOrder::Little,
            magic: 0xa1b2_c3d4,
            version: (2, 4),
            snaplen: 65_535,
            link: 1,
        }
    }
}

impl PcapFile {
    pub(crate) fn header(&self) -> Vec<u8> {
        let order = self.order;
        let mut bytes = order.put32(self.magic).to_vec();
        bytes.extend(order.put16(self.version.0));
        bytes.extend(order.put16(self.version.1));
        bytes.extend([0; 8]);
        bytes.extend(order.put32(self.snaplen));
        bytes.extend(order.put32(self.link));
        bytes
    }

    /// Returns a record with these four header fields. They need not agree with `data`.
    pub(crate) fn record(&self, [sec, tick, len, wire]: [u32; 4], data: &[u8]) -> Vec<u8> {
        let numbers = [sec, tick, len, wire].map(|number| self.order.put32(number));
        let mut bytes = numbers.concat();
        bytes.extend(data);
        bytes
    }

    /// Returns a file of `count` different records of 50 bytes each, of which 34 are packet data.
    pub(crate) fn with_packets(&self, count: u32) -> Vec<u8> {
        let mut bytes = self.header();
        for i in 0..count {
            let mut data = vec![0; 34];
            data[..4].copy_from_slice(&i.to_be_bytes());
            bytes.extend(self.record([1000 + i, i, 34, 60], &data));
        }
        bytes
    }
}

/// Returns a pcapng block with this body, padded to four bytes.
pub(crate) fn block(order: ByteOrder, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = order.put32(padded as u32 + 12);
    let mut bytes = order.put32(kind).to_vec();
    bytes.extend(len);
    bytes.extend(body);
    bytes.resize(8 + padded, 0);
    bytes.extend(len);
    bytes
}

pub(crate) fn section(order: ByteOrder) -> Vec<u8> {
    let mut body = order.put32(0x1a2b_3c4d).to_vec();
    body.extend(order.put16(1));
    body.extend(order.put16(0));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

pub(crate) fn option(order: ByteOrder, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = order.put16(kind).to_vec();
    bytes.extend(order.put16(value.len() as u16));
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

pub(crate) fn interface(order: ByteOrder, link: u16, snaplen: u32, options: &[u8]) -> Vec<u8> {
    let mut body = order.put16(link).to_vec();
    body.extend([0; 2]);
    body.extend(order.put32(snaplen));
    body.extend(options);
    block(order, 1, &body)
}

pub(crate) fn enhanced(
    order: ByteOrder,
    interface: u32,
    count: u64,
    wire: u32,
    data: &[u8],
) -> Vec<u8> {
    let numbers = [
        interface,
        (count >> 32) as u32,
        count as u32,
        data.len() as u32,
        wire,
    ];
    let mut body = numbers.map(|number| order.put32(number)).concat();
    body.extend(data);
    block(order, 6, &body)
}
