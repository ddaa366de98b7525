//! The declarations of `shim/shim.h`.

use std::ffi::{c_char, c_int};
use std::marker::{PhantomData, PhantomPinned};

use crate::Protocol;

/// A marker for C types that Rust neither creates nor moves.
type Opaque = PhantomData<(*mut u8, PhantomPinned)>;

#[repr(C)]
pub(crate) struct Module {
    bytes: [u8; 0],
    opaque: Opaque,
}

#[repr(C)]
pub(crate) struct Flow {
    bytes: [u8; 0],
    opaque: Opaque,
}

#[repr(C)]
pub(crate) struct Text {
    len: u16,
    bytes: [u8; 256],
}

impl Text {
    pub(crate) const EMPTY: Self = Self {
        len: 0,
        bytes: [0; 256],
    };

    pub(crate) fn bytes(&self) -> &[u8] {
        let len = usize::from(self.len).min(self.bytes.len());
        &self.bytes[..len]
    }
}

#[repr(C)]
pub(crate) struct Details {
    pub(crate) server_name: Text,
    pub(crate) client_fingerprint: Text,
    pub(crate) server_fingerprint: Text,
    pub(crate) user_agent: Text,
    pub(crate) content_type: Text,
    pub(crate) confidence: u8,
}

impl Details {
    pub(crate) const EMPTY: Self = Self {
        server_name: Text::EMPTY,
        client_fingerprint: Text::EMPTY,
        server_fingerprint: Text::EMPTY,
        user_agent: Text::EMPTY,
        content_type: Text::EMPTY,
        confidence: 0,
    };
}

unsafe extern "C" {
    pub(crate) fn fl_is_compatible() -> c_int;
    pub(crate) fn fl_version(version: *mut Text);
    pub(crate) fn fl_module_new(
        protocols_file: *const c_char,
        categories_file: *const c_char,
    ) -> *mut Module;
    pub(crate) fn fl_module_free(module: *mut Module);
    pub(crate) fn fl_flow_new() -> *mut Flow;
    pub(crate) fn fl_flow_free(flow: *mut Flow);
    pub(crate) fn fl_flow_size() -> usize;
    pub(crate) fn fl_dissect(
        module: *mut Module,
        flow: *mut Flow,
        packet: *const u8,
        len: u16,
        time_ms: u64,
    ) -> Protocol;
    pub(crate) fn fl_wants_more(module: *mut Module, flow: *mut Flow) -> c_int;
    pub(crate) fn fl_give_up(module: *mut Module, flow: *mut Flow, guessed: *mut c_int)
    -> Protocol;
    pub(crate) fn fl_details(flow: *const Flow, protocol: Protocol, details: *mut Details);
    pub(crate) fn fl_protocol_name(module: *mut Module, protocol: Protocol, name: *mut Text);
    pub(crate) fn fl_category_name(module: *mut Module, category: u16, name: *mut Text);
    pub(crate) fn fl_confidence_name(confidence: u8, name: *mut Text);
}
