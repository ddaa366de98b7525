//! Builds pcap captures with raw IP (link type 101) from packets that a test chooses.

/// The header of a pcap file.
pub(crate) const HEADER: [u8; 24] = [
    0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
];

/// Returns the record of a UDP packet from `port` of 192.0.2.1 to port 53 of 192.0.2.2. The time is in ms since
/// 1970.
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

/// Returns a complete capture with these packets, each as its time in ms and its source port.
pub(crate) fn capture(packets: impl IntoIterator<Item = (u64, u16)>) -> Vec<u8> {
    let mut bytes = HEADER.to_vec();
    for (time_ms, port) in packets {
        bytes.extend(packet(time_ms, port));
    }
    bytes
}
