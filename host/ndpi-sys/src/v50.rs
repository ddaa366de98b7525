//! The functions of nDPI 5.0.
//!
//! Its headers are not needed. The only structure that is passed is `struct ndpi_proto`; its layout
//! is that of the debug information in NFStream 6.6.0, which contains nDPI 5.0.0. nDPI tells the
//! size of a flow, and reports the details of a flow in JSON. Some texts are not in the report. They
//! are read from the flow if its layout is that of 5.0.0.

#![allow(unsafe_code, reason = "these are calls of a C library")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::{ptr, slice};

use crate::common::{RawFlow, RawModule};
use crate::details::{Details, Protocol, Stack};
use crate::flow_bytes::FlowBytes;
use crate::handle::{functions, text};
use crate::report::Report;

/// The number that `ndpi_get_api_version` returns.
pub(crate) const API_VERSION: u16 = 15;
/// The sizes of a flow in bytes that are plausible. 5.0.0 has 1,208.
pub(crate) const FLOW: std::ops::RangeInclusive<usize> = 512..=8192;
/// The number of confidence values.
pub(crate) const CONFIDENCES: u8 = 10;
/// The number of risks, with 0, which is none.
pub(crate) const RISKS: u8 = 57;

/// `NDPI_STATE_CLASSIFIED`: nDPI needs no more packets.
const CLASSIFIED: c_uint = 3;
/// `ndpi_serialization_format_json`.
const JSON: c_uint = 2;

/// The layout of `struct ndpi_flow_struct` in 5.0.0, from the debug information in NFStream 6.6.0.
pub(crate) mod layout {
    use std::ops::Range;

    /// The release with this layout.
    pub(crate) const RELEASE: &str = "5.0.0";
    /// The size of the structure in bytes.
    pub(crate) const FLOW: usize = 1208;
    /// Pointers to texts.
    pub(super) const HTTP_CONTENT_TYPE: usize = 576;
    pub(super) const HTTP_USER_AGENT: usize = 592;
    /// Members of the union `protos`.
    pub(super) const TLS_JA3_SERVER: Range<usize> = 952..985;
    pub(super) const TLS_JA4_CLIENT: Range<usize> = 985..1022;
}

/// Numbers of protocols.
mod protocol {
    pub(super) const DHCP: u16 = 18;
    pub(super) const SSH: u16 = 92;
    /// The protocols for which nDPI collects the details of HTTP: HTTP, CONNECT, and requests to a
    /// proxy.
    pub(super) const HTTP: [u16; 3] = [7, 130, 131];
    /// The protocols for which the union `protos` has the details of TLS: POPS, SMTPS, DTLS, IMAPS,
    /// TLS, QUIC, and FTPS. nDPI frees the texts in it for these.
    pub(super) const TLS: [u16; 7] = [23, 29, 30, 51, 91, 188, 311];
}

/// `ndpi_master_app_protocol`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct RawPair {
    master: u16,
    app: u16,
}

/// `struct ndpi_proto`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct RawProtocol {
    proto: RawPair,
    stack: [u16; 8],
    stack_len: u16,
    by_ip: u16,
    category: c_uint,
    breed: c_uint,
    first_packet: RawPair,
    first_packet_confidence: c_uint,
    /// A pointer that this crate does not use.
    user_data: usize,
    state: c_uint,
}

impl RawProtocol {
    /// Returns whether nDPI needs more packets for the details.
    pub(crate) fn wants_more(&self) -> bool {
        self.state != CLASSIFIED
    }
}

impl From<Protocol> for RawProtocol {
    /// Returns a result that nDPI has not found in packets.
    fn from(protocol: Protocol) -> Self {
        Self {
            proto: protocol.into(),
            category: protocol.category.into(),
            ..Self::default()
        }
    }
}

impl From<RawProtocol> for Protocol {
    fn from(raw: RawProtocol) -> Self {
        Self {
            master: raw.proto.master,
            app: raw.proto.app,
            category: raw.category as u16,
        }
    }
}

/// `ndpi_serializer`, which has 72 bytes in 5.0.0. Only nDPI accesses it.
#[repr(C, align(16))]
pub(crate) struct RawSerializer([u8; 256]);

functions! {
    /// The functions whose types differ from those of other versions.
    Functions {
        init: ndpi_init_detection_module(*mut c_void) -> *mut RawModule;
        load_categories: ndpi_load_categories_file(*mut RawModule, *const c_char, *mut c_void)
            -> c_int;
        set_config: ndpi_set_config(*mut RawModule, *const c_char, *const c_char, *const c_char)
            -> c_int;
        finalize: ndpi_finalize_initialization(*mut RawModule) -> c_int;
        process: ndpi_detection_process_packet(
            *mut RawModule, *mut RawFlow, *const u8, u16, u64, *mut c_void
        ) -> RawProtocol;
        give_up: ndpi_detection_giveup(*mut RawModule, *mut RawFlow) -> RawProtocol;
        protocol_count: ndpi_get_num_protocols(*mut RawModule) -> c_uint;
        category: ndpi_get_proto_category(*mut RawModule, RawProtocol) -> c_uint;
        protocol_name: ndpi_protocol2name(*mut RawModule, RawPair, *mut c_char, c_uint)
            -> *const c_char;
        server_name: ndpi_get_flow_name(*mut RawFlow) -> *const c_char;
        init_serializer: ndpi_init_serializer(*mut RawSerializer, c_uint) -> c_int;
        reset_serializer: ndpi_reset_serializer(*mut RawSerializer);
        term_serializer: ndpi_term_serializer(*mut RawSerializer);
        serialized: ndpi_serializer_get_buffer(*mut RawSerializer, *mut u32) -> *const u8;
        report: ndpi_flow2json(
            *mut RawModule, *mut RawFlow, u8, u8, u16, u32, u32, *const c_void, *const c_void,
            u16, u16, RawProtocol, *mut RawSerializer
        ) -> c_int;
    }
}

impl Functions {
    /// Creates a module for all protocols, or returns a null pointer. DNS flows have the application
    /// of the queried name, as with 4.2 and in NFStream.
    ///
    /// # Safety
    ///
    /// No other thread creates or releases a module.
    pub(crate) unsafe fn new_module(&self) -> *mut RawModule {
        let [protocol, name, value] = [c"dns", c"subclassification", c"enable"];
        // SAFETY: without a context, the module has caches of its own. The module is alive.
        unsafe {
            let module = (self.init)(ptr::null_mut());
            if !module.is_null() {
                (self.set_config)(module, protocol.as_ptr(), name.as_ptr(), value.as_ptr());
            }
            module
        }
    }

    /// Loads a file of categories if there is one, and ends the initialisation. Returns whether
    /// that succeeded.
    ///
    /// # Safety
    ///
    /// The module is alive, and not used elsewhere.
    pub(crate) unsafe fn finish(&self, module: *mut RawModule, categories: Option<&CStr>) -> bool {
        // SAFETY: see above. nDPI accepts a null pointer as the data of the caller.
        unsafe {
            if let Some(file) = categories
                && (self.load_categories)(module, file.as_ptr(), ptr::null_mut()) < 0
            {
                return false;
            }
            (self.finalize)(module) == 0
        }
    }

    /// Dissects a packet of at most 65,535 bytes.
    ///
    /// # Safety
    ///
    /// Module and flow are alive, of this library, and not used elsewhere.
    pub(crate) unsafe fn process(
        &self,
        module: *mut RawModule,
        flow: *mut RawFlow,
        packet: &[u8],
        time_ms: u64,
    ) -> RawProtocol {
        let (packet, len) = (packet.as_ptr(), packet.len() as u16);
        // SAFETY: see above. `packet` has `len` bytes. Without information about the packet, nDPI
        // determines the direction itself.
        unsafe { (self.process)(module, flow, packet, len, time_ms, ptr::null_mut()) }
    }

    /// Returns the details of a flow whose last result is `last`, without the score of the risks. The
    /// confidence has the numbers of this version.
    ///
    /// # Safety
    ///
    /// Module and flow are alive, of this library, and not used elsewhere. If `has_layout`, flows
    /// have the layout of [`layout`].
    pub(crate) unsafe fn details(
        &self,
        module: *mut RawModule,
        flow: *mut RawFlow,
        last: RawProtocol,
        serializer: &mut Serializer,
        has_layout: bool,
    ) -> Details<'static> {
        // SAFETY: see above. The text is in the flow, and is copied.
        let name = unsafe { text((self.server_name)(flow), 255) };
        let server_name = String::from_utf8_lossy(name).into_owned();
        // SAFETY: see above.
        let report = unsafe { self.report(module, flow, last, serializer) };
        let mut report = report.unwrap_or_default();
        if has_layout {
            // SAFETY: see above. Nothing changes the flow before the texts are copied.
            unsafe { complete(&mut report, last.proto, FlowBytes::of(flow, layout::FLOW)) };
        }
        let stack = &last.stack[..usize::from(last.stack_len).min(last.stack.len())];
        Details {
            server_name: server_name.into(),
            client_fingerprint: first([
                &report.client_ja4,
                &report.hassh_client,
                &report.dhcp_fingerprint,
            ]),
            server_fingerprint: first([&report.server_ja3, &report.hassh_server]),
            user_agent: report.user_agent.into(),
            content_type: report.content_type.into(),
            client_ja4: report.client_ja4.into(),
            tcp_fingerprint: report.tcp_fingerprint.into(),
            domain: report.domain.into(),
            confidence: report.confidence,
            risks: report.risks,
            risk_score: 0,
            stack: Stack::new(stack),
        }
    }

    /// Returns nDPI's report about a flow.
    ///
    /// # Safety
    ///
    /// As for [`Self::details`].
    unsafe fn report(
        &self,
        module: *mut RawModule,
        flow: *mut RawFlow,
        last: RawProtocol,
        serializer: &mut Serializer,
    ) -> Option<Report> {
        let json: *mut RawSerializer = &mut *serializer.raw;
        let (mut len, none) = (0, ptr::null());
        // SAFETY: see above. The serializer is initialised. `last` is a result for this flow, so
        // that nDPI interprets the data of the flow as its dissectors did. For IPv4, 4, both
        // addresses are numbers, and the pointers are not used. The report has `len` bytes, which do
        // not change before the next call.
        unsafe {
            (self.reset_serializer)(json);
            if (self.report)(module, flow, 4, 0, 0, 0, 0, none, none, 0, 0, last, json) != 0 {
                return None;
            }
            let bytes = (self.serialized)(json, &mut len);
            match bytes.is_null() {
                true => None,
                false => Report::read(slice::from_raw_parts(bytes, len as usize)),
            }
        }
    }
}

/// Adds the texts that nDPI knows but does not report: those of HTTP without a URL, and those of TLS
/// of an unknown version or below mail. The conditions and limits of length are those of NFStream.
///
/// # Safety
///
/// The flow has the layout of [`layout`].
unsafe fn complete(report: &mut Report, proto: RawPair, flow: FlowBytes<'_>) {
    let is = |id| proto.master == id || proto.app == id;
    if is(protocol::DHCP) || is(protocol::SSH) {
        return;
    }
    let is_http = protocol::HTTP.into_iter().any(is);
    let is_tls = protocol::TLS.into_iter().any(is);
    // SAFETY: the pointers in `layout` are null or point to a text that belongs to the flow.
    let text = |at, most| unsafe { flow.text(at, most) }.into_owned();
    if is_http || is_tls {
        report.user_agent = text(layout::HTTP_USER_AGENT, 255);
    }
    if is_http {
        report.content_type = text(layout::HTTP_CONTENT_TYPE, 63);
    } else if is_tls {
        // The report has no bytes that are not UTF-8.
        for (reported, at) in [
            (&mut report.client_ja4, layout::TLS_JA4_CLIENT),
            (&mut report.server_ja3, layout::TLS_JA3_SERVER),
        ] {
            if reported.is_empty() {
                *reported = flow.array(at).into_owned();
            }
        }
    }
}

/// Returns the first text that is not empty.
fn first<const N: usize>(texts: [&String; N]) -> std::borrow::Cow<'static, str> {
    let found = texts.into_iter().find(|text| !text.is_empty());
    found.cloned().unwrap_or_default().into()
}

impl From<Protocol> for RawPair {
    fn from(protocol: Protocol) -> Self {
        Self {
            master: protocol.master,
            app: protocol.app,
        }
    }
}

/// A writer of JSON. Its memory is reused.
pub(crate) struct Serializer {
    raw: Box<RawSerializer>,
    functions: &'static Functions,
}

impl Serializer {
    /// Creates a writer, or returns `None` if there is no memory.
    pub(crate) fn new(functions: &'static Functions) -> Option<Self> {
        let mut raw = Box::new(RawSerializer([0; 256]));
        // SAFETY: the memory is larger than this version's type.
        let error = unsafe { (functions.init_serializer)(&mut *raw, JSON) };
        (error == 0).then_some(Self { raw, functions })
    }
}

impl Drop for Serializer {
    fn drop(&mut self) {
        // SAFETY: the writer is initialised, and not used later.
        unsafe { (self.functions.term_serializer)(&mut *self.raw) };
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn the_layout_is_that_of_the_library() {
        assert_eq!(size_of::<RawProtocol>(), 56);
        assert_eq!(offset_of!(RawProtocol, stack_len), 20);
        assert_eq!(offset_of!(RawProtocol, category), 24);
        assert_eq!(offset_of!(RawProtocol, first_packet), 32);
        assert_eq!(offset_of!(RawProtocol, user_data), 40);
        assert_eq!(offset_of!(RawProtocol, state), 48);
    }
}
