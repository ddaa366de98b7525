//! What an operator lets a plugin see.

use std::str::FromStr;

use flowloom_core::fields::Sensitivity;

/// What one plugin is granted beyond the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    addresses: bool,
    pseudonyms: bool,
    application: bool,
    names: bool,
    payload: u32,
    bytes: u32,
}

impl Grants {
    /// The most bytes of a packet that can be granted: the longest IP packet.
    pub const MOST_BYTES: u32 = 65_575;

    /// Returns whether the plugin may read fields of this sensitivity. Bytes from the IP header on show addresses too.
    pub fn allow(&self, sensitivity: Sensitivity) -> bool {
        match sensitivity {
            Sensitivity::None => true,
            Sensitivity::Addresses => self.addresses || self.bytes > 0,
            Sensitivity::Pseudonyms => self.pseudonyms,
            Sensitivity::Application => self.application,
            Sensitivity::Names => self.names,
        }
    }

    /// Bytes of each packet's transport payload that may be seen.
    pub fn payload(&self) -> u32 {
        self.payload
    }

    /// Bytes of each packet from its IP header on that may be seen.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Whether numbers are granted in place of addresses, and the addresses as well, which tells what
    /// the numbers stand for.
    pub(crate) fn unveil(&self) -> bool {
        self.pseudonyms && self.allow(Sensitivity::Addresses)
    }

    /// All that either of two grants.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            addresses: self.addresses || other.addresses,
            pseudonyms: self.pseudonyms || other.pseudonyms,
            application: self.application || other.application,
            names: self.names || other.names,
            payload: self.payload.max(other.payload),
            bytes: self.bytes.max(other.bytes),
        }
    }
}

/// A grant that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a grant: give `addresses`, `pseudonyms`, `application`, `names`, `payload:N` or `bytes:N` (N from 1 to {most}), several with commas between", most = Grants::MOST_BYTES)]
pub struct GrantError(String);

impl FromStr for Grants {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        text.split(',').try_fold(Self::default(), |grants, word| {
            let count = |n: &str| match n.parse() {
                Ok(n @ 1..=Self::MOST_BYTES) => Ok(n),
                _ => Err(GrantError(word.to_owned())),
            };
            Ok(grants.and(match word.split_once(':') {
                None if word == "addresses" => Self {
                    addresses: true,
                    ..Self::default()
                },
                None if word == "pseudonyms" => Self {
                    pseudonyms: true,
                    ..Self::default()
                },
                None if word == "application" => Self {
                    application: true,
                    ..Self::default()
                },
                None if word == "names" => Self {
                    names: true,
                    ..Self::default()
                },
                Some(("payload", n)) => Self {
                    payload: count(n)?,
                    ..Self::default()
                },
                Some(("bytes", n)) => Self {
                    bytes: count(n)?,
                    ..Self::default()
                },
                _ => return Err(GrantError(word.to_owned())),
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_and_refuses_the_rest_by_word() {
        let grants: Grants = "payload:64,addresses".parse().unwrap();
        assert_eq!(
            grants,
            Grants {
                addresses: true,
                payload: 64,
                ..Grants::default()
            }
        );
        assert!(
            "bytes:1"
                .parse::<Grants>()
                .unwrap()
                .allow(Sensitivity::Addresses)
        );
        for wrong in [
            "",
            "payload",
            "payload:",
            "payload:0",
            "payload:-1",
            "address",
            "bytes:70000",
            "addresses,x",
        ] {
            let error = wrong.parse::<Grants>().unwrap_err().to_string();
            assert!(
                error.contains("is not a grant: give `addresses`"),
                "{error}"
            );
        }
    }
}
