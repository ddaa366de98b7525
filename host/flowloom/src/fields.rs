//! The fields of flows and packets, and the meanings of their numbers.

pub use flowloom_core::fields::{
    FEATURES, Feature, Group, PACKET_FIELDS, PacketField, Sensitivity,
};
pub use flowloom_core::record::{Direction, Expiration, PROTOCOLS, Protocol};
