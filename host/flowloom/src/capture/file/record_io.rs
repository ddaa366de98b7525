//! Definitions that both capture formats share: limits, byte order and the result of a scan.

use crate::capture::Damage;

/// The maximum number of packets that one read returns, unless they are moved out of the source.
pub(crate) const MAX_PACKETS: usize = if cfg!(fuzzing) { 5 } else { 4096 };

/// The maximum length of a record or pcapng block in bytes. The largest snapshot length in use is
/// 256 KiB, except in some USB and D-Bus captures.
pub(crate) const MAX_RECORD: u32 = 64 * 1024 * 1024;

/// The bytes that determine the format. This is the whole header of a pcap file, and less than the
/// shortest pcapng section header.
pub(crate) const HEADER_LEN: usize = 24;

/// The reason why the first bytes of a file are not those of a supported capture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FormatError {
    UnknownMagic,
    UnsupportedVersion {
        format: &'static str,
        major: u16,
        minor: u16,
    },
}

/// The result of a scan for records.
pub(crate) struct ScanResult {
    /// The length of the complete records, counted from the start of the scanned bytes.
    pub(crate) consumed: usize,
    pub(crate) end: ScanEnd,
}

/// The reason why a scan ended.
pub(crate) enum ScanEnd {
    /// The scan found the maximum number of packets.
    MaxPackets,
    /// The next record is incomplete. It takes at least this many bytes from its start.
    NeedBytes(usize),
    /// The next record is damaged.
    Damage(Damage),
}

/// The byte order of the machine that wrote the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    pub(crate) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }

    /// Returns the first `N` 32-bit numbers, or `None` if there are fewer than `4 * N` bytes.
    pub(crate) fn words<const N: usize>(self, bytes: &[u8]) -> Option<[u32; N]> {
        let (words, _) = bytes.as_chunks::<4>();
        let words = words.first_chunk::<N>()?;
        Some(words.map(|word| self.u32(word)))
    }
}
