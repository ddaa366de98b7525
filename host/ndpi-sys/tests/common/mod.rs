//! The libraries and captures that the tests use.

#![allow(dead_code, reason = "each test uses a part of this")]

use std::sync::{Arc, LazyLock};

use ndpi_sys::{Choice, Library, Search};

/// nDPI 4.2 of the system.
pub(crate) fn library_4_2() -> &'static Arc<Library> {
    static LIBRARY: LazyLock<Arc<Library>> = LazyLock::new(|| {
        let search = Search::default();
        let system = Library::open(&Choice::Auto, &search).expect("nDPI 4.2 is installed");
        let system = system.expect("a library was asked for");
        assert!(system.version().starts_with("4.2"), "{system:?}");
        system
    });
    &LIBRARY
}

/// nDPI 5.0, whose path is in the environment variable `FLOWLOOM_TEST_NDPI5`: a libndpi.so.5, or the
/// file `_lib_engine.abi3.so` of NFStream 6.6.0.
pub(crate) fn library_5_0() -> Option<&'static Arc<Library>> {
    static LIBRARY: LazyLock<Option<Arc<Library>>> = LazyLock::new(|| {
        let Some(path) = std::env::var_os("FLOWLOOM_TEST_NDPI5") else {
            eprintln!("not tested with nDPI 5.0: FLOWLOOM_TEST_NDPI5 is not set");
            return None;
        };
        let library = Library::open(&Choice::Path(path.into()), &Search::default());
        let library = library.expect("FLOWLOOM_TEST_NDPI5 is the path of an nDPI");
        let library = library.expect("a library was asked for");
        assert!(library.version().starts_with("5.0"), "{library:?}");
        Some(library)
    });
    LIBRARY.as_ref()
}

/// All libraries to test with.
pub(crate) fn libraries() -> impl Iterator<Item = &'static Arc<Library>> {
    std::iter::once(library_4_2()).chain(library_5_0())
}

/// Returns the IP packets of a little-endian pcap file of Ethernet, or none for any other file.
pub(crate) fn packets(file: &[u8]) -> Vec<Vec<u8>> {
    if !file.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]) || file.get(20) != Some(&1) {
        return Vec::new();
    }
    let mut packets = Vec::new();
    let mut rest = &file[24..];
    while let Some((header, after)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some((frame, next)) = after.split_at_checked(len) else {
            break;
        };
        rest = next;
        if let Some([0x08, 0x00] | [0x86, 0xdd]) = frame.get(12..14) {
            packets.push(frame[14..].to_vec());
        }
    }
    packets
}

/// Returns the IP packets with a TCP or UDP port from a capture of the repository's tests.
pub(crate) fn captured(name: &str, port: u16) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures");
    let file = std::fs::read(format!("{folder}/{name}")).expect("the capture is there");
    let port = port.to_be_bytes();
    let mut packets = packets(&file);
    packets.retain(|packet| {
        let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
        packet[header..header + 4]
            .chunks(2)
            .any(|found| found == port)
    });
    packets
}
