//! A small HTTP/1 server for read-only pages. Its clients may be hostile.
//!
//! One thread serves all connections with `poll`. All resources of a client are limited:
//!
//! | what | limit |
//! |---|---|
//! | connections at a time | [`MAX_CONNECTIONS`] |
//! | time of a connection, from `accept` to its end | [`TIME`] |
//! | bytes of a request | [`request::MAX_BYTES`] |
//! | bytes that are read and ignored after a request | [`connection::MAX_IGNORED`] |
//!
//! Each connection has one request. At the limit, a new connection replaces another one, so that idle clients
//! cannot exclude others.

mod connection;
mod request;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{io, thread};

use connection::Connection;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Maximum number of connections at a time. One Prometheus server needs one.
const MAX_CONNECTIONS: usize = 8;
/// Maximum duration of a connection, with request and answer.
const TIME: Duration = Duration::from_secs(2);
/// Maximum number of connections that are accepted before open connections are served again. Not more than
/// [`MAX_CONNECTIONS`], so that each is served once before another one replaces it.
const ACCEPTED_AT_ONCE: usize = MAX_CONNECTIONS;
/// Pause after the system could not accept a connection.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The content of a path.
pub(super) struct Page {
    /// 200, or 503 while there is no content.
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Arc<str>,
}

/// Returns the page at a path, or `None` if there is none.
pub(super) type Pages = dyn Fn(&str) -> Option<Page> + Send;

/// The listening socket and its connections.
pub(super) struct Server {
    listener: TcpListener,
    pages: Box<Pages>,
    connections: Vec<Connection>,
    /// When to accept again, after the system could not accept a connection.
    accept_again: Option<Instant>,
}

impl Server {
    /// Creates a server for a bound socket.
    ///
    /// # Errors
    ///
    /// The socket cannot be made non-blocking.
    pub(super) fn new(listener: TcpListener, pages: Box<Pages>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            pages,
            connections: Vec::with_capacity(MAX_CONNECTIONS),
            accept_again: None,
        })
    }

    /// Serves for ever. May be called again after a panic. Open connections are then lost.
    pub(super) fn run(&mut self) {
        self.connections.clear();
        loop {
            self.serve_once();
        }
    }

    /// Waits for events of the sockets, and handles them.
    fn serve_once(&mut self) {
        let ready = match self.wait() {
            Ok(ready) => ready,
            Err(Errno::EINTR) => return,
            Err(error) => {
                tracing::warn!("cannot wait for clients of the metrics server: {error}");
                return thread::sleep(BACK_OFF);
            }
        };
        let now = Instant::now();
        let mut ready = ready.into_iter();
        let can_accept = ready.next().unwrap_or(false);
        let pages = &self.pages;
        self.connections.retain_mut(|connection| {
            let is_ready = ready.next().unwrap_or(false);
            let is_open = !is_ready || connection.advance(pages);
            match now >= connection.deadline() {
                true if is_open => {
                    connection.time_out();
                    false
                }
                _ => is_open,
            }
        });
        if self.accept_again.is_some_and(|again| now >= again) {
            self.accept_again = None;
        } else if !can_accept {
            return;
        }
        for _ in 0..ACCEPTED_AT_ONCE {
            if !self.accept() {
                break;
            }
        }
    }

    /// Waits for the sockets or the next deadline. Returns which sockets are ready, the listener first.
    fn wait(&self) -> Result<Vec<bool>, Errno> {
        let listens = match self.accept_again {
            Some(_) => PollFlags::empty(),
            None => PollFlags::POLLIN,
        };
        let mut sockets = vec![PollFd::new(self.listener.as_fd(), listens)];
        sockets.extend(
            self.connections
                .iter()
                .map(|connection| PollFd::new(connection.as_fd(), connection.waits_for())),
        );
        let deadlines = self.connections.iter().map(Connection::deadline);
        let timeout = match deadlines.chain(self.accept_again).min() {
            None => PollTimeout::NONE,
            Some(next) => {
                // Rounded up, so that the deadline has passed after the wait.
                let left = next.saturating_duration_since(Instant::now()).as_millis() + 1;
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
        };
        poll(&mut sockets, timeout)?;
        // The next `read` or `write` returns an error of the socket.
        let is_ready = |socket: &PollFd<'_>| socket.any().unwrap_or(true);
        Ok(sockets.iter().map(is_ready).collect())
    }

    /// Accepts a connection and serves it. Returns whether there may be more.
    fn accept(&mut self) -> bool {
        let (stream, peer) = match self.listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => return self.accept_failed(&error),
        };
        let Ok(mut connection) = Connection::new(stream, peer.ip(), Instant::now() + TIME) else {
            return true;
        };
        if connection.advance(&self.pages) {
            if self.connections.len() >= MAX_CONNECTIONS {
                // Answers requests that have arrived in the meantime.
                let pages = &self.pages;
                self.connections
                    .retain_mut(|connection| connection.advance(pages));
            }
            if self.connections.len() >= MAX_CONNECTIONS {
                self.evict();
            }
            self.connections.push(connection);
        }
        true
    }

    fn accept_failed(&mut self, error: &io::Error) -> bool {
        use io::ErrorKind::{ConnectionAborted, Interrupted, WouldBlock};
        match error.kind() {
            WouldBlock => false,
            // The client closed the connection.
            ConnectionAborted | Interrupted => true,
            _ => {
                tracing::debug!("cannot accept a client of the metrics server: {error}");
                // No file descriptor is free. Closing another connection frees one.
                let is_full = matches!(
                    error.raw_os_error().map(Errno::from_raw),
                    Some(Errno::EMFILE | Errno::ENFILE)
                );
                if is_full && self.evict() {
                    return true;
                }
                self.accept_again = Some(Instant::now() + BACK_OFF);
                false
            }
        }
    }

    /// Closes one connection: one that has its answer, else one of the address with the most connections, else the
    /// oldest. Returns whether there was a connection.
    fn evict(&mut self) -> bool {
        let of = |peer: IpAddr| {
            let connections = self.connections.iter();
            connections.filter(|other| other.peer() == peer).count()
        };
        let least = self
            .connections
            .iter()
            .enumerate()
            .max_by_key(|(_, connection)| {
                let age = std::cmp::Reverse(connection.deadline());
                (connection.is_answered(), of(connection.peer()), age)
            })
            .map(|(place, _)| place);
        match least {
            Some(place) => {
                self.connections.remove(place).turn_away();
                true
            }
            None => false,
        }
    }
}
