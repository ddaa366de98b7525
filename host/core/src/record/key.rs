//! What makes packets belong to one flow.

use super::flow_record::Record;
use crate::decode::{Addr, Packet, Tunnel};

/// Hashes the flow key of packets so that both directions of a flow get the same number.
///
/// Seeded anew in every process: whoever sends the packets cannot know which of them collide.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    seeds: [u64; 3],
}

impl KeyHasher {
    pub fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new();
        Self {
            seeds: [0, 1, 2].map(|n| random.hash_one(n) | 1),
        }
    }

    /// 32 bits of a hash over addresses, ports, protocol, VLAN and tunnel.
    #[inline]
    pub fn hash(&self, packet: &Packet) -> u32 {
        let src = (packet.src, packet.src_port);
        let dst = (packet.dst, packet.dst_port);
        self.key([src, dst], packet.vlan_id, packet.protocol, packet.tunnel)
    }

    /// The same of a flow as of its packets: less is to be done than to keep it with every flow.
    #[inline]
    pub fn hash_of(&self, flow: &Record) -> u32 {
        let src = (flow.src, flow.src_port);
        let dst = (flow.dst, flow.dst_port);
        self.key([src, dst], flow.vlan_id, flow.protocol, flow.tunnel)
    }

    #[inline]
    fn key(&self, [src, dst]: [(Addr, u16); 2], vlan_id: u16, protocol: u8, tunnel: Tunnel) -> u32 {
        let (src, dst) = (self.end(src), self.end(dst));
        let rest = u64::from(vlan_id) << 16 | u64::from(protocol) << 8 | u64::from(tunnel as u8);
        // Sum and exclusive or are the same for both orders of the ends.
        let hash = fold(
            src.wrapping_add(dst) ^ rest,
            (src ^ dst).wrapping_add(self.seeds[2]),
        );
        (hash ^ hash >> 32) as u32
    }

    #[inline]
    fn end(&self, (Addr(addr), port): (Addr, u16)) -> u64 {
        let addr = u128::from_ne_bytes(addr);
        fold(
            addr as u64 ^ self.seeds[0],
            (addr >> 64) as u64 ^ u64::from(port).rotate_left(32) ^ self.seeds[1],
        )
    }
}

/// Multiplies to 128 bits and folds both halves together.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_hash_alike_and_other_flows_do_not() {
        let hasher = KeyHasher::new();
        let there = Packet {
            src: [192, 0, 2, 1].into(),
            dst: [192, 0, 2, 2].into(),
            src_port: 1000,
            dst_port: 80,
            protocol: 6,
            ..Packet::default()
        };
        let back = Packet {
            src: there.dst,
            dst: there.src,
            src_port: there.dst_port,
            dst_port: there.src_port,
            ..there.clone()
        };
        assert_eq!(hasher.hash(&there), hasher.hash(&back));
        let flow = Record::open(&there, 0, Default::default());
        assert_eq!(hasher.hash(&there), hasher.hash_of(&flow));
        for other in [
            Packet {
                src_port: 1001,
                ..there.clone()
            },
            Packet {
                src_port: 80,
                dst_port: 1000,
                ..there.clone()
            },
            Packet {
                vlan_id: 1,
                ..there.clone()
            },
            Packet {
                protocol: 17,
                ..there.clone()
            },
            Packet {
                tunnel: crate::decode::Tunnel::Gtp,
                ..there.clone()
            },
        ] {
            assert_ne!(hasher.hash(&there), hasher.hash(&other), "{other:?}");
        }
    }
}
