//! Errors of opening and reading captures.

use std::fmt;
use std::io;
use std::path::Path;

use flowloom_plugin::escaped;

use super::FilterError;
use crate::storage::{UrlError, public};

/// The name of standard input in errors. Errors show every other name in quotes.
pub(crate) const STANDARD_INPUT: &str = "standard input";

/// The reason why a capture cannot be opened, or cannot be read to its end.
///
/// The field `capture` names the source: the path as the caller gave it, or `standard input`.
/// Offsets are in bytes of the decompressed capture. Packets are numbered from 1 within each file,
/// as packet analysers number them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The list of sources is empty.
    #[error("no capture was given; name at least one file, or - for standard input")]
    NoSource,

    /// The file cannot be opened, for example because it does not exist or access is denied.
    #[error("cannot open {}: {error}", Quoted(capture))]
    Open {
        /// The source.
        capture: String,
        /// The error of the operating system.
        #[source]
        error: io::Error,
    },

    /// The name begins like a URL, and is none that can be read.
    #[error("cannot read {}: {reason}", Quoted(capture))]
    Url {
        /// The URL, without secrets.
        capture: String,
        /// What is wrong.
        reason: String,
    },

    /// A task would contain a secret.
    #[error(
        "cannot plan {}: its query string may be a secret, and a task contains no secrets; use a store with credentials in the environment",
        Quoted(capture)
    )]
    Secret {
        /// The URL, without its query string.
        capture: String,
    },

    /// The path is a folder.
    #[error(
        "cannot read {}: it is a folder; name the captures in it",
        Quoted(capture)
    )]
    Directory {
        /// The source.
        capture: String,
    },

    /// The folder contains no capture.
    #[error("cannot read folder {}: it contains no captures", Quoted(folder))]
    NoCaptures {
        /// The folder.
        folder: String,
    },

    /// No object of a store matches the pattern.
    #[error("no object matches {}", Quoted(pattern))]
    NoMatch {
        /// The pattern.
        pattern: String,
    },

    /// The run has too many files.
    #[error(
        "cannot read more than {limit} files in one run; name fewer files, or meter them in several runs"
    )]
    TooManyFiles {
        /// The maximum number of files.
        limit: usize,
    },

    /// The object is not the one of the plan, though it has the same size.
    #[error(
        "cannot read {}: it has changed since the run was planned; plan the run again",
        Quoted(capture)
    )]
    ChangedObject {
        /// The source.
        capture: String,
    },

    /// The file has another size than when the run was planned.
    #[error(
        "cannot read {}: it has {found} bytes, and had {expected} when the run was planned; plan the run again",
        Quoted(capture)
    )]
    Changed {
        /// The source.
        capture: String,
        /// The size in bytes in the plan.
        expected: u64,
        /// The size in bytes.
        found: u64,
    },

    /// A planned run reads files only: they can be read again.
    #[error("cannot plan {}: it is not a file", Quoted(capture))]
    NoFile {
        /// The source.
        capture: String,
    },

    /// The file begins long before the previous file of its capture ends.
    #[error(
        "cannot read {}: it begins before the file before it ends, so it is another capture; plan the run with --scan",
        Quoted(capture)
    )]
    Overlaps {
        /// The source.
        capture: String,
    },

    /// Several captures cannot be read. The message lists up to 20 of them.
    #[error("cannot read {} captures:{}", .0.len(), lines(.0))]
    Unreadable(Vec<CaptureError>),

    /// Standard input is named twice. The second read would find no data.
    #[error("cannot read standard input twice; name - once")]
    StandardInputTwice,

    /// Standard input is a terminal.
    #[error("cannot read standard input: it is a terminal; pipe a capture into it, or name a file")]
    Terminal,

    /// The file has no bytes.
    #[error("cannot read {}: the file is empty", Quoted(capture))]
    Empty {
        /// The source.
        capture: String,
    },

    /// The first bytes of the file match no supported format.
    #[error(
        "cannot read {}: it is not a capture (first bytes {}); \
         use pcap or pcapng, uncompressed or compressed with gzip or zstd",
        Quoted(capture),
        hex(first)
    )]
    NotACapture {
        /// The source.
        capture: String,
        /// The first bytes, at most 8, decompressed.
        first: Vec<u8>,
    },

    /// The format is known, but its version is not.
    #[error(
        "cannot read {}: {format} version {major}.{minor} is not supported",
        Quoted(capture)
    )]
    Version {
        /// The source.
        capture: String,
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },

    /// The file ends before its header does, so it contains no packet.
    #[error(
        "cannot read {}: the file ends inside its header, after {len} bytes",
        Quoted(capture)
    )]
    HeaderCut {
        /// The source.
        capture: String,
        /// The length of the file in bytes.
        len: usize,
    },

    /// The capture is damaged from this offset on. All packets before it were returned.
    #[error(
        "cannot read {} at byte {offset}, packet {packet}: {damage}; the rest of the file is skipped",
        Quoted(capture)
    )]
    Damaged {
        /// The source.
        capture: String,
        /// The offset of the damaged record.
        offset: u64,
        /// The number of the packet that could not be read.
        packet: u64,
        /// The damage.
        damage: Damage,
    },

    /// The operating system failed to read further. All packets before were returned.
    #[error(
        "cannot read {} at byte {offset}, packet {packet}: {error}; the rest of the file is skipped",
        Quoted(capture)
    )]
    Read {
        /// The source.
        capture: String,
        /// The offset up to which the capture was read.
        offset: u64,
        /// The number of the packet that could not be read.
        packet: u64,
        /// The error of the operating system.
        #[source]
        error: io::Error,
    },

    /// Neither a file nor an interface has this name.
    #[error(
        "cannot open {}: there is no file and no interface of this name; the interfaces are {}",
        Quoted(interface),
        known.join(", ")
    )]
    NoInterface {
        /// The name that was given.
        interface: String,
        /// The names of all interfaces.
        known: Vec<String>,
    },

    /// An interface is named together with other sources.
    #[error(
        "cannot capture from interface {} together with other sources; name it alone",
        Quoted(interface)
    )]
    InterfaceAmongOthers {
        /// The interface.
        interface: String,
    },

    /// The process lacks the capability to capture.
    #[error(
        "cannot capture from {}: the capability CAP_NET_RAW is missing; run the command as root, \
         or give it the capability: sudo setcap cap_net_raw+ep {command}",
        Quoted(interface)
    )]
    NoPermission {
        /// The interface.
        interface: String,
        /// The path of the running command.
        command: String,
    },

    /// libpcap cannot capture from the interface.
    #[error("cannot capture from {}: {message}", Quoted(interface))]
    Interface {
        /// The interface.
        interface: String,
        /// The error of libpcap.
        message: String,
    },

    /// A meter of an interface panicked. This is a defect of Flowloom, and it ends the run.
    #[error(
        "meter {meter} of {} panicked: {message}; the run ends, and the live flows of this meter \
         are lost (last known number: {flows})",
        Quoted(interface)
    )]
    MeterPanicked {
        /// The interface.
        interface: String,
        /// The number of the meter, from 0.
        meter: usize,
        /// The message of the panic.
        message: String,
        /// The last known number of its live flows.
        flows: u64,
    },

    /// libpcap cannot list the interfaces.
    #[error("cannot list the interfaces: {message}")]
    Interfaces {
        /// The error of libpcap.
        message: String,
    },

    /// The filter cannot be used.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl CaptureError {
    /// Returns the error of a name that is not a valid URL.
    pub(crate) fn url(name: &Path, error: UrlError) -> Self {
        Self::Url {
            capture: public(name).display().to_string(),
            reason: error.to_string(),
        }
    }

    /// Combines the errors of several files into one. `errors` must not be empty.
    pub(crate) fn of(mut errors: Vec<Self>) -> Self {
        match errors.len() {
            1 => errors.remove(0),
            _ => Self::Unreadable(errors),
        }
    }

    /// Returns whether the capture was read in part.
    ///
    /// If so, its packets up to the error are valid, and reading continues with the next file. The
    /// caller has to correct all other errors.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Read { .. })
    }

    /// Returns whether the file itself is damaged, so that every machine finds the same error at the same place. Errors of
    /// the operating system or a store are not of this kind: another read may succeed.
    pub fn is_in_file(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}

/// Damage of one record of a capture. In pcapng, a record is a block.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends inside the record.
    #[error("the file ends inside a record, after {have} of {need} bytes")]
    Cut {
        /// The bytes of the record that are present.
        have: usize,
        /// The bytes that are needed next. The record may be larger.
        need: usize,
    },

    /// The record claims an impossible length.
    #[error("the record length is {len} bytes, but the maximum is {limit}")]
    TooLong {
        /// The claimed length in bytes.
        len: u32,
        /// The maximum length in bytes.
        limit: u32,
    },

    /// A pcapng block is too short for its type, or its length is not a multiple of four bytes.
    #[error("a block of type {kind:#x} has the invalid length {len}")]
    BlockLength {
        /// The type of the block.
        kind: u32,
        /// The length in its header, in bytes.
        len: u32,
    },

    /// The two lengths that enclose a pcapng block differ.
    #[error(
        "the two lengths of a block differ: {head} bytes at its start, {tail} bytes at its end"
    )]
    BlockLengths {
        /// The length at its start, in bytes.
        head: u32,
        /// The length at its end, in bytes.
        tail: u32,
    },

    /// A packet or option is longer than the rest of its pcapng block.
    #[error("a packet or option of {len} bytes exceeds its block, which has {left} bytes left")]
    Overrun {
        /// The claimed length in bytes.
        len: u32,
        /// The bytes that are left in the block.
        left: usize,
    },

    /// A packet refers to an interface that its pcapng section does not describe.
    #[error(
        "the packet refers to interface {interface}, but the section describes {known} interfaces"
    )]
    NoInterface {
        /// The number of the interface, from 0.
        interface: u32,
        /// The number of interfaces that the section describes.
        known: usize,
    },

    /// A pcapng section describes too many interfaces. Their descriptions would fill the memory.
    #[error("the section describes more than {limit} interfaces")]
    TooManyInterfaces {
        /// The maximum number of interfaces.
        limit: usize,
    },

    /// A pcapng section header has no byte-order magic.
    #[error("a section header has the invalid byte-order magic {magic:#010x}")]
    ByteOrder {
        /// The bytes in the place of the magic, read as a little-endian number.
        magic: u32,
    },

    /// A pcapng section has an unknown version.
    #[error("a section has pcapng version {major}.{minor}, which is not supported")]
    SectionVersion {
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },

    /// The compressed data cannot be decompressed, or ends early.
    #[error("the compressed data is damaged: {0}")]
    Compression(#[source] io::Error),
}

/// Displays the name of a source: escaped, and in quotes unless it is standard input.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            STANDARD_INPUT => f.write_str(STANDARD_INPUT),
            name => write!(f, "'{}'", escaped(name)),
        }
    }
}

/// Returns one line for each of the first 20 errors, and the number of the others.
fn lines(errors: &[CaptureError]) -> String {
    const MAX_LINES: usize = 20;
    let mut lines: String = (errors.iter().take(MAX_LINES))
        .map(|error| format!("\n  {error}"))
        .collect();
    if errors.len() > MAX_LINES {
        lines.push_str(&format!("\n  and {} more", errors.len() - MAX_LINES));
    }
    lines
}

/// Returns bytes in hexadecimal, separated by spaces.
fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
