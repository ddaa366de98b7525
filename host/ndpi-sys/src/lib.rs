//! The system's nDPI: tells a flow's application from its first packets.
//!
//! nDPI is C, and reads what strangers sent. All that is unsafe about calling it is in this crate:
//! packets go in with their length, results come out as copies, and `shim/shim.c`, which is compiled
//! against the library's own headers, is the only place that knows its structures.

mod ffi;
mod packet;

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, PoisonError};

use packet::Stage;

/// Files that add to what nDPI knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Custom {
    /// Protocols by ports, addresses and host names, as nDPI's `protos.txt` has them.
    pub protocols: Option<PathBuf>,
    /// Categories by host names and addresses, as nDPI's `categories.txt` has them.
    pub categories: Option<PathBuf>,
}

/// Why there is no dissector.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library that is loaded is not the one that this was compiled for.
    #[error("nDPI {0} is loaded, and it is not the one that this was compiled for")]
    Incompatible(String),
    /// A custom file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The library does not start.
    #[error("nDPI does not start")]
    Start,
}

/// What nDPI calls a flow, by numbers; 0 is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Protocol {
    /// The protocol that the application uses (TLS), if it is not the application itself.
    pub master: u16,
    /// The application.
    pub app: u16,
    /// What the application is for.
    pub category: u16,
}

impl Protocol {
    /// Whether the application is known.
    pub fn is_known(self) -> bool {
        self.app != 0
    }
}

/// Texts that flows carry, where they do; else they are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details<'a> {
    /// The name that the client asked for; the client's software where it is SSH.
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

/// A dissector, with what it remembers from one flow to the next.
pub struct Module {
    raw: NonNull<ffi::Module>,
    stage: Stage,
    details: Box<ffi::Details>,
}

// SAFETY: nDPI keeps nothing of a module in the thread that made it.
unsafe impl Send for Module {}

/// What is known of a flow that is being dissected.
pub struct Flow(NonNull<ffi::Flow>);

// SAFETY: nDPI keeps nothing of a flow in the thread that made it, nor in a module.
unsafe impl Send for Flow {}

/// Making and freeing modules is not for two threads at once: the library has state of its own then.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static MAKING: Mutex<()> = Mutex::new(());
    MAKING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Module {
    /// A dissector for all protocols that nDPI knows: about 6 MB.
    ///
    /// # Errors
    ///
    /// A custom file cannot be read, or the library is not the right one.
    pub fn new(custom: &Custom) -> Result<Self, Error> {
        // SAFETY: it has no conditions.
        if unsafe { ffi::fl_is_compatible() } == 0 {
            return Err(Error::Incompatible(version()));
        }
        let protocols = readable(custom.protocols.as_deref())?;
        let categories = readable(custom.categories.as_deref())?;
        let path = |file: &Option<CString>| file.as_ref().map_or(ptr::null(), |file| file.as_ptr());
        let _alone = one_at_a_time();
        // SAFETY: both are null or end with a zero, and no other thread makes or frees a module.
        let raw = unsafe { ffi::fl_module_new(path(&protocols), path(&categories)) };
        Ok(Self {
            raw: NonNull::new(raw).ok_or(Error::Start)?,
            stage: Stage::new(),
            details: Box::new(ffi::Details::EMPTY),
        })
    }

    /// Shows the flow's next packet, from its IP header on; what is beyond 65535 bytes is not shown,
    /// nor is a packet that the library would stumble over: of another IP version or transport
    /// protocol than the flow's first, or without a whole transport header in a flow that is known.
    /// `time_ms` is the packet's time.
    pub fn dissect(&mut self, flow: &mut Flow, packet: &[u8], time_ms: u64) -> Protocol {
        let (packet, len) = self.stage.put(packet);
        // SAFETY: both are alive and borrowed for this call only, and so many bytes are there.
        unsafe { ffi::fl_dissect(self.raw.as_ptr(), flow.0.as_ptr(), packet, len, time_ms) }
    }

    /// Whether more packets may tell more of a flow whose application is known.
    pub fn wants_more(&mut self, flow: &mut Flow) -> bool {
        // SAFETY: both are alive and borrowed for this call only.
        unsafe { ffi::fl_wants_more(self.raw.as_ptr(), flow.0.as_ptr()) != 0 }
    }

    /// No more packets come: what the flow is, and whether that is a guess by its ports, addresses
    /// or flows before it.
    pub fn give_up(&mut self, flow: &mut Flow) -> (Protocol, bool) {
        let mut guessed = 0;
        // SAFETY: all are alive and borrowed for this call only.
        let protocol =
            unsafe { ffi::fl_give_up(self.raw.as_ptr(), flow.0.as_ptr(), &raw mut guessed) };
        (protocol, guessed != 0)
    }

    /// What else is known of a flow, which is of this protocol.
    pub fn details(&mut self, flow: &Flow, protocol: Protocol) -> Details<'_> {
        // SAFETY: both are alive and borrowed for this call only.
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

    /// `TLS.Facebook`, `DNS`, `Unknown`.
    pub fn protocol_name(&self, protocol: Protocol) -> String {
        let mut name = ffi::Text::EMPTY;
        // SAFETY: the module is alive, and numbers that it does not know have a name of their own.
        unsafe { ffi::fl_protocol_name(self.raw.as_ptr(), protocol, &raw mut name) };
        text(&name).into_owned()
    }

    /// `SocialNetwork`, `Unspecified`.
    pub fn category_name(&self, category: u16) -> String {
        let mut name = ffi::Text::EMPTY;
        // SAFETY: the module is alive, and numbers that it does not know have a name of their own.
        unsafe { ffi::fl_category_name(self.raw.as_ptr(), category, &raw mut name) };
        text(&name).into_owned()
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _alone = one_at_a_time();
        // SAFETY: nobody else has it, and no other thread makes or frees a module.
        unsafe { ffi::fl_module_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

impl Flow {
    /// Bytes that one takes, beyond the texts that it finds.
    pub fn size() -> usize {
        // SAFETY: it has no conditions.
        unsafe { ffi::fl_flow_size() }
    }

    /// A flow of which nothing is known yet; `None` if there is no memory for it.
    pub fn new() -> Option<Self> {
        // SAFETY: it has no conditions.
        NonNull::new(unsafe { ffi::fl_flow_new() }).map(Self)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // SAFETY: nobody else has it.
        unsafe { ffi::fl_flow_free(self.0.as_ptr()) };
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").finish_non_exhaustive()
    }
}

/// The version of the library that is loaded.
pub fn version() -> String {
    let mut version = ffi::Text::EMPTY;
    // SAFETY: it has no conditions.
    unsafe { ffi::fl_version(&raw mut version) };
    text(&version).into_owned()
}

/// The names of the numbers of [`Details::confidence`], from 0 on.
pub fn confidences() -> Vec<String> {
    let name = |number| {
        let mut name = ffi::Text::EMPTY;
        // SAFETY: numbers beyond the last have no name.
        unsafe { ffi::fl_confidence_name(number, &raw mut name) };
        text(&name).into_owned()
    };
    (0..=u8::MAX)
        .map(name)
        .take_while(|name| !name.is_empty())
        .collect()
}

/// Bytes from packets that are not UTF-8 become the replacement character.
fn text(text: &ffi::Text) -> Cow<'_, str> {
    String::from_utf8_lossy(text.bytes())
}

/// A path for the library, which does not say why it cannot read a file.
fn readable(path: Option<&Path>) -> Result<Option<CString>, Error> {
    let Some(path) = path else { return Ok(None) };
    let wrong = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(wrong)?;
    if file.metadata().map_err(wrong)?.is_dir() {
        return Err(wrong(std::io::ErrorKind::IsADirectory.into()));
    }
    CString::new(path.as_os_str().as_bytes())
        .map(Some)
        .map_err(|error| wrong(error.into()))
}
