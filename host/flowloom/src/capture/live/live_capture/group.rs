//! Fan-out groups: sockets that share the packets of one interface (`PACKET_FANOUT`).
//!
//! The kernel selects the socket of a packet by its hash modulo the number of members. Each further
//! member would therefore move flows from one meter to another. To avoid this, a group starts with
//! all its members: until the last one has joined, the kernel passes no packets to any of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pcap::{Active, Capture};

use super::{LiveCapture, MAX_BATCH_PACKETS, MAX_KERNEL_DELAY, READ_TIMEOUT, Socket};
use crate::capture::CaptureError;
use crate::capture::live::socket;

/// The maximum time that a reopened socket waits for the other members.
const MAX_WAIT_FOR_GROUP: Duration = Duration::from_secs(5);

/// A fan-out group of the kernel.
#[derive(Clone)]
pub(crate) struct Group {
    number: u16,
    members: usize,
    /// The number of members that have a socket in the group.
    joined: Arc<AtomicUsize>,
}

impl Group {
    /// Records that a member has lost its socket.
    pub(crate) fn leave(&self) {
        self.joined.fetch_sub(1, Ordering::AcqRel);
    }

    fn is_complete(&self) -> bool {
        self.joined.load(Ordering::Acquire) >= self.members
    }
}

/// A reopened socket that has joined its group. Its filter still drops all packets.
pub(crate) struct JoinedSocket {
    socket: Socket,
    since: Instant,
}

impl LiveCapture {
    /// Opens a group of `sockets` sockets. `self` is the first of them.
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
        // Until they share packets, each socket captures all packets. These duplicates are dropped.
        for socket in all.iter().filter_map(|live| live.socket.as_ref()) {
            socket::drop_new_packets(&socket.handle);
        }
        thread::sleep(READ_TIMEOUT + MAX_KERNEL_DELAY);
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

    /// Reopens a lost socket, and returns it when it captures.
    ///
    /// The kernel passes packets to it when all members of the group have joined again, or after 5
    /// s. Until then, the result is `None`, and this function has to be called again.
    pub(super) fn reopen(&mut self) -> Result<Option<Socket>, CaptureError> {
        let Some(group) = self.group.clone() else {
            return self.socket().map(Some);
        };
        let joined = match self.joined.take() {
            Some(joined) => joined,
            None => {
                let mut socket = self.open_socket()?;
                socket::drop_new_packets(&socket.handle);
                thread::sleep(READ_TIMEOUT + MAX_KERNEL_DELAY);
                self.drain(&mut socket)?;
                self.join(&socket.handle, Some(group.number))?;
                group.joined.fetch_add(1, Ordering::AcqRel);
                JoinedSocket {
                    socket,
                    since: Instant::now(),
                }
            }
        };
        if !group.is_complete() && joined.since.elapsed() < MAX_WAIT_FOR_GROUP {
            self.joined = Some(joined);
            return Ok(None);
        }
        let mut socket = joined.socket;
        let filtered = self.set_filter(&mut socket.handle, socket.link);
        if filtered.is_err() {
            group.leave();
        }
        filtered.map(|()| Some(socket))
    }

    /// Reads and discards the packets that a socket captured on its own. They are not counted.
    fn drain(&self, socket: &mut Socket) -> Result<(), CaptureError> {
        let fail = |error| self.cannot_open(error);
        let handle = &mut socket.handle;
        while handle
            .dispatch(Some(MAX_BATCH_PACKETS), |_| {})
            .map_err(fail)?
            > 0
        {}
        socket.count_from_now().map_err(fail)
    }

    fn join(&self, handle: &Capture<Active>, group: Option<u16>) -> Result<u16, CaptureError> {
        socket::join_group(handle, group).map_err(|error| CaptureError::Interface {
            interface: self.interface.clone(),
            message: format!("the kernel cannot distribute its packets (PACKET_FANOUT): {error}"),
        })
    }
}
