//! What is kept of a live flow, and the packets that are counted in it.

mod application;
mod bucket;
mod flow_record;
mod flow_view;
mod key;
mod packet;
mod protocols;
mod splt;
mod statistics;
mod tcp_close;

pub use application::{Application, Text};
pub use bucket::{BUCKETS, Bucket, WheelEntry};
pub use flow_record::{Direction, DirectionCounters, Ended, Expiration, Record};
pub use flow_view::FlowView;
pub use key::KeyHasher;
pub use packet::{CHUNK, DecodedChunk, DecodedPacket, FlowPacket};
pub use protocols::{PROTOCOLS, Protocol};
pub use splt::{Part, Splt};
pub(crate) use statistics::Aligned;
pub use statistics::{Over, Statistics};
pub(crate) use tcp_close::Closing;
