//! The sensitivity of fields.

/// The kind of sensitive data in a field. It decides which grant a plugin needs to read the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
// Exhaustive: whoever grants fields decides about each.
pub enum Sensitivity {
    /// Sizes, times, direction, flags, ports, protocol and counters. Every plugin can read these.
    None,
    /// IP and MAC addresses.
    Addresses,
    /// Numbers that replace IP addresses.
    Pseudonyms,
    /// The application of a flow.
    Application,
    /// Host names, software names and fingerprints in the packets of a flow, and the process that sends them.
    Names,
}

impl Sensitivity {
    /// Returns the word for `--grant` that allows a plugin to read the field; empty if none is needed.
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
