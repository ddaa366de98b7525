//! The fingerprint of a ClientHello, according to FoxIO's specification of JA4.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::hello::Hello;

const SERVER_NAME: u16 = 0x0000;
const ALPN: u16 = 0x0010;

/// The maximum of the counts in a fingerprint, which have two digits.
const MOST: usize = 99;

/// The transport of TLS.
#[derive(Clone, Copy)]
pub(crate) enum Transport {
    /// TCP, with TLS records.
    Tcp,
    /// QUIC, without TLS records.
    Quic,
}

/// The fingerprint of a TLS client.
#[derive(Debug, PartialEq)]
pub(crate) struct Fingerprint {
    /// JA4: a summary of the ClientHello, and hashes of its lists.
    pub(crate) hashed: String,
    /// JA4_r: the same with the lists instead of their hashes.
    pub(crate) raw: String,
}

impl Fingerprint {
    /// Computes the fingerprint of a ClientHello.
    pub(crate) fn of(hello: &Hello, over: Transport) -> Self {
        let mut ciphers = without_grease(&hello.ciphers);
        let mut extensions = without_grease(&hello.extensions);
        let signatures = without_grease(&hello.signatures);
        let a = format!(
            "{}{}{}{:02}{:02}{}",
            match over {
                Transport::Tcp => 't',
                Transport::Quic => 'q',
            },
            version(hello),
            if hello.names_server { 'd' } else { 'i' },
            ciphers.len().min(MOST),
            extensions.len().min(MOST),
            protocol(&hello.protocol),
        );
        ciphers.sort_unstable();
        extensions.sort_unstable();
        // The specification excludes these two from the hash: the first part contains them, and they depend on the
        // destination instead of the client.
        extensions.retain(|&kind| kind != SERVER_NAME && kind != ALPN);
        let b = list(&ciphers);
        let mut c = list(&extensions);
        if !signatures.is_empty() {
            c.push('_');
            c += &list(&signatures);
        }
        Fingerprint {
            hashed: format!("{a}_{}_{}", hash(&b), hash(&c)),
            raw: format!("{a}_{b}_{c}"),
        }
    }
}

/// Returns whether a value is a GREASE value, 0x0a0a, 0x1a1a, … 0xfafa, which has no meaning (RFC 8701).
fn is_grease(value: u16) -> bool {
    let [high, low] = value.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

fn without_grease(values: &[u16]) -> Vec<u16> {
    let values = values.iter().copied();
    values.filter(|&value| !is_grease(value)).collect()
}

/// Returns the highest version in `supported_versions`, or the version of the message if that list is empty.
fn version(hello: &Hello) -> &'static str {
    let offered = without_grease(&hello.versions).into_iter().max();
    match offered.unwrap_or(hello.version) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// Returns the first and the last character of the first protocol. If one of them is neither a letter nor a digit,
/// it returns the first and the last digit of the name in hexadecimal.
fn protocol(name: &[u8]) -> String {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return "00".to_owned();
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [first, last].map(char::from).iter().collect()
    } else {
        format!("{:x}{:x}", first >> 4, last & 15)
    }
}

fn list(values: &[u16]) -> String {
    let mut list = String::new();
    for value in values {
        let comma = if list.is_empty() { "" } else { "," };
        let _ = write!(list, "{comma}{value:04x}");
    }
    list
}

/// Returns the first twelve hexadecimal digits of the SHA-256 hash, or zeros for an empty list.
fn hash(list: &str) -> String {
    if list.is_empty() {
        return "0".repeat(12);
    }
    let mut digits = String::new();
    for byte in &Sha256::digest(list)[..6] {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hello: &Hello) -> Fingerprint {
        Fingerprint::of(hello, Transport::Tcp)
    }

    /// The example of the specification.
    fn example() -> Hello {
        Hello {
            version: 0x0303,
            ciphers: vec![
                0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
                0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023,
                0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
            ],
            names_server: true,
            versions: vec![0x0303, 0x0304],
            signatures: vec![
                0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
            ],
            protocol: b"h2".to_vec(),
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        let fingerprint = of(&example());
        assert_eq!(fingerprint.hashed, "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(
            fingerprint.raw,
            "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9\
             _0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01\
             _0403,0804,0401,0503,0805,0501,0806,0601"
        );
    }

    #[test]
    fn grease_is_ignored_everywhere() {
        let mut greased = example();
        for list in [
            &mut greased.ciphers,
            &mut greased.extensions,
            &mut greased.versions,
            &mut greased.signatures,
        ] {
            list.insert(0, 0xfafa);
            list.insert(1, 0x0a0a);
        }
        assert_eq!(of(&greased), of(&example()));
        assert!(!is_grease(0x0a1a) && !is_grease(0x0b0b));
    }

    #[test]
    fn without_signature_algorithms_there_is_no_underscore() {
        let hello = Hello {
            signatures: vec![],
            ..example()
        };
        let fingerprint = of(&hello);
        assert!(fingerprint.hashed.ends_with("_6d807ffa2a79"));
        assert!(fingerprint.raw.ends_with(",ff01"));
    }

    #[test]
    fn quic_has_its_own_first_character() {
        let fingerprint = Fingerprint::of(&example(), Transport::Quic);
        assert_eq!(fingerprint.hashed, "q13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn the_hash_of_an_empty_list_is_zeros() {
        let hello = Hello {
            version: 0x0301,
            ..Hello::default()
        };
        let fingerprint = of(&hello);
        assert_eq!(fingerprint.hashed, "t10i000000_000000000000_000000000000");
        assert_eq!(fingerprint.raw, "t10i000000__");
    }

    #[test]
    fn server_name_and_alpn_are_counted_but_not_hashed() {
        let hello = Hello {
            extensions: vec![SERVER_NAME, ALPN],
            names_server: true,
            version: 0x0303,
            ..Hello::default()
        };
        let fingerprint = of(&hello);
        assert_eq!(fingerprint.hashed, "t12d000200_000000000000_000000000000");
    }

    #[test]
    fn counts_end_at_99() {
        let hello = Hello {
            ciphers: (0..150).collect(),
            extensions: (100..300).collect(),
            ..Hello::default()
        };
        assert!(of(&hello).hashed.starts_with("t00i999900_"));
    }

    #[test]
    fn the_version_is_the_highest_offered() {
        let version_of = |version, versions: &[u16]| {
            let versions = versions.to_vec();
            super::version(&Hello {
                version,
                versions,
                ..Hello::default()
            })
        };
        assert_eq!(version_of(0x0303, &[0x0302, 0x0304, 0x0303]), "13");
        assert_eq!(version_of(0x0303, &[]), "12");
        assert_eq!(version_of(0x0302, &[0x3a3a]), "11");
        assert_eq!(version_of(0x0301, &[0x7f1c, 0x0303]), "00");
        assert_eq!(
            (version_of(0x0300, &[]), version_of(0x0002, &[])),
            ("s3", "s2")
        );
    }

    /// The examples in the specification, and its rule for one character.
    #[test]
    fn protocols_with_other_characters_use_hexadecimal_digits() {
        for (name, expected) in [
            (&b""[..], "00"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"\xab", "ab"),
            (b"\x20", "20"),
            (b"\xab\xcd", "ad"),
            (b"\x20\x61", "21"),
            (b"\x30\xab", "3b"),
            (b"\x61\x20", "60"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
        ] {
            assert_eq!(protocol(name), expected, "{name:?}");
        }
    }
}
