//! Dissectors.

#![allow(unsafe_code, reason = "these are calls of a C library")]

use std::ffi::{CString, c_char, c_uint};
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Error;
use crate::common::{MAX_NAME, RawModule, Transport};
use crate::details::{Details, Protocol};
use crate::flow::Flow;
use crate::library::{Library, Version};
use crate::packet_buffer::PacketBuffer;
use crate::v42::FlowData;
use crate::v50::Serializer;

/// IP protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Files with additional protocols and categories for nDPI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Custom {
    /// Protocols by port, address and host name, in the format of nDPI's `protos.txt`.
    pub protocols: Option<PathBuf>,
    /// Categories by host name and address, in the format of nDPI's `categories.txt`.
    pub categories: Option<PathBuf>,
}

/// A dissector, with its state across flows.
///
/// Methods that take a flow panic if it was created for another library.
pub struct Module {
    library: Arc<Library>,
    raw: NonNull<RawModule>,
    buffer: PacketBuffer,
    /// The writer of reports, with nDPI 5.0.
    serializer: Option<Serializer>,
}

// SAFETY: nDPI keeps no state of a module or of a serializer in the thread that created it.
unsafe impl Send for Module {}

/// Locks the creation and release of modules. nDPI uses global state in both, so that only one
/// thread at a time may do so.
fn lock_modules() -> MutexGuard<'static, ()> {
    static LOCK: Mutex<()> = Mutex::new(());
    LOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Module {
    /// Creates a dissector for all protocols of nDPI. It takes about 6 MB with nDPI 4.2, and 10 MB
    /// with 5.0.
    ///
    /// # Errors
    ///
    /// Returns an error if a custom file cannot be read, or if nDPI does not start.
    pub fn new(library: &Arc<Library>, custom: &Custom) -> Result<Self, Error> {
        let protocols = readable(custom.protocols.as_deref())?;
        let categories = readable(custom.categories.as_deref())?;
        let api = library.api();
        let lock = lock_modules();
        let raw = match &api.version {
            // SAFETY: the lock excludes other threads.
            Version::V42(functions) => unsafe { functions.new_module() },
            // SAFETY: as above.
            Version::V50(functions) => unsafe { functions.new_module() },
        };
        let raw = NonNull::new(raw).ok_or(Error::Start)?;
        // SAFETY: the module is alive, and only used here.
        let is_ready = unsafe {
            protocols.is_none_or(|file| api.common.load_protocols(raw.as_ptr(), &file))
                && match &api.version {
                    Version::V42(functions) => {
                        functions.finish(raw.as_ptr(), categories.as_deref())
                    }
                    Version::V50(functions) => {
                        functions.finish(raw.as_ptr(), categories.as_deref())
                    }
                }
        };
        drop(lock);
        let mut module = Self {
            library: library.clone(),
            raw,
            buffer: PacketBuffer::new(),
            serializer: None,
        };
        if !is_ready {
            return Err(Error::Start);
        }
        if let Version::V50(functions) = &api.version {
            module.serializer = Some(Serializer::new(functions).ok_or(Error::Start)?);
        }
        Ok(module)
    }

    /// Returns the library of the module.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Dissects the next packet of a flow. `packet` starts with the IP header. `time_ms` is its
    /// time.
    ///
    /// Bytes beyond 65,535 are not passed to nDPI. Two kinds of packets are not passed at all,
    /// because nDPI cannot process them safely:
    ///
    /// - packets whose IP version or transport protocol differs from that of the flow's first
    ///   packet
    /// - nDPI 4.2: packets with an incomplete transport header in a flow whose application is known
    pub fn dissect(&mut self, flow: &mut Flow, packet: &[u8], time_ms: u64) -> Protocol {
        self.check(flow);
        let packet = self.buffer.copy(packet);
        if !is_harmless(flow, packet) {
            return flow.known;
        }
        let (module, raw) = (self.raw.as_ptr(), flow.raw.as_ptr());
        flow.known = match &flow.api.version {
            // SAFETY: module and flow are alive, of the same library, and borrowed for this call
            // only.
            Version::V42(functions) => unsafe {
                functions.process(module, raw, packet, time_ms).into()
            },
            // SAFETY: as above.
            Version::V50(functions) => unsafe {
                flow.last = functions.process(module, raw, packet, time_ms);
                flow.last.into()
            },
        };
        flow.known
    }

    /// Returns whether further packets may yield more details of a flow whose application is known.
    pub fn wants_more(&mut self, flow: &mut Flow) -> bool {
        self.check(flow);
        match &flow.api.version {
            // SAFETY: module and flow are alive, of the same library, and borrowed for this call
            // only.
            Version::V42(functions) => unsafe {
                (functions.wants_more)(self.raw.as_ptr(), flow.raw.as_ptr()) != 0
            },
            Version::V50(_) => flow.last.wants_more(),
        }
    }

    /// Ends the dissection. Returns the protocol, and whether nDPI guessed it from ports, addresses
    /// or earlier flows.
    pub fn give_up(&mut self, flow: &mut Flow) -> (Protocol, bool) {
        self.check(flow);
        match &flow.api.version {
            Version::V42(functions) => {
                let mut is_guessed = 0;
                // SAFETY: module and flow are alive, of the same library, and borrowed for this
                // call only. `is_guessed` is valid for writes. 1 permits guesses.
                let protocol = unsafe {
                    (functions.give_up)(self.raw.as_ptr(), flow.raw.as_ptr(), 1, &mut is_guessed)
                };
                (protocol.into(), is_guessed != 0)
            }
            Version::V50(functions) => {
                let was_known = flow.known.is_known();
                // SAFETY: module and flow are alive, of the same library, and borrowed for this
                // call only.
                flow.last = unsafe { (functions.give_up)(self.raw.as_ptr(), flow.raw.as_ptr()) };
                flow.known = flow.last.into();
                // nDPI 5.0 itself notes a guess in this case.
                (flow.known, !was_known && flow.known.is_known())
            }
        }
    }

    /// Returns the details of a flow with this protocol. nDPI 5.0 uses the protocol that it found
    /// last.
    pub fn details<'a>(&mut self, flow: &'a Flow, protocol: Protocol) -> Details<'a> {
        self.check(flow);
        let mut details = match (&flow.api.version, &mut self.serializer) {
            // SAFETY: the flow has this version. nDPI changes it and its texts only through a
            // `&mut Flow`.
            (Version::V42(_), _) => unsafe { FlowData::of(flow.raw.as_ptr()) }.details(protocol),
            // SAFETY: module and flow are alive, and of the same library. Neither is shared between
            // threads, and there is no reference to the contents of the flow.
            (Version::V50(functions), Some(serializer)) => unsafe {
                let (module, raw) = (self.raw.as_ptr(), flow.raw.as_ptr());
                functions.details(module, raw, flow.last, serializer, flow.api.has_layout)
            },
            // `new` has created a serializer for this version.
            (Version::V50(_), None) => Details::default(),
        };
        details.confidence = self.library.stable_confidence(details.confidence);
        details.risks &= self.library.known_risks();
        details.risk_score = match details.risks {
            0 => 0,
            risks => self.library.api().common.risk_score(risks),
        };
        details
    }

    /// Returns the name of a protocol, for example `TLS.Facebook`, `DNS` or `Unknown`.
    pub fn protocol_name(&self, protocol: Protocol) -> String {
        let mut name = [0u8; MAX_NAME];
        // The last byte stays 0.
        let len = (MAX_NAME - 1) as c_uint;
        let buffer = name.as_mut_ptr().cast::<c_char>();
        match &self.library.api().version {
            // SAFETY: the module is alive. nDPI has a name for unknown numbers too. It writes at
            // most `len` bytes.
            Version::V42(functions) => unsafe {
                (functions.protocol_name)(self.raw.as_ptr(), protocol.into(), buffer, len);
            },
            // SAFETY: as above.
            Version::V50(functions) => unsafe {
                (functions.protocol_name)(self.raw.as_ptr(), protocol.into(), buffer, len);
            },
        }
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// Returns the name of a category, for example `SocialNetwork` or `Unspecified`.
    pub fn category_name(&self, category: u16) -> String {
        let common = &self.library.api().common;
        // SAFETY: the module is alive.
        unsafe { common.category_name(self.raw.as_ptr(), category) }
    }

    /// Returns the applications that this module can find, ordered by number, with their categories.
    /// They include those of a list of additional protocols.
    pub fn applications(&self) -> impl Iterator<Item = Protocol> {
        let module = self.raw.as_ptr();
        let count = match &self.library.api().version {
            // SAFETY: the module is alive.
            Version::V42(functions) => unsafe { (functions.protocol_count)(module) },
            // SAFETY: as above.
            Version::V50(functions) => unsafe { (functions.protocol_count)(module) },
        };
        let last = u16::try_from(count).unwrap_or(u16::MAX);
        (1..last).map(move |app| {
            let mut protocol = Protocol {
                app,
                ..Protocol::default()
            };
            let category = match &self.library.api().version {
                // SAFETY: the module is alive.
                Version::V42(functions) => unsafe { (functions.category)(module, protocol.into()) },
                // SAFETY: as above.
                Version::V50(functions) => unsafe { (functions.category)(module, protocol.into()) },
            };
            protocol.category = category as u16;
            protocol
        })
    }

    /// Panics if a flow was created for another library.
    fn check(&self, flow: &Flow) {
        assert!(
            ptr::eq(self.library.api(), flow.api),
            "the flow was created for another nDPI library"
        );
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _lock = lock_modules();
        // SAFETY: this is the only reference to the module. The lock excludes other threads.
        unsafe { (self.library.api().common.exit)(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

/// Returns whether nDPI can process a packet without invalid memory accesses.
///
/// nDPI stores its TCP state and its UDP state of a flow in one union, and selects the member by the
/// protocol of the current packet. After a packet of another protocol than the first, it would
/// interpret numbers as pointers.
///
/// While nDPI 4.2 examines a flow for extra details only, it does not check whether a packet has a
/// payload. Without one, it would dereference a null pointer.
fn is_harmless(flow: &mut Flow, packet: &[u8]) -> bool {
    let Some(transport) = flow.api.common.transport(packet) else {
        // A packet without a transport protocol changes no state.
        return true;
    };
    let version = packet.first().map_or(0, |byte| byte >> 4);
    let kind = (version, transport.protocol);
    if *flow.first.get_or_insert(kind) != kind {
        return false;
    }
    match &flow.api.version {
        Version::V42(_) => {
            // SAFETY: the flow has this version, and does not change here.
            let data = unsafe { FlowData::of(flow.raw.as_ptr()) };
            !data.checks_extra_packets() || has_payload(&transport)
        }
        // It checks this itself.
        Version::V50(_) => true,
    }
}

/// Returns whether a packet has a complete transport header, which nDPI needs to find the payload.
fn has_payload(transport: &Transport<'_>) -> bool {
    let bytes = transport.bytes;
    match transport.protocol {
        TCP => bytes.len() >= 20 && bytes.len() >= usize::from(bytes[12] >> 4) * 4,
        UDP => bytes.len() >= 8,
        _ => true,
    }
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
