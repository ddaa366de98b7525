//! Requests, as clients send them.

use httparse::{EMPTY_HEADER, Error, Header, Status};

/// Bytes of a request: its line and its header. A scrape of Prometheus has about 300.
pub(super) const MOST_BYTES: usize = 8 << 10;
/// Lines of a header.
const MOST_HEADERS: usize = 64;

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a request.
    Incomplete,
    /// A request.
    Request(Request),
    /// Nothing that is served: the status to answer with.
    Refused(u16),
}

/// A request without a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// Without the query.
    pub(super) path: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

/// Parses a request, which may have come in part.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if bytes.len() >= MOST_BYTES => return Parsed::Refused(431),
        Ok(Status::Partial) => return Parsed::Incomplete,
        Err(Error::TooManyHeaders) => return Parsed::Refused(431),
        Err(Error::Version) => return Parsed::Refused(505),
        Err(_) => return Parsed::Refused(400),
    }
    if let Some(status) = refused_body(request.headers) {
        return Parsed::Refused(status);
    }
    Parsed::Request(Request {
        method: match request.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            _ => Method::Other,
        },
        path: path_of(request.path.unwrap_or_default()).to_owned(),
    })
}

/// The status for a request that has a body, or does not say properly that it has none.
fn refused_body(headers: &[Header<'_>]) -> Option<u16> {
    headers.iter().find_map(|header| {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Some(413);
        }
        if !header.name.eq_ignore_ascii_case("content-length") {
            return None;
        }
        let digits = header.value.trim_ascii();
        match digits.iter().all(u8::is_ascii_digit) && !digits.is_empty() {
            true if digits.iter().all(|digit| *digit == b'0') => None,
            true => Some(413),
            false => Some(400),
        }
    })
}

/// The path of a target, which may have a scheme and a host before it and a query behind it.
fn path_of(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |start| &rest[start..])
        }
        _ => target,
    };
    target.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Parsed {
        Parsed::Request(Request {
            method: Method::Get,
            path: path.into(),
        })
    }

    #[test]
    fn requests_come_in_parts() {
        let request = b"GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(parse(&request[..end]), Parsed::Incomplete, "{end} bytes");
        }
        assert_eq!(parse(request), get("/metrics"));
        // What follows a request is not part of it.
        let pipelined = [&request[..], b"\0\xff GET"].concat();
        assert_eq!(parse(&pipelined), get("/metrics"));
        assert_eq!(
            parse(b"GET http://host:1/metrics HTTP/1.0\n\n"),
            get("/metrics")
        );
        assert_eq!(parse(b"GET http://host HTTP/1.0\r\n\r\n"), get("/"));
    }

    #[test]
    fn what_is_not_served_has_its_status() {
        let with = |header: &str| format!("GET / HTTP/1.1\r\n{header}\r\n\r\n");
        for (text, status) in [
            (with("Content-Length: 1000000000000000"), 413),
            (with("content-length: 1"), 413),
            (with("Content-Length: 0\r\nContent-Length: 9"), 413),
            (with("Content-Length: 99999999999999999999999999"), 413),
            (with("Content-Length: 1e15"), 400),
            (with("Content-Length: -1"), 400),
            (with("Content-Length:"), 400),
            (with("Transfer-Encoding: chunked"), 413),
            (with(&"a: b\r\n".repeat(65)), 431),
            (with("a\0b: c"), 400),
            (with("a: \0"), 400),
            ("GET / HTTP/2.0\r\n\r\n".into(), 505),
            ("GET / HTTP/1.9\r\n\r\n".into(), 505),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505),
            ("GET /metrics\r\n".into(), 400),
            ("\0\0\0\0".into(), 400),
            ("\u{16}\u{3}\u{1}\u{2}".into(), 400),
            (format!("GET /{}", "a".repeat(MOST_BYTES)), 431),
            (with(&format!("a: {}", "b".repeat(MOST_BYTES))), 431),
            ("\r\n".repeat(MOST_BYTES), 431),
        ] {
            // As much of it as is ever read.
            let bytes = &text.as_bytes()[..text.len().min(MOST_BYTES)];
            assert_eq!(parse(bytes), Parsed::Refused(status), "{text:.80}");
        }
        assert_eq!(parse(with("Content-Length: 000").as_bytes()), get("/"));
    }
}
