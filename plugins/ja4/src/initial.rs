//! The protection of a client's Initial packets (RFC 9001, section 5; RFC 9369 for version 2). Their keys are
//! derived from values in the packets themselves.

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit};
use sha2::{Digest, Sha256};

/// The length of the authentication tag at the end of a packet. The plugin does not verify the tag: the keys are
/// public, so the tag does not prove who sent the packet.
const TAG: usize = 16;

/// A supported version of QUIC.
pub(crate) struct Version {
    /// The salt from which the keys are derived.
    salt: [u8; 20],
    /// The prefix of the labels of the key derivation.
    prefix: &'static str,
    /// The number of the packet type Initial.
    initial: u8,
}

const V1: Version = Version {
    salt: *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
    prefix: "quic",
    initial: 0,
};

const V2: Version = Version {
    salt: *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
    prefix: "quicv2",
    initial: 1,
};

const DRAFTS_29_TO_32: Version = Version {
    salt: *b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99",
    ..V1
};

const DRAFTS_23_TO_28: Version = Version {
    salt: *b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02",
    ..V1
};

impl Version {
    /// Returns the version with this number.
    pub(crate) fn of(number: u32) -> Option<&'static Self> {
        match number {
            1 => Some(&V1),
            0x6b33_43cf => Some(&V2),
            0xff00_001d..=0xff00_0020 => Some(&DRAFTS_29_TO_32),
            0xff00_0017..=0xff00_001c => Some(&DRAFTS_23_TO_28),
            _ => None,
        }
    }

    /// Converts a packet type to the numbers of version 1: 0 Initial, 1 0-RTT, 2 Handshake, 3 Retry.
    pub(crate) fn kind(&self, number: u8) -> u8 {
        number.wrapping_sub(self.initial) & 3
    }
}

/// The keys of a client's Initial packets.
pub(crate) struct Keys {
    packet: Aes128,
    header: Aes128,
    iv: [u8; 12],
}

impl Keys {
    /// Derives the keys from the connection id that the client chose for the server.
    pub(crate) fn new(version: &Version, connection: &[u8]) -> Self {
        let secret = hmac(&version.salt, &[connection]);
        let secret = expand(&secret, "client in");
        let key = |name: &str| expand_some::<16>(&secret, &format!("{} {name}", version.prefix));
        Keys {
            packet: Aes128::new(&key("key").into()),
            header: Aes128::new(&key("hp").into()),
            iv: expand_some(&secret, &format!("{} iv", version.prefix)),
        }
    }

    /// Removes the protection of a packet, and returns its frames. `number` is the offset of the packet number. If
    /// the keys do not belong to the packet, the frames are random bytes.
    pub(crate) fn open(&self, packet: &[u8], number: usize) -> Option<Vec<u8>> {
        let mask = self.mask(packet, number)?;
        let first = packet.first()? ^ mask[0] & 0x0f;
        let (length, reserved) = (usize::from(first & 3) + 1, first & 0x0c);
        if reserved != 0 {
            return None;
        }
        let mut counted = [0; 4];
        for n in 0..length {
            counted[4 - length + n] = packet[number + n] ^ mask[1 + n];
        }
        let end = packet.len().checked_sub(TAG)?;
        let mut frames = packet.get(number + length..end)?.to_vec();
        self.apply_key_stream(&mut frames, counted);
        Some(frames)
    }

    /// Returns the header protection mask of a packet, which a sample of its bytes determines. It covers the first
    /// byte and the packet number.
    fn mask(&self, packet: &[u8], number: usize) -> Option<[u8; 16]> {
        let sample = packet.get(number + 4..)?.first_chunk::<16>()?;
        Some(encrypt(&self.header, *sample))
    }

    /// Encrypts or decrypts frames with the key stream: AES in counter mode, as in GCM. The packet number has at most
    /// four bytes here, which is enough for the packets of a ClientHello.
    fn apply_key_stream(&self, frames: &mut [u8], number: [u8; 4]) {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&self.iv);
        for (byte, number) in block[8..12].iter_mut().zip(number) {
            *byte ^= number;
        }
        // Counter value 1 belongs to the tag, so the frames begin at 2. Encrypting several blocks at once is faster.
        let mut stream: Vec<_> = (2_u32..)
            .take(frames.len().div_ceil(16))
            .map(|counter| {
                block[12..].copy_from_slice(&counter.to_be_bytes());
                GenericArray::from(block)
            })
            .collect();
        self.packet.encrypt_blocks(&mut stream);
        for (byte, key) in frames.iter_mut().zip(stream.iter().flatten()) {
            *byte ^= key;
        }
    }

    /// Protects a packet with a packet number of two bytes. The packet has space for the tag, which stays unchanged.
    #[cfg(test)]
    pub(crate) fn seal(&self, packet: &mut [u8], number: usize) {
        let counted = [0, 0, packet[number], packet[number + 1]];
        let end = packet.len() - TAG;
        self.apply_key_stream(&mut packet[number + 2..end], counted);
        let mask = self.mask(packet, number).expect("it is long enough");
        packet[0] ^= mask[0] & 0x0f;
        packet[number] ^= mask[1];
        packet[number + 1] ^= mask[2];
    }
}

fn encrypt(key: &Aes128, block: [u8; 16]) -> [u8; 16] {
    let mut block = GenericArray::from(block);
    key.encrypt_block(&mut block);
    block.into()
}

/// Returns HMAC-SHA256 (RFC 2104) of the concatenated parts. The key has at most 64 bytes.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let mut inner = Sha256::new_with_prefix(padded(0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new_with_prefix(padded(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Returns HKDF-Expand-Label (RFC 8446, section 7.1) with an empty context. `length` is at most 32; the caller uses
/// only that number of bytes.
fn expand_label(secret: &[u8; 32], label: &str, length: u8) -> [u8; 32] {
    let name = 6 + label.len() as u8;
    hmac(
        secret,
        &[&[0, length, name], b"tls13 ", label.as_bytes(), &[0, 1]],
    )
}

fn expand(secret: &[u8; 32], label: &str) -> [u8; 32] {
    expand_label(secret, label, 32)
}

fn expand_some<const N: usize>(secret: &[u8; 32], label: &str) -> [u8; N] {
    let whole = expand_label(secret, label, N as u8);
    std::array::from_fn(|n| whole[n])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The examples of RFC 9001 and RFC 9369, appendix A: keys that are derived from a connection id.
    #[test]
    fn keys_match_the_examples() {
        let connection = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
        for (version, key, iv, header) in [
            (
                &V1,
                "1f369613dd76d5467730efcbe3b1a22d",
                "fa044b2f42a3fd3b46fb255c",
                "9f50449e04a0e810283a1e9933adedd2",
            ),
            (
                &V2,
                "8b1a0bc121284290a29e0971b5cd045d",
                "91f73e2351d8fa91660e909f",
                "45b95e15235d6f45a6b19cbcb0294ba9",
            ),
        ] {
            let secret = expand(&hmac(&version.salt, &[&connection]), "client in");
            let label = |name: &str| format!("{} {name}", version.prefix);
            assert_eq!(hexadecimal(&expand_some::<16>(&secret, &label("key"))), key);
            assert_eq!(hexadecimal(&expand_some::<12>(&secret, &label("iv"))), iv);
            assert_eq!(
                hexadecimal(&expand_some::<16>(&secret, &label("hp"))),
                header
            );
        }
    }

    /// RFC 9001, appendix A.2: the header protection mask of the example.
    #[test]
    fn the_mask_matches_the_example() {
        let keys = Keys::new(&V1, &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08]);
        let sample = [
            0xd1, 0xb1, 0xc9, 0x8d, 0xd7, 0x68, 0x9f, 0xb8, 0xec, 0x11, 0xd2, 0x42, 0xb1, 0x23,
            0xdc, 0x9b,
        ];
        assert_eq!(
            hexadecimal(&encrypt(&keys.header, sample)[..5]),
            "437b9aec36"
        );
    }
}
