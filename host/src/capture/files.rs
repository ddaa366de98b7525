//! Capture files, pipes and standard input, read as one capture.

use std::io::Read;
use std::path::PathBuf;
use std::vec;

use super::block::Block;
use super::format::MAX_PACKETS;
use super::input::Source;
use super::packets::Record;
use super::reading::{Reading, check};
use super::{CaptureError, Filter, Packets};

/// A list of captures, read in the order given as if they were one.
///
/// pcap and pcapng are told apart by their first bytes, and so are gzip and zstd around them; names
/// mean nothing. One file is open at a time.
///
/// ```no_run
/// # use flowloom::capture::{CaptureError, Files};
/// # fn main() -> Result<(), CaptureError> {
/// let mut files = Files::open(["monday.pcap", "tuesday.pcapng.zst"])?;
/// while let Some(packets) = files.read()? {
///     for packet in packets.iter() {
///         println!("{} ns: {} bytes", packet.time.ns(), packet.wire_len);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Files {
    sources: vec::IntoIter<Source>,
    current: Option<Reading>,
    block: Block,
    records: Vec<Record>,
    filter: Option<Filter>,
    snapshot_length: u32,
    total_bytes: Option<u64>,
    /// Bytes read of the files before the current one.
    bytes_before: u64,
    packets_read: u64,
    packets_filtered: u64,
}

impl Files {
    /// Opens captures by their paths; `-` is standard input.
    ///
    /// Every file is looked at before this returns, so that a wrong name or a file that is no
    /// capture is found before a packet is metered. Pipes and standard input cannot be looked at
    /// without taking from them: what is wrong with those, [`read`](Self::read) says.
    pub fn open<P: Into<PathBuf>>(
        paths: impl IntoIterator<Item = P>,
    ) -> Result<Self, CaptureError> {
        let mut sources = Vec::new();
        let mut standard_input = false;
        for path in paths {
            let source = Source::of(path.into())?;
            match &source {
                Source::File { path, len } => {
                    let (path, len) = (path.clone(), *len);
                    check(Source::File { path, len })?;
                }
                Source::StandardInput if standard_input => {
                    return Err(CaptureError::StandardInputTwice);
                }
                Source::StandardInput => standard_input = true,
                Source::Pipe(_) | Source::Reader { .. } => {}
            }
            sources.push(source);
        }
        if sources.is_empty() {
            return Err(CaptureError::NoSource);
        }
        Ok(Self::new(sources))
    }

    /// One capture from anything that can be read; `name` is what errors call it.
    pub fn from_reader(name: impl Into<String>, reader: impl Read + Send + 'static) -> Self {
        Self::new(vec![Source::Reader {
            name: name.into(),
            reader: Box::new(reader),
        }])
    }

    fn new(sources: Vec<Source>) -> Self {
        let total_bytes = sources
            .iter()
            .map(|source| match source {
                Source::File { len, .. } => Some(*len),
                _ => None,
            })
            .sum();
        Self {
            sources: sources.into_iter(),
            current: None,
            block: Block::new(),
            records: Vec::with_capacity(MAX_PACKETS),
            filter: None,
            snapshot_length: u32::MAX,
            total_bytes,
            bytes_before: 0,
            packets_read: 0,
            packets_filtered: 0,
        }
    }

    /// Hands out only packets that `filter` matches. It sees them before they are cut.
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Cuts the data of every packet to at most `bytes`; its length on the wire stays.
    #[must_use]
    pub fn with_snapshot_length(mut self, bytes: u32) -> Self {
        self.snapshot_length = bytes;
        self
    }

    /// The next packets, up to 4096; `None` at the end of the last file.
    ///
    /// There may be none among them when a filter let none pass.
    ///
    /// # Errors
    ///
    /// Every error ends the file that it is about, and the next call goes on with the next file.
    /// Damage ([`CaptureError::is_damage`]) is told once, after all packets before it.
    pub fn read(&mut self) -> Result<Option<Packets<'_>>, CaptureError> {
        self.records.clear();
        loop {
            let reading = match &mut self.current {
                Some(reading) => reading,
                None => {
                    let Some(source) = self.sources.next() else {
                        return Ok(None);
                    };
                    let reading = Reading::begin(source, &mut self.block)?;
                    self.current.insert(reading)
                }
            };
            let more = reading.next(&mut self.block, &mut self.records);
            self.packets_read += self.records.len() as u64;
            let more = more.and_then(|more| {
                self.select()?;
                Ok(more)
            });
            match more {
                Ok(true) => break,
                Ok(false) => self.end_file(),
                Err(error) => {
                    self.end_file();
                    return Err(error);
                }
            }
        }
        Ok(Some(Packets::new(self.block.bytes(), &self.records)))
    }

    /// Filters the packets, then cuts them.
    fn select(&mut self) -> Result<(), CaptureError> {
        if let Some(filter) = &mut self.filter {
            let block = self.block.bytes();
            let before = self.records.len();
            let mut failed = None;
            self.records.retain(|record| {
                filter
                    .matches(&record.packet(block))
                    .unwrap_or_else(|error| {
                        failed = Some(error);
                        false
                    })
            });
            self.packets_filtered += (before - self.records.len()) as u64;
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        if self.snapshot_length < u32::MAX {
            for record in &mut self.records {
                record.len = record.len.min(self.snapshot_length);
            }
        }
        Ok(())
    }

    fn end_file(&mut self) {
        if let Some(reading) = self.current.take() {
            self.bytes_before += reading.bytes_read();
        }
        self.block.clear();
    }

    /// What errors call the capture that is being read; `None` before the first and after the last.
    pub fn current(&self) -> Option<&str> {
        self.current.as_ref().map(Reading::name)
    }

    /// Bytes read so far, of the files as they are on disk: compressed ones count compressed.
    pub fn bytes_read(&self) -> u64 {
        let current = self.current.as_ref();
        self.bytes_before + current.map_or(0, Reading::bytes_read)
    }

    /// The size of all files on disk when they were opened; `None` if one of them is a pipe.
    ///
    /// A damaged file is not read to its end, so [`bytes_read`](Self::bytes_read) may stay below.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Packets found so far, those that the filter kept out included.
    pub fn packets_read(&self) -> u64 {
        self.packets_read
    }

    /// Packets that the filter kept out.
    pub fn packets_filtered(&self) -> u64 {
        self.packets_filtered
    }
}
