//! Capture files, pipes and standard input.

pub(crate) mod block;
pub(crate) mod clock;
pub(crate) mod decompress;
pub(crate) mod files;
pub(crate) mod format;
pub(crate) mod groups;
pub(crate) mod input;
pub(crate) mod pcap;
pub(crate) mod pcapng;
pub(crate) mod pipe;
pub(crate) mod plan;
pub(crate) mod reading;
pub(crate) mod sources;
