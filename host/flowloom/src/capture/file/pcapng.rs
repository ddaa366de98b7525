//! The pcapng file format, as the Internet-Draft draft-ietf-opsawg-pcapng describes it.

use flowloom_core::link_type::LinkType;
use flowloom_core::time::Time;

use super::clock::Clock;
use super::format::{HEAD, MAX_PACKETS, MAX_RECORD, Order, Stop, Unknown, Walked};
use crate::capture::Damage;
use crate::capture::packets::Record;

/// Reads the same in both byte orders.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
/// Written before 2008; replaced by the enhanced packet block.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Type and length, before the body of a block.
const BLOCK_HEAD: usize = 8;
/// The length again, behind it.
const BLOCK_TAIL: usize = 4;

/// More interfaces than any machine has; without a bound a file could fill the memory with them.
const MAX_INTERFACES: usize = 65_536;

/// A pcapng file, and what its section has said so far.
pub(crate) struct Pcapng {
    order: Order,
    interfaces: Vec<Interface>,
}

#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    /// Bytes; 0 is no limit.
    snaplen: u32,
    clock: Clock,
}

/// A block whose two lengths agree.
struct Block<'a> {
    kind: u32,
    body: &'a [u8],
}

impl Pcapng {
    /// `None` if the file is no pcapng. The section header itself is left for the walk.
    pub(crate) fn of(head: &[u8; HEAD]) -> Result<Option<Self>, Unknown> {
        let section = Order::Little.words::<1>(head) == Some([SECTION_HEADER]);
        let Some(order) = byte_order(head).filter(|_| section) else {
            return Ok(None);
        };
        let major = order.u16([head[12], head[13]]);
        let minor = order.u16([head[14], head[15]]);
        if !is_known_version(major, minor) {
            return Err(Unknown::Version {
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

    pub(crate) fn walk(&mut self, bytes: &[u8], records: &mut Vec<Record>) -> Walked {
        let mut at = 0;
        let stop = loop {
            if records.len() == MAX_PACKETS {
                break Stop::Full;
            }
            let rest = &bytes[at..];
            let (block, len) = match self.block(rest) {
                Ok(found) => found,
                Err(stop) => break stop,
            };
            let packet = match block.kind {
                ENHANCED_PACKET => self.enhanced_packet(block.body),
                INTERFACE_DESCRIPTION => self.interface(block.body),
                SIMPLE_PACKET => self.simple_packet(block.body),
                PACKET => self.packet(block.body),
                SECTION_HEADER => self.section(rest, block.body),
                // Names, statistics, keys, comments and whatever comes next: not packets.
                _ => Ok(None),
            };
            match packet {
                Ok(Some(mut record)) => {
                    record.start += (at + BLOCK_HEAD) as u32;
                    records.push(record);
                }
                Ok(None) => {}
                Err(damage) => break Stop::Damage(damage),
            }
            at += len;
        };
        Walked { taken: at, stop }
    }

    /// The block that `rest` begins with, and its length with head and tail.
    #[inline]
    fn block<'a>(&self, rest: &'a [u8]) -> Result<(Block<'a>, usize), Stop> {
        let Some([mut kind, mut len]) = self.order.words(rest) else {
            return Err(Stop::Need(BLOCK_HEAD));
        };
        let mut order = self.order;
        if kind == SECTION_HEADER {
            // A section may have another byte order than the one before it, and says so behind its
            // length.
            if rest.len() < 12 {
                return Err(Stop::Need(12));
            }
            order = byte_order(rest).ok_or_else(|| {
                let magic = Order::Little.u32([rest[8], rest[9], rest[10], rest[11]]);
                Stop::Damage(Damage::ByteOrder { magic })
            })?;
            [kind, len] = order.words(rest).unwrap_or([kind, len]);
        }
        let limit = MAX_RECORD;
        if len > limit {
            return Err(Stop::Damage(Damage::TooLong { len, limit }));
        }
        if len < shortest(kind) || !len.is_multiple_of(4) {
            return Err(Stop::Damage(Damage::BlockLength { kind, len }));
        }
        let Some(whole) = rest.get(..len as usize) else {
            return Err(Stop::Need(len as usize));
        };
        let (body, tail) = whole[BLOCK_HEAD..].split_at(whole.len() - BLOCK_HEAD - BLOCK_TAIL);
        if let Some([tail]) = order.words(tail)
            && tail != len
        {
            return Err(Stop::Damage(Damage::BlockLengths { head: len, tail }));
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
            // Options are padded to four bytes, and the last one may have lost its padding.
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
        self.decoded(body, interface, high, low, len, wire_len)
    }

    fn packet(&self, body: &[u8]) -> Result<Option<Record>, Damage> {
        let Some([_, high, low, len, wire_len]) = self.order.words(body) else {
            return Ok(None);
        };
        // The other half of the first word counts dropped packets.
        let interface = u32::from(self.order.u16([body[0], body[1]]));
        self.decoded(body, interface, high, low, len, wire_len)
    }

    #[inline]
    fn decoded(
        &self,
        body: &[u8],
        interface: u32,
        high: u32,
        low: u32,
        len: u32,
        wire_len: u32,
    ) -> Result<Option<Record>, Damage> {
        const HEAD: usize = 20;
        let from = self.described(interface)?;
        let left = body.len() - HEAD;
        if len as usize > left {
            return Err(Damage::Overrun { len, left });
        }
        Ok(Some(Record {
            time: from.clock.time(u64::from(high) << 32 | u64::from(low)),
            start: HEAD as u32,
            len,
            wire_len: wire_len.max(len),
            link: from.link,
        }))
    }

    /// A simple packet block has no time; its packet gets 0, which a meter's clock takes for "now".
    fn simple_packet(&self, body: &[u8]) -> Result<Option<Record>, Damage> {
        const HEAD: usize = 4;
        let Some([wire_len]) = self.order.words(body) else {
            return Ok(None);
        };
        let from = self.described(0)?;
        let len = match from.snaplen {
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
            link: from.link,
        }))
    }

    #[inline]
    fn described(&self, interface: u32) -> Result<&Interface, Damage> {
        let known = self.interfaces.len();
        self.interfaces
            .get(interface as usize)
            .ok_or(Damage::NoInterface { interface, known })
    }
}

/// The byte order of the section that `bytes` begin with.
fn byte_order(bytes: &[u8]) -> Option<Order> {
    [Order::Little, Order::Big]
        .into_iter()
        .find(|order| matches!(order.words(bytes), Some([_, _, BYTE_ORDER_MAGIC])))
}

/// 1.0 is the format; 1.2 was written by some programs and means the same.
fn is_known_version(major: u16, minor: u16) -> bool {
    major == 1 && (minor == 0 || minor == 2)
}

/// The bytes that a block of this type has at least.
fn shortest(kind: u32) -> u32 {
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
    use crate::capture::file::format::Order;
    use crate::capture::testing::{BOTH, block, enhanced, interface, option, read_bytes, section};
    use crate::capture::{CaptureError, Damage};

    /// What the only error of a capture says of the damage.
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
            // A block of names, of no interest.
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
        for (order, link) in [(Order::Little, 1), (Order::Big, 113)] {
            bytes.extend(section(order));
            bytes.extend(interface(order, link, 0, &[]));
            bytes.extend(enhanced(order, 0, 1, 4, b"abcd"));
        }
        bytes.extend(section(Order::Little));
        bytes.extend(enhanced(Order::Little, 0, 1, 4, b"abcd"));
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
    fn an_interface_tells_how_it_counts_time() {
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
        let order = Order::Little;
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
    fn broken_blocks() {
        let order = Order::Little;
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
    fn interfaces_are_bounded() {
        let order = Order::Little;
        let mut bytes = section(order);
        for _ in 0..=super::MAX_INTERFACES {
            bytes.extend(interface(order, 1, 0, &[]));
        }
        assert!(matches!(damage(bytes), Damage::TooManyInterfaces { .. }));
    }
}
