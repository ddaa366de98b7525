//! The pcap file format, as libpcap's `pcap-savefile(5)` and the Internet-Draft
//! draft-ietf-opsawg-pcap define it.

use flowloom_core::link_type::LinkType;
use flowloom_core::time::Time;

use super::record_io::{ByteOrder, FormatError, HEADER_LEN, MAX_RECORD, ScanEnd, ScanResult};
use crate::capture::Damage;
use crate::capture::packets::Record;

/// The magic of files with times in microseconds.
const MAGIC: u32 = 0xa1b2_c3d4;
/// The magic of files with times in nanoseconds.
const MAGIC_NANO: u32 = 0xa1b2_3c4d;
/// The magic of Alexey Kuznetzov's variant. It has eight more bytes per record: interface, protocol
/// and packet type.
const MAGIC_KUZNETZOV: u32 = 0xa1b2_cd34;

/// The maximum packet length in bytes, even if the file header has a smaller one. This is the limit
/// of libpcap.
const MAX_PACKET: u32 = 262_144;

/// A pcap file whose header was read.
pub(crate) struct Pcap {
    order: ByteOrder,
    link: LinkType,
    /// The unit of the second field of a time, in nanoseconds.
    tick_ns: i64,
    /// The bytes of a record before its packet.
    header_len: usize,
    /// The maximum packet length in bytes. A longer one is damage.
    limit: u32,
    lengths: Lengths,
}

/// The order of the two lengths of a record.
///
/// It changed in 1991. Since version 2.3 the captured length precedes the original length, but some
/// programs wrote version 2.3 in the old order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    InOrder,
    Swapped,
    Unsure,
}

impl Pcap {
    pub(crate) fn of(head: &[u8; HEADER_LEN]) -> Result<Self, FormatError> {
        let order = [ByteOrder::Little, ByteOrder::Big]
            .into_iter()
            .find(|order| {
                let magic = order.words::<1>(head).map(|[magic]| magic);
                matches!(magic, Some(MAGIC | MAGIC_NANO | MAGIC_KUZNETZOV))
            })
            .ok_or(FormatError::UnknownMagic)?;
        let Some([magic, _, _, _, snaplen, link]) = order.words(head) else {
            return Err(FormatError::UnknownMagic);
        };
        let major = order.u16([head[4], head[5]]);
        let minor = order.u16([head[6], head[7]]);
        let lengths = match (major, minor) {
            (2, 0..=2) => Lengths::Swapped,
            (2, 3) => Lengths::Unsure,
            (2, 4) => Lengths::InOrder,
            // Digital's tcpdump wrote this version.
            (543, _) => Lengths::Swapped,
            _ => {
                return Err(FormatError::UnsupportedVersion {
                    format: "pcap",
                    major,
                    minor,
                });
            }
        };
        Ok(Self {
            order,
            // The upper 16 bits state whether a frame check sequence ends each frame, and its
            // length.
            link: LinkType((link & 0xffff) as u16),
            tick_ns: if magic == MAGIC_NANO { 1 } else { 1000 },
            header_len: if magic == MAGIC_KUZNETZOV { 24 } else { 16 },
            limit: if snaplen <= MAX_RECORD {
                snaplen.max(MAX_PACKET)
            } else {
                MAX_PACKET
            },
            lengths,
        })
    }

    /// Converts the two fields of a time.
    ///
    /// A tick of more than one second counts in full. The tick is signed, as in libpcap, although
    /// valid files have no negative one. Seconds are unsigned, so that they last until 2106.
    #[inline]
    fn time(&self, sec: u32, tick: u32) -> Time {
        Time::from_parts(sec, i64::from(tick.cast_signed()) * self.tick_ns)
    }

    pub(crate) fn scan(
        &self,
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
            let Some([sec, tick, mut len, mut wire_len]) = self.order.words(rest) else {
                break ScanEnd::NeedBytes(self.header_len);
            };
            if self.lengths == Lengths::Swapped || self.lengths == Lengths::Unsure && len > wire_len
            {
                (len, wire_len) = (wire_len, len);
            }
            if len > self.limit {
                let limit = self.limit;
                break ScanEnd::Damage(Damage::TooLong { len, limit });
            }
            let record_len = self.header_len + len as usize;
            if rest.len() < record_len {
                break ScanEnd::NeedBytes(record_len);
            }
            records.push(Record {
                time: self.time(sec, tick),
                start: (at + self.header_len) as u32,
                len,
                wire_len: wire_len.max(len),
                link: self.link,
            });
            at += record_len;
        };
        ScanResult { consumed: at, end }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, MAGIC_KUZNETZOV, MAGIC_NANO};
    use crate::capture::testing::{BOTH, Packet, PcapFile, read_bytes};
    use crate::capture::{CaptureError, Damage};

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn both_byte_orders_and_resolutions() {
        for order in BOTH {
            for (magic, tick_ns) in [(MAGIC, 1000_u64), (MAGIC_NANO, 1)] {
                let file = PcapFile {
                    order,
                    magic,
                    ..PcapFile::default()
                };
                let mut bytes = file.header();
                bytes.extend(file.record([7, 123, 3, 90], b"abc"));
                bytes.extend(file.record([8, 0, 0, 60], b""));
                let (packets, errors) = read_bytes(bytes);
                assert!(errors.is_empty(), "{errors:?}");
                let expected = [
                    (7 * SECOND + 123 * tick_ns, 90, &b"abc"[..]),
                    (8 * SECOND, 60, b""),
                ];
                let expected = expected.map(|(time_ns, wire_len, data)| Packet {
                    time_ns,
                    link: 1,
                    wire_len,
                    data: data.to_vec(),
                });
                assert_eq!(packets, expected);
            }
        }
    }

    #[test]
    fn kuznetzov_records_have_eight_bytes_more() {
        let file = PcapFile {
            magic: MAGIC_KUZNETZOV,
            ..PcapFile::default()
        };
        let mut bytes = file.header();
        for data in [b"12345678abc", b"12345678def"] {
            bytes.extend(file.record([1, 2, 3, 3], data));
        }
        let (packets, errors) = read_bytes(bytes);
        assert!(errors.is_empty(), "{errors:?}");
        let data: Vec<_> = packets.iter().map(|packet| &packet.data[..]).collect();
        assert_eq!(data, [b"abc", b"def"]);
    }

    #[test]
    fn the_link_type_excludes_the_frame_check_bits() {
        let file = PcapFile {
            link: 0x4400_0071,
            ..PcapFile::default()
        };
        let (packets, _) = read_bytes(file.with_packets(1));
        assert_eq!(packets[0].link, 113);
    }

    #[test]
    fn ticks_beyond_a_second_and_negative_ticks_are_accepted() {
        let file = PcapFile::default();
        let mut bytes = file.header();
        bytes.extend(file.record([5, 2_500_000, 0, 0], b""));
        bytes.extend(file.record([u32::MAX, 0x7fff_ffff, 0, 0], b""));
        bytes.extend(file.record([5, u32::MAX, 0, 0], b""));
        bytes.extend(file.record([0, u32::MAX, 0, 0], b""));
        let (packets, _) = read_bytes(bytes);
        let times: Vec<_> = packets.iter().map(|packet| packet.time_ns).collect();
        let latest = u64::from(u32::MAX) * SECOND + 0x7fff_ffff * 1000;
        assert_eq!(times, [7_500_000_000, latest, 4_999_999_000, 0]);
    }

    #[test]
    fn the_wire_length_is_at_least_the_captured_length() {
        let file = PcapFile::default();
        let mut bytes = file.header();
        bytes.extend(file.record([1, 1, 4, 2], b"abcd"));
        assert_eq!(read_bytes(bytes).0[0].wire_len, 4);
    }

    #[test]
    fn old_versions_have_the_lengths_swapped() {
        for (version, lengths) in [
            ((2, 2), [9, 3]),
            ((2, 3), [9, 3]),
            ((2, 3), [3, 9]),
            ((543, 0), [9, 3]),
        ] {
            let file = PcapFile {
                version,
                ..PcapFile::default()
            };
            let mut bytes = file.header();
            bytes.extend(file.record([1, 1, lengths[0], lengths[1]], b"abc"));
            let (packets, errors) = read_bytes(bytes);
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!((packets[0].wire_len, packets[0].data.len()), (9, 3));
        }
    }

    #[test]
    fn an_impossible_length_is_damage() {
        for (snaplen, len, limit) in [
            (65_535, 262_145, 262_144),
            (0, 300_000, 262_144),
            (u32::MAX, u32::MAX, 262_144),
            (1_000_000, 1_000_001, 1_000_000),
        ] {
            let file = PcapFile {
                snaplen,
                ..PcapFile::default()
            };
            let mut bytes = file.with_packets(2);
            bytes.extend(file.record([1, 1, len, len], &[0; 1000]));
            let (packets, errors) = read_bytes(bytes);
            assert_eq!(packets.len(), 2);
            let [
                CaptureError::Damaged {
                    offset: 124,
                    packet: 3,
                    damage:
                        Damage::TooLong {
                            len: found,
                            limit: most,
                        },
                    ..
                },
            ] = errors[..]
            else {
                panic!("{errors:?}");
            };
            assert_eq!((found, most), (len, limit));
        }
    }

    #[test]
    fn a_packet_larger_than_the_buffer_is_read() {
        let file = PcapFile {
            snaplen: 4_000_000,
            ..PcapFile::default()
        };
        let data: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut bytes = file.with_packets(1);
        bytes.extend(file.record([1, 1, 3_000_000, 3_000_000], &data));
        bytes.extend(file.record([1, 1, 1, 1], b"x"));
        let (packets, errors) = read_bytes(bytes);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(packets.len(), 3);
        assert!(packets[1].data == data);
        assert_eq!(packets[2].data, b"x");
    }

    #[test]
    fn an_error_names_the_unsupported_version() {
        let file = PcapFile {
            version: (2, 5),
            ..PcapFile::default()
        };
        let (_, errors) = read_bytes(file.with_packets(1));
        let message = errors[0].to_string();
        assert_eq!(
            message,
            "cannot read 'test': pcap version 2.5 is not supported"
        );
    }
}
