//! What a TLS client offers in its ClientHello.
//!
//! The ClientHello must begin in the first payload of the flow. Only this packet is read. A larger ClientHello continues
//! in the next packets; the values that they contain are null. To read them, collect the payload in the state, in the
//! order of `tcp_seq`.

use flowloom_sdk::{Outputs, PacketFields, Plugin};

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;
const MAX_TEXT: usize = 255;

struct Tls;

/// The data to request for each packet.
#[derive(PacketFields)]
struct Packet<'a> {
    #[payload(1500)]
    payload: &'a [u8],
}

/// The state of a flow.
#[derive(Default)]
struct State {
    seen: bool,
    out: Out,
}

/// The columns to add to a flow. The doc comments are the descriptions of the columns.
#[derive(Debug, Default, PartialEq, Outputs)]
struct Out {
    /// Name of the server that the client wants.
    sni: Option<String>,
    /// Highest version that the client offers: 771 is TLS 1.2, 772 is TLS 1.3.
    version: Option<u16>,
    /// Number of cipher suites that the client offers, without GREASE.
    cipher_count: Option<u16>,
    /// First application protocol that the client offers.
    alpn: Option<String>,
}

#[flowloom_sdk::plugin]
impl Plugin for Tls {
    const DESCRIPTION: &'static str = "What a TLS client offers in its ClientHello.";
    type Packet<'a> = Packet<'a>;
    type State = State;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Tls)
    }

    fn packets_per_flow(&self) -> Option<u32> {
        Some(10)
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> State {
        let mut state = State::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet<'_>, _: &()) {
        if !state.seen && !packet.payload.is_empty() {
            state.seen = true;
            // The ClientHello may end at any byte.
            let _ = read_hello(&mut state.out, packet.payload);
        }
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        state.out
    }

    fn state_bytes(&self) -> usize {
        size_of::<State>() + 2 * MAX_TEXT
    }
}

/// Returns `None` if this is no ClientHello, or if it was cut. Values before that place are set.
fn read_hello(out: &mut Out, payload: &[u8]) -> Option<()> {
    // Before the session id: record header (5 bytes), handshake header (4), version (2), random (32).
    let &[HANDSHAKE, 3, _, _, _, CLIENT_HELLO, a, b, c, ..] = payload else {
        return None;
    };
    let end = 9 + u32::from_be_bytes([0, a, b, c]) as usize;
    let hello = &payload[..end.min(payload.len())];
    let session = usize::from(*payload.get(43)?);
    let mut at = 44 + session;
    let suites = usize::from(u16_at(hello, at)?);
    at += 2;
    out.cipher_count = Some(without_grease(hello.get(at..at + suites)?).count() as u16);
    at += suites;
    // Skip the compression methods, and the size of all extensions.
    at += 1 + hello.get(at).map_or(0, |&size| usize::from(size)) + 2;
    while let (Some(kind), Some(size)) = (u16_at(hello, at), u16_at(hello, at + 2)) {
        at += 4;
        let Some(data) = hello.get(at..at + usize::from(size)) else {
            break;
        };
        read_extension(out, kind, data);
        at += data.len();
    }
    if out.version.is_none() && hello.len() == end {
        out.version = u16_at(hello, 9);
    }
    Some(())
}

fn read_extension(out: &mut Out, kind: u16, data: &[u8]) {
    match (kind, data) {
        (SERVER_NAME, &[_, _, 0, a, b, ref names @ ..]) => {
            out.sni = text(names, u16::from_be_bytes([a, b]).into());
        }
        (ALPN, &[_, _, size, ref names @ ..]) => out.alpn = text(names, size.into()),
        (SUPPORTED_VERSIONS, _) => out.version = without_grease(data.get(1..).unwrap_or(&[])).max(),
        _ => {}
    }
}

/// Returns the 16-bit numbers in the data that are not GREASE (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa.
fn without_grease(data: &[u8]) -> impl Iterator<Item = u16> {
    let numbers = data.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    let others = numbers.filter(|[first, second]| first & 0x0f != 0x0a || first != second);
    others.map(u16::from_be_bytes)
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at + 2)?;
    Some(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Returns the first bytes of the data as text; `None` if the text is empty or was cut.
fn text(data: &[u8], size: usize) -> Option<String> {
    let bytes = data.get(..size).filter(|bytes| !bytes.is_empty())?;
    let printable = |&byte| match byte {
        b' '..=b'~' => char::from(byte),
        _ => '?',
    };
    Some(bytes.iter().take(MAX_TEXT).map(printable).collect())
}

#[test]
fn values_before_a_cut_are_there() {
    let suites = b"\0\x04\x1a\x1a\x13\x01"; // GREASE and one other
    let extensions = b"\0\x12\0\x2b\0\x05\x04\x03\x04\x03\x03\0\x10\0\x05\0\x03\x02h2";
    let body = [&[3, 3], &[7; 32][..], b"\0", suites, b"\x01\0", extensions].concat();
    let head = [22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8];
    let hello = [&head[..], &body].concat();
    let out = |payload| Tls.expire(Tls.init(&Packet { payload }, &()), &());
    let mut expected = Out {
        sni: None,
        version: Some(772),
        cipher_count: Some(1),
        alpn: Some("h2".into()),
    };
    assert_eq!(out(&hello), expected);
    expected.alpn = None;
    assert_eq!(out(&hello[..hello.len() - 1]), expected);
}
