//! Sockets of one interface that share its packets (`PACKET_FANOUT`).
//!
//! The kernel chooses the socket of a packet by its hash modulo the number of members, so that each
//! socket that joins moves flows from one meter to another. A group therefore begins with all of its
//! members: until the last one has joined, the kernel gives none of them a packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pcap::{Active, Capture};

use super::{Live, MARGIN, MOST_PACKETS, READ_TIMEOUT, Socket};
use crate::capture::CaptureError;
use crate::capture::live::socket;

/// How long a socket that has joined again waits for the others.
const LONGEST_WAIT_FOR_OTHERS: Duration = Duration::from_secs(5);

/// A group of the kernel's.
#[derive(Clone)]
pub(crate) struct Group {
    number: u16,
    members: usize,
    /// Those of them that have a socket in it.
    joined: Arc<AtomicUsize>,
}

impl Group {
    /// A member has lost its socket.
    pub(crate) fn leave(&self) {
        self.joined.fetch_sub(1, Ordering::AcqRel);
    }

    fn is_whole(&self) -> bool {
        self.joined.load(Ordering::Acquire) >= self.members
    }
}

/// A socket that has joined again, to which the kernel gives no packet yet.
pub(crate) struct Waiting {
    socket: Socket,
    since: Instant,
}

impl Live {
    /// Opens as many sockets of one group; this one is the first.
    pub(crate) fn fan_out(self, sockets: usize) -> Result<Vec<Self>, CaptureError> {
        let mut all = vec![self];
        while all.len() < sockets {
            let first = &all[0];
            let mut live = Self::new(
                &first.interface,
                first.settings,
                first.steps.clone(),
                first.stop.clone(),
            );
            live.filter.clone_from(&first.filter);
            live.socket = Some(live.open_socket()?);
            all.push(live);
        }
        // What they have captured each on its own, all of them have.
        for socket in all.iter().filter_map(|live| live.socket.as_ref()) {
            socket::take_nothing(&socket.handle);
        }
        thread::sleep(READ_TIMEOUT + MARGIN);
        let mut number = None;
        for live in &mut all {
            let Some(mut socket) = live.socket.take() else {
                continue;
            };
            live.drain(&mut socket)?;
            number = Some(live.join(&socket.handle, number)?);
            live.socket = Some(socket);
        }
        let group = number.map(|number| Group {
            number,
            members: sockets,
            joined: Arc::new(AtomicUsize::new(sockets)),
        });
        for live in &mut all {
            live.group.clone_from(&group);
            if let Some(mut socket) = live.socket.take() {
                live.set_filter(&mut socket.handle, socket.link)?;
                live.socket = Some(socket);
            }
        }
        tracing::info!(
            "{sockets} sockets share the packets of {}",
            all[0].interface
        );
        Ok(all)
    }

    /// Opens a socket again that was lost: the kernel gives it packets when all members of its group
    /// have joined again. Returns it when that is so.
    pub(super) fn reopen(&mut self) -> Result<Option<Socket>, CaptureError> {
        let Some(group) = self.group.clone() else {
            return self.socket().map(Some);
        };
        let waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let mut socket = self.open_socket()?;
                socket::take_nothing(&socket.handle);
                thread::sleep(READ_TIMEOUT + MARGIN);
                self.drain(&mut socket)?;
                self.join(&socket.handle, Some(group.number))?;
                group.joined.fetch_add(1, Ordering::AcqRel);
                Waiting {
                    socket,
                    since: Instant::now(),
                }
            }
        };
        if !group.is_whole() && waiting.since.elapsed() < LONGEST_WAIT_FOR_OTHERS {
            self.waiting = Some(waiting);
            return Ok(None);
        }
        let mut socket = waiting.socket;
        let filtered = self.set_filter(&mut socket.handle, socket.link);
        if filtered.is_err() {
            group.leave();
        }
        filtered.map(|()| Some(socket))
    }

    /// Takes what a socket captured on its own; nothing of it counts.
    fn drain(&self, socket: &mut Socket) -> Result<(), CaptureError> {
        let fail = |error| self.cannot_open(error);
        let handle = &mut socket.handle;
        while handle.dispatch(Some(MOST_PACKETS), |_| {}).map_err(fail)? > 0 {}
        socket.count_from_now().map_err(fail)
    }

    fn join(&self, handle: &Capture<Active>, group: Option<u16>) -> Result<u16, CaptureError> {
        socket::join_group(handle, group).map_err(|error| CaptureError::Interface {
            interface: self.interface.clone(),
            message: format!("the kernel does not deal its packets out: {error}"),
        })
    }
}
