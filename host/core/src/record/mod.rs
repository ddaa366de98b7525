//! The state of a live flow, and the packets that are counted in it.

mod application;
mod bucket;
mod flow_record;
mod flow_snapshot;
mod flow_view;
mod identity;
mod key;
mod packet;
mod protocols;
mod splt;
mod statistics;
mod tcp_close;

pub use application::{Application, ApplicationText};
pub(crate) use bucket::{BUCKETS, Bucket, WheelEntry};
pub(crate) use flow_record::DirectionCounters;
pub use flow_record::{Direction, Ended, Expiration, Record};
pub use flow_snapshot::FlowSnapshot;
pub use flow_view::FlowView;
pub use identity::{FlowIdentity, FlowKey, SystemProcess};
pub use key::KeyHasher;
pub use packet::{CHUNK, DecodedChunk, DecodedPacket, FlowPacket};
pub use protocols::{PROTOCOLS, Protocol};
pub use splt::{Splt, SpltValue};
pub(crate) use statistics::AlignedStatistics;
pub(crate) use statistics::DirectionScope;
pub use statistics::Statistics;
pub(crate) use tcp_close::TcpClose;
