//! The decoding that a meter needs, with etherparse's header slices.

use etherparse::{
    Ethernet2HeaderSlice, IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice, SingleVlanSlice,
    TcpHeaderSlice, UdpHeaderSlice, ether_type, ip_number,
};

/// A flow key. The endpoints are in a fixed order, so that both directions have the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    low: (u128, u16),
    high: (u128, u16),
    vlan: u16,
    protocol: u8,
}

/// A decoded packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// The flow key.
    pub key: Key,
    /// Whether the packet goes from `high` to `low` of the key.
    pub downwards: bool,
    /// The size of the IP packet in bytes, from its header.
    pub ip_size: u32,
    /// The length of an address in bytes.
    pub address_len: usize,
    /// The offset of the source address in the frame. The destination address follows it.
    pub addresses_at: usize,
}

impl Key {
    /// Returns a hash without a secret seed, which is not suitable for hostile traffic.
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

/// Decodes an Ethernet frame. Returns `None` if it has no IP packet with complete headers.
///
/// It decodes each header separately, because etherparse's packet slices reject packets that the snapshot length has
/// truncated. A meter for comparison must not skip them.
#[inline]
pub fn decode(frame: &[u8]) -> Option<Packet> {
    let ethernet = Ethernet2HeaderSlice::from_slice(frame).ok()?;
    let mut rest = frame.get(ethernet.slice().len()..)?;
    let mut ethertype = ethernet.ether_type();
    let mut vlan = 0;
    while matches!(
        ethertype,
        ether_type::VLAN_TAGGED_FRAME | ether_type::PROVIDER_BRIDGING
    ) {
        let tag = SingleVlanSlice::from_slice(rest).ok()?;
        vlan = tag.vlan_identifier().value();
        ethertype = tag.ether_type();
        rest = rest.get(4..)?;
    }
    let ip = match ethertype {
        ether_type::IPV4 => {
            let header = Ipv4HeaderSlice::from_slice(rest).ok()?;
            if header.fragments_offset().value() != 0 {
                return None;
            }
            let word = |address: [u8; 4]| u128::from(u32::from_be_bytes(address));
            Ip {
                src: word(header.source()),
                dst: word(header.destination()),
                protocol: header.protocol(),
                size: header.total_len().into(),
                address_len: 4,
                addresses: &header.slice()[12..],
                payload: rest.get(header.slice().len()..)?,
            }
        }
        ether_type::IPV6 => {
            let header = Ipv6HeaderSlice::from_slice(rest).ok()?;
            Ip {
                src: u128::from_be_bytes(header.source()),
                dst: u128::from_be_bytes(header.destination()),
                protocol: header.next_header(),
                size: 40 + u32::from(header.payload_length()),
                address_len: 16,
                addresses: &header.slice()[8..],
                payload: rest.get(40..)?,
            }
        }
        _ => return None,
    };
    let (src_port, dst_port) = match ip.protocol {
        ip_number::TCP => {
            let header = TcpHeaderSlice::from_slice(ip.payload).ok()?;
            (header.source_port(), header.destination_port())
        }
        ip_number::UDP => {
            let header = UdpHeaderSlice::from_slice(ip.payload).ok()?;
            (header.source_port(), header.destination_port())
        }
        _ => (0, 0),
    };
    let (src, dst) = ((ip.src, src_port), (ip.dst, dst_port));
    Some(Packet {
        key: Key {
            low: src.min(dst),
            high: src.max(dst),
            vlan,
            protocol: ip.protocol.0,
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
    protocol: IpNumber,
    size: u32,
    address_len: usize,
    addresses: &'a [u8],
    payload: &'a [u8],
}

#[cfg(test)]
mod tests {
    use crate::{Ends, Frame, decode};

    #[test]
    fn truncated_packets_are_decoded_like_complete_ones() {
        let mut frame = Frame::new(1);
        for flow in 0..100 {
            let whole = frame.packet(&Ends::of(1, flow), false, 1_514);
            let cut = decode(&whole[..74]).expect("the headers are complete");
            let whole = decode(whole).expect("a packet");
            assert_eq!((cut.key, cut.ip_size), (whole.key, whole.ip_size));
        }
    }
}
