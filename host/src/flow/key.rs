//! What makes packets belong to one flow.

use crate::decode::Packet;

/// Hashes the flow key of packets so that both directions of a flow get the same number.
///
/// Seeded anew in every process: whoever sends the packets cannot know which of them collide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHasher {
    seeds: [u64; 3],
}

impl KeyHasher {
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new();
        Self {
            seeds: [0, 1, 2].map(|n| random.hash_one(n) | 1),
        }
    }

    /// 32 bits of a hash over addresses, ports, protocol, VLAN and tunnel.
    #[inline]
    pub(crate) fn hash(&self, packet: &Packet) -> u32 {
        let end = |addr: [u8; 16], port: u16| {
            let (low, high) = addr.split_at(8);
            let word = |bytes: &[u8]| {
                bytes
                    .iter()
                    .fold(0, |word, &byte| word << 8 | u64::from(byte))
            };
            fold(
                word(low) ^ self.seeds[0],
                word(high) ^ u64::from(port).rotate_left(32) ^ self.seeds[1],
            )
        };
        let (src, dst) = (
            end(packet.src.0, packet.src_port),
            end(packet.dst.0, packet.dst_port),
        );
        let rest = u64::from(packet.vlan_id) << 16
            | u64::from(packet.protocol) << 8
            | u64::from(packet.tunnel as u8);
        // Sum and exclusive or are the same for both orders of the ends.
        let hash = fold(
            src.wrapping_add(dst) ^ rest,
            (src ^ dst).wrapping_add(self.seeds[2]),
        );
        (hash ^ hash >> 32) as u32
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
