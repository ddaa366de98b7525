//! The protection of a client's Initial packets, whose keys follow from what everybody sees
//! (RFC 9001, section 5; RFC 9369 for version 2).

use aes::Aes128;
use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockEncrypt, KeyInit};
use sha2::{Digest, Sha256};

/// Bytes at the end of a packet that prove that nobody changed it. Whoever knows the keys could, so
/// they prove nothing here.
const TAG: usize = 16;

/// A version of QUIC that speaks TLS and whose keys are known: their salt, and how labels begin.
pub(crate) struct Version {
    salt: [u8; 20],
    prefix: &'static str,
    /// What stands for an Initial packet among the types of packets.
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
    /// The version of that number.
    pub(crate) fn of(number: u32) -> Option<&'static Self> {
        match number {
            1 => Some(&V1),
            0x6b33_43cf => Some(&V2),
            0xff00_001d..=0xff00_0020 => Some(&DRAFTS_29_TO_32),
            0xff00_0017..=0xff00_001c => Some(&DRAFTS_23_TO_28),
            _ => None,
        }
    }

    /// The type of a packet as version 1 numbers them: 0 Initial, 1 0-RTT, 2 Handshake, 3 Retry.
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
    /// They follow from the connection id that the client made up for the server.
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

    /// Takes the protection off a packet, whose number stands at `number`, and gives its frames. Where
    /// the keys are others than the packet's these are noise.
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
        self.turn(&mut frames, counted);
        Some(frames)
    }

    /// What hides the first byte and the number of a packet: it follows from its other bytes.
    fn mask(&self, packet: &[u8], number: usize) -> Option<[u8; 16]> {
        let sample = packet.get(number + 4..)?.first_chunk::<16>()?;
        Some(encrypt(&self.header, *sample))
    }

    /// Encrypts, which is what decrypts, too: AES in the counter mode of GCM. The number of a packet
    /// is that of its last four bytes, which no client's hello gets beyond.
    fn turn(&self, frames: &mut [u8], number: [u8; 4]) {
        let mut block = [0; 16];
        block[..12].copy_from_slice(&self.iv);
        for (byte, number) in block[8..12].iter_mut().zip(number) {
            *byte ^= number;
        }
        // The counter's first value is that of the tag. Several blocks at a time are quicker.
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

    /// Puts the protection on a packet with a number of two bytes and room for the tag, which stays as
    /// it is.
    #[cfg(test)]
    pub(crate) fn seal(&self, packet: &mut [u8], number: usize) {
        let counted = [0, 0, packet[number], packet[number + 1]];
        let end = packet.len() - TAG;
        self.turn(&mut packet[number + 2..end], counted);
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

/// HMAC-SHA256 (RFC 2104) of some parts, with a key of at most 64 bytes.
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

/// HKDF-Expand-Label (RFC 8446, section 7.1) without a context, up to a hash's length.
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

    /// The examples of RFC 9001 and RFC 9369, appendix A: keys of a connection id.
    #[test]
    fn keys_are_those_of_the_examples() {
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

    /// RFC 9001, appendix A.2: the mask of the example's header.
    #[test]
    fn the_mask_is_that_of_the_example() {
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
