//! Parser of requests.

use httparse::{EMPTY_HEADER, Error, Header, Status};

/// Maximum size of a request line and header. A request of Prometheus has about 300 bytes.
pub(super) const MAX_BYTES: usize = 8 << 10;
/// Maximum number of header lines.
const MAX_HEADERS: usize = 64;

/// The result of parsing the bytes so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The beginning of a request.
    Incomplete,
    /// A request.
    Request(Request),
    /// A request that is rejected with this status.
    Rejected(u16),
}

/// A request without a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// The path without the query.
    pub(super) path: String,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

/// Parses a request, which may be incomplete.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => {}
        Ok(Status::Partial) if bytes.len() >= MAX_BYTES => return Parsed::Rejected(431),
        Ok(Status::Partial) => return Parsed::Incomplete,
        Err(Error::TooManyHeaders) => return Parsed::Rejected(431),
        Err(Error::Version) => return Parsed::Rejected(505),
        Err(_) => return Parsed::Rejected(400),
    }
    if let Some(status) = rejected_body(request.headers) {
        return Parsed::Rejected(status);
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

/// Returns the status for a request that has a body, or an invalid length.
fn rejected_body(headers: &[Header<'_>]) -> Option<u16> {
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

/// Returns the path of a target without scheme, host and query.
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
        // Bytes after a request are not part of it.
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
            (format!("GET /{}", "a".repeat(MAX_BYTES)), 431),
            (with(&format!("a: {}", "b".repeat(MAX_BYTES))), 431),
            ("\r\n".repeat(MAX_BYTES), 431),
        ] {
            // At most this much is ever read.
            let bytes = &text.as_bytes()[..text.len().min(MAX_BYTES)];
            assert_eq!(parse(bytes), Parsed::Rejected(status), "{text:.80}");
        }
        assert_eq!(parse(with("Content-Length: 000").as_bytes()), get("/"));
    }
}
