//! The tables of flow fields and packet fields, and the sensitivity of each field.

mod column_buffer;
mod flow_fields;
mod packet_fields;
mod sensitivity;
#[cfg(test)]
mod tests;

pub use column_buffer::{ColumnBuffer, TextWriter};
pub use flow_fields::{Extract, FEATURES, Feature, Group, NumberFunctions};
pub use packet_fields::{PACKET_FIELDS, PacketExtract, PacketField, PacketSubset};
pub use sensitivity::Sensitivity;
