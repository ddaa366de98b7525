//! The first HTTP/1 request and response of a flow.
//!
//! A request and a response are read if a packet begins with them. Header lines that continue in the next packet are
//! left out.

use flowloom_sdk::{Outputs, PacketFields, Plugin};

const MAX_TEXT: usize = 255;

struct Http;

/// The data to request for each packet.
#[derive(PacketFields)]
struct Packet<'a> {
    #[payload(1500)]
    payload: &'a [u8],
}

/// The columns to add to a flow. The doc comments are the descriptions of the columns.
#[derive(Debug, Default, PartialEq, Outputs)]
struct Out {
    /// Method of the first request.
    method: Option<String>,
    /// Header `Host` of the first request.
    host: Option<String>,
    /// Status code of the first response.
    status: Option<u16>,
    /// Header `User-Agent` of the first request.
    user_agent: Option<String>,
}

#[flowloom_sdk::plugin]
impl Plugin for Http {
    const DESCRIPTION: &'static str = "The first HTTP/1 request and response of a flow.";
    type Packet<'a> = Packet<'a>;
    type State = Out;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Http)
    }

    fn packets_per_flow(&self) -> Option<u32> {
        Some(50)
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> Out {
        let mut state = Out::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut Out, packet: &Packet<'_>, _: &()) {
        let payload = packet.payload;
        if state.status.is_none() && payload.starts_with(b"HTTP/1.") {
            // `HTTP/1.1 200 OK`
            if let Some(&[b' ', a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9']) =
                payload.get(8..12)
            {
                let digit = |byte| u16::from(byte - b'0');
                state.status = Some(digit(a) * 100 + digit(b) * 10 + digit(c));
            }
        } else if state.method.is_none() {
            read_request(state, payload);
        }
    }

    fn expire(&mut self, state: Out, _: &()) -> Out {
        state
    }

    fn state_bytes(&self) -> usize {
        size_of::<Out>() + 3 * MAX_TEXT
    }
}

fn read_request(state: &mut Out, payload: &[u8]) {
    // A part without a line feed is not a complete line.
    let lines = payload.split_inclusive(|&byte| byte == b'\n');
    let mut lines = lines.filter_map(|line| {
        let line = line.strip_suffix(b"\n")?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    });
    // `GET / HTTP/1.1`
    let Some((method, rest)) = lines.next().and_then(|line| cut(line, b' ')) else {
        return;
    };
    let is_method = |&byte: &u8| byte.is_ascii_uppercase() || byte == b'-';
    let is_http = rest.len() >= 10 && rest[rest.len() - 9..].starts_with(b" HTTP/1.");
    if method.is_empty() || !method.iter().all(is_method) || !is_http {
        return;
    }
    state.method = text(method);
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some((name, value)) = cut(line, b':') else {
            continue;
        };
        let header = match name {
            _ if name.eq_ignore_ascii_case(b"host") => &mut state.host,
            _ if name.eq_ignore_ascii_case(b"user-agent") => &mut state.user_agent,
            _ => continue,
        };
        if header.is_none() {
            *header = text(trim(value));
        }
    }
}

/// Returns the parts before and after the first such byte.
fn cut(line: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = line.iter().position(|&byte| byte == at)?;
    Some((&line[..position], &line[position + 1..]))
}

/// Returns the value without blanks and tabs around it.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Returns the data as text; `None` if it is empty.
fn text(data: &[u8]) -> Option<String> {
    let printable = |&byte| match byte {
        b' '..=b'~' => char::from(byte),
        _ => '?',
    };
    (!data.is_empty()).then(|| data.iter().take(MAX_TEXT).map(printable).collect())
}

#[test]
fn a_header_line_that_was_cut_is_left_out() {
    let mut state = Http.init(
        &Packet {
            payload: b"GET / HTTP/1.1\r\nhost: example.com \r\nUser-Agent: a",
        },
        &(),
    );
    let payload = b"HTTP/1.1 404 Not Found\r\n\r\n";
    Http.update(&mut state, &Packet { payload }, &());
    let expected = Out {
        method: Some("GET".into()),
        host: Some("example.com".into()),
        status: Some(404),
        user_agent: None,
    };
    assert_eq!(Http.expire(state, &()), expected);
}
