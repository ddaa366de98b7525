//! The functions and structures of nDPI 4.2.
//!
//! The numbers in [`layout`] and [`protocol`] were printed by a C program with `offsetof` and
//! `sizeof`, compiled with the headers of Debian's libndpi-dev 4.2 for x86-64. The test of
//! this file repeats that where the headers are installed.

#![allow(unsafe_code, reason = "these are calls of a C library")]

use std::ffi::{CStr, c_char, c_int, c_uint};

use crate::common::{RawFlow, RawModule};
use crate::details::{Details, Protocol, Stack};
use crate::flow_bytes::FlowBytes;
use crate::handle::functions;

/// Offsets and sizes in bytes.
pub(crate) mod layout {
    use std::ops::Range;

    /// The size of `struct ndpi_flow_struct`.
    pub(crate) const FLOW: usize = 688;
    /// The number that `ndpi_get_api_version` returns.
    pub(crate) const API_VERSION: u16 = 8668;
    /// The size of a set of all protocols.
    pub(crate) const PROTOCOL_SET: usize = 64;
    /// The number of confidence values.
    pub(crate) const CONFIDENCES: u8 = 5;
    /// The number of risks, with 0, which is none.
    pub(crate) const RISKS: u8 = 42;

    /// The byte and the bit of `check_extra_packets`.
    pub(crate) const CHECK_EXTRA_PACKETS: (usize, u8) = (13, 0x40);
    pub(crate) const CONFIDENCE: usize = 16;
    pub(crate) const HOST_SERVER_NAME: Range<usize> = 220..300;
    /// A number whose bits are risks.
    pub(crate) const RISK: Range<usize> = 320..328;
    /// Pointers to texts.
    pub(crate) const HTTP_URL: usize = 336;
    pub(crate) const HTTP_CONTENT_TYPE: usize = 344;
    pub(crate) const HTTP_USER_AGENT: usize = 360;
    /// Members of the union `protos`.
    pub(crate) const DHCP_FINGERPRINT: Range<usize> = 408..456;
    pub(crate) const SSH_CLIENT_SIGNATURE: Range<usize> = 408..456;
    pub(crate) const SSH_HASSH_CLIENT: Range<usize> = 504..537;
    pub(crate) const SSH_HASSH_SERVER: Range<usize> = 537..570;
    pub(crate) const TLS_JA3_CLIENT: Range<usize> = 456..489;
    pub(crate) const TLS_JA3_SERVER: Range<usize> = 489..522;
}

/// Numbers of protocols.
mod protocol {
    pub(super) const FTP_CONTROL: u16 = 1;
    pub(super) const MAIL_POP: u16 = 2;
    pub(super) const MAIL_SMTP: u16 = 3;
    pub(super) const MAIL_IMAP: u16 = 4;
    pub(super) const DNS: u16 = 5;
    pub(super) const HTTP: u16 = 7;
    pub(super) const MDNS: u16 = 8;
    pub(super) const DHCP: u16 = 18;
    pub(super) const UBNTAC2: u16 = 31;
    pub(super) const BITTORRENT: u16 = 37;
    pub(super) const TELNET: u16 = 77;
    pub(super) const TLS: u16 = 91;
    pub(super) const SSH: u16 = 92;
    pub(super) const KERBEROS: u16 = 111;
    pub(super) const QUIC: u16 = 188;
}

/// `ndpi_protocol`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct RawProtocol {
    master: u16,
    app: u16,
    category: c_uint,
}

impl From<RawProtocol> for Protocol {
    fn from(raw: RawProtocol) -> Self {
        Self {
            master: raw.master,
            app: raw.app,
            category: raw.category as u16,
        }
    }
}

impl From<Protocol> for RawProtocol {
    fn from(protocol: Protocol) -> Self {
        Self {
            master: protocol.master,
            app: protocol.app,
            category: protocol.category.into(),
        }
    }
}

functions! {
    /// The functions whose types differ from those of other versions.
    Functions {
        init: ndpi_init_detection_module(c_uint) -> *mut RawModule;
        set_protocols: ndpi_set_protocol_detection_bitmask2(*mut RawModule, *const u8);
        load_categories: ndpi_load_categories_file(*mut RawModule, *const c_char) -> c_int;
        finalize: ndpi_finalize_initialization(*mut RawModule);
        process: ndpi_detection_process_packet(*mut RawModule, *mut RawFlow, *const u8, u16, u64)
            -> RawProtocol;
        wants_more: ndpi_extra_dissection_possible(*mut RawModule, *mut RawFlow) -> u8;
        give_up: ndpi_detection_giveup(*mut RawModule, *mut RawFlow, u8, *mut u8) -> RawProtocol;
        protocol_count: ndpi_get_num_supported_protocols(*mut RawModule) -> c_uint;
        category: ndpi_get_proto_category(*mut RawModule, RawProtocol) -> c_uint;
        protocol_name: ndpi_protocol2name(*mut RawModule, RawProtocol, *mut c_char, c_uint)
            -> *const c_char;
    }
}

/// A set of all protocols. The library reads it as 32-bit numbers.
#[repr(C, align(8))]
struct ProtocolSet([u8; layout::PROTOCOL_SET]);

impl Functions {
    /// Creates a module for all protocols, or returns a null pointer.
    ///
    /// # Safety
    ///
    /// No other thread creates or releases a module.
    pub(crate) unsafe fn new_module(&self) -> *mut RawModule {
        let all = ProtocolSet([0xff; layout::PROTOCOL_SET]);
        // SAFETY: 0 is `ndpi_no_prefs`. The module is alive, and the set has the size of this
        // version's type.
        unsafe {
            let module = (self.init)(0);
            if !module.is_null() {
                (self.set_protocols)(module, all.0.as_ptr());
            }
            module
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
        // SAFETY: see above. `packet` has `len` bytes.
        unsafe { (self.process)(module, flow, packet, len, time_ms) }
    }

    /// Loads a file of categories if there is one, and ends the initialisation. Returns whether
    /// that succeeded.
    ///
    /// # Safety
    ///
    /// The module is alive, and not used elsewhere.
    pub(crate) unsafe fn finish(&self, module: *mut RawModule, categories: Option<&CStr>) -> bool {
        // SAFETY: see above.
        unsafe {
            if categories.is_some_and(|file| (self.load_categories)(module, file.as_ptr()) < 0) {
                return false;
            }
            (self.finalize)(module);
        }
        true
    }
}

/// The bytes of a flow.
#[derive(Clone, Copy)]
pub(crate) struct FlowData<'a> {
    bytes: FlowBytes<'a>,
}

impl<'a> FlowData<'a> {
    /// Borrows the bytes of a flow.
    ///
    /// # Safety
    ///
    /// The flow has this version, has been filled with zeros at first, and neither it nor the texts
    /// that it points to change during `'a`.
    pub(crate) unsafe fn of(flow: *const RawFlow) -> Self {
        // SAFETY: see above. The size was compared with the library's when it was loaded.
        let bytes = unsafe { FlowBytes::of(flow, layout::FLOW) };
        Self { bytes }
    }

    /// Returns whether nDPI only searches the flow for more details.
    pub(crate) fn checks_extra_packets(self) -> bool {
        let (byte, bit) = layout::CHECK_EXTRA_PACKETS;
        self.bytes.byte(byte) & bit != 0
    }

    /// Returns the details of a flow. The conditions and their order are those of nDPI's own
    /// reader. The score of the risks is missing, and the confidence has the numbers of this
    /// version.
    pub(crate) fn details(self, protocol: Protocol) -> Details<'a> {
        let flow = self.bytes;
        // SAFETY: the pointers in `layout` are null or point to a text that belongs to the flow.
        let text = |at, most| unsafe { flow.text(at, most) };
        let is = |id| protocol.master == id || protocol.app == id;
        let mut details = Details {
            server_name: flow.array(layout::HOST_SERVER_NAME),
            confidence: flow.byte(layout::CONFIDENCE),
            risks: flow.number(layout::RISK.start),
            stack: Stack::new(&[protocol.master, protocol.app]),
            ..Details::default()
        };
        // The union member with the fingerprints of TLS contains other data for these.
        let is_without_fingerprints = is(protocol::BITTORRENT) && !is(protocol::TLS)
            || is(protocol::DNS)
            || is(protocol::MDNS)
            || is(protocol::UBNTAC2)
            || is(protocol::FTP_CONTROL)
            || is(protocol::MAIL_IMAP)
            || is(protocol::MAIL_POP)
            || is(protocol::MAIL_SMTP)
            || is(protocol::KERBEROS);
        if is(protocol::DHCP) {
            details.client_fingerprint = flow.array(layout::DHCP_FINGERPRINT);
        } else if is_without_fingerprints {
        } else if is(protocol::HTTP) {
            if flow.pointer(layout::HTTP_URL) != 0 {
                details.user_agent = text(layout::HTTP_USER_AGENT, 255);
                details.content_type = text(layout::HTTP_CONTENT_TYPE, 63);
            }
        } else if is(protocol::TELNET) {
        } else if is(protocol::SSH) {
            details.server_name = flow.array(layout::SSH_CLIENT_SIGNATURE);
            details.client_fingerprint = flow.array(layout::SSH_HASSH_CLIENT);
            details.server_fingerprint = flow.array(layout::SSH_HASSH_SERVER);
        } else if is(protocol::TLS)
            || is(protocol::QUIC)
            || flow.byte(layout::TLS_JA3_CLIENT.start) != 0
        {
            details.user_agent = text(layout::HTTP_USER_AGENT, 255);
            details.client_fingerprint = flow.array(layout::TLS_JA3_CLIENT);
            details.server_fingerprint = flow.array(layout::TLS_JA3_SERVER);
        }
        details
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// Prints what the headers of nDPI say, in the order of `expected`.
    const PROGRAM: &str = r#"
#include <stddef.h>
#include <stdio.h>
#include <ndpi_api.h>
#if NDPI_MAJOR != 4 || NDPI_MINOR != 2
#error "not 4.2"
#endif
#define FLOW struct ndpi_flow_struct
#define START(member) printf("%zu ", offsetof(FLOW, member))
#define RANGE(member) printf("%zu ", offsetof(FLOW, member)), \
                      printf("%zu ", offsetof(FLOW, member) + sizeof(((FLOW *)0)->member))
int main(void) {
  static FLOW flow;
  flow.check_extra_packets = 1;
  for (size_t n = 0; n < sizeof(flow); n++)
    if (((unsigned char *)&flow)[n] != 0) printf("%zu %d ", n, ((unsigned char *)&flow)[n]);
  printf("%zu %zu %d ", sizeof(FLOW), sizeof(NDPI_PROTOCOL_BITMASK), NDPI_CONFIDENCE_MAX);
  printf("%d ", NDPI_MAX_RISK);
  printf("%d %d ", (unsigned short)NDPI_API_VERSION, ndpi_no_prefs);
  printf("%zu %zu %zu ", sizeof(ndpi_protocol), offsetof(ndpi_protocol, app_protocol),
         offsetof(ndpi_protocol, category));
  START(confidence); START(http.url); START(http.content_type); START(http.user_agent);
  RANGE(risk); RANGE(host_server_name); RANGE(protos.dhcp.fingerprint); RANGE(protos.ssh.client_signature);
  RANGE(protos.ssh.hassh_client); RANGE(protos.ssh.hassh_server);
  RANGE(protos.tls_quic.ja3_client); RANGE(protos.tls_quic.ja3_server);
  printf("%d %d %d %d %d ", NDPI_PROTOCOL_FTP_CONTROL, NDPI_PROTOCOL_MAIL_POP,
         NDPI_PROTOCOL_MAIL_SMTP, NDPI_PROTOCOL_MAIL_IMAP, NDPI_PROTOCOL_DNS);
  printf("%d %d %d %d %d ", NDPI_PROTOCOL_HTTP, NDPI_PROTOCOL_MDNS, NDPI_PROTOCOL_DHCP,
         NDPI_PROTOCOL_UBNTAC2, NDPI_PROTOCOL_BITTORRENT);
  printf("%d %d %d %d %d ", NDPI_PROTOCOL_TELNET, NDPI_PROTOCOL_TLS, NDPI_PROTOCOL_SSH,
         NDPI_PROTOCOL_KERBEROS, NDPI_PROTOCOL_QUIC);
  return 0;
}
"#;

    /// Returns what `PROGRAM` prints, or `None` if there is no compiler or no header.
    fn of_the_headers() -> Option<Vec<usize>> {
        let folder = std::env::temp_dir().join(format!("ndpi-layout-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder takes folders");
        let [source, program] = ["layout.c", "layout"].map(|name| folder.join(name));
        fs::write(&source, PROGRAM).expect("it takes files");
        let built = Command::new("cc")
            .args(["-I/usr/include/ndpi", "-o"])
            .args([&program, &source])
            .output();
        let printed = match built {
            Ok(built) if built.status.success() => Command::new(&program).output().ok(),
            _ => None,
        };
        fs::remove_dir_all(&folder).expect("the folder can be removed");
        let printed = String::from_utf8(printed?.stdout).expect("it prints numbers");
        let numbers = printed.split_whitespace().map(str::parse);
        Some(
            numbers
                .collect::<Result<_, _>>()
                .expect("it prints numbers"),
        )
    }

    #[test]
    fn the_layout_is_that_of_the_headers() {
        let Some(numbers) = of_the_headers() else {
            eprintln!("skipped: there are no headers of nDPI 4.2, or no C compiler");
            return;
        };
        let (byte, bit) = layout::CHECK_EXTRA_PACKETS;
        let mut expected = vec![
            byte,
            bit.into(),
            layout::FLOW,
            layout::PROTOCOL_SET,
            layout::CONFIDENCES.into(),
            layout::RISKS.into(),
            layout::API_VERSION.into(),
            0,
            size_of::<RawProtocol>(),
            std::mem::offset_of!(RawProtocol, app),
            std::mem::offset_of!(RawProtocol, category),
            layout::CONFIDENCE,
            layout::HTTP_URL,
            layout::HTTP_CONTENT_TYPE,
            layout::HTTP_USER_AGENT,
        ];
        for range in [
            layout::RISK,
            layout::HOST_SERVER_NAME,
            layout::DHCP_FINGERPRINT,
            layout::SSH_CLIENT_SIGNATURE,
            layout::SSH_HASSH_CLIENT,
            layout::SSH_HASSH_SERVER,
            layout::TLS_JA3_CLIENT,
            layout::TLS_JA3_SERVER,
        ] {
            expected.extend([range.start, range.end]);
        }
        let protocols = [
            protocol::FTP_CONTROL,
            protocol::MAIL_POP,
            protocol::MAIL_SMTP,
            protocol::MAIL_IMAP,
            protocol::DNS,
            protocol::HTTP,
            protocol::MDNS,
            protocol::DHCP,
            protocol::UBNTAC2,
            protocol::BITTORRENT,
            protocol::TELNET,
            protocol::TLS,
            protocol::SSH,
            protocol::KERBEROS,
            protocol::QUIC,
        ];
        expected.extend(protocols.map(usize::from));
        assert_eq!(numbers, expected);
    }
}
