//! Dispatches to the reader of a capture's format.

use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::record_io::{FormatError, HEADER_LEN, ScanResult};
use crate::capture::packets::Record;

/// The format of a capture, with the state of its reader.
pub(crate) enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl Format {
    /// Determines the format from the first bytes of a capture.
    pub(crate) fn of(head: &[u8; HEADER_LEN]) -> Result<Self, FormatError> {
        if let Some(pcapng) = Pcapng::of(head)? {
            return Ok(Self::Pcapng(pcapng));
        }
        Pcap::of(head).map(Self::Pcap)
    }

    /// Returns the number of bytes before the first record.
    pub(crate) fn header_len(&self) -> usize {
        match self {
            Self::Pcap(_) => HEADER_LEN,
            Self::Pcapng(_) => 0,
        }
    }

    /// Appends the packets in `bytes` to `records`, until it has `max_packets`. `bytes` must begin with a
    /// record.
    ///
    /// The scan does not consume an incomplete or damaged record. A second scan from there has the
    /// same result.
    pub(crate) fn scan(
        &mut self,
        bytes: &[u8],
        records: &mut Vec<Record>,
        max_packets: usize,
    ) -> ScanResult {
        match self {
            Self::Pcap(pcap) => pcap.scan(bytes, records, max_packets),
            Self::Pcapng(pcapng) => pcapng.scan(bytes, records, max_packets),
        }
    }
}
