//! Live capture from interfaces through libpcap.

pub(crate) mod interface;
pub(crate) mod live_capture;
pub(crate) mod socket;
