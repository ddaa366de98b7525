//! Captures of packets that a test chooses: raw IP, link type 101.

/// The header of a file.
pub(crate) const HEADER: [u8; 24] = [
    0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
];

/// A UDP packet from 192.0.2.1, from this port to port 53 of 192.0.2.2, at this time in ms since 1970.
pub(crate) fn packet(time_ms: u64, port: u16) -> Vec<u8> {
    let mut record = Vec::new();
    let words = [
        (time_ms / 1_000) as u32,
        (time_ms % 1_000 * 1_000) as u32,
        28,
        28,
    ];
    for word in words {
        record.extend(word.to_le_bytes());
    }
    record.extend([
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ]);
    record.extend(port.to_be_bytes());
    record.extend([0, 53, 0, 8, 0, 0]);
    record
}

/// A whole capture of these packets.
pub(crate) fn capture(packets: impl IntoIterator<Item = (u64, u16)>) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    for (time_ms, port) in packets {
        bytes.extend(packet(time_ms, port));
    }
    bytes
}
