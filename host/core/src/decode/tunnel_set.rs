//! The set of tunnels that the decoder unwraps.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::Tunnel;

/// A set of tunnels whose inner packets are metered in place of the outer packets.
///
/// IP in IP (protocols 4 and 41) is not in this set: it is always unwrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TunnelSet(u8);

impl TunnelSet {
    /// The empty set: outer packets are metered. Its text is `false`.
    pub const NONE: TunnelSet = TunnelSet(0);

    /// GTP-U, CAPWAP and TZSP, the tunnels that NFStream unwraps. Its text is `true`.
    pub const DEFAULT: TunnelSet = TunnelSet::NONE
        .with(Tunnel::Gtp)
        .with(Tunnel::Capwap)
        .with(Tunnel::Tzsp);

    /// Returns this set with `tunnel` added.
    #[must_use]
    pub const fn with(self, tunnel: Tunnel) -> TunnelSet {
        match tunnel {
            Tunnel::None => self,
            tunnel => TunnelSet(self.0 | 1 << tunnel as u8),
        }
    }

    /// Returns whether the set contains `tunnel`.
    pub const fn contains(self, tunnel: Tunnel) -> bool {
        self.0 & 1 << tunnel as u8 != 0
    }

    /// Returns the tunnels of this set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Tunnel> {
        Tunnel::ALL
            .into_iter()
            .filter(move |&tunnel| self.contains(tunnel))
    }
}

impl Default for TunnelSet {
    fn default() -> Self {
        TunnelSet::DEFAULT
    }
}

impl From<bool> for TunnelSet {
    fn from(decode_tunnels: bool) -> Self {
        if decode_tunnels {
            TunnelSet::DEFAULT
        } else {
            TunnelSet::NONE
        }
    }
}

impl FromIterator<Tunnel> for TunnelSet {
    fn from_iter<I: IntoIterator<Item = Tunnel>>(tunnels: I) -> Self {
        tunnels.into_iter().fold(TunnelSet::NONE, TunnelSet::with)
    }
}

/// An unknown name in a list of tunnels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{name}' is no tunnel: expected true, false or a list such as gtp,vxlan out of gtp, capwap, tzsp, vxlan, gre, geneve"
)]
pub struct UnknownTunnel {
    /// The name as it was given, without surrounding spaces.
    pub name: String,
}

/// Parses `true`, `false`, or names of tunnels separated by commas. Case is ignored in names.
impl FromStr for TunnelSet {
    type Err = UnknownTunnel;

    fn from_str(text: &str) -> Result<Self, UnknownTunnel> {
        match text.trim() {
            "true" => Ok(TunnelSet::DEFAULT),
            "false" => Ok(TunnelSet::NONE),
            list => list.split(',').map(tunnel_named).collect(),
        }
    }
}

fn tunnel_named(name: &str) -> Result<Tunnel, UnknownTunnel> {
    let name = name.trim();
    Tunnel::ALL
        .into_iter()
        .find(|tunnel| tunnel.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| UnknownTunnel {
            name: name.to_owned(),
        })
}

/// Writes the form that [`FromStr`] parses.
impl fmt::Display for TunnelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TunnelSet::DEFAULT => f.write_str("true"),
            TunnelSet::NONE => f.write_str("false"),
            set => {
                for (i, tunnel) in set.iter().enumerate() {
                    let comma = if i == 0 { "" } else { "," };
                    write!(f, "{comma}{}", tunnel.name())?;
                }
                Ok(())
            }
        }
    }
}

/// Serializes the set as the text of [`Display`](fmt::Display).
impl Serialize for TunnelSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Deserializes the text that [`FromStr`] parses.
impl<'de> Deserialize<'de> for TunnelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing_restores_a_written_set() {
        let sets = [
            TunnelSet::NONE,
            TunnelSet::DEFAULT,
            TunnelSet::NONE.with(Tunnel::Vxlan),
            Tunnel::ALL.into_iter().collect(),
        ];
        for set in sets {
            assert_eq!(set.to_string().parse(), Ok(set));
        }
    }

    #[test]
    fn a_list_contains_exactly_its_tunnels() {
        let set: TunnelSet = "gtp, VXLAN".parse().expect("both are tunnels");
        assert_eq!(set.iter().collect::<Vec<_>>(), [Tunnel::Gtp, Tunnel::Vxlan]);
    }

    #[test]
    fn the_error_has_the_unknown_name() {
        let error = "gtp,ipsec".parse::<TunnelSet>().expect_err("no tunnel");
        assert_eq!(error.name, "ipsec");
        assert!("".parse::<TunnelSet>().is_err());
        assert!("none".parse::<TunnelSet>().is_err());
    }

    #[test]
    fn a_set_contains_what_was_added_once_or_twice() {
        let set = TunnelSet::NONE.with(Tunnel::Gre).with(Tunnel::Gre);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Tunnel::Gre]);
        assert_eq!(set.with(Tunnel::None), set);
        assert!(set.contains(Tunnel::Gre) && !set.contains(Tunnel::Gtp));
        let default = [Tunnel::Gtp, Tunnel::Capwap, Tunnel::Tzsp];
        assert_eq!(TunnelSet::from(true).iter().collect::<Vec<_>>(), default);
        assert_eq!(TunnelSet::from(false).iter().count(), 0);
        assert_eq!(TunnelSet::default(), TunnelSet::from(true));
    }

    #[test]
    fn a_set_is_serialised_as_its_text() {
        for (set, text) in [
            (TunnelSet::NONE, "\"false\""),
            (TunnelSet::DEFAULT, "\"true\""),
            (
                TunnelSet::NONE.with(Tunnel::Gtp).with(Tunnel::Vxlan),
                "\"gtp,vxlan\"",
            ),
        ] {
            assert_eq!(serde_json::to_string(&set).unwrap(), text);
            assert_eq!(serde_json::from_str::<TunnelSet>(text).unwrap(), set);
        }
        assert!(serde_json::from_str::<TunnelSet>("\"ipsec\"").is_err());
    }
}
