//! The key of pseudonyms and of anonymised columns.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use blake2::Blake2bMac512;
use blake2::digest::KeyInit as _;

use crate::bounded_file::BoundedRead;

/// The key of pseudonyms and of anonymised columns: 64 bytes, written as 128 hexadecimal digits.
///
/// With the key, the address of a hash can be found by trying all addresses. The key is never logged or
/// printed.
#[derive(Clone)]
pub struct AnonymizationKey([u8; KEY_LEN]);

const KEY_LEN: usize = 64;

/// The maximum size of a key file. A key has 128 digits and white space.
const MAX_KEY_FILE_BYTES: u64 = 4 << 10;

/// The reason why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not a key. The error does not contain the text.
    #[error(
        "anonymization_key: a key has 128 hexadecimal digits (64 bytes), but this text has {0}; create a key with 'openssl rand -hex 64'"
    )]
    NotAKey(String),
    /// The file cannot be read as text.
    #[error(
        "anonymization_key: cannot read {}: {error}",
        crate::escape::escaped_path(path)
    )]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The operating system returned no random bytes.
    #[error("anonymization_key: cannot get random bytes from the operating system: {0}")]
    NoRandomness(getrandom::Error),
}

impl AnonymizationKey {
    /// Creates a random key. Hashes then differ from run to run.
    ///
    /// # Errors
    ///
    /// The operating system returns no random bytes.
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = [0; KEY_LEN];
        getrandom::fill(&mut bytes).map_err(KeyError::NoRandomness)?;
        Ok(Self(bytes))
    }

    /// Reads a key from a text file. White space around the key is ignored.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is not a regular file, has more than 4,096 bytes, or does not contain a key.
    pub fn from_file(path: impl Into<PathBuf>) -> Result<Self, KeyError> {
        let path = path.into();
        match BoundedRead::new(MAX_KEY_FILE_BYTES).text(&path) {
            Ok(text) => text.trim().parse(),
            Err(error) => Err(KeyError::Unreadable {
                path,
                error: error.into(),
            }),
        }
    }
}

impl AnonymizationKey {
    /// Returns BLAKE2b-512 with this key, before any input.
    pub fn mac(&self) -> Blake2bMac512 {
        Blake2bMac512::new(&self.0.into())
    }
}

impl From<[u8; KEY_LEN]> for AnonymizationKey {
    fn from(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }
}

impl FromStr for AnonymizationKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != KEY_LEN || !rest.is_empty() {
            let count = text.chars().count();
            return Err(KeyError::NotAKey(format!("{count} characters")));
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let mut key = [0; KEY_LEN];
        for (byte, [high, low]) in key.iter_mut().zip(pairs) {
            *byte = digit(*high)
                .zip(digit(*low))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(|| KeyError::NotAKey("other characters".to_owned()))?;
        }
        Ok(Self(key))
    }
}

/// Writes the name of the type without the key.
impl fmt::Debug for AnonymizationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnonymizationKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_never_printed() {
        let digits = "Ab".repeat(64);
        let key: AnonymizationKey = digits.parse().unwrap();
        assert_eq!(key.0, [0xab; 64]);
        assert_eq!(format!("{key:?}"), "AnonymizationKey(…)");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, format!("{digits}\n")).unwrap();
        assert_eq!(AnonymizationKey::from_file(path).unwrap().0, key.0);

        let error = |text: &str| text.parse::<AnonymizationKey>().unwrap_err().to_string();
        for (wrong, what) in [
            ("secret".to_owned(), "but this text has 6 characters;"),
            (digits.clone() + "0", "but this text has 129 characters;"),
            (
                digits.replacen('A', "g", 1),
                "but this text has other characters;",
            ),
            (
                digits.replacen("Ab", "+1", 1),
                "but this text has other characters;",
            ),
        ] {
            assert!(error(&wrong).contains(what), "{}", error(&wrong));
            assert!(!error(&wrong).contains(&wrong));
        }
        let [one, other] = [(); 2].map(|()| AnonymizationKey::random().unwrap().0);
        assert_ne!(one, other);
    }
}
