//! Bindings to the system's nDPI, which determines the application of a flow from its first
//! packets.
//!
//! nDPI is written in C, and reads untrusted packets. This crate contains all unsafe calls of it.
//! Packets are passed with their length, and results are returned as copies. Only `shim/shim.c`,
//! which is compiled with the headers of the library, accesses its structures.

mod ffi;
mod packet_buffer;

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use packet_buffer::PacketBuffer;

/// Files with additional protocols and categories for nDPI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Custom {
    /// Protocols by port, address and host name, in the format of nDPI's `protos.txt`.
    pub protocols: Option<PathBuf>,
    /// Categories by host name and address, in the format of nDPI's `categories.txt`.
    pub categories: Option<PathBuf>,
}

/// The reason why there is no dissector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The loaded library is not the one that this crate was compiled for.
    #[error(
        "cannot use nDPI {0}: Flowloom was compiled for another version; install that version, or rebuild Flowloom"
    )]
    Incompatible(String),
    /// A custom file cannot be read.
    #[error("cannot read '{}': {source}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of opening it.
        source: std::io::Error,
    },
    /// nDPI cannot be initialised.
    #[error("cannot initialise nDPI: it returned no module")]
    Start,
}

/// The protocol of a flow as numbers of nDPI; 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Protocol {
    /// The protocol that the application uses (TLS), if it is not the application itself.
    pub master: u16,
    /// The application.
    pub app: u16,
    /// The category of the application.
    pub category: u16,
}

impl Protocol {
    /// Returns whether the application is known.
    pub fn is_known(self) -> bool {
        self.app != 0
    }
}

/// Texts from the packets of a flow. A text that the flow does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// The server name that the client requested. For SSH: the client's software.
    pub server_name: Cow<'a, str>,
    /// JA3 (TLS, QUIC), HASSH (SSH), or the DHCP fingerprint.
    pub client_fingerprint: Cow<'a, str>,
    /// JA3S (TLS, QUIC) or HASSH (SSH).
    pub server_fingerprint: Cow<'a, str>,
    /// The user agent (HTTP, QUIC).
    pub user_agent: Cow<'a, str>,
    /// The content type of the response (HTTP).
    pub content_type: Cow<'a, str>,
    /// How the application was found: see [`confidences`].
    pub confidence: u8,
}

/// A dissector, with its state across flows.
pub struct Module {
    raw: NonNull<ffi::Module>,
    buffer: PacketBuffer,
    details: Box<ffi::Details>,
}

// SAFETY: nDPI keeps no state of a module in the thread that created it.
unsafe impl Send for Module {}

/// nDPI's state of a flow.
pub struct Flow(NonNull<ffi::Flow>);

// SAFETY: nDPI keeps no state of a flow in the thread that created it, nor in a module.
unsafe impl Send for Flow {}

/// Locks the creation and release of modules. nDPI uses global state in both, so that only one
/// thread at a time may do so.
fn lock_modules() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Module {
    /// Creates a dissector for all protocols of nDPI. It takes about 6 MB.
    ///
    /// # Errors
    ///
    /// Returns an error if a custom file cannot be read, or if the loaded library has another
    /// version.
    pub fn new(custom: &Custom) -> Result<Self, Error> {
        // SAFETY: the function has no preconditions.
        if unsafe { ffi::fl_is_compatible() } == 0 {
            return Err(Error::Incompatible(version()));
        }
        let protocols = readable(custom.protocols.as_deref())?;
        let categories = readable(custom.categories.as_deref())?;
        let path = |file: &Option<CString>| file.as_ref().map_or(ptr::null(), |file| file.as_ptr());
        let _lock = lock_modules();
        // SAFETY: both paths are null or end with a zero byte. The lock excludes other threads.
        let raw = unsafe { ffi::fl_module_new(path(&protocols), path(&categories)) };
        Ok(Self {
            raw: NonNull::new(raw).ok_or(Error::Start)?,
            buffer: PacketBuffer::new(),
            details: Box::new(ffi::Details::EMPTY),
        })
    }

    /// Dissects the next packet of a flow. `packet` starts with the IP header. `time_ms` is its
    /// time.
    ///
    /// Bytes beyond 65,535 are not passed to nDPI. Two kinds of packets are not passed at all,
    /// because nDPI 4.2 cannot process them safely:
    ///
    /// - packets whose IP version or transport protocol differs from that of the flow's first
    ///   packet
    /// - packets with an incomplete transport header in a flow whose application is known
    pub fn dissect(&mut self, flow: &mut Flow, packet: &[u8], time_ms: u64) -> Protocol {
        let (packet, len) = self.buffer.copy(packet);
        // SAFETY: module and flow are alive and borrowed for this call only. `packet` has `len`
        // bytes.
        unsafe { ffi::fl_dissect(self.raw.as_ptr(), flow.0.as_ptr(), packet, len, time_ms) }
    }

    /// Returns whether further packets may yield more details of a flow whose application is known.
    pub fn wants_more(&mut self, flow: &mut Flow) -> bool {
        // SAFETY: module and flow are alive and borrowed for this call only.
        unsafe { ffi::fl_wants_more(self.raw.as_ptr(), flow.0.as_ptr()) != 0 }
    }

    /// Ends the dissection. Returns the protocol, and whether nDPI guessed it from ports, addresses
    /// or earlier flows.
    pub fn give_up(&mut self, flow: &mut Flow) -> (Protocol, bool) {
        let mut guessed = 0;
        // SAFETY: module, flow and `guessed` are alive and borrowed for this call only.
        let protocol =
            unsafe { ffi::fl_give_up(self.raw.as_ptr(), flow.0.as_ptr(), &raw mut guessed) };
        (protocol, guessed != 0)
    }

    /// Returns the details of a flow with this protocol.
    pub fn details(&mut self, flow: &Flow, protocol: Protocol) -> Details<'_> {
        // SAFETY: the flow and `details` are alive and borrowed for this call only.
        unsafe { ffi::fl_details(flow.0.as_ptr(), protocol, &raw mut *self.details) };
        let details = &*self.details;
        Details {
            server_name: text(&details.server_name),
            client_fingerprint: text(&details.client_fingerprint),
            server_fingerprint: text(&details.server_fingerprint),
            user_agent: text(&details.user_agent),
            content_type: text(&details.content_type),
            confidence: details.confidence,
        }
    }

    /// Returns the name of a protocol, for example `TLS.Facebook`, `DNS` or `Unknown`.
    pub fn protocol_name(&self, protocol: Protocol) -> String {
        let mut name = ffi::Text::EMPTY;
        // SAFETY: the module is alive. nDPI has a name for unknown numbers too.
        unsafe { ffi::fl_protocol_name(self.raw.as_ptr(), protocol, &raw mut name) };
        text(&name).into_owned()
    }

    /// Returns the name of a category, for example `SocialNetwork` or `Unspecified`.
    pub fn category_name(&self, category: u16) -> String {
        let mut name = ffi::Text::EMPTY;
        // SAFETY: the module is alive. nDPI has a name for unknown numbers too.
        unsafe { ffi::fl_category_name(self.raw.as_ptr(), category, &raw mut name) };
        text(&name).into_owned()
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _lock = lock_modules();
        // SAFETY: this is the only reference to the module. The lock excludes other threads.
        unsafe { ffi::fl_module_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

impl Flow {
    /// Returns the size of a flow's state in bytes, without the texts that it points to.
    pub fn size() -> usize {
        // SAFETY: the function has no preconditions.
        unsafe { ffi::fl_flow_size() }
    }

    /// Creates the state of a new flow, or returns `None` if there is no memory.
    pub fn new() -> Option<Self> {
        // SAFETY: the function has no preconditions.
        NonNull::new(unsafe { ffi::fl_flow_new() }).map(Self)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // SAFETY: this is the only reference to the flow.
        unsafe { ffi::fl_flow_free(self.0.as_ptr()) };
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").finish_non_exhaustive()
    }
}

/// Returns the version of the loaded library.
pub fn version() -> String {
    let mut version = ffi::Text::EMPTY;
    // SAFETY: `version` is valid for writes.
    unsafe { ffi::fl_version(&raw mut version) };
    text(&version).into_owned()
}

/// Returns the names of the values of [`Details::confidence`], starting with 0.
pub fn confidences() -> Vec<String> {
    let name = |number| {
        let mut name = ffi::Text::EMPTY;
        // SAFETY: `name` is valid for writes. Numbers above the last one have an empty name.
        unsafe { ffi::fl_confidence_name(number, &raw mut name) };
        text(&name).into_owned()
    };
    (0..=u8::MAX)
        .map(name)
        .take_while(|name| !name.is_empty())
        .collect()
}

/// Converts a text. Bytes that are not UTF-8 become the replacement character.
fn text(text: &ffi::Text) -> Cow<'_, str> {
    String::from_utf8_lossy(text.bytes())
}

/// Checks that a file can be opened, and returns its path for nDPI, which does not report such
/// errors.
fn readable(path: Option<&Path>) -> Result<Option<CString>, Error> {
    let Some(path) = path else { return Ok(None) };
    let error_of = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(error_of)?;
    if file.metadata().map_err(error_of)?.is_dir() {
        return Err(error_of(std::io::ErrorKind::IsADirectory.into()));
    }
    CString::new(path.as_os_str().as_bytes())
        .map(Some)
        .map_err(|error| error_of(error.into()))
}
