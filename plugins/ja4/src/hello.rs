//! The ClientHello of TLS (RFC 8446 and its predecessors), and the TLS records that carry it.

use crate::bytes::Bytes;

/// The maximum length of a handshake message, bytes. Longer ones are ignored.
pub(crate) const LONGEST: usize = 16 << 10;

/// The maximum number of records of a handshake message. A client may split the message to hide it. A message in
/// many very small records is more likely an attempt to waste time.
const MOST_RECORDS: usize = 256;

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// The maximum payload of a record: 2^14 bytes, plus 2048 bytes for compression in old versions.
const LONGEST_RECORD: usize = (1 << 14) + 2048;

const SERVER_NAME: u16 = 0;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

/// The parts of a ClientHello that JA4 uses. Lists are in the order of the message and include GREASE values
/// (RFC 8701).
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Hello {
    /// The version in the message itself.
    pub(crate) version: u16,
    /// The cipher suites.
    pub(crate) ciphers: Vec<u16>,
    /// The types of the extensions.
    pub(crate) extensions: Vec<u16>,
    /// Whether there is an extension server_name.
    pub(crate) names_server: bool,
    /// The extension supported_versions.
    pub(crate) versions: Vec<u16>,
    /// The extension signature_algorithms.
    pub(crate) signatures: Vec<u16>,
    /// The first protocol of the extension ALPN; empty without one.
    pub(crate) protocol: Vec<u8>,
}

/// The result of a search at the beginning of a stream.
#[derive(Debug, PartialEq)]
pub(crate) enum Found {
    /// A complete ClientHello.
    Hello(Hello),
    /// The beginning of a ClientHello.
    Beginning,
    /// Something else.
    Nothing,
}

/// Searches for a ClientHello in a stream of TLS records. It must begin at the first byte.
pub(crate) fn find(stream: &[u8]) -> Found {
    match message(stream) {
        Message::Whole(message) => Hello::parse(&message).map_or(Found::Nothing, Found::Hello),
        Message::Beginning => Found::Beginning,
        Message::None => Found::Nothing,
    }
}

/// Searches for a ClientHello in a stream without TLS records, as in QUIC.
pub(crate) fn find_without_records(stream: &[u8]) -> Found {
    match body(stream) {
        Message::Whole(message) => Hello::parse(&message).map_or(Found::Nothing, Found::Hello),
        Message::Beginning => Found::Beginning,
        Message::None => Found::Nothing,
    }
}

enum Message {
    /// The body of a ClientHello.
    Whole(Vec<u8>),
    Beginning,
    None,
}

/// Extracts a handshake message from one or several records.
fn message(stream: &[u8]) -> Message {
    let mut rest = Bytes(stream);
    let mut message = Vec::new();
    for _ in 0..MOST_RECORDS {
        // The version of a record is 3.x in every version of TLS.
        let is_handshake =
            rest.starts_like(&[HANDSHAKE, 3]) && rest.0.get(2).is_none_or(|x| *x <= 4);
        if !is_handshake {
            return Message::None;
        }
        let Some((_, length)) = rest.take(3).zip(rest.u16()) else {
            return Message::Beginning;
        };
        let length = usize::from(length);
        if length == 0 || length > LONGEST_RECORD {
            return Message::None;
        }
        let available = length.min(rest.0.len());
        message.extend(rest.take(available).unwrap_or_default());
        match body(&message) {
            Message::Beginning if available == length && !rest.0.is_empty() => {}
            found => return found,
        }
    }
    Message::None
}

/// Returns the body of a handshake message.
fn body(message: &[u8]) -> Message {
    match *message {
        [kind, ..] if kind != CLIENT_HELLO => Message::None,
        [_, a, b, c, ref rest @ ..] => {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            match rest.get(..length) {
                _ if length > LONGEST => Message::None,
                Some(body) => Message::Whole(body.to_vec()),
                None => Message::Beginning,
            }
        }
        _ => Message::Beginning,
    }
}

impl Hello {
    /// Parses the body of a ClientHello. Returns `None` if its lengths are inconsistent.
    fn parse(body: &[u8]) -> Option<Self> {
        let mut body = Bytes(body);
        let mut hello = Hello {
            version: body.u16()?,
            ..Hello::default()
        };
        body.take(32)?;
        body.list8()?;
        hello.ciphers = body.list16()?.u16s()?;
        body.list8()?;
        // Before TLS 1.2, the extensions may be absent.
        if body.0.is_empty() {
            return Some(hello);
        }
        let mut extensions = body.list16()?;
        while !extensions.0.is_empty() {
            let kind = extensions.u16()?;
            let mut value = extensions.list16()?;
            hello.extensions.push(kind);
            match kind {
                SERVER_NAME => hello.names_server = true,
                SIGNATURE_ALGORITHMS => hello.signatures = value.list16()?.u16s()?,
                SUPPORTED_VERSIONS => hello.versions = value.list8()?.u16s()?,
                ALPN => {
                    let mut protocols = value.list16()?;
                    if !protocols.0.is_empty() {
                        hello.protocol = protocols.list8()?.0.to_vec();
                    }
                }
                _ => {}
            }
        }
        Some(hello)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Encodes an extension.
    pub(crate) fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes
    }

    /// Encodes a list of numbers with a length of two bytes.
    fn numbers(numbers: &[u16]) -> Vec<u8> {
        let mut bytes = (numbers.len() as u16 * 2).to_be_bytes().to_vec();
        bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        bytes
    }

    /// Creates a ClientHello of TLS 1.2 as a handshake message.
    pub(crate) fn handshake(ciphers: &[u16], extensions: Option<&[Vec<u8>]>) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([2, 9, 9]);
        body.extend(numbers(ciphers));
        body.extend([1, 0]);
        if let Some(extensions) = extensions {
            let extensions = extensions.concat();
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
        }
        let length = (body.len() as u32).to_be_bytes();
        [&[CLIENT_HELLO], &length[1..], &body].concat()
    }

    /// Splits a handshake message into records of at most `most` bytes.
    pub(crate) fn records(message: &[u8], most: usize) -> Vec<u8> {
        let record = |part: &[u8]| {
            let mut record = vec![HANDSHAKE, 3, 1];
            record.extend((part.len() as u16).to_be_bytes());
            record.extend(part);
            record
        };
        message.chunks(most).flat_map(record).collect()
    }

    fn full() -> Vec<u8> {
        handshake(
            &[0x0a0a, 0x1301],
            Some(&[
                extension(SERVER_NAME, b"\0\x0c\0\0\x09localhost"),
                extension(SIGNATURE_ALGORITHMS, &numbers(&[0x0403, 0x0804])),
                extension(ALPN, b"\0\x0c\x02h2\x08http/1.1"),
                extension(SUPPORTED_VERSIONS, b"\x04\x03\x04\x03\x03"),
                extension(23, b""),
            ]),
        )
    }

    #[test]
    fn a_hello_is_parsed() {
        let hello = Hello {
            version: 0x0303,
            ciphers: vec![0x0a0a, 0x1301],
            extensions: vec![0, 13, 16, 43, 23],
            names_server: true,
            versions: vec![0x0304, 0x0303],
            signatures: vec![0x0403, 0x0804],
            protocol: b"h2".to_vec(),
        };
        for most in [1, 3, 50, 16_384] {
            let mut stream = records(&full(), most);
            stream.extend(b"any bytes after the message");
            let Found::Hello(found) = find(&stream) else {
                panic!("records of {most} bytes hold a hello");
            };
            assert_eq!(found, hello);
        }
    }

    #[test]
    fn every_prefix_of_a_hello_is_a_beginning() {
        for most in [5, 16_384] {
            let stream = records(&full(), most);
            for end in 0..stream.len() {
                assert_eq!(find(&stream[..end]), Found::Beginning, "{end} bytes");
            }
        }
    }

    #[test]
    fn a_hello_may_have_no_extensions() {
        let Found::Hello(hello) = find(&records(&handshake(&[5], None), 99)) else {
            panic!("a hello");
        };
        assert_eq!((hello.ciphers, hello.extensions), (vec![5], vec![]));
    }

    #[test]
    fn other_messages_are_rejected() {
        let good = records(&full(), 16_384);
        // Type and version of the record, a length of 0, type and length of the message, the length
        // of the ciphers.
        for (at, byte) in [(0, 23), (1, 2), (2, 5), (5, 2), (6, 1), (46, 0xff)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(find(&bad), Found::Nothing, "byte {at}");
        }
        assert_eq!(find(&[HANDSHAKE, 3, 1, 0, 0]), Found::Nothing);
        let mut other = records(&full(), 60);
        other[65] = 23;
        assert_eq!(find(&other), Found::Nothing, "a record of data between");
        assert_eq!(find(b"GET / HTTP/1.1\r\n"), Found::Nothing);
        let long = handshake(&[5; 200], None);
        assert_eq!(find(&records(&long, 1)), Found::Nothing, "too many records");
    }

    #[test]
    fn inconsistent_lengths_are_rejected() {
        for value in [&b"\0\x05\x03\x04\x03\x04\x03"[..], b"\0\x08\x04\x03", b""] {
            let message = handshake(&[5], Some(&[extension(SIGNATURE_ALGORITHMS, value)]));
            assert_eq!(find(&records(&message, 999)), Found::Nothing, "{value:?}");
        }
    }

    proptest::proptest! {
        /// A hello with some bytes replaced causes no panic.
        #[test]
        fn any_bytes_are_read(at in 0_usize..200, noise: Vec<u8>) {
            let mut stream = records(&full(), 16_384);
            for (byte, noise) in stream.iter_mut().skip(at).zip(noise) {
                *byte = noise;
            }
            let _ = find(&stream);
        }
    }
}
