//! Where packets come from.
//!
//! [`Files`] reads capture files, pipes and standard input: pcap and pcapng in all their variants,
//! plain or compressed with gzip or zstd. It hands out [`Packets`], a block's worth at a time, as slices
//! of the very memory the file was read into. [`group`] says which files continue each other. A
//! [`Filter`] keeps out what a libpcap expression does not match. An [`Interface`] is captured through
//! libpcap.
//!
//! This module does not decode packets.

mod error;
mod file;
mod filter;
mod live;
mod origin;
mod packets;
mod steps;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::{CaptureError, Damage};
pub use file::files::Files;
pub use file::groups::{FileHead, Grouping, MOST_OVERLAP, continues, group};
pub use file::sources::expand;
pub use filter::{Filter, FilterError};
pub use flowloom_core::link_type::{LinkType, RawPacket};
pub use live::interface::Interface;
pub(crate) use live::live_capture::Live;
pub use live::live_capture::{Dropped, LiveSettings};
pub use origin::interface;
pub(crate) use origin::{Origin, Read, Stop};
pub use packets::{LinkTypeName, Packets};
