//! Classification of private IP addresses, the same as `ipaddress.is_private` of CPython 3.13.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 networks that IANA's special-purpose registry lists as not globally reachable, with prefix lengths.
const PRIVATE_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([240, 0, 0, 0], 4),
];
/// Exceptions from [`PRIVATE_V4`]: networks within it that are globally reachable.
const GLOBAL_V4: &[([u8; 4], u32)] = &[([192, 0, 0, 9], 32), ([192, 0, 0, 10], 32)];

/// IPv6 networks that IANA's special-purpose registry lists as not globally reachable, with prefix lengths.
const PRIVATE_V6: &[([u16; 8], u32)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 127),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
];
/// Exceptions from [`PRIVATE_V6`]: networks within it that are globally reachable.
const GLOBAL_V6: &[([u16; 8], u32)] = &[
    ([0x2001, 1, 0, 0, 0, 0, 0, 1], 128),
    ([0x2001, 1, 0, 0, 0, 0, 0, 2], 128),
    ([0x2001, 3, 0, 0, 0, 0, 0, 0], 32),
    ([0x2001, 4, 0x112, 0, 0, 0, 0, 0], 48),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28),
    ([0x2001, 0x30, 0, 0, 0, 0, 0, 0], 28),
];

/// Returns whether an address is private, by the definition of `ipaddress.is_private` of CPython 3.13.
///
/// An IPv4-mapped IPv6 address is private if its IPv4 address is.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private_v4(v4),
            None => is_private_v6(v6),
        },
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let in_any = |networks: &[([u8; 4], u32)]| {
        networks.iter().any(|&(network, bits)| {
            (address.to_bits() ^ u32::from_be_bytes(network)) >> (32 - bits) == 0
        })
    };
    in_any(PRIVATE_V4) && !in_any(GLOBAL_V4)
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let in_any = |networks: &[([u16; 8], u32)]| {
        networks.iter().any(|&(network, bits)| {
            (address.to_bits() ^ Ipv6Addr::from(network).to_bits()) >> (128 - bits) == 0
        })
    };
    in_any(PRIVATE_V6) && !in_any(GLOBAL_V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_python_says() {
        for (address, expected) in [
            ("10.1.2.3", true),
            ("127.0.0.1", true),
            ("169.254.1.1", true),
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("192.0.0.8", true),
            ("192.0.0.9", false),
            ("192.0.2.1", true),
            ("198.19.255.255", true),
            ("100.64.0.1", false),
            ("224.0.0.251", false),
            ("255.255.255.255", true),
            ("8.8.8.8", false),
            ("::", true),
            ("::1", true),
            ("::2", false),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("2001:db8::1", true),
            ("2001:4860:4860::8888", false),
            ("2001:20::1", false),
            ("2001::1", true),
            ("2002::1", true),
            ("fd00::1", true),
            ("fe80::1", true),
            ("ff02::fb", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }
}
