//! The names of common protocols.

/// A protocol after the IP header and its extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The IANA number: the value of a flow's `protocol`.
    pub number: u8,
    /// The name.
    pub name: &'static str,
    /// A note about flows of the protocol, in full sentences; empty if there is none.
    pub note: &'static str,
}

impl Protocol {
    const fn new(number: u8, name: &'static str, note: &'static str) -> Self {
        Self { number, name, note }
    }
}

const PORTLESS: &str =
    "No ports: all packets between two hosts are one flow. Transport and payload sizes are 0.";
const UNWRAPPED: &str = "Flowloom meters the inner packet instead. A flow has this number only if the payload is not an IP packet, or within GTP-U.";

/// Common protocols, by number. Flowloom meters all other protocols too.
pub static PROTOCOLS: &[Protocol] = &[
    Protocol::new(
        1,
        "ICMP",
        "No ports: all packets between two hosts are one flow.",
    ),
    Protocol::new(2, "IGMP", PORTLESS),
    Protocol::new(4, "IP in IP", UNWRAPPED),
    Protocol::new(6, "TCP", ""),
    Protocol::new(9, "IGRP", PORTLESS),
    Protocol::new(17, "UDP", ""),
    Protocol::new(41, "IPv6 in IP", UNWRAPPED),
    Protocol::new(
        47,
        "GRE",
        "No ports. Flowloom meters the inner packet instead if decode_tunnels includes gre.",
    ),
    Protocol::new(50, "ESP", PORTLESS),
    Protocol::new(51, "AH", PORTLESS),
    Protocol::new(
        58,
        "ICMPv6",
        "No ports: all packets between two hosts are one flow.",
    ),
    Protocol::new(88, "EIGRP", PORTLESS),
    Protocol::new(89, "OSPF", PORTLESS),
    Protocol::new(103, "PIM", PORTLESS),
    Protocol::new(112, "VRRP", PORTLESS),
    Protocol::new(115, "L2TP", PORTLESS),
    Protocol::new(124, "IS-IS", PORTLESS),
    Protocol::new(132, "SCTP", PORTLESS),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Settings;
    use crate::meter::testing::metered;
    use crate::value::Value;

    /// Returns a packet with 40 bytes of payload that are not a valid header of any protocol.
    fn packet(version: u8, protocol: u8) -> Vec<u8> {
        let mut packet = match version {
            4 => vec![0x45, 0, 0, 60, 0, 0, 0, 0, 64, protocol, 0, 0],
            _ => vec![0x60, 0, 0, 0, 0, 40, protocol, 64],
        };
        packet.resize(if version == 4 { 20 } else { 40 }, 1);
        packet.resize(packet.len() + 40, 0);
        packet
    }

    #[test]
    fn each_is_the_protocol_of_its_flow() {
        for version in [4, 6] {
            for protocol in PROTOCOLS {
                let flows = metered(
                    Settings::default(),
                    &[
                        packet(version, protocol.number),
                        packet(version, protocol.number),
                    ],
                );
                let [flow] = &flows[..] else {
                    panic!("{protocol:?}: {flows:?}")
                };
                let number = Value::Integer(protocol.number.into());
                assert_eq!(flow.get("protocol"), Some(number));
                let version = Value::Integer(version.into());
                assert_eq!(flow.get("ip_version"), Some(version));
                assert_eq!(flow.get("bidirectional_packets"), Some(Value::Integer(2)));
                // The note agrees with the sizes.
                let has_sizes = matches!(protocol.number, 1 | 6 | 17 | 58);
                assert_eq!(
                    has_sizes,
                    protocol.note != PORTLESS
                        && protocol.note != UNWRAPPED
                        && protocol.number != 47
                );
            }
        }
    }

    #[test]
    fn ip_in_ip_is_metered_as_the_inner_packet() {
        for (outer, inner) in [(4, 4), (41, 6)] {
            let mut tunnelled = packet(4, outer);
            let inner = packet(inner, 89);
            tunnelled.truncate(20);
            tunnelled[3] += inner.len() as u8 - 40;
            tunnelled.extend(inner);
            let flows = metered(Settings::default(), &[tunnelled]);
            assert_eq!(
                flows[0].get("protocol"),
                Some(Value::Integer(89)),
                "{outer}"
            );
        }
    }
}
