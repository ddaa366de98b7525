//! Addresses and networks, which only filters have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Lexer;
use crate::ast::{Literal, Network};
use crate::diagnostic::Diagnostic;

impl Lexer<'_> {
    /// Reads an IP address, a network or a MAC address, if there is one.
    pub(super) fn address(&mut self) -> Result<Option<Literal>, Diagnostic> {
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let mut text = &rest[..len];
        // The dots of a range are not part of an address.
        if let Some(dots) = text.find("..") {
            text = &text[..dots];
        }
        let follows_name =
            |end: usize| rest[end..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if follows_name(text.len()) {
            return Ok(None);
        }
        let groups: Vec<_> = text.split(':').collect();
        if groups.len() == 6 && groups.iter().all(|group| group.len() == 2) {
            self.at += text.len();
            return Ok(Some(Literal::Text(text.to_ascii_lowercase())));
        }
        let address: IpAddr = match text.parse::<Ipv4Addr>() {
            Ok(address) => address.into(),
            // Two hexadecimal numbers with one colon are not an address.
            Err(_) if groups.len() > 2 => match text.parse::<Ipv6Addr>() {
                Ok(address) => address.into(),
                Err(_) => return Ok(None),
            },
            Err(_) => return Ok(None),
        };
        let start = self.at;
        self.at += text.len();
        if !self.rest().starts_with('/') {
            return Ok(Some(Literal::Address(address)));
        }
        self.at += 1;
        let bits = self.take(|c| c.is_ascii_digit());
        match bits
            .parse()
            .ok()
            .and_then(|bits| Network::new(address, bits))
        {
            Some(network) => Ok(Some(Literal::Network(network))),
            None => Err(Diagnostic::new(
                start..self.at,
                "the network has no valid number of bits",
                match address {
                    IpAddr::V4(_) => "0 to 32 bits are accepted, as in 10.0.0.0/8",
                    IpAddr::V6(_) => "0 to 128 bits are accepted, as in 2001:db8::/32",
                },
            )),
        }
    }
}
