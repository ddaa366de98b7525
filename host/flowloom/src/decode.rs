//! The tunnels that are decoded, and the reasons for which packets are ignored.

pub use flowloom_core::decode::{IgnoreReason, Tunnel, TunnelSet, UnknownTunnel};
