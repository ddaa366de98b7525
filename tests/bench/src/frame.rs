//! Ethernet frames of TCP and UDP with valid headers and random content.

use crate::Random;

/// The endpoints and the protocol of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Address and port of the client and of the server. An IPv4 address is in the first four bytes.
    ends: [([u8; 16], u16); 2],
    is_tcp: bool,
    is_ipv4: bool,
}

impl Ends {
    /// Returns the endpoints of a flow. 9 of 10 flows are IPv4, and 4 of 5 are TCP. Different numbers below 2^32 give
    /// different endpoints.
    pub fn of(seed: u64, flow: u64) -> Self {
        let mut random = Random::of(seed, flow);
        let is_ipv4 = random.below(10) > 0;
        let is_tcp = random.below(5) > 0;
        // The address and port of the client contain the number.
        let [a, b, c, d] = (flow as u32).to_be_bytes();
        let client_port = 32_768 + u16::from_be_bytes([c & 0x3f, d]);
        let (mut client, mut server) = ([0; 16], [0; 16]);
        let host = random.next().to_be_bytes();
        if is_ipv4 {
            client[..4].copy_from_slice(&[10, a, b, c]);
            server[..4].copy_from_slice(&[100 + host[0] % 28, host[1], host[2], d]);
        } else {
            client[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            client[12..].copy_from_slice(&[a, b, c, d]);
            server[..4].copy_from_slice(&[0x26, 0x06, host[0], host[1]]);
            server[8..].copy_from_slice(&random.next().to_be_bytes());
        }
        let server_port = [443, 443, 443, 80, 53, 22, 25, 8080][random.below(8) as usize];
        Ends {
            ends: [(client, client_port), (server, server_port)],
            is_tcp,
            is_ipv4,
        }
    }

    /// Returns the endpoints of a port scan over TCP and IPv4. `number` selects address and port.
    pub fn scan(seed: u64, number: u64) -> Self {
        let [.., a, b, c, d] = number.to_be_bytes();
        let (mut client, mut server) = ([0; 16], [0; 16]);
        client[..4].copy_from_slice(&[198, 51, 100, Random::new(seed).next() as u8]);
        server[..4].copy_from_slice(&[10, a, b, c]);
        Ends {
            ends: [(client, 40_000), (server, 1 + u16::from(d))],
            is_tcp: true,
            is_ipv4: true,
        }
    }
}

/// A buffer that contains one frame at a time.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    payload: Vec<u8>,
}

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const SYN: u8 = 0x02;
const PSH_ACK: u8 = 0x18;

impl Frame {
    /// Creates a buffer. The seed determines the payload of its frames.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        Frame {
            bytes: Vec::new(),
            payload: (0..1500).map(|_| random.next() as u8).collect(),
        }
    }

    /// Returns a SYN without payload.
    pub fn syn(&mut self, ends: &Ends) -> &[u8] {
        self.write(ends, false, 0, SYN)
    }

    /// Returns a packet of a flow; `back` selects the packets of the server. Its length is `wire_len`, or the length of
    /// its headers if that is greater.
    pub fn packet(&mut self, ends: &Ends, back: bool, wire_len: usize) -> &[u8] {
        self.write(ends, back, wire_len, PSH_ACK)
    }

    fn write(&mut self, ends: &Ends, back: bool, wire_len: usize, flags: u8) -> &[u8] {
        let [src, dst] = [usize::from(back), usize::from(!back)];
        let transport_len = if ends.is_tcp { 20 } else { 8 };
        let ip_len = if ends.is_ipv4 { 20 } else { 40 };
        let payload_len = wire_len.saturating_sub(14 + ip_len + transport_len);
        let protocol = if ends.is_tcp { 6 } else { 17 };
        let ((src_ip, src_port), (dst_ip, dst_port)) = (ends.ends[src], ends.ends[dst]);
        let be = |len: usize| (len as u16).to_be_bytes();

        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend_from_slice(&MACS[dst]);
        bytes.extend_from_slice(&MACS[src]);
        if ends.is_ipv4 {
            bytes.extend_from_slice(&[8, 0, 0x45, 0]);
            bytes.extend_from_slice(&be(ip_len + transport_len + payload_len));
            bytes.extend_from_slice(&[0, 0, 0x40, 0, 64, protocol, 0, 0]);
            bytes.extend_from_slice(&src_ip[..4]);
            bytes.extend_from_slice(&dst_ip[..4]);
        } else {
            bytes.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0]);
            bytes.extend_from_slice(&be(transport_len + payload_len));
            bytes.extend_from_slice(&[protocol, 64]);
            bytes.extend_from_slice(&src_ip);
            bytes.extend_from_slice(&dst_ip);
        }
        bytes.extend_from_slice(&src_port.to_be_bytes());
        bytes.extend_from_slice(&dst_port.to_be_bytes());
        if ends.is_tcp {
            bytes.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 5 << 4, flags, 2, 0, 0, 0, 0, 0]);
        } else {
            bytes.extend_from_slice(&be(8 + payload_len));
            bytes.extend_from_slice(&[0, 0]);
        }
        bytes.extend_from_slice(&self.payload[..payload_len]);
        &self.bytes
    }

    /// Returns a random frame length of the Internet mix: 64 bytes for 7 of 12 frames, 594 for 4, and 1,514 for 1. The
    /// mean is 361 bytes.
    pub fn imix(random: &mut Random) -> usize {
        match random.below(12) {
            0..7 => 64,
            7..11 => 594,
            _ => 1_514,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use std::collections::HashSet;

    #[test]
    fn frames_have_the_requested_headers() {
        let mut frame = Frame::new(1);
        let mut kinds = HashSet::new();
        for flow in 0..100 {
            let ends = Ends::of(1, flow);
            let mut decoded = |back, len| decode(frame.packet(&ends, back, len)).expect("a packet");
            let (there, back) = (decoded(false, 594), decoded(true, 64));
            assert_eq!(there.key, back.key);
            assert_ne!(there.downwards, back.downwards);
            assert_eq!(there.ip_size, 580);
            kinds.insert((there.address_len, ends.is_tcp));
        }
        assert_eq!(kinds.len(), 4);
    }

    #[test]
    fn flows_have_different_endpoints() {
        let all = |ends: fn(u64, u64) -> Ends| {
            let ends = (0..100_000).map(|flow| format!("{:?}", ends(1, flow)));
            ends.collect::<HashSet<_>>().len()
        };
        assert_eq!(all(Ends::of), 100_000);
        assert_eq!(all(Ends::scan), 100_000);
    }
}
