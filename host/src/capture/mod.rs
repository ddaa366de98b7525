//! Where packets come from.
//!
//! [`Files`] reads capture files, pipes and standard input: pcap and pcapng in all their variants,
//! plain or compressed with gzip or zstd. It hands out [`Packets`], a block's worth at a time, as slices
//! of the very memory the file was read into. [`group`] says which files continue each other. A
//! [`Filter`] keeps out what a libpcap expression does not match. An [`Interface`] is captured through
//! libpcap.
//!
//! Nothing here understands a packet: what its bytes mean is the next station's business.

mod block;
mod bpf;
mod clock;
mod decompress;
mod error;
mod files;
mod filter;
mod format;
mod groups;
mod input;
mod interface;
mod live;
mod origin;
mod packets;
mod pcap;
mod pcapng;
mod pipe;
mod plan;
mod reading;
mod socket;
mod sources;
mod steps;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::{CaptureError, Damage};
pub use files::Files;
pub use filter::{Filter, FilterError};
pub use groups::{FileHead, Grouping, MOST_OVERLAP, continues, group};
pub use interface::Interface;
pub(crate) use live::Live;
pub use live::{Dropped, LiveSettings};
pub use origin::interface;
pub(crate) use origin::{Boundary, Origin, Read, Stop};
pub use packets::{LinkType, Packets, RawPacket};
pub use sources::expand;
