//! Pseudonyms: numbers in place of addresses, so that a plugin can count peers without knowing their addresses.

use std::net::IpAddr;

use blake2::Blake2bMac512;
use blake2::digest::Mac as _;

use crate::config::anonymization_key::AnonymizationKey;

/// Maps every address to a number below 2^63.
///
/// It is the first eight bytes of keyed BLAKE2b-512 (RFC 7693) over `pseudonym` and the 16 bytes of the
/// address, halved. IPv4 addresses are mapped into IPv6. Without the key, nobody can compute the address of a
/// number, or the number of another address.
#[derive(Clone)]
pub(crate) struct Pseudonyms(Blake2bMac512);

impl Pseudonyms {
    pub(crate) fn new(key: &AnonymizationKey) -> Self {
        Self(key.mac().chain_update(b"pseudonym"))
    }

    /// Returns the pseudonym of an address.
    pub(crate) fn of(&self, address: IpAddr) -> u64 {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mac = self.0.clone().chain_update(address.octets()).finalize();
        let bytes = mac.into_bytes();
        let first = bytes.first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first) >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value comes from Python: `hashlib.blake2b(b"pseudonym" +
    /// IPv6Address("::ffff:192.0.2.1").packed, digest_size=64, key=bytes(range(64))).digest()[:8]`,
    /// little-endian, halved.
    #[test]
    fn pseudonyms_match_an_independent_implementation() {
        let key = std::array::from_fn::<u8, 64, _>(|n| n as u8).into();
        let pseudonyms = Pseudonyms::new(&key);
        assert_eq!(pseudonyms.of([192, 0, 2, 1].into()), EXPECTED);
        assert_eq!(pseudonyms.of("::ffff:192.0.2.1".parse().unwrap()), EXPECTED);
        assert_ne!(pseudonyms.of([192, 0, 2, 2].into()), EXPECTED);
    }

    const EXPECTED: u64 = 5_648_118_495_470_570_365;
}
