//! What can be wrong with a capture.

use std::io;

use flowloom_plugin::escaped;

use super::FilterError;

/// Why a capture could not be opened, or not be read to its end.
///
/// `capture` names the source: the path as it was given, or `standard input`. Offsets count bytes
/// of the capture itself, so those of a compressed file count what it decompresses to; packets
/// count from 1, as packet analysers number them, and begin anew with each file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// An empty list of sources.
    #[error("no capture to read: name at least one file, or - for standard input")]
    NoSource,

    /// The file cannot be opened: it does not exist, is not permitted, …
    #[error("cannot open {named}: {error}", named = escaped(capture))]
    Open {
        /// The source.
        capture: String,
        /// What the operating system said.
        #[source]
        error: io::Error,
    },

    /// A directory.
    #[error("{named} is a directory: name the captures in it", named = escaped(capture))]
    Directory {
        /// The source.
        capture: String,
    },

    /// A folder without a capture in it.
    #[error("there is no capture in the folder {named}", named = escaped(folder))]
    NoCaptures {
        /// The folder.
        folder: String,
    },

    /// More files than a run takes.
    #[error("there are more than {limit} files: name fewer, or meter them in several runs")]
    TooManyFiles {
        /// The most that are accepted.
        limit: usize,
    },

    /// Several captures cannot be read; the text names up to twenty.
    #[error("{} captures cannot be read:{}", .0.len(), lines(.0))]
    Unreadable(Vec<CaptureError>),

    /// Standard input was named twice; the second reading would find nothing.
    #[error("standard input can be read only once: name - once")]
    StandardInputTwice,

    /// Standard input is a terminal, where nobody types a capture.
    #[error("standard input is a terminal: pipe a capture into it, or name a file")]
    Terminal,

    /// Not one byte.
    #[error("{named} is empty: not even a file header is there", named = escaped(capture))]
    Empty {
        /// The source.
        capture: String,
    },

    /// It begins like nothing that can be read.
    #[error(
        "{named} is not a capture: it begins with {}; \
         pcap and pcapng are read, as they are or compressed with gzip or zstd",
        hex(first), named = escaped(capture)
    )]
    NotACapture {
        /// The source.
        capture: String,
        /// The first bytes, decompressed.
        first: Vec<u8>,
    },

    /// A capture format in a version that nobody has written so far.
    #[error("{named} is {format} {major}.{minor}: this version is not known", named = escaped(capture))]
    Version {
        /// The source.
        capture: String,
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// The version's number.
        major: u16,
        /// What follows its point.
        minor: u16,
    },

    /// The file ends before its header does, so it has no packet.
    #[error("{named} has no packet: it ends inside its file header, after {len} bytes", named = escaped(capture))]
    HeaderCut {
        /// The source.
        capture: String,
        /// The bytes that are there.
        len: usize,
    },

    /// The capture is damaged from here on; all packets before were handed out.
    #[error(
        "{named} is damaged at byte {offset}, packet {packet}: {damage}; the rest of it is not read", named = escaped(capture)
    )]
    Damaged {
        /// The source.
        capture: String,
        /// Where the damaged record begins.
        offset: u64,
        /// The number of the packet that could not be read.
        packet: u64,
        /// What is wrong there.
        damage: Damage,
    },

    /// The operating system could not read on; all packets before were handed out.
    #[error("cannot read {named} from byte {offset}, packet {packet} on: {error}", named = escaped(capture))]
    Read {
        /// The source.
        capture: String,
        /// Up to where it was read.
        offset: u64,
        /// The number of the packet that could not be read.
        packet: u64,
        /// What the operating system said.
        #[source]
        error: io::Error,
    },

    /// There is neither a file nor an interface of that name.
    #[error(
        "there is no file and no interface {named}: the interfaces are {}",
        known.join(", "),
        named = escaped(interface)
    )]
    NoInterface {
        /// What was asked for.
        interface: String,
        /// The interfaces that there are.
        known: Vec<String>,
    },

    /// An interface was named together with other sources.
    #[error("{named} is an interface: it is metered alone, not with other sources", named = escaped(interface))]
    InterfaceAmongOthers {
        /// The interface.
        interface: String,
    },

    /// Capturing is not permitted.
    #[error(
        "cannot capture from {interface}: that takes the capability CAP_NET_RAW; run it as root, or \
         give it to the command: sudo setcap cap_net_raw+ep {command}"
    )]
    NoPermission {
        /// The interface.
        interface: String,
        /// The file of the command that is running.
        command: String,
    },

    /// The interface cannot be captured from.
    #[error("cannot capture from {named}: {message}", named = escaped(interface))]
    Interface {
        /// The interface.
        interface: String,
        /// What libpcap says.
        message: String,
    },

    /// A meter of an interface panicked, which is a defect of Flowloom: the run ends.
    #[error(
        "meter {meter} of {interface} panicked: {message}; its live flows, {flows} when it last said so, \
         are lost, and the run ends"
    )]
    MeterPanicked {
        /// The interface.
        interface: String,
        /// The number of the meter, from 0.
        meter: usize,
        /// What the panic said.
        message: String,
        /// The flows that were live in it, as far as is known.
        flows: u64,
    },

    /// The interfaces cannot be listed.
    #[error("cannot list the interfaces: {message}")]
    Interfaces {
        /// What libpcap says.
        message: String,
    },

    /// The filter cannot be had.
    #[error(transparent)]
    Filter(#[from] FilterError),
}

impl CaptureError {
    /// What is wrong with some files, of which there is at least one.
    pub(crate) fn of(mut errors: Vec<Self>) -> Self {
        match errors.len() {
            1 => errors.remove(0),
            _ => Self::Unreadable(errors),
        }
    }

    /// Whether a capture could be read in part: its packets so far stand, and reading goes on with
    /// the next file. All other errors are the caller's to put right.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Read { .. })
    }
}

/// What is wrong with a record of a capture (a block, in pcapng).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends inside the record.
    #[error("the file ends inside the record, {have} of {need} bytes are there")]
    Cut {
        /// The bytes that are there.
        have: usize,
        /// The bytes that are known to be needed; the record may be larger.
        need: usize,
    },

    /// A length that no record has.
    #[error("the record claims {len} bytes, {limit} are the most it can have")]
    TooLong {
        /// What the record claims.
        len: u32,
        /// What is accepted.
        limit: u32,
    },

    /// A pcapng block that is shorter than its kind of block, or not a multiple of four bytes.
    #[error("a block of type {kind:#x} cannot be {len} bytes long")]
    BlockLength {
        /// The block's type.
        kind: u32,
        /// What its head claims.
        len: u32,
    },

    /// The two lengths that enclose a pcapng block differ.
    #[error("the block's length is {head} at its head and {tail} at its end")]
    BlockLengths {
        /// The length at its head.
        head: u32,
        /// The length at its end.
        tail: u32,
    },

    /// A pcapng block whose packet or option is longer than what is left of the block.
    #[error("{len} bytes are claimed inside a block that has {left} left")]
    Overrun {
        /// What is claimed.
        len: u32,
        /// What is left of the block.
        left: usize,
    },

    /// A packet on an interface that its pcapng section does not describe.
    #[error("the packet names interface {interface}, the section describes {known}")]
    NoInterface {
        /// The interface's number, from 0.
        interface: u32,
        /// How many interfaces there are.
        known: usize,
    },

    /// More interfaces than a machine can have: their descriptions would fill the memory.
    #[error("the section describes more than {limit} interfaces")]
    TooManyInterfaces {
        /// The most that are accepted.
        limit: usize,
    },

    /// A pcapng section header without a byte-order magic.
    #[error("a section header has {magic:#010x} where its byte order should be told")]
    ByteOrder {
        /// What stands there, read as little-endian.
        magic: u32,
    },

    /// A pcapng section in a version that is not known.
    #[error("a section is pcapng {major}.{minor}: this version is not known")]
    SectionVersion {
        /// The version's number.
        major: u16,
        /// What follows its point.
        minor: u16,
    },

    /// The compressed data cannot be decompressed, or ends early.
    #[error("the compressed data is broken: {0}")]
    Compression(#[source] io::Error),
}

/// A line for each error, as far as somebody reads them.
fn lines(errors: &[CaptureError]) -> String {
    const MOST: usize = 20;
    let mut lines: String = (errors.iter().take(MOST))
        .map(|error| format!("\n  {error}"))
        .collect();
    if errors.len() > MOST {
        lines.push_str(&format!("\n  and {} more", errors.len() - MOST));
    }
    lines
}

/// Returns bytes in hexadecimal, with spaces between them.
fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}
