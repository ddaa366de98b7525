//! The functions of nDPI that have the same type in all supported versions.

#![allow(unsafe_code, reason = "these are calls of a C library")]

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::marker::{PhantomData, PhantomPinned};
use std::ptr;

use crate::handle::{functions, text};

/// A marker for C types that Rust neither creates nor moves.
type Opaque = PhantomData<(*mut u8, PhantomPinned)>;

/// `struct ndpi_detection_module_struct`.
#[repr(C)]
pub(crate) struct RawModule {
    bytes: [u8; 0],
    opaque: Opaque,
}

/// `struct ndpi_flow_struct`.
#[repr(C)]
pub(crate) struct RawFlow {
    bytes: [u8; 0],
    opaque: Opaque,
}

/// The longest name that is copied, in bytes.
pub(crate) const MAX_NAME: usize = 256;

functions! {
    /// The functions that identify a library.
    Identity {
        revision: ndpi_revision() -> *const c_char;
        api_version: ndpi_get_api_version() -> u16;
        flow_size: ndpi_detection_get_sizeof_ndpi_flow_struct() -> u32;
    }
}

impl Identity {
    /// Returns the version with the commit, for example `4.2.0-0-0000000`.
    pub(crate) fn revision(&self) -> String {
        // SAFETY: the function has no preconditions, and returns a static text.
        let revision = unsafe { text((self.revision)(), 64) };
        String::from_utf8_lossy(revision).into_owned()
    }

    pub(crate) fn api_version(&self) -> u16 {
        // SAFETY: the function has no preconditions.
        unsafe { (self.api_version)() }
    }

    pub(crate) fn flow_size(&self) -> usize {
        // SAFETY: the function has no preconditions.
        unsafe { (self.flow_size)() as usize }
    }
}

functions! {
    /// The functions that all versions need.
    Common {
        exit: ndpi_exit_detection_module(*mut RawModule);
        load_protocols: ndpi_load_protocols_file(*mut RawModule, *const c_char) -> c_int;
        flow_malloc: ndpi_flow_malloc(usize) -> *mut RawFlow;
        free_flow: ndpi_free_flow(*mut RawFlow);
        l4: ndpi_detection_get_l4(*const u8, u16, *mut *const u8, *mut u16, *mut u8, u32) -> u8;
        category_name: ndpi_category_get_name(*mut RawModule, c_uint) -> *const c_char;
        confidence_name: ndpi_confidence_get_name(c_uint) -> *const c_char;
        risk_name: ndpi_risk2str(c_uint) -> *const c_char;
        risk_score: ndpi_risk2score(u64, *mut u16, *mut u16) -> u16;
    }
}

/// The transport layer of a packet, as nDPI finds it.
pub(crate) struct Transport<'a> {
    /// The number of the protocol.
    pub(crate) protocol: u8,
    /// The packet from the transport header on.
    pub(crate) bytes: &'a [u8],
}

impl Common {
    /// Returns the transport layer of a packet that starts with the IP header, or `None` if nDPI
    /// finds none.
    pub(crate) fn transport<'a>(&self, packet: &'a [u8]) -> Option<Transport<'a>> {
        let len = u16::try_from(packet.len()).ok()?;
        let (mut at, mut l4_len, mut protocol) = (ptr::null(), 0, 0);
        // SAFETY: `packet` has `len` bytes. The other arguments are valid for writes.
        let error =
            unsafe { (self.l4)(packet.as_ptr(), len, &mut at, &mut l4_len, &mut protocol, 0) };
        let start = (at as usize).checked_sub(packet.as_ptr() as usize);
        if error != 0 {
            return None;
        }
        // Only the length matters to the callers if the header is outside of the packet.
        let rest = start.and_then(|start| packet.get(start..));
        let rest = rest.unwrap_or_default();
        Some(Transport {
            protocol,
            bytes: &rest[..rest.len().min(l4_len.into())],
        })
    }

    /// Loads a file of protocols, and returns whether that succeeded.
    ///
    /// # Safety
    ///
    /// The module is alive, and not used elsewhere.
    pub(crate) unsafe fn load_protocols(&self, module: *mut RawModule, file: &CStr) -> bool {
        // SAFETY: see above.
        unsafe { (self.load_protocols)(module, file.as_ptr()) >= 0 }
    }

    /// Returns a new flow of `size` zeros, or a null pointer if there is no memory.
    pub(crate) fn new_flow(&self, size: usize) -> *mut RawFlow {
        // SAFETY: the function has no preconditions. The memory has `size` bytes.
        unsafe {
            let flow = (self.flow_malloc)(size);
            if !flow.is_null() {
                flow.cast::<u8>().write_bytes(0, size);
            }
            flow
        }
    }

    /// Frees a flow, and what it points to.
    ///
    /// # Safety
    ///
    /// The flow is from [`Self::new_flow`], and is not used later.
    pub(crate) unsafe fn free_flow(&self, flow: *mut RawFlow) {
        // SAFETY: see above.
        unsafe { (self.free_flow)(flow) }
    }

    /// Returns the name of a category.
    ///
    /// # Safety
    ///
    /// The module is alive.
    pub(crate) unsafe fn category_name(&self, module: *mut RawModule, category: u16) -> String {
        // SAFETY: see above. nDPI has a name for unknown numbers too. It lives as long as the
        // module.
        let name = unsafe { text((self.category_name)(module, category.into()), MAX_NAME) };
        String::from_utf8_lossy(name).into_owned()
    }

    /// Returns the name of a risk. The number must be below the version's limit.
    pub(crate) fn risk_name(&self, risk: u8) -> String {
        // SAFETY: the function has no preconditions, and returns a static text for known numbers.
        let name = unsafe { text((self.risk_name)(risk.into()), MAX_NAME) };
        String::from_utf8_lossy(name).into_owned()
    }

    /// Returns the sum of the scores of risks, which are the bits of a number.
    pub(crate) fn risk_score(&self, risks: u64) -> u16 {
        let (mut client, mut server) = (0, 0);
        // SAFETY: both numbers are valid for writes.
        unsafe { (self.risk_score)(risks, &mut client, &mut server) }
    }

    /// Returns the name of a confidence value. The number must be below the version's limit.
    pub(crate) fn confidence_name(&self, confidence: u8) -> String {
        // SAFETY: the function has no preconditions, and returns a static text.
        let name = unsafe { text((self.confidence_name)(confidence.into()), MAX_NAME) };
        String::from_utf8_lossy(name).into_owned()
    }
}
