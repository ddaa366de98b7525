//! A stream of bytes that comes in segments, put together as far as a ClientHello needs it.

use crate::hello::{self, Found, Hello};

/// The most bytes that one direction keeps: a hello of which some came, and segments that came early.
pub(crate) const MOST_KEPT: usize = 2 * hello::LONGEST;
/// What a segment that came early takes besides its bytes.
const OVERHEAD: usize = 64;

/// A segment, as those of TCP.
pub(crate) struct Segment<'a> {
    /// Whether it is a SYN, which takes a sequence number of its own.
    pub(crate) syn: bool,
    /// Sequence number of its first byte, or of the SYN before it.
    pub(crate) seq: u32,
    /// Payload bytes that were sent.
    pub(crate) size: u32,
    /// Those of them that were captured.
    pub(crate) bytes: &'a [u8],
}

/// One direction of a connection. It keeps nothing while what comes is in order and no beginning of a
/// hello.
pub(crate) struct Stream {
    /// What a hello looks like in it.
    find: fn(&[u8]) -> Found,
    /// Sequence number of the byte that comes next; none before the first segment.
    next: Option<u32>,
    /// The beginning of a hello.
    beginning: Vec<u8>,
    /// Segments behind a gap.
    early: Vec<Early>,
}

struct Early {
    seq: u32,
    size: u32,
    bytes: Vec<u8>,
}

impl Stream {
    /// One direction of a TCP connection, which carries records.
    pub(crate) fn of_tcp() -> Self {
        Stream::new(None, hello::find)
    }

    /// What a client sends over QUIC, from offset 0 on, in place of sequence numbers.
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

    /// Takes a segment, and gives the hello that is complete with it. It keeps at most `most` bytes
    /// after it, which are no fewer than it kept before.
    pub(crate) fn hear(&mut self, segment: &Segment<'_>, most: usize) -> Option<Hello> {
        let mut seq = segment.seq;
        if segment.syn {
            seq = seq.wrapping_add(1);
            // A SYN with another number begins another connection.
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
                self.early.push(Early {
                    seq,
                    size: segment.size,
                    bytes: segment.bytes.to_vec(),
                });
                return None;
            }
            // What is missing does not come any more: on from here.
            *self = Stream::new(Some(seq), self.find);
        }
        let hello = self.append(seq, segment.size, segment.bytes, most);
        hello.or_else(|| self.catch_up(most))
    }

    /// After the last segment: whether there is a hello behind a gap.
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

    /// Goes on with segments that came early and are no longer so.
    fn catch_up(&mut self, most: usize) -> Option<Hello> {
        loop {
            let next = self.next?;
            let mut early = self.early.iter();
            let at = early.position(|segment| !is_after(segment.seq, next))?;
            let Early { seq, size, bytes } = self.early.swap_remove(at);
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

    /// Takes the part of a segment that is new; the segment does not begin behind a gap.
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
        // What went on with something that was no hello may begin with one.
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
        // Bytes that were not captured are a gap that nothing closes; and a hello in very many records
        // is longer than any that a client sends.
        if bytes.len() < size as usize || self.kept() > most {
            self.beginning = Vec::new();
        }
        None
    }

    /// Bytes that it keeps.
    pub(crate) fn kept(&self) -> usize {
        let early = self.early.iter().map(|early| OVERHEAD + early.bytes.len());
        self.beginning.len() + early.sum::<usize>()
    }
}

/// Whether a sequence number comes after another, around which numbers begin anew.
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

    /// Whether there is a hello in these segments, at the end at the latest.
    fn hears(segments: &[Segment<'_>]) -> bool {
        let mut stream = Stream::of_tcp();
        segments
            .iter()
            .any(|segment| stream.hear(segment, MOST_KEPT).is_some())
            || stream.end().is_some()
    }

    #[test]
    fn a_hello_may_be_split_anywhere_and_come_in_any_order() {
        let hello = hello();
        // Sequence numbers begin anew within it.
        let isn = u32::MAX - 20;
        let at = |offset: usize| isn.wrapping_add(1 + offset as u32);
        for split in 1..hello.len() {
            let (one, two) = hello.split_at(split);
            let [one, two] = [data(at(0), one), data(at(split), two)];
            assert!(hears(&[syn(isn), one, two]), "split at {split}");
            let (one, two) = hello.split_at(split);
            let [one, two] = [data(at(0), one), data(at(split), two)];
            assert!(hears(&[syn(isn), two, one]), "split at {split}, turned");
        }
        let bytes: Vec<_> = hello.chunks(1).enumerate().rev().collect();
        let mut segments = vec![syn(isn)];
        segments.extend(bytes.iter().map(|&(offset, byte)| data(at(offset), byte)));
        assert!(hears(&segments), "byte by byte from the end");
    }

    #[test]
    fn what_is_sent_again_counts_once() {
        let hello = hello();
        assert!(hears(&[
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
    fn a_hello_may_follow_something_else() {
        let hello = hello();
        let connect = b"CONNECT example.com:443 HTTP/1.1\r\n\r\n";
        let then = 10 + connect.len() as u32;
        assert!(hears(&[data(10, connect), data(then, &hello)]));
        // A record that only looks like the beginning of one.
        assert!(hears(&[data(10, &[22]), data(11, &hello)]));
        assert!(hears(&[
            data(10, &[22, 3, 1, 0]),
            data(14, b"\0"),
            data(15, &hello)
        ]));
    }

    #[test]
    fn another_connection_begins_anew() {
        let hello = hello();
        assert!(hears(&[
            syn(9),
            data(10, &hello[..30]),
            syn(4_000_000_000),
            data(4_000_000_001, &hello),
        ]));
    }

    #[test]
    fn a_gap_in_a_hello_is_not_passed_over() {
        let hello = hello();
        assert!(!hears(&[
            syn(9),
            data(10, &hello[..30]),
            data(41, &hello[31..])
        ]));
        // Captured in part: the bytes behind the cut are a gap.
        let cut = Segment {
            size: 40,
            ..data(10, &hello[..30])
        };
        assert!(!hears(&[syn(9), cut, data(50, &hello[40..])]));
    }

    #[test]
    fn a_hello_behind_a_gap_is_found_at_the_end() {
        assert!(hears(&[syn(9), data(99, &hello())]));
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_stream_goes_on_behind_it() {
        let hello = hello();
        for (size, captured) in [(1000, 1000), (1000, 0)] {
            let mut stream = Stream::of_tcp();
            assert!(stream.hear(&syn(9), MOST_KEPT).is_none());
            let mut seq = 100;
            while stream.next == Some(10) {
                let bytes = vec![0; captured];
                assert!(
                    stream
                        .hear(
                            &Segment {
                                size,
                                ..data(seq, &bytes)
                            },
                            MOST_KEPT
                        )
                        .is_none()
                );
                assert!(stream.kept() <= MOST_KEPT);
                assert!(seq < 10_000_000, "it waits for ever");
                seq += 2 * size;
            }
            let next = stream.next.expect("there were segments");
            assert!(stream.hear(&data(next, &hello), MOST_KEPT).is_some());
        }
    }

    #[test]
    fn the_beginning_of_a_hello_is_bounded() {
        // The longest message, in records of some bytes.
        let mut message = vec![1, 0, 0x3f, 0xf0];
        message.resize(hello::LONGEST - 20, 0);
        for most in [1, 60, 70, 16_384] {
            let bytes = records(&message, most);
            let mut stream = Stream::of_tcp();
            for (n, part) in bytes.chunks(1200).enumerate() {
                assert!(
                    stream
                        .hear(&data(10 + n as u32 * 1200, part), MOST_KEPT)
                        .is_none()
                );
                assert!(stream.kept() <= MOST_KEPT);
            }
            assert_eq!(stream.beginning.is_empty(), most < 70, "records of {most}");
        }
    }

    proptest::proptest! {
        /// Any segments, many of which go on where others end, and are the beginning of a hello.
        #[test]
        fn any_segments_are_heard_within_the_bound(
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
                let _ = stream.hear(&Segment { syn: seq == 0, seq, size, bytes }, MOST_KEPT);
                assert!(stream.kept() <= MOST_KEPT);
            }
            let _ = stream.end();
        }

        /// A hello cut into pieces that come in any order, some of them again.
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
            assert!(hears(&segments));
        }
    }
}
