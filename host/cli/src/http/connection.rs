//! A connection: a request, its answer, and the end.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use socket2::SockRef;

use super::request::{self, Method, Parsed, Request};
use super::{Page, Pages, TIME};

/// Maximum number of bytes after a request that are read and ignored. If bytes are unread when the connection is
/// closed, the system resets it, and the client may not see the answer.
pub(super) const MAX_IGNORED: usize = 64 << 10;

/// Maximum number of bytes per call of `read`.
const CHUNK: usize = 2 << 10;

/// The connection of a client.
pub(super) struct Connection {
    stream: TcpStream,
    peer: IpAddr,
    deadline: Instant,
    state: State,
}

enum State {
    /// The request so far, at most [`request::MAX_BYTES`].
    Reading(Vec<u8>),
    /// The answer, and the number of its bytes that are sent.
    Writing(Answer, usize),
    /// The answer is sent. This many more bytes are ignored until the client closes.
    Ignoring(usize),
}

struct Answer {
    head: String,
    body: Arc<str>,
}

impl Answer {
    fn new(page: &Page, more: &str, is_head: bool) -> Self {
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{more}Connection: close\r\n\r\n",
            page.status,
            reason(page.status),
            page.content_type,
            page.body.len()
        );
        Self {
            head,
            body: match is_head {
                true => "".into(),
                false => Arc::clone(&page.body),
            },
        }
    }

    /// Returns an answer without a page: a status, with one line of text.
    fn error(status: u16, more: &str, is_head: bool) -> Self {
        let page = Page {
            status,
            content_type: "text/plain; charset=utf-8",
            body: match status {
                404 => "the metrics are at /metrics\n".into(),
                _ => format!("{status} {}\n", reason(status)).into(),
            },
        };
        Self::new(&page, more, is_head)
    }

    fn to(request: &Request, pages: &Pages) -> Self {
        let is_head = request.method == Method::Head;
        match pages(&request.path) {
            None => Self::error(404, "", is_head),
            Some(_) if request.method == Method::Other => {
                Self::error(405, "Allow: GET, HEAD\r\n", is_head)
            }
            Some(page) => Self::new(&page, "", is_head),
        }
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: IpAddr, deadline: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Limits also the time for which the system tries to send data after the end.
        SockRef::from(&stream).set_tcp_user_timeout(Some(TIME))?;
        Ok(Self {
            stream,
            peer,
            deadline,
            state: State::Reading(Vec::new()),
        })
    }

    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Returns the latest time of its end.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns whether the system has accepted all of the answer.
    pub(super) fn is_answered(&self) -> bool {
        matches!(self.state, State::Ignoring(_))
    }

    /// Returns the memory of the request in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        match &self.state {
            State::Reading(request) => request.capacity(),
            State::Writing(..) | State::Ignoring(_) => 0,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn waits_for(&self) -> PollFlags {
        match self.state {
            State::Writing(..) => PollFlags::POLLOUT,
            State::Reading(_) | State::Ignoring(_) => PollFlags::POLLIN,
        }
    }

    /// Continues until it has to wait. Returns whether the connection stays open.
    pub(super) fn advance(&mut self, pages: &Pages) -> bool {
        loop {
            match self.step(pages) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }

    fn step(&mut self, pages: &Pages) -> io::Result<bool> {
        let mut chunk = [0; CHUNK];
        match &mut self.state {
            State::Reading(request) => {
                let room = CHUNK.min(request::MAX_BYTES - request.len());
                let answer = match self.stream.read(&mut chunk[..room])? {
                    0 if request.is_empty() => return Ok(false),
                    0 => Answer::error(400, "", false),
                    len => {
                        request.extend_from_slice(&chunk[..len]);
                        match request::parse(request) {
                            Parsed::Incomplete => return Ok(true),
                            Parsed::Request(request) => Answer::to(&request, pages),
                            Parsed::Rejected(status) => Answer::error(status, "", false),
                        }
                    }
                };
                self.state = State::Writing(answer, 0);
                Ok(true)
            }
            State::Writing(answer, sent) => {
                let (head, body) = (answer.head.as_bytes(), answer.body.as_bytes());
                let parts = [
                    IoSlice::new(head.get(*sent..).unwrap_or_default()),
                    IoSlice::new(&body[sent.saturating_sub(head.len())..]),
                ];
                let len = self.stream.write_vectored(&parts)?;
                *sent += len;
                if *sent == head.len() + body.len() {
                    self.stream.shutdown(Shutdown::Write)?;
                    self.state = State::Ignoring(MAX_IGNORED);
                    return Ok(true);
                }
                Ok(len > 0)
            }
            State::Ignoring(left) => {
                let len = self.stream.read(&mut chunk)?;
                *left = left.saturating_sub(len);
                Ok(len > 0 && *left > 0)
            }
        }
    }

    /// Ends a connection that has reached its deadline.
    pub(super) fn time_out(&mut self) {
        self.end(408);
    }

    /// Ends a connection to make room for another one.
    pub(super) fn turn_away(mut self) {
        self.end(503);
    }

    /// Sends the status to a client without an answer, if this does not block. Drops an answer that the client has
    /// not read.
    fn end(&mut self, status: u16) {
        match self.state {
            State::Reading(_) => {
                self.state = State::Writing(Answer::error(status, "", false), 0);
                self.advance(&|_| None);
            }
            State::Writing(..) => {
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
            }
            State::Ignoring(_) => {}
        }
    }
}
