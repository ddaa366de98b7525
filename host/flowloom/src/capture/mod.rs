//! Sources of packets: files, pipes, standard input and interfaces.
//!
//! [`Files`] reads capture files, pipes and standard input. It supports pcap and pcapng in all
//! their variants, uncompressed or compressed with gzip or zstd. It returns [`Packets`] as slices
//! of the buffer that the file was read into, without copying. [`group`] determines which files
//! continue each other. A [`Filter`] drops packets that do not match a libpcap expression. libpcap
//! captures from an [`Interface`].
//!
//! This module does not decode packets.

mod error;
mod file;
mod filter;
mod libpcap;
mod live;
mod packet_source;
mod packets;
mod source_event;
mod source_table;
mod steps;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::{CaptureError, Damage};
pub(crate) use file::capture_reader::AheadOf;
pub use file::files::Files;
pub use file::groups::{FileHead, Grouping, MAX_OVERLAP, continues, group};
pub use file::input::open_stored;
pub(crate) use file::packet_block::PacketBlock;
pub(crate) use file::parallel::{cores, in_parallel};
pub use file::plan::TaskFile;
pub(crate) use file::plan::{CheckedFile, FileVersion, KnownFiles, check_files};
pub use file::sources::{SourceFiles, expand};
pub use filter::{Filter, FilterError};
pub use flowloom_core::link_type::{LinkType, RawPacket};
pub use live::interface::Interface;
pub(crate) use live::live_capture::LiveCapture;
pub use live::live_capture::{Dropped, LiveSettings};
pub(crate) use packet_source::PacketSource;
pub use packet_source::interface;
pub use packets::{LinkTypeName, Packets};
pub(crate) use source_event::{BlockEvent, SourceEvent, StopSignal};
pub(crate) use source_table::SourceTable;
