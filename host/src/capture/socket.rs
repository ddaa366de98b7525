//! What is asked of a capturing socket besides what libpcap asks.

use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use socket2::{SockFilter, SockRef};

/// Waits until there is something to read, but not longer than that. A signal ends the waiting.
pub(super) fn wait(socket: &impl AsFd, longest: Duration) {
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
pub(super) fn take_nothing(socket: &impl AsFd) {
    // BPF_RET | BPF_K, 0 bytes.
    const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);
    if let Err(error) = SockRef::from(socket).attach_filter(&[NOTHING]) {
        // The reading ends by the clock then.
        tracing::debug!("capturing goes on until the end of reading: {error}");
    }
}
