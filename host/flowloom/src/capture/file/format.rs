//! What the two capture formats have in common: told apart by their magic, walked record by record.

use super::pcap::Pcap;
use super::pcapng::Pcapng;
use crate::capture::Damage;
use crate::capture::packets::Record;

/// The most packets that are handed out together.
pub(crate) const MAX_PACKETS: usize = if cfg!(fuzzing) { 5 } else { 4096 };

/// No record, pcapng block included, may be larger (bytes). The largest snapshot length in use is
/// 256 KiB, some USB and D-Bus captures aside.
pub(crate) const MAX_RECORD: u32 = 64 * 1024 * 1024;

/// The bytes that tell the format: the whole header of a pcap file, less than the shortest pcapng
/// section header.
pub(crate) const HEAD: usize = 24;

/// A capture format, and what the file has said so far.
pub(crate) enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// Why the first bytes of a file are no capture's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Magic,
    Version {
        format: &'static str,
        major: u16,
        minor: u16,
    },
}

/// How far a walk came.
pub(crate) struct Walked {
    /// Bytes of whole records, from the start.
    pub(crate) taken: usize,
    pub(crate) stop: Stop,
}

/// Why a walk ended.
pub(crate) enum Stop {
    /// [`MAX_PACKETS`] were found.
    Full,
    /// The next record is not whole: it takes this many bytes from its start, or more.
    Need(usize),
    /// The next record is broken.
    Damage(Damage),
}

impl Format {
    pub(crate) fn of(head: &[u8; HEAD]) -> Result<Self, Unknown> {
        if let Some(pcapng) = Pcapng::of(head)? {
            return Ok(Self::Pcapng(pcapng));
        }
        Pcap::of(head).map(Self::Pcap)
    }

    /// The bytes before the first record.
    pub(crate) fn header_len(&self) -> usize {
        match self {
            Self::Pcap(_) => HEAD,
            Self::Pcapng(_) => 0,
        }
    }

    /// Finds the packets in `bytes`, which begin with a record.
    ///
    /// A record that is not whole, or broken, is not taken: a walk from there says the same again.
    pub(crate) fn walk(&mut self, bytes: &[u8], records: &mut Vec<Record>) -> Walked {
        match self {
            Self::Pcap(pcap) => pcap.walk(bytes, records),
            Self::Pcapng(pcapng) => pcapng.walk(bytes, records),
        }
    }
}

/// The byte order of the machine that wrote the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Little,
    Big,
}

impl Order {
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

    /// The first `N` numbers of 32 bits; `None` if the bytes are fewer.
    pub(crate) fn words<const N: usize>(self, bytes: &[u8]) -> Option<[u32; N]> {
        let (words, _) = bytes.as_chunks::<4>();
        let words = words.first_chunk::<N>()?;
        Some(words.map(|word| self.u32(word)))
    }
}
