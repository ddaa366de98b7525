//! Grants: the data that the operator allows a plugin to read.

use std::fmt;
use std::str::FromStr;

use flowloom_core::fields::Sensitivity;

/// The grants of one plugin beyond the default.
///
/// They are written as a list such as `addresses,payload:64`, without spaces. The empty list has no grants.
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
    /// The maximum number of bytes of a packet that can be granted: the longest IP packet.
    pub const MAX_BYTES: u32 = 65_575;

    /// Returns whether the plugin may read fields of this sensitivity. Bytes from the IP header on contain
    /// addresses too.
    pub fn allow(&self, sensitivity: Sensitivity) -> bool {
        match sensitivity {
            Sensitivity::None => true,
            Sensitivity::Addresses => self.addresses || self.bytes > 0,
            Sensitivity::Pseudonyms => self.pseudonyms,
            Sensitivity::Application => self.application,
            Sensitivity::Names => self.names,
        }
    }

    /// Returns how many bytes of each packet's transport payload the plugin may read.
    pub fn payload(&self) -> u32 {
        self.payload
    }

    /// Returns how many bytes of each packet, from its IP header on, the plugin may read.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Returns whether pseudonyms are granted together with the addresses behind them.
    pub(crate) fn reveal_pseudonyms(&self) -> bool {
        self.pseudonyms && self.allow(Sensitivity::Addresses)
    }

    /// Returns the union of two grants.
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

impl Grants {
    /// Returns the grant that allows fields of this sensitivity.
    pub(crate) fn of(sensitivity: Sensitivity) -> Self {
        let mut grants = Self::default();
        match sensitivity {
            Sensitivity::None => {}
            Sensitivity::Addresses => grants.addresses = true,
            Sensitivity::Pseudonyms => grants.pseudonyms = true,
            Sensitivity::Application => grants.application = true,
            Sensitivity::Names => grants.names = true,
        }
        grants
    }

    /// Returns the grant for this many bytes of each packet's transport payload.
    pub(crate) fn of_payload(bytes: u32) -> Self {
        Self {
            payload: bytes,
            ..Self::default()
        }
    }

    /// Returns the grant for this many bytes of each packet from its IP header on.
    pub(crate) fn of_bytes(bytes: u32) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// Returns these grants without those that others of them include.
    pub(crate) fn minimal(self) -> Self {
        Self {
            addresses: self.addresses && self.bytes == 0,
            ..self
        }
    }
}

/// Writes the grants as they can be parsed again.
impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.addresses, "addresses", None),
            (self.pseudonyms, "pseudonyms", None),
            (self.application, "application", None),
            (self.names, "names", None),
            (self.payload > 0, "payload", Some(self.payload)),
            (self.bytes > 0, "bytes", Some(self.bytes)),
        ];
        let mut comma = "";
        for (_, word, count) in words.into_iter().filter(|(is_granted, ..)| *is_granted) {
            write!(f, "{comma}{word}")?;
            if let Some(count) = count {
                write!(f, ":{count}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

/// A word that is not a grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a grant; give addresses, pseudonyms, application, names, payload:N or bytes:N (N from 1 to {max}), separated by commas", max = Grants::MAX_BYTES)]
pub struct GrantError(String);

impl FromStr for Grants {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        text.split(',').try_fold(Self::default(), |grants, word| {
            let count = |n: &str| match n.parse() {
                Ok(n @ 1..=Self::MAX_BYTES) => Ok(n),
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
    fn grants_are_written_as_they_are_parsed() {
        for text in [
            "addresses",
            "pseudonyms",
            "application,names",
            "addresses,payload:1500",
            "addresses,pseudonyms,application,names,payload:1,bytes:65575",
        ] {
            assert_eq!(text.parse::<Grants>().unwrap().to_string(), text);
        }
        assert_eq!(Grants::default().to_string(), "");
    }

    #[test]
    fn lists_are_parsed_and_errors_name_the_word() {
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
            assert!(error.contains("is not a grant; give addresses"), "{error}");
        }
    }

    #[test]
    fn each_grant_allows_its_own_data() {
        let all = [
            Sensitivity::Addresses,
            Sensitivity::Pseudonyms,
            Sensitivity::Application,
            Sensitivity::Names,
        ];
        for granted in all {
            let grants = Grants::of(granted);
            assert_eq!(grants.to_string(), granted.grant());
            assert!(grants.allow(Sensitivity::None));
            for sensitivity in all {
                assert_eq!(grants.allow(sensitivity), sensitivity == granted);
            }
        }
        assert_eq!(Grants::of(Sensitivity::None), Grants::default());
        assert_eq!(Grants::of_payload(9).to_string(), "payload:9");
        assert_eq!(Grants::of_bytes(9).to_string(), "bytes:9");
        assert_eq!(
            (Grants::of_payload(9).payload(), Grants::of_bytes(8).bytes()),
            (9, 8)
        );
    }

    #[test]
    fn a_union_has_the_grants_of_both() {
        let parse = |text: &str| text.parse::<Grants>().unwrap_or_default();
        for (one, other, both) in [
            ("", "", ""),
            ("addresses", "pseudonyms", "addresses,pseudonyms"),
            ("application", "names", "application,names"),
            (
                "payload:7,bytes:1",
                "payload:5,bytes:2",
                "payload:7,bytes:2",
            ),
            ("names,addresses", "names", "addresses,names"),
        ] {
            for union in [parse(one).and(parse(other)), parse(other).and(parse(one))] {
                assert_eq!(union.to_string(), both);
            }
        }
        // Bytes from the IP header on include the addresses.
        for (grants, minimal) in [
            ("addresses,bytes:1", "bytes:1"),
            ("addresses,payload:1", "addresses,payload:1"),
            ("names,bytes:1", "names,bytes:1"),
        ] {
            assert_eq!(parse(grants).minimal().to_string(), minimal);
        }
        for (grants, reveals) in [
            ("pseudonyms", false),
            ("addresses,bytes:1", false),
            ("pseudonyms,addresses", true),
            ("pseudonyms,bytes:1", true),
        ] {
            assert_eq!(parse(grants).reveal_pseudonyms(), reveals, "{grants}");
        }
    }
}
