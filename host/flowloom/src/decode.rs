//! What packets carry, and why packets are ignored.

pub use flowloom_core::decode::{IgnoreReason, Tunnel, TunnelSet, UnknownTunnel};
