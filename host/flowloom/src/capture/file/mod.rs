//! Capture files, pipes and standard input.

pub(crate) mod block_size;
pub(crate) mod capture_reader;
pub(crate) mod clock;
pub(crate) mod decompress;
pub(crate) mod file_range;
pub(crate) mod files;
pub(crate) mod format;
pub(crate) mod groups;
pub(crate) mod input;
pub(crate) mod packet_block;
pub(crate) mod parallel;
pub(crate) mod pcap;
pub(crate) mod pcapng;
pub(crate) mod pipe;
pub(crate) mod plan;
pub(crate) mod read_ahead;
pub(crate) mod read_buffer;
pub(crate) mod record_io;
pub(crate) mod sources;
