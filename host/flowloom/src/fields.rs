//! The fields of flows and packets, and the enumerations of their values.

pub use flowloom_core::fields::{
    FEATURES, Feature, Group, PACKET_FIELDS, PacketExtract, PacketField, Sensitivity, TextWriter,
};
pub use flowloom_core::record::{Direction, Expiration, PROTOCOLS, Protocol};
