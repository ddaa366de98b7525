//! Generates traffic for measurements. It depends only on a seed, so that the same arguments give the same bytes.

mod decode;
mod frame;
mod pcap;
mod random;

pub use decode::{Key, Packet, decode};
pub use frame::{Ends, Frame};
pub use pcap::{PcapReader, PcapWriter, Record};
pub use random::{Random, Zipf};
