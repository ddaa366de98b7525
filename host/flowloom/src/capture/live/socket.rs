//! What is asked of a capturing socket besides what libpcap asks.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use socket2::{SockFilter, SockRef};

/// Waits until there is something to read, but not longer than that. A signal ends the waiting.
pub(crate) fn wait(socket: &impl AsFd, longest: Duration) {
    let mut asked = libc::pollfd {
        fd: socket.as_fd().as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let ms = i32::try_from(longest.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: `asked` is one valid `pollfd`. Why it returned is of no interest: what comes next finds
    // that out.
    #[allow(
        unsafe_code,
        reason = "the safe ways to ask need another set of features of the crates that wasmtime uses"
    )]
    unsafe {
        libc::poll(&raw mut asked, 1, ms);
    }
}

/// From now on the kernel puts no packet into the socket's buffer; those in it stay.
pub(crate) fn take_nothing(socket: &impl AsFd) {
    // BPF_RET | BPF_K, 0 bytes.
    const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    if let Err(error) = SockRef::from(socket).attach_filter(&[NOTHING]) {
        // The reading ends by the clock then.
        tracing::debug!("capturing goes on until the end of reading: {error}");
    }
}

/// Makes a socket a member of a group to which the kernel deals packets out by a symmetric hash of their
/// outer headers, fragments of IPv4 put together: of a new group if there is none. Returns the group.
pub(crate) fn join_group(socket: &impl AsFd, group: Option<u16>) -> io::Result<u16> {
    let fd = socket.as_fd().as_raw_fd();
    let mut how = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG;
    if group.is_none() {
        how |= libc::PACKET_FANOUT_FLAG_UNIQUEID;
    }
    let mut value = u32::from(group.unwrap_or(0)) | how << 16;
    let mut len = size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option takes and gives an integer of this size, and `value` is one for as long as the
    // calls last.
    #[allow(unsafe_code, reason = "no crate of ours knows this option")]
    let done = unsafe {
        let to = (libc::SOL_PACKET, libc::PACKET_FANOUT);
        match libc::setsockopt(fd, to.0, to.1, (&raw const value).cast(), len) {
            0 => libc::getsockopt(fd, to.0, to.1, (&raw mut value).cast(), &raw mut len),
            failed => failed,
        }
    };
    match done {
        // The lower half is the group's number.
        0 => Ok(value as u16),
        _ => Err(io::Error::last_os_error()),
    }
}
