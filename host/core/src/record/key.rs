//! The hash of flow keys.

use super::flow_record::Record;
use crate::decode::{Addr, Packet, Tunnel};

/// Hashes flow keys. Both directions of a flow have the same hash.
///
/// Every hasher has new random seeds, so that a sender of packets cannot construct collisions.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher {
    seeds: [u64; 3],
}

impl KeyHasher {
    /// Creates a hasher with random seeds.
    pub fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        let random = RandomState::new();
        Self {
            seeds: [0, 1, 2].map(|n| random.hash_one(n) | 1),
        }
    }

    /// Creates a hasher whose hashes are the same in every program.
    ///
    /// A sender of packets can construct collisions. It must not choose places in a hash table.
    pub(crate) fn fixed() -> Self {
        // The first digits of the square roots of 2, 3 and 5.
        Self {
            seeds: [
                0x6A09_E667_F3BC_C909,
                0xBB67_AE85_84CA_A73B,
                0x3C6E_F372_FE94_F82B,
            ],
        }
    }

    /// Returns the hash of a packet's flow key: addresses, ports, protocol, VLAN and tunnel.
    #[inline]
    pub(crate) fn hash(&self, packet: &Packet) -> u32 {
        let src = (packet.src, packet.src_port);
        let dst = (packet.dst, packet.dst_port);
        self.hash_key([src, dst], packet.vlan_id, packet.protocol, packet.tunnel)
    }

    /// Returns the hash of a flow's key, which equals the hash of each of its packets.
    ///
    /// Computing the hash again costs less than storing it with every flow.
    #[inline]
    pub(crate) fn hash_of(&self, flow: &Record) -> u32 {
        let src = (flow.src, flow.src_port);
        let dst = (flow.dst, flow.dst_port);
        self.hash_key([src, dst], flow.vlan_id, flow.protocol, flow.tunnel)
    }

    #[inline]
    fn hash_key(
        &self,
        [src, dst]: [(Addr, u16); 2],
        vlan_id: u16,
        protocol: u8,
        tunnel: Tunnel,
    ) -> u32 {
        let (src, dst) = (self.hash_endpoint(src), self.hash_endpoint(dst));
        let rest = u64::from(vlan_id) << 16 | u64::from(protocol) << 8 | u64::from(tunnel as u8);
        // Sum and exclusive or do not depend on the order of the endpoints.
        let hash = folded_multiply(
            src.wrapping_add(dst) ^ rest,
            (src ^ dst).wrapping_add(self.seeds[2]),
        );
        (hash ^ hash >> 32) as u32
    }

    #[inline]
    fn hash_endpoint(&self, (Addr(addr), port): (Addr, u16)) -> u64 {
        let addr = u128::from_ne_bytes(addr);
        folded_multiply(
            addr as u64 ^ self.seeds[0],
            (addr >> 64) as u64 ^ u64::from(port).rotate_left(32) ^ self.seeds[1],
        )
    }
}

impl Default for KeyHasher {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the exclusive or of the two halves of the 128-bit product.
#[inline]
fn folded_multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_the_same_hash_and_other_flows_differ() {
        let hasher = KeyHasher::new();
        let forward = Packet {
            src: [192, 0, 2, 1].into(),
            dst: [192, 0, 2, 2].into(),
            src_port: 1000,
            dst_port: 80,
            protocol: 6,
            ..Packet::default()
        };
        let reverse = Packet {
            src: forward.dst,
            dst: forward.src,
            src_port: forward.dst_port,
            dst_port: forward.src_port,
            ..forward.clone()
        };
        assert_eq!(hasher.hash(&forward), hasher.hash(&reverse));
        let flow = Record::open(&forward, 0, Default::default());
        assert_eq!(hasher.hash(&forward), hasher.hash_of(&flow));
        for other in [
            Packet {
                src_port: 1001,
                ..forward.clone()
            },
            Packet {
                src_port: 80,
                dst_port: 1000,
                ..forward.clone()
            },
            Packet {
                vlan_id: 1,
                ..forward.clone()
            },
            Packet {
                protocol: 17,
                ..forward.clone()
            },
            Packet {
                tunnel: crate::decode::Tunnel::Gtp,
                ..forward.clone()
            },
        ] {
            assert_ne!(hasher.hash(&forward), hasher.hash(&other), "{other:?}");
        }
    }

    #[test]
    fn similar_flows_have_different_hashes_with_balanced_bits() {
        const FLOWS: u32 = 1 << 16;
        let hasher = KeyHasher::new();
        let v4 = |n: u8| [10, 0, 0, n].into();
        let v6 = |n: u8| [[0xfd; 15].as_slice(), &[n]].concat().try_into().map(Addr);
        let v6 = |n: u8| v6(n).expect("16 bytes");
        for address in [&v4 as &dyn Fn(u8) -> Addr, &v6] {
            let mut ones = [0; 32];
            let mut hashes: Vec<_> = (0..FLOWS)
                .map(|n| {
                    hasher.hash(&Packet {
                        src: address((n >> 8) as u8),
                        dst: address(255),
                        src_port: 1024 + n as u16 % 256,
                        dst_port: 443,
                        ..Packet::default()
                    })
                })
                .collect();
            for hash in &hashes {
                for (bit, ones) in ones.iter_mut().enumerate() {
                    *ones += hash >> bit & 1;
                }
            }
            // A random function has half a collision, and half of all bits are set.
            assert!(
                ones.iter()
                    .all(|ones| (FLOWS * 4 / 10..FLOWS * 6 / 10).contains(ones)),
                "{ones:?}"
            );
            hashes.sort_unstable();
            hashes.dedup();
            assert!(hashes.len() > FLOWS as usize - 50, "{}", hashes.len());
        }
    }
}
