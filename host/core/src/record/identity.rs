//! Identifiers of ended flows, and the flow key that they are computed from.

use std::net::IpAddr;
use std::sync::Arc;

use super::flow_record::Record;
use crate::decode::Tunnel;

/// Identifiers of an ended flow. A run computes those that its columns need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowIdentity {
    /// The digest of the Community ID; `None` if it is not requested or if the flow has none.
    pub community_id: Option<[u8; 20]>,
    /// The digest of the identifier that is the same in every run; `None` if it is not requested.
    pub flow_uid: Option<[u8; 16]>,
    /// The file or the interface of the first packet; `None` if it is not requested.
    pub source_file: Option<Arc<str>>,
    /// The process that owns the flow's socket; `None` if it is not requested or not known.
    pub process: Option<SystemProcess>,
}

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemProcess {
    /// The process ID.
    pub pid: u32,
    /// The name, at most 15 bytes before U+FFFD replaced those that are not UTF-8; `None` if it cannot be read. The
    /// process itself chooses its name.
    pub name: Option<Arc<str>>,
}

/// The flow key, with the source and the destination of the flow's first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The source address.
    pub src_ip: IpAddr,
    /// The destination address.
    pub dst_ip: IpAddr,
    /// The source port; 0 if flows of the protocol have no ports.
    pub src_port: u16,
    /// The destination port; 0 if flows of the protocol have no ports.
    pub dst_port: u16,
    /// The IANA number of the protocol.
    pub protocol: u8,
    /// The innermost VLAN identifier; 0 without a tag.
    pub vlan_id: u16,
    /// The innermost tunnel.
    pub tunnel: Tunnel,
}

impl Record {
    /// Returns the flow key.
    pub fn key(&self) -> FlowKey {
        FlowKey {
            src_ip: self.src.to_ip(self.ip_version),
            dst_ip: self.dst.to_ip(self.ip_version),
            src_port: self.src_port,
            dst_port: self.dst_port,
            protocol: self.protocol,
            vlan_id: self.vlan_id,
            tunnel: self.tunnel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::testing::flows;

    #[test]
    fn the_key_has_the_direction_of_the_first_packet() {
        let flow = flows(1).remove(0);
        let key = flow.record.key();
        assert_eq!(key.src_ip, IpAddr::from([192, 0, 2, 1]));
        assert_eq!(key.dst_ip, IpAddr::from([192, 0, 2, 2]));
        assert_eq!((key.dst_port, key.protocol), (53, 17));
        assert_eq!((key.vlan_id, key.tunnel), (0, Tunnel::None));
    }
}
