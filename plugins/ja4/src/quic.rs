//! The data that a client sends in the Initial packets of QUIC (RFC 9000).

use crate::bytes::Bytes;
use crate::hello::{self, Hello};
use crate::initial::{Keys, Version};
use crate::stream::{Segment, Stream};

/// The maximum length of a connection id, bytes.
const LONGEST_ID: usize = 20;

/// The minimum length of a datagram with a client's Initial packet, bytes. Servers require it (RFC 9000, section
/// 14.1), so the plugin derives no keys for shorter datagrams.
const SHORTEST: usize = 1200;

/// The maximum number of packets per datagram to examine. There are four types of packets.
const MOST_PACKETS: usize = 4;

/// A flow that carries QUIC.
pub(crate) struct Quic {
    /// The keys, derived from the first connection id of the client. Later packets have the id that the server
    /// chose.
    keys: Keys,
    stream: Stream,
}

/// An offset in the client's stream, and the bytes at this offset.
type Piece = (u32, Vec<u8>);

impl Quic {
    /// Processes a datagram of either side. Returns the ClientHello if this datagram completes it. Sets `flow` at the
    /// first Initial packet of the client. The stream keeps at most `most` bytes.
    pub(crate) fn push(
        flow: &mut Option<Box<Quic>>,
        datagram: &[u8],
        most: usize,
    ) -> Option<Hello> {
        let mut rest = datagram;
        for n in 0..MOST_PACKETS {
            let (packet, behind) = Packet::split(rest)?;
            rest = behind;
            // The Initial packet of a client is the first packet of its datagram.
            let may_begin = n == 0 && datagram.len() >= SHORTEST;
            let Some(pieces) = Quic::pieces(flow, &packet, may_begin) else {
                continue;
            };
            let stream = &mut flow.as_mut()?.stream;
            for (seq, bytes) in &pieces {
                let segment = Segment {
                    syn: false,
                    seq: *seq,
                    size: bytes.len() as u32,
                    bytes,
                };
                let hello = stream.push(&segment, most);
                if hello.is_some() {
                    return hello;
                }
            }
        }
        None
    }

    /// Returns the number of bytes that the stream keeps.
    pub(crate) fn kept(&self) -> usize {
        self.stream.kept()
    }

    /// Returns the stream data in an Initial packet of the client, and `None` for other packets.
    fn pieces(
        flow: &mut Option<Box<Quic>>,
        packet: &Packet<'_>,
        may_begin: bool,
    ) -> Option<Vec<Piece>> {
        let number = packet.number?;
        let open = |keys: &Keys| keys.open(packet.bytes, number).and_then(|it| crypto(&it));
        if let Some(pieces) = flow.as_ref().and_then(|flow| open(&flow.keys)) {
            return Some(pieces);
        }
        if !may_begin {
            return None;
        }
        // The first Initial packet of the client, or the first one after a Retry of the server.
        let keys = Keys::new(packet.version, packet.connection);
        let pieces = open(&keys)?;
        let stream = Stream::of_quic();
        *flow = Some(Box::new(Quic { keys, stream }));
        Some(pieces)
    }
}

/// A packet with a long header. A datagram may contain several.
struct Packet<'a> {
    version: &'static Version,
    /// The destination connection id.
    connection: &'a [u8],
    bytes: &'a [u8],
    /// The offset of the packet number. `None` if this is not an Initial packet.
    number: Option<usize>,
}

impl<'a> Packet<'a> {
    /// Returns the first packet of a datagram, and the bytes after it.
    fn split(datagram: &'a [u8]) -> Option<(Self, &'a [u8])> {
        const INITIAL: u8 = 0;
        const RETRY: u8 = 3;

        let mut rest = Bytes(datagram);
        let first = rest.take(1)?[0];
        if first & 0xc0 != 0xc0 {
            return None;
        }
        let version = Version::of(rest.u32()?)?;
        let kind = version.kind(first >> 4 & 3);
        let connection = rest.list8()?.0;
        let other = rest.list8()?.0;
        if connection.len() > LONGEST_ID || other.len() > LONGEST_ID || kind == RETRY {
            return None;
        }
        if kind == INITIAL {
            let token = rest.varint()?;
            rest.take(token)?;
        }
        let length = rest.varint()?;
        let number = datagram.len() - rest.0.len();
        rest.take(length)?;
        let packet = Packet {
            version,
            connection,
            bytes: &datagram[..number + length],
            number: (kind == INITIAL).then_some(number),
        };
        Some((packet, rest.0))
    }
}

/// Returns the data in the CRYPTO frames of an Initial packet. Returns `None` if there are frames that an Initial
/// packet may not contain, which happens if the packet was decrypted with wrong keys.
fn crypto(frames: &[u8]) -> Option<Vec<Piece>> {
    let mut rest = Bytes(frames);
    let mut pieces = Vec::new();
    while !rest.0.is_empty() {
        let kind = rest.varint()?;
        match kind {
            // PADDING and PING.
            0 | 1 => {}
            // ACK: the first range, the other ranges, and the ECN counts.
            2 | 3 => {
                rest.varints(2)?;
                let ranges = rest.varint()?;
                rest.varints(1)?;
                for _ in 0..ranges {
                    rest.varints(2)?;
                }
                if kind == 3 {
                    rest.varints(3)?;
                }
            }
            // CRYPTO.
            6 => {
                let offset = rest.varint()?;
                let length = rest.varint()?;
                let bytes = rest.take(length)?;
                if offset <= hello::LONGEST {
                    pieces.push((offset as u32, bytes.to_vec()));
                }
            }
            // CONNECTION_CLOSE: a reason phrase follows.
            0x1c => {
                rest.varints(2)?;
                let length = rest.varint()?;
                rest.take(length)?;
            }
            _ => return None,
        }
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::{Fingerprint, Transport};
    use crate::hello::tests::handshake;
    use crate::stream::MOST_KEPT;

    const CONNECTION: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    fn version(number: u32) -> &'static Version {
        Version::of(number).expect("a known version")
    }

    fn hello() -> Vec<u8> {
        handshake(&[0x1301, 0x1302, 0x1303], None)
    }

    /// Encodes a CRYPTO frame.
    fn frame(offset: usize, bytes: &[u8]) -> Vec<u8> {
        let varint = |number: usize| (0x4000 | number as u16).to_be_bytes();
        [&[6][..], &varint(offset), &varint(bytes.len()), bytes].concat()
    }

    /// Creates an Initial packet of at least the minimum length. It has a token, a packet number of two bytes, and 16
    /// bytes instead of the tag.
    fn initial(number: u32, id: &[u8], frames: &[u8]) -> Vec<u8> {
        let mut frames = frames.to_vec();
        frames.resize(frames.len().max(SHORTEST), 0);
        unpadded(number, id, &frames)
    }

    fn unpadded(number: u32, id: &[u8], frames: &[u8]) -> Vec<u8> {
        let version = version(number);
        let first = if version.kind(0) == 0 { 0xc1 } else { 0xd1 };
        let mut packet = vec![first];
        packet.extend(number.to_be_bytes());
        packet.push(id.len() as u8);
        packet.extend(id);
        packet.extend([0, 3, 1, 2, 3]);
        packet.extend((0x4000 | (2 + frames.len() + 16) as u16).to_be_bytes());
        let at = packet.len();
        packet.extend([0, 7]);
        packet.extend(frames);
        packet.extend([0xaa; 16]);
        Keys::new(version, &CONNECTION).seal(&mut packet, at);
        packet
    }

    /// Returns the fingerprint that is found in these datagrams.
    fn find(datagrams: &[Vec<u8>]) -> Option<String> {
        let mut flow = None;
        let mut hellos = datagrams
            .iter()
            .map(|each| Quic::push(&mut flow, each, MOST_KEPT));
        let hello = hellos.find_map(|hello| hello)?;
        Some(Fingerprint::of(&hello, Transport::Quic).raw)
    }

    fn expected() -> Option<String> {
        Some("q12i030000_1301,1302,1303_".to_owned())
    }

    #[test]
    fn a_hello_is_read_in_every_version() {
        for number in [1, 0x6b33_43cf, 0xff00_001d, 0xff00_001b] {
            let mut frames = frame(0, &hello());
            frames.extend([0; 40]);
            let datagram = initial(number, &CONNECTION, &frames);
            assert_eq!(find(&[datagram]), expected(), "{number:x}");
        }
        assert!(Version::of(0xff00_0016).is_none() && Version::of(0).is_none());
    }

    #[test]
    fn a_hello_may_be_split_into_frames_and_packets_in_any_order() {
        let hello = hello();
        let (one, two) = hello.split_at(30);
        let (two, three) = two.split_at(9);
        let ack = [2, 5, 0, 1, 0, 0, 0, 3, 9, 9, 0, 1, 2, 3, 1];
        let first = [&frame(39, three)[..], &[0, 1], &frame(0, one), &ack].concat();
        let later = initial(1, b"server", &frame(30, two));
        let first = initial(1, &CONNECTION, &first);
        assert_eq!(find(&[first.clone(), later.clone()]), expected());
        // Both in one datagram.
        let both = [first.clone(), later.clone()].concat();
        assert_eq!(find(&[both]), expected());
        // Later datagrams may be shorter.
        let short = unpadded(1, b"server", &frame(30, two));
        assert_eq!(find(&[first.clone(), short]), expected());
        // After a packet with other keys.
        let other = initial(1, b"client", &frame(0, &hello));
        assert_eq!(find(&[other, first, later]), expected());
    }

    #[test]
    fn a_part_is_not_a_hello() {
        let hello = hello();
        assert_eq!(
            find(&[initial(1, &CONNECTION, &frame(0, &hello[..40]))]),
            None
        );
        let whole = initial(1, &CONNECTION, &frame(0, &hello));
        assert_eq!(find(std::slice::from_ref(&whole)), expected());
        for cut in [1, 16, 17, 1200] {
            let cut = whole[..whole.len() - cut].to_vec();
            assert_eq!(find(&[cut]), None);
        }
        let short = unpadded(1, &CONNECTION, &frame(0, &hello));
        assert_eq!(find(&[short]), None);
    }

    #[test]
    fn packets_with_other_frames_are_rejected() {
        for frames in [&[8, 0][..], &[2, 5, 0], &[6, 0, 9, 1], &[0x1c, 0, 0, 3, 1]] {
            assert_eq!(crypto(frames), None, "{frames:?}");
        }
        assert_eq!(crypto(&[0x1c, 0, 0, 1, 1]), Some(vec![]));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_rejected_without_a_panic(first in 0xc0_u8.., noise: Vec<u8>) {
            let mut datagram = vec![first, 0, 0, 0, 1];
            datagram.extend(noise);
            datagram.resize(SHORTEST, 0);
            assert_eq!(find(&[datagram]), None);
        }
    }
}
