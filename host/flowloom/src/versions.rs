//! Versions of the libraries that Flowloom is built on.

use std::ffi::{CStr, c_char};

/// The version of wasmtime, which runs plugins.
pub use flowloom_plugin::WASMTIME_VERSION as WASMTIME;

#[allow(unsafe_code, reason = "the crate pcap does not have this function")]
unsafe extern "C" {
    fn pcap_lib_version() -> *const c_char;
}

/// Returns the version of the libpcap that is loaded, for example `1.10.3 (with TPACKET_V3)`.
pub fn libpcap() -> String {
    #[allow(unsafe_code, reason = "there is no safe form")]
    // SAFETY: the function has no conditions, and returns a static string.
    let text = unsafe { CStr::from_ptr(pcap_lib_version()) };
    let text = text.to_string_lossy();
    text.strip_prefix("libpcap version ")
        .unwrap_or(&text)
        .to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_begin_with_a_number() {
        for version in [super::WASMTIME.to_owned(), super::libpcap()] {
            assert!(
                version.starts_with(|c: char| c.is_ascii_digit()),
                "{version}"
            );
        }
    }
}
