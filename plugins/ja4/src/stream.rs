//! Reassembly of a stream from segments, as far as a ClientHello needs it.

use crate::hello::{self, Found, Hello};

/// The maximum number of bytes that one direction keeps: the beginning of a ClientHello, and early segments.
pub(crate) const MOST_KEPT: usize = 2 * hello::LONGEST;
/// The overhead of an early segment in addition to its bytes, in bytes.
const OVERHEAD: usize = 64;

/// A segment of TCP, or a piece of a QUIC stream.
pub(crate) struct Segment<'a> {
    /// Whether it is a SYN, which occupies one sequence number.
    pub(crate) syn: bool,
    /// The sequence number of the first byte, or of the SYN before it.
    pub(crate) seq: u32,
    /// The number of payload bytes that were sent.
    pub(crate) size: u32,
    /// The payload bytes that were captured.
    pub(crate) bytes: &'a [u8],
}

/// One direction of a connection. It keeps no bytes while segments arrive in order and do not begin with the
/// beginning of a ClientHello.
pub(crate) struct Stream {
    /// Searches for a ClientHello at the beginning of some bytes.
    find: fn(&[u8]) -> Found,
    /// The next expected sequence number. `None` before the first segment.
    next: Option<u32>,
    /// The beginning of a ClientHello. Empty if there is none.
    beginning: Vec<u8>,
    /// Early segments: those after a gap.
    early: Vec<EarlySegment>,
}

/// A segment that arrived before its predecessor.
struct EarlySegment {
    seq: u32,
    size: u32,
    bytes: Vec<u8>,
}

impl Stream {
    /// Creates one direction of a TCP connection, which carries TLS records.
    pub(crate) fn of_tcp() -> Self {
        Stream::new(None, hello::find)
    }

    /// Creates the stream of a QUIC client. Offsets, which begin at 0, replace the sequence numbers.
    pub(crate) fn of_quic() -> Self {
        Stream::new(Some(0), hello::find_without_records)
    }

    fn new(next: Option<u32>, find: fn(&[u8]) -> Found) -> Self {
        Stream {
            find,
            next,
            beginning: Vec::new(),
            early: Vec::new(),
        }
    }

    /// Processes a segment. Returns the ClientHello if this segment completes it. The stream then keeps at most
    /// `most` bytes. `most` must not be less than the number of bytes that it keeps now.
    pub(crate) fn push(&mut self, segment: &Segment<'_>, most: usize) -> Option<Hello> {
        let mut seq = segment.seq;
        if segment.syn {
            seq = seq.wrapping_add(1);
            // A SYN with another sequence number starts a new connection.
            if self.next.is_some_and(|next| next != seq) {
                *self = Stream::new(None, self.find);
            }
        }
        let next = *self.next.get_or_insert(seq);
        if segment.size == 0 {
            return None;
        }
        if is_after(seq, next) {
            if self.kept() + OVERHEAD + segment.bytes.len() <= most {
                self.early.push(EarlySegment {
                    seq,
                    size: segment.size,
                    bytes: segment.bytes.to_vec(),
                });
                return None;
            }
            // Too many bytes are waiting for the gap to close. Give up the gap, and continue with this segment.
            *self = Stream::new(Some(seq), self.find);
        }
        let hello = self.append(seq, segment.size, segment.bytes, most);
        hello.or_else(|| self.catch_up(most))
    }

    /// Processes the end of the stream. Returns a ClientHello that is after a gap.
    pub(crate) fn end(mut self) -> Option<Hello> {
        while let Some(first) = self.first_early() {
            self.beginning.clear();
            self.next = Some(first);
            if let Some(hello) = self.catch_up(MOST_KEPT) {
                return Some(hello);
            }
        }
        None
    }

    /// Appends early segments that are no longer after a gap.
    fn catch_up(&mut self, most: usize) -> Option<Hello> {
        loop {
            let next = self.next?;
            let mut early = self.early.iter();
            let at = early.position(|segment| !is_after(segment.seq, next))?;
            let EarlySegment { seq, size, bytes } = self.early.swap_remove(at);
            let hello = self.append(seq, size, &bytes, most);
            if hello.is_some() {
                return hello;
            }
        }
    }

    fn first_early(&self) -> Option<u32> {
        let next = self.next?;
        let starts = self.early.iter().map(|segment| segment.seq);
        starts.min_by_key(|seq| seq.wrapping_sub(next))
    }

    /// Appends the new part of a segment. The segment must not begin after a gap.
    fn append(&mut self, seq: u32, size: u32, bytes: &[u8], most: usize) -> Option<Hello> {
        let known = self.next?.wrapping_sub(seq);
        if known >= size {
            return None;
        }
        self.next = Some(seq.wrapping_add(size));
        let new = bytes.get(known as usize..).unwrap_or_default();
        let mut found = Found::Nothing;
        if !self.beginning.is_empty() {
            self.beginning.extend_from_slice(new);
            found = (self.find)(&self.beginning);
        }
        // The beginning was not a ClientHello. A ClientHello may begin with this segment.
        if found == Found::Nothing {
            self.beginning = Vec::new();
            found = (self.find)(new);
        }
        match found {
            Found::Hello(hello) => return Some(hello),
            Found::Nothing => {}
            Found::Beginning if self.beginning.is_empty() => self.beginning = new.to_vec(),
            Found::Beginning => {}
        }
        // Bytes that were not captured are a gap that never closes. A ClientHello that exceeds the limit, because it
        // has very many records, is not from a real client.
        if bytes.len() < size as usize || self.kept() > most {
            self.beginning = Vec::new();
        }
        None
    }

    /// Returns the number of bytes that the stream keeps.
    pub(crate) fn kept(&self) -> usize {
        let early = self.early.iter().map(|early| OVERHEAD + early.bytes.len());
        self.beginning.len() + early.sum::<usize>()
    }
}

/// Returns whether sequence number `seq` is after `other`. Sequence numbers wrap around.
fn is_after(seq: u32, other: u32) -> bool {
    seq.wrapping_sub(other).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hello::tests::{handshake, records};

    fn hello() -> Vec<u8> {
        records(&handshake(&[0x1301, 0x1302, 0x1303], None), 16_384)
    }

    fn data(seq: u32, bytes: &[u8]) -> Segment<'_> {
        Segment {
            syn: false,
            seq,
            size: bytes.len() as u32,
            bytes,
        }
    }

    fn syn(seq: u32) -> Segment<'static> {
        Segment {
            syn: true,
            ..data(seq, b"")
        }
    }

    /// Returns whether these segments contain a ClientHello. It may be found only at the end of the stream.
    fn finds_hello(segments: &[Segment<'_>]) -> bool {
        let mut stream = Stream::of_tcp();
        segments
            .iter()
            .any(|segment| stream.push(segment, MOST_KEPT).is_some())
            || stream.end().is_some()
    }

    #[test]
    fn a_hello_may_be_split_anywhere_and_arrive_in_any_order() {
        let hello = hello();
        // The sequence numbers wrap around inside the ClientHello.
        let isn = u32::MAX - 20;
        let at = |offset: usize| isn.wrapping_add(1 + offset as u32);
        for split in 1..hello.len() {
            let (one, two) = hello.split_at(split);
            let [one, two] = [data(at(0), one), data(at(split), two)];
            assert!(finds_hello(&[syn(isn), one, two]), "split at {split}");
            let (one, two) = hello.split_at(split);
            let [one, two] = [data(at(0), one), data(at(split), two)];
            assert!(
                finds_hello(&[syn(isn), two, one]),
                "split at {split}, reversed"
            );
        }
        let bytes: Vec<_> = hello.chunks(1).enumerate().rev().collect();
        let mut segments = vec![syn(isn)];
        segments.extend(bytes.iter().map(|&(offset, byte)| data(at(offset), byte)));
        assert!(finds_hello(&segments), "byte by byte from the end");
    }

    #[test]
    fn retransmissions_are_ignored() {
        let hello = hello();
        assert!(finds_hello(&[
            syn(9),
            syn(9),
            data(10, &hello[..30]),
            data(10, &hello[..30]),
            data(20, &hello[10..40]),
            data(9, b"?"),
            data(50, &hello[40..]),
        ]));
    }

    #[test]
    fn a_hello_may_follow_other_data() {
        let hello = hello();
        let connect = b"CONNECT example.com:443 HTTP/1.1\r\n\r\n";
        let then = 10 + connect.len() as u32;
        assert!(finds_hello(&[data(10, connect), data(then, &hello)]));
        // Bytes that only look like the beginning of a record.
        assert!(finds_hello(&[data(10, &[22]), data(11, &hello)]));
        assert!(finds_hello(&[
            data(10, &[22, 3, 1, 0]),
            data(14, b"\0"),
            data(15, &hello)
        ]));
    }

    #[test]
    fn a_new_connection_resets_the_stream() {
        let hello = hello();
        assert!(finds_hello(&[
            syn(9),
            data(10, &hello[..30]),
            syn(4_000_000_000),
            data(4_000_000_001, &hello),
        ]));
    }

    #[test]
    fn a_gap_in_a_hello_is_not_skipped() {
        let hello = hello();
        assert!(!finds_hello(&[
            syn(9),
            data(10, &hello[..30]),
            data(41, &hello[31..])
        ]));
        // Partly captured: the bytes after the cut are a gap.
        let cut = Segment {
            size: 40,
            ..data(10, &hello[..30])
        };
        assert!(!finds_hello(&[syn(9), cut, data(50, &hello[40..])]));
    }

    #[test]
    fn a_hello_after_a_gap_is_found_at_the_end() {
        assert!(finds_hello(&[syn(9), data(99, &hello())]));
    }

    #[test]
    fn kept_bytes_are_limited_and_the_stream_continues_after_the_limit() {
        let hello = hello();
        for (size, captured) in [(1000, 1000), (1000, 0)] {
            let mut stream = Stream::of_tcp();
            assert!(stream.push(&syn(9), MOST_KEPT).is_none());
            let mut seq = 100;
            while stream.next == Some(10) {
                let bytes = vec![0; captured];
                assert!(
                    stream
                        .push(
                            &Segment {
                                size,
                                ..data(seq, &bytes)
                            },
                            MOST_KEPT
                        )
                        .is_none()
                );
                assert!(stream.kept() <= MOST_KEPT);
                assert!(seq < 10_000_000, "the stream never gives up the gap");
                seq += 2 * size;
            }
            let next = stream.next.expect("there were segments");
            assert!(stream.push(&data(next, &hello), MOST_KEPT).is_some());
        }
    }

    #[test]
    fn the_beginning_of_a_hello_is_limited() {
        // A message of almost the maximum length, in records of different sizes.
        let mut message = vec![1, 0, 0x3f, 0xf0];
        message.resize(hello::LONGEST - 20, 0);
        for most in [1, 60, 70, 16_384] {
            let bytes = records(&message, most);
            let mut stream = Stream::of_tcp();
            for (n, part) in bytes.chunks(1200).enumerate() {
                assert!(
                    stream
                        .push(&data(10 + n as u32 * 1200, part), MOST_KEPT)
                        .is_none()
                );
                assert!(stream.kept() <= MOST_KEPT);
            }
            assert_eq!(stream.beginning.is_empty(), most < 70, "records of {most}");
        }
    }

    proptest::proptest! {
        /// Any segments. Many of them continue other segments, and many contain the beginning of a ClientHello.
        #[test]
        fn any_segments_are_processed_within_the_limit(
            segments in proptest::collection::vec((0_u32..200, 0_u32..400, 0_usize..300), 1..60),
            noise: Vec<u8>,
        ) {
            let mut bytes = hello();
            bytes.truncate(60);
            bytes.extend(noise);
            let mut stream = Stream::of_tcp();
            for (seq, size, captured) in segments {
                let from = (seq as usize).min(bytes.len());
                let bytes = &bytes[from..bytes.len().min(from + captured.min(size as usize))];
                let _ = stream.push(&Segment { syn: seq == 0, seq, size, bytes }, MOST_KEPT);
                assert!(stream.kept() <= MOST_KEPT);
            }
            let _ = stream.end();
        }

        /// A ClientHello in pieces that arrive in any order, each of them twice.
        #[test]
        fn any_pieces_in_any_order_are_a_hello(
            cuts in proptest::collection::btree_set(1_usize..50, 0..6),
            keys in proptest::collection::vec(proptest::num::u32::ANY, 14),
        ) {
            let hello = hello();
            let ends: Vec<_> = cuts.iter().copied().chain([hello.len()]).collect();
            let starts = std::iter::once(0).chain(cuts.iter().copied());
            let pieces: Vec<_> = starts.zip(ends).collect();
            let mut order: Vec<_> = pieces.iter().chain(&pieces).zip(&keys).collect();
            order.sort_by_key(|&(_, key)| key);
            let mut segments = vec![syn(9)];
            for (&(start, end), _) in order {
                segments.push(data(10 + start as u32, &hello[start..end]));
            }
            assert!(finds_hello(&segments));
        }
    }
}
