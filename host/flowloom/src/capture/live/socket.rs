//! Operations on a capturing socket that libpcap does not offer.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{SockFilter, SockRef};

/// Waits until the socket is readable, at most for `timeout`. A signal ends the wait.
pub(crate) fn wait_readable(socket: &impl AsFd, timeout: Duration) {
    let mut request = [PollFd::new(socket, PollFlags::IN)];
    // The result is ignored, because the next read from the socket has the same result or error.
    let _ = poll(&mut request, Timespec::try_from(timeout).ok().as_ref());
}

/// Attaches a filter that drops all further packets. Packets in the socket's buffer stay.
pub(crate) fn drop_new_packets(socket: &impl AsFd) {
    // BPF_RET | BPF_K, 0 bytes.
    const DROP_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    if let Err(error) = SockRef::from(socket).attach_filter(&[DROP_ALL]) {
        // The capture then ends after a fixed time.
        tracing::debug!(
            "cannot stop the kernel from capturing: {error}; reading ends after a fixed time"
        );
    }
}

/// Adds a socket to a group, or to a new group if `group` is `None`. Returns the number of the
/// group.
///
/// The kernel distributes packets to the members by a symmetric hash of their outer headers. It
/// reassembles IPv4 fragments first.
pub(crate) fn join_group(socket: &impl AsFd, group: Option<u16>) -> io::Result<u16> {
    let fd = socket.as_fd().as_raw_fd();
    let mut mode = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG;
    if group.is_none() {
        mode |= libc::PACKET_FANOUT_FLAG_UNIQUEID;
    }
    let mut value = u32::from(group.unwrap_or(0)) | mode << 16;
    let mut len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option reads and writes an integer of this size. `value` is one, and outlives
    // both calls.
    #[allow(unsafe_code, reason = "no dependency supports this option")]
    let done = unsafe {
        let (level, name) = (libc::SOL_PACKET, libc::PACKET_FANOUT);
        match libc::setsockopt(fd, level, name, (&raw const value).cast(), len) {
            0 => libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut len),
            failed => failed,
        }
    };
    match done {
        // The lower 16 bits are the number of the group.
        0 => Ok(value as u16),
        _ => Err(io::Error::last_os_error()),
    }
}
