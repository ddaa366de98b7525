//! What a field reveals.

/// What a field reveals, and so which grant a plugin needs to read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// Sizes, times, direction, flags, ports, protocol and counters. Every plugin can read these.
    None,
    /// IP and MAC addresses.
    Addresses,
    /// Numbers in place of IP addresses.
    Pseudonyms,
    /// The application of a flow.
    Application,
    /// Names, software and fingerprints that the two sides of a flow tell each other.
    Names,
}

impl Sensitivity {
    /// Returns the word of `--grant` that lets a plugin read the field; empty where none is needed.
    pub fn grant(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Addresses => "addresses",
            Self::Pseudonyms => "pseudonyms",
            Self::Application => "application",
            Self::Names => "names",
        }
    }
}
