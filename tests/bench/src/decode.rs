//! As much decoding as a meter needs, by etherparse's strict slices.

use etherparse::{NetSlice, SlicedPacket, TransportSlice, VlanSlice};

/// What makes packets belong to one flow: both ends in order, so that both directions have one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    low: (u128, u16),
    high: (u128, u16),
    vlan: u16,
    protocol: u8,
}

/// What decoding finds.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Its flow key.
    pub key: Key,
    /// Whether it goes from the key's upper end to the lower one.
    pub downwards: bool,
    /// Bytes of the IP packet by its own header.
    pub ip_size: u32,
    /// Bytes of an address.
    pub address_len: usize,
    /// Where in the frame the source address stands, and behind it the destination's.
    pub addresses_at: usize,
}

impl Key {
    /// Without a secret: this is no meter for hostile traffic.
    #[inline]
    pub fn hash(&self) -> u64 {
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        let end = |(address, port): (u128, u16), seed: u64| {
            fold(
                address as u64 ^ seed,
                (address >> 64) as u64 ^ u64::from(port) ^ 0x9E37_79B9_7F4A_7C15,
            )
        };
        let rest = u64::from(self.vlan) << 8 | u64::from(self.protocol);
        fold(
            end(self.low, 0x243F_6A88_85A3_08D3) ^ rest,
            end(self.high, 0x1319_8A2E_0370_7345),
        )
    }
}

/// Decodes an Ethernet frame; none if there is no IP packet in it that is whole.
#[inline]
pub fn decode(frame: &[u8]) -> Option<Packet> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let ip = match &sliced.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let word = |address: [u8; 4]| u128::from(u32::from_be_bytes(address));
            Ip {
                src: word(header.source()),
                dst: word(header.destination()),
                protocol: ip.payload().ip_number.0,
                size: header.total_len().into(),
                address_len: 4,
                addresses: &header.slice()[12..],
            }
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            Ip {
                src: u128::from_be_bytes(header.source()),
                dst: u128::from_be_bytes(header.destination()),
                protocol: ip.payload().ip_number.0,
                size: 40 + u32::from(header.payload_length()),
                address_len: 16,
                addresses: &header.slice()[8..],
            }
        }
        _ => return None,
    };
    let (src_port, dst_port) = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port()),
        _ => (0, 0),
    };
    let vlan = match sliced.vlan() {
        Some(VlanSlice::SingleVlan(tag)) => tag.vlan_identifier().value(),
        Some(VlanSlice::DoubleVlan(tags)) => tags.inner.vlan_identifier().value(),
        None => 0,
    };
    let (src, dst) = ((ip.src, src_port), (ip.dst, dst_port));
    Some(Packet {
        key: Key {
            low: src.min(dst),
            high: src.max(dst),
            vlan,
            protocol: ip.protocol,
        },
        downwards: src > dst,
        ip_size: ip.size,
        address_len: ip.address_len,
        addresses_at: ip.addresses.as_ptr().addr() - frame.as_ptr().addr(),
    })
}

struct Ip<'a> {
    src: u128,
    dst: u128,
    protocol: u8,
    size: u32,
    address_len: usize,
    addresses: &'a [u8],
}
