//! Reads and writes little-endian pcap files of Ethernet frames.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// The start time of all traffic: 2024-01-01 UTC.
const EPOCH_NS: u64 = 1_704_067_200_000_000_000;
/// The magic number of files with times in µs.
const MAGIC: u32 = 0xa1b2_c3d4;
/// The magic number of files with times in ns.
const MAGIC_NANO: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;

/// The size of a read.
const BLOCK: usize = 512 * 1024;

/// Reads a file in blocks.
#[derive(Debug)]
pub struct PcapReader {
    file: File,
    block: Vec<u8>,
    end: usize,
    tick_ns: u64,
}

/// A packet of a file.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// ns since 1970.
    pub time_ns: u64,
    /// Length on the wire in bytes.
    pub wire_len: u32,
    /// The captured bytes.
    pub frame: &'a [u8],
}

impl PcapReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has another format.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut head = [0; 24];
        file.read_exact(&mut head)?;
        let tick_ns = match word(&head, 0) {
            MAGIC => 1_000,
            MAGIC_NANO => 1,
            _ => 0,
        };
        if tick_ns == 0 || word(&head, 20) != ETHERNET {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} is not a little-endian pcap file of Ethernet frames",
                    path.display()
                ),
            ));
        }
        Ok(PcapReader {
            file,
            block: vec![0; BLOCK],
            end: 0,
            tick_ns,
        })
    }

    /// Reads one block, and calls `each` with each complete packet. Returns false at the end of the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    #[inline]
    pub fn read(&mut self, mut each: impl FnMut(Record<'_>)) -> io::Result<bool> {
        let count = self.file.read(&mut self.block[self.end..])?;
        self.end += count;
        let mut at = 0;
        while let Some(record) = record(&self.block[at..self.end], self.tick_ns) {
            at += 16 + record.frame.len();
            each(record);
        }
        self.block.copy_within(at..self.end, 0);
        self.end -= at;
        Ok(count > 0)
    }
}

/// Returns the first packet, or `None` if it is incomplete.
#[inline]
fn record(bytes: &[u8], tick_ns: u64) -> Option<Record<'_>> {
    let head = bytes.first_chunk::<16>()?;
    let frame = bytes[16..].get(..word(head, 8) as usize)?;
    Some(Record {
        time_ns: u64::from(word(head, 0)) * 1_000_000_000 + u64::from(word(head, 4)) * tick_ns,
        wire_len: word(head, 12),
        frame,
    })
}

#[inline]
fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Writes a file.
#[derive(Debug)]
pub struct PcapWriter {
    output: BufWriter<File>,
    snaplen: usize,
    bytes: u64,
}

impl PcapWriter {
    /// Creates a file that contains at most `snaplen` bytes of each frame.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn create(path: &Path, snaplen: usize) -> io::Result<Self> {
        let mut output = BufWriter::with_capacity(1 << 20, File::create(path)?);
        output.write_all(&MAGIC_NANO.to_le_bytes())?;
        output.write_all(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
        output.write_all(&(snaplen as u32).to_le_bytes())?;
        output.write_all(&ETHERNET.to_le_bytes())?;
        Ok(PcapWriter {
            output,
            snaplen,
            bytes: 24,
        })
    }

    /// Adds a frame. `time_ns` counts from the start of the traffic.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write(&mut self, time_ns: u64, frame: &[u8], wire_len: u32) -> io::Result<()> {
        let captured = &frame[..frame.len().min(self.snaplen)];
        let time_ns = EPOCH_NS + time_ns;
        let head = [
            (time_ns / 1_000_000_000) as u32,
            (time_ns % 1_000_000_000) as u32,
            captured.len() as u32,
            wire_len,
        ];
        for word in head {
            self.output.write_all(&word.to_le_bytes())?;
        }
        self.output.write_all(captured)?;
        self.bytes += 16 + captured.len() as u64;
        Ok(())
    }

    /// Returns the number of bytes written so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the rest of the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.output.flush()
    }
}
