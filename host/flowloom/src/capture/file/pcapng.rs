//! The pcapng file format, as the Internet-Draft draft-ietf-opsawg-pcapng defines it.

use flowloom_core::link_type::LinkType;
use flowloom_core::time::Time;

use super::clock::Clock;
use super::record_io::{ByteOrder, FormatError, HEADER_LEN, MAX_RECORD, ScanEnd, ScanResult};
use crate::capture::Damage;
use crate::capture::packets::Record;

/// This number is the same in both byte orders.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// Obsolete since 2008, when the enhanced packet block replaced it.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// The bytes of type and length, before the body of a block.
const BLOCK_HEADER: usize = 8;
/// The bytes of the second length, after the body of a block.
const BLOCK_TRAILER: usize = 4;

/// The maximum number of interfaces of a section. Without it, a file could fill the memory.
const MAX_INTERFACES: usize = 65_536;

/// A pcapng file, with the byte order and the interfaces of its current section.
pub(crate) struct Pcapng {
    order: ByteOrder,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    /// The snapshot length in bytes; 0 means no limit.
    snaplen: u32,
    clock: Clock,
}

/// A block whose two lengths are equal.
struct Block<'a> {
    kind: u32,
    body: &'a [u8],
}

impl Pcapng {
    /// Returns `None` if the file is not pcapng. The scan reads the section header itself.
    pub(crate) fn of(head: &[u8; HEADER_LEN]) -> Result<Option<Self>, FormatError> {
        let section = ByteOrder::Little.words::<1>(head) == Some([SECTION_HEADER]);
        let Some(order) = byte_order(head).filter(|_| section) else {
            return Ok(None);
        };
        let major = order.u16([head[12], head[13]]);
        let minor = order.u16([head[14], head[15]]);
        if !is_known_version(major, minor) {
            return Err(FormatError::UnsupportedVersion {
                format: "pcapng",
                major,
                minor,
            });
        }
        Ok(Some(Self {
            order,
            interfaces: Vec::new(),
        }))
    }

    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        records: &mut Vec<Record>,
        max_packets: usize,
    ) -> ScanResult {
        let mut at = 0;
        let end = loop {
            if records.len() >= max_packets {
                break ScanEnd::MaxPackets;
            }
            let rest = &bytes[at..];
            let (block, len) = match self.block(rest) {
                Ok(found) => found,
                Err(end) => break end,
            };
            let packet = match block.kind {
                ENHANCED_PACKET => self.enhanced_packet(block.body),
                INTERFACE_DESCRIPTION => self.interface(block.body),
                SIMPLE_PACKET => self.simple_packet(block.body),
                PACKET => self.packet(block.body),
                SECTION_HEADER => self.section(rest, block.body),
                // Names, statistics, keys, comments and unknown blocks contain no packets.
                _ => Ok(None),
            };
            match packet {
                Ok(Some(mut record)) => {
                    record.start += (at + BLOCK_HEADER) as u32;
                    records.push(record);
                }
                Ok(None) => {}
                Err(damage) => break ScanEnd::Damage(damage),
            }
            at += len;
        };
        ScanResult { consumed: at, end }
    }

    /// Returns the block at the start of `rest`, and its length with both length fields.
    #[inline]
    fn block<'a>(&self, rest: &'a [u8]) -> Result<(Block<'a>, usize), ScanEnd> {
        let Some([mut kind, mut len]) = self.order.words(rest) else {
            return Err(ScanEnd::NeedBytes(BLOCK_HEADER));
        };
        let mut order = self.order;
        if kind == SECTION_HEADER {
            // A section may have another byte order than the previous one. The magic after its
            // length states it.
            if rest.len() < 12 {
                return Err(ScanEnd::NeedBytes(12));
            }
            order = byte_order(rest).ok_or_else(|| {
                let magic = ByteOrder::Little.u32([rest[8], rest[9], rest[10], rest[11]]);
                ScanEnd::Damage(Damage::ByteOrder { magic })
            })?;
            [kind, len] = order.words(rest).unwrap_or([kind, len]);
        }
        let limit = MAX_RECORD;
        if len > limit {
            return Err(ScanEnd::Damage(Damage::TooLong { len, limit }));
        }
        if len < min_block_len(kind) || !len.is_multiple_of(4) {
            return Err(ScanEnd::Damage(Damage::BlockLength { kind, len }));
        }
        let Some(whole) = rest.get(..len as usize) else {
            return Err(ScanEnd::NeedBytes(len as usize));
        };
        let (body, tail) =
            whole[BLOCK_HEADER..].split_at(whole.len() - BLOCK_HEADER - BLOCK_TRAILER);
        if let Some([tail]) = order.words(tail)
            && tail != len
        {
            return Err(ScanEnd::Damage(Damage::BlockLengths { head: len, tail }));
        }
        Ok((Block { kind, body }, whole.len()))
    }

    fn section(&mut self, rest: &[u8], body: &[u8]) -> Result<Option<Record>, Damage> {
        if let Some(order) = byte_order(rest) {
            self.order = order;
        }
        let major = self.order.u16([body[4], body[5]]);
        let minor = self.order.u16([body[6], body[7]]);
        if !is_known_version(major, minor) {
            return Err(Damage::SectionVersion { major, minor });
        }
        self.interfaces.clear();
        Ok(None)
    }

    fn interface(&mut self, body: &[u8]) -> Result<Option<Record>, Damage> {
        if self.interfaces.len() == MAX_INTERFACES {
            let limit = MAX_INTERFACES;
            return Err(Damage::TooManyInterfaces { limit });
        }
        let snaplen = self.order.u32([body[4], body[5], body[6], body[7]]);
        let mut resolution = None;
        let mut offset_s = 0;
        let mut options = &body[8..];
        while let Some((head, rest)) = options.split_first_chunk::<4>() {
            let kind = self.order.u16([head[0], head[1]]);
            let len = self.order.u16([head[2], head[3]]);
            if kind == OPTION_END {
                break;
            }
            let left = rest.len();
            let Some(value) = rest.get(..usize::from(len)) else {
                let len = u32::from(len);
                return Err(Damage::Overrun { len, left });
            };
            match (kind, value) {
                (OPTION_TSRESOL, &[value]) => resolution = Some(value),
                (OPTION_TSOFFSET, value) => {
                    if let Ok(value) = value.try_into() {
                        offset_s = self.order.u64(value) as i64;
                    }
                }
                _ => {}
            }
            // Options are padded to four bytes. The padding of the last one may be missing.
            let padded = usize::from(len).next_multiple_of(4).min(left);
            options = &rest[padded..];
        }
        self.interfaces.push(Interface {
            link: LinkType(self.order.u16([body[0], body[1]])),
            snaplen,
            clock: Clock::new(resolution, offset_s),
        });
        Ok(None)
    }

    #[inline]
    fn enhanced_packet(&self, body: &[u8]) -> Result<Option<Record>, Damage> {
        let Some([interface, high, low, len, wire_len]) = self.order.words(body) else {
            return Ok(None);
        };
        self.timed_packet(body, interface, high, low, len, wire_len)
    }

    fn packet(&self, body: &[u8]) -> Result<Option<Record>, Damage> {
        let Some([_, high, low, len, wire_len]) = self.order.words(body) else {
            return Ok(None);
        };
        // The other half of the first word is the number of dropped packets.
        let interface = u32::from(self.order.u16([body[0], body[1]]));
        self.timed_packet(body, interface, high, low, len, wire_len)
    }

    #[inline]
    fn timed_packet(
        &self,
        body: &[u8],
        interface: u32,
        high: u32,
        low: u32,
        len: u32,
        wire_len: u32,
    ) -> Result<Option<Record>, Damage> {
        const HEAD: usize = 20;
        let interface = self.interface_of(interface)?;
        let left = body.len() - HEAD;
        if len as usize > left {
            return Err(Damage::Overrun { len, left });
        }
        Ok(Some(Record {
            time: interface.clock.time(u64::from(high) << 32 | u64::from(low)),
            start: HEAD as u32,
            len,
            wire_len: wire_len.max(len),
            link: interface.link,
        }))
    }

    /// Reads a simple packet block. It has no time, so that its packet gets time 0. The meter
    /// replaces it by its current time.
    fn simple_packet(&self, body: &[u8]) -> Result<Option<Record>, Damage> {
        const HEAD: usize = 4;
        let Some([wire_len]) = self.order.words(body) else {
            return Ok(None);
        };
        let interface = self.interface_of(0)?;
        let len = match interface.snaplen {
            0 => wire_len,
            snaplen => wire_len.min(snaplen),
        };
        let left = body.len() - HEAD;
        if len as usize > left {
            return Err(Damage::Overrun { len, left });
        }
        Ok(Some(Record {
            time: Time::EPOCH,
            start: HEAD as u32,
            len,
            wire_len,
            link: interface.link,
        }))
    }

    #[inline]
    fn interface_of(&self, interface: u32) -> Result<&Interface, Damage> {
        let known = self.interfaces.len();
        self.interfaces
            .get(interface as usize)
            .ok_or(Damage::NoInterface { interface, known })
    }
}

/// Returns the byte order of the section at the start of `bytes`.
fn byte_order(bytes: &[u8]) -> Option<ByteOrder> {
    [ByteOrder::Little, ByteOrder::Big]
        .into_iter()
        .find(|order| matches!(order.words(bytes), Some([_, _, BYTE_ORDER_MAGIC])))
}

/// Version 1.0 is the format. Some programs write 1.2 with the same meaning.
fn is_known_version(major: u16, minor: u16) -> bool {
    major == 1 && (minor == 0 || minor == 2)
}

/// Returns the minimum length of a block of this type in bytes.
fn min_block_len(kind: u32) -> u32 {
    match kind {
        SECTION_HEADER => 28,
        INTERFACE_DESCRIPTION => 20,
        ENHANCED_PACKET | PACKET => 32,
        SIMPLE_PACKET => 16,
        _ => 12,
    }
}

#[cfg(test)]
mod tests {
    use crate::capture::file::record_io::ByteOrder;
    use crate::capture::testing::{BOTH, block, enhanced, interface, option, read_bytes, section};
    use crate::capture::{CaptureError, Damage};

    /// Returns the damage of a capture with exactly one error.
    fn damage(bytes: Vec<u8>) -> Damage {
        let (_, mut errors) = read_bytes(bytes);
        assert_eq!(errors.len(), 1, "{errors:?}");
        match errors.remove(0) {
            CaptureError::Damaged { damage, .. } => damage,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_packet_block_in_both_byte_orders() {
        for order in BOTH {
            let mut bytes = section(order);
            bytes.extend(interface(order, 1, 0, &[]));
            bytes.extend(interface(order, 101, 0, &[]));
            // A name resolution block, which is skipped.
            bytes.extend(block(order, 4, &[0; 40]));
            bytes.extend(enhanced(order, 1, 1_500_000, 99, b"abc"));
            let mut simple = order.put32(5).to_vec();
            simple.extend(b"defgh");
            bytes.extend(block(order, 3, &simple));
            let mut old = order.put16(1).to_vec();
            old.extend(order.put16(0xffff));
            old.extend([0, 2_000_000, 2, 70].map(|n| order.put32(n)).concat());
            old.extend(b"ij");
            bytes.extend(block(order, 2, &old));
            let (packets, errors) = read_bytes(bytes);
            assert!(errors.is_empty(), "{errors:?}");
            let found: Vec<_> = packets
                .iter()
                .map(|p| (p.time_ns, p.link, p.wire_len, &p.data[..]))
                .collect();
            assert_eq!(
                found,
                [
                    (1_500_000_000, 101, 99, &b"abc"[..]),
                    (0, 1, 5, b"defgh"),
                    (2_000_000_000, 101, 70, b"ij"),
                ]
            );
        }
    }

    #[test]
    fn a_section_has_its_own_byte_order_and_interfaces() {
        let mut bytes = Vec::new();
        for (order, link) in [(ByteOrder::Little, 1), (ByteOrder::Big, 113)] {
            bytes.extend(section(order));
            bytes.extend(interface(order, link, 0, &[]));
            bytes.extend(enhanced(order, 0, 1, 4, b"abcd"));
        }
        bytes.extend(section(ByteOrder::Little));
        bytes.extend(enhanced(ByteOrder::Little, 0, 1, 4, b"abcd"));
        let (packets, errors) = read_bytes(bytes);
        let links: Vec<_> = packets.iter().map(|packet| packet.link).collect();
        assert_eq!(links, [1, 113]);
        let [
            CaptureError::Damaged {
                packet: 3, damage, ..
            },
        ] = &errors[..]
        else {
            panic!("{errors:?}");
        };
        assert!(matches!(
            damage,
            Damage::NoInterface {
                interface: 0,
                known: 0
            }
        ));
    }

    #[test]
    fn an_interface_states_its_time_unit() {
        for order in BOTH {
            let mut options = option(order, 2, b"eth0");
            options.extend(option(order, 9, &[9]));
            options.extend(option(order, 14, &order.put64(100)));
            options.extend(option(order, 0, &[]));
            let mut bytes = section(order);
            bytes.extend(interface(order, 1, 0, &options));
            bytes.extend(enhanced(order, 0, 5_000_000_007, 1, b"a"));
            let (packets, errors) = read_bytes(bytes);
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(packets[0].time_ns, 105_000_000_007);
        }
    }

    #[test]
    fn a_simple_packet_is_cut_at_the_snapshot_length() {
        let order = ByteOrder::Little;
        let mut bytes = section(order);
        bytes.extend(interface(order, 1, 3, &[]));
        let mut simple = order.put32(1000).to_vec();
        simple.extend(b"abc");
        bytes.extend(block(order, 3, &simple));
        let (packets, errors) = read_bytes(bytes);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(
            (packets[0].wire_len, &packets[0].data[..]),
            (1000, &b"abc"[..])
        );
    }

    #[test]
    fn invalid_blocks_are_damage() {
        let order = ByteOrder::Little;
        let mut start = section(order);
        start.extend(interface(order, 1, 0, &[]));
        let with = |block: &[u8]| [&start, block].concat();

        let mut tail = enhanced(order, 0, 1, 4, b"abcd");
        let end = tail.len() - 4;
        tail[end] ^= 4;
        assert!(matches!(
            damage(with(&tail)),
            Damage::BlockLengths { head: 36, tail: 32 }
        ));

        let short = block(order, 6, &[0; 16]);
        assert!(matches!(
            damage(with(&short)),
            Damage::BlockLength { kind: 6, len: 28 }
        ));

        let mut odd = block(order, 0x0bad, &[0; 16]);
        odd[4] += 1;
        assert!(matches!(
            damage(with(&odd)),
            Damage::BlockLength { len: 29, .. }
        ));

        let mut huge = block(order, 0x0bad, &[0; 16]);
        huge[7] = 0xff;
        assert!(matches!(damage(with(&huge)), Damage::TooLong { .. }));

        let mut packet = enhanced(order, 0, 1, 4, b"abcd");
        packet[20] = 5;
        assert!(matches!(
            damage(with(&packet)),
            Damage::Overrun { len: 5, left: 4 }
        ));

        let cut_option = interface(order, 1, 0, &[9, 0, 9, 0, 6, 0, 0, 0]);
        assert!(matches!(
            damage(with(&cut_option)),
            Damage::Overrun { len: 9, left: 4 }
        ));

        let mut other = section(order);
        other[8] = 0;
        assert!(matches!(
            damage(with(&other)),
            Damage::ByteOrder { magic: 0x1a2b_3c00 }
        ));

        let mut version = section(order);
        version[12] = 2;
        assert!(matches!(
            damage(with(&version)),
            Damage::SectionVersion { major: 2, minor: 0 }
        ));
    }

    #[test]
    fn the_number_of_interfaces_is_limited() {
        let order = ByteOrder::Little;
        let mut bytes = section(order);
        for _ in 0..=super::MAX_INTERFACES {
            bytes.extend(interface(order, 1, 0, &[]));
        }
        assert!(matches!(damage(bytes), Damage::TooManyInterfaces { .. }));
    }
}
