//! Filter expressions of libpcap, as defined by `pcap-filter(7)`.

mod bpf;

use std::{fmt, slice};

use flowloom_core::link_type::{LinkType, RawPacket};
use pcap::{BpfInstruction, BpfProgram, Capture, Linktype};

use self::bpf::{Program, RawInstruction};
use super::libpcap;

/// The link types for which an expression is checked before the first packet: Ethernet, 802.11,
/// Linux cooked, raw IP and PPP.
const COMMON_LINK_TYPES: [u16; 5] = [1, 127, 113, 101, 9];

/// A filter expression. libpcap compiles it once for each link type of the packets.
///
/// The expression applies to the outermost frame. Lengths (`less`, `greater`, `len`) are those on
/// the wire. The netmask is unknown, so that `ip broadcast` matches only 0.0.0.0 and
/// 255.255.255.255.
pub struct Filter {
    expression: String,
    /// The programs by link type, or `None` for a link type for which the expression cannot be
    /// compiled. The search is linear, because a capture seldom has more than one link type.
    programs: Vec<(LinkType, Option<Program>)>,
}

/// The error of an expression that libpcap rejects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot use filter '{expression}' for link type {}: {message}", link.0)]
pub struct FilterError {
    /// The expression.
    pub expression: String,
    /// The link type for which it was compiled.
    pub link: LinkType,
    /// The error of libpcap.
    pub message: String,
}

impl Filter {
    /// Creates a filter from an expression. libpcap must accept it for at least one common link
    /// type.
    ///
    /// Some expressions are valid for some link types only. For example, `wlan type mgt` is valid
    /// for 802.11. [`matches`](Self::matches) reports an error if the expression is not valid for a
    /// packet. Host names in the expression are resolved now, and again for each link type.
    ///
    /// # Errors
    ///
    /// Returns the error for Ethernet if the expression is valid for none of the common link types.
    pub fn new(expression: impl Into<String>) -> Result<Self, FilterError> {
        let filter = Self {
            expression: expression.into(),
            programs: Vec::new(),
        };
        let [ethernet, others @ ..] = COMMON_LINK_TYPES.map(LinkType);
        match filter.compile(ethernet) {
            Err(error) if others.iter().all(|link| filter.compile(*link).is_err()) => Err(error),
            _ => Ok(filter),
        }
    }

    /// Returns the expression.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Returns whether a packet matches.
    ///
    /// # Errors
    ///
    /// Returns an error if the expression is valid for none of the link types seen so far. It is
    /// returned once for each link type; further packets do not match. If the expression was valid
    /// for another link type, packets of this link type do not match. For example, `ether host` in
    /// a capture of Ethernet and a tunnel interface selects Ethernet packets.
    pub fn matches(&mut self, packet: &RawPacket<'_>) -> Result<bool, FilterError> {
        let program = self.program(packet.link)?;
        Ok(program.is_some_and(|program| program.accepts(packet.data, packet.wire_len)))
    }

    fn program(&mut self, link: LinkType) -> Result<Option<&Program>, FilterError> {
        let known = self.programs.iter().position(|(known, _)| *known == link);
        let index = known.unwrap_or(self.programs.len());
        if known.is_none() {
            let elsewhere = self.programs.iter().any(|(_, program)| program.is_some());
            self.programs.push((link, None));
            match self.compile(link) {
                Ok(program) => self.programs[index].1 = Some(program),
                Err(error) if elsewhere => tracing::warn!("{error}; these packets do not match"),
                Err(error) => return Err(error),
            }
        }
        Ok(self.programs[index].1.as_ref())
    }

    fn compile(&self, link: LinkType) -> Result<Program, FilterError> {
        let fail = |message: String| FilterError {
            expression: self.expression.clone(),
            link,
            message,
        };
        let program = Capture::dead(Linktype(libpcap::data_link(link)))
            .and_then(|dead| dead.compile(&self.expression, true))
            .map_err(|error| fail(libpcap::message(error)))?;
        Program::new(raw_instructions(&program).iter().copied())
            .ok_or_else(|| fail("libpcap generated an instruction that is not classic BPF".into()))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.expression).finish()
    }
}

/// Returns the instructions of a compiled program.
#[allow(
    unsafe_code,
    reason = "the pcap crate keeps the fields of an instruction private"
)]
fn raw_instructions(program: &BpfProgram) -> &[RawInstruction] {
    const {
        assert!(size_of::<BpfInstruction>() == size_of::<RawInstruction>());
        assert!(align_of::<BpfInstruction>() == align_of::<RawInstruction>());
    }
    let instructions = program.get_instructions();
    // SAFETY: `BpfInstruction` is a transparent wrapper of libpcap's `struct bpf_insn`, which has
    // the fields of `RawInstruction` in the same order. Every bit pattern is valid for them. The
    // assertions above compare size and alignment, a test the values. Pointer, length and lifetime
    // are those of `instructions`.
    unsafe { slice::from_raw_parts(instructions.as_ptr().cast(), instructions.len()) }
}

#[cfg(test)]
mod tests {
    use flowloom_core::link_type::{LinkType, RawPacket};
    use proptest::prelude::*;

    use super::{Capture, Filter, Linktype, raw_instructions};
    use crate::capture::libpcap::data_link;

    /// Together, these expressions make libpcap generate every kind of instruction.
    const ON_IP: [&str; 22] = [
        "",
        "ip",
        "ip6",
        "tcp",
        "udp port 53",
        "tcp portrange 1000-2000",
        "host 10.0.0.1 or net 192.168.0.0/16",
        "ip6 host fe80::1",
        "src 10.0.0.1 and not dst port 80",
        "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
        "ip[2:2] - ((ip[0] & 0xf) << 2) > 8",
        "ip[8] * 3 / 2 % 7 = 4",
        "ip[8] / ip[9] = 4 or ip[8] % ip[10] = 1",
        "(ip[4:4] | ip[8:4]) ^ 0x55aa != -ip[12:4]",
        "ip[1] >> ip[2] = 1 or ip[3] << 4 = 16",
        "ip[ip[9]:2] > 100",
        "less 80",
        "greater 80",
        "len - 14 = ip[2:2]",
        "icmp[0] = 8 or icmp6",
        "ip6 protochain 17",
        "udp[4:2] >= 100",
    ];
    const ON_ETHERNET: [&str; 8] = [
        "arp",
        "ip broadcast or ip multicast",
        "ether host 2:0:0:0:0:1",
        "vlan 5 and tcp",
        "mpls and ip",
        "pppoes and ip",
        "ether broadcast",
        "ip protochain 6",
    ];

    fn matches(filter: &mut Filter, link: u16, data: &[u8], wire_len: u32) -> bool {
        let packet = RawPacket {
            time: flowloom_core::time::Time::EPOCH,
            link: LinkType(link),
            wire_len,
            data,
        };
        filter.matches(&packet).expect("valid for this link type")
    }

    #[test]
    fn instructions_are_those_that_the_pcap_crate_displays() {
        let dead = Capture::dead(Linktype(1)).expect("a dead capture");
        for expression in ON_IP.into_iter().chain(ON_ETHERNET) {
            let program = dead.compile(expression, true).expect(expression);
            let displayed = program.get_instructions().iter().map(ToString::to_string);
            let raw = raw_instructions(&program)
                .iter()
                .map(|raw| format!("{} {} {} {}", raw.code, raw.jt, raw.jf, raw.k));
            assert!(displayed.eq(raw), "{expression}");
        }
    }

    #[test]
    fn lengths_are_those_on_the_wire() {
        let mut filter = Filter::new("greater 1000").expect("a good expression");
        assert!(matches(&mut filter, 1, &[0; 60], 1000));
        assert!(!matches(&mut filter, 1, &[0; 60], 999));
    }

    #[test]
    fn each_link_type_has_its_own_program() {
        let mut filter = Filter::new("tcp").expect("a good expression");
        let mut ip = [0; 40];
        ip[0] = 0x45;
        ip[9] = 6;
        let mut frame = [0; 54];
        frame[12] = 8;
        frame[14..].copy_from_slice(&ip);
        for (link, data) in [(1, &frame[..]), (101, &ip), (228, &ip)] {
            assert!(matches(&mut filter, link, data, 60), "{link}");
        }
        assert!(!matches(&mut filter, 1, &ip, 60));
        assert!(!matches(&mut filter, 101, &frame, 60));
    }

    #[test]
    fn the_error_of_an_invalid_expression_has_the_message_of_libpcap() {
        let error = Filter::new("tcp prt 80").expect_err("there is no prt");
        let message = error.to_string();
        assert!(message.contains("'tcp prt 80'"), "{message}");
        assert!(message.ends_with(": syntax error"), "{message}");
        assert!(Filter::new("a\0b").is_err());
    }

    #[test]
    fn an_expression_may_be_valid_for_some_link_types_only() {
        let mut filter = Filter::new("wlan type mgt").expect("good on 802.11");
        let packet = RawPacket {
            time: flowloom_core::time::Time::EPOCH,
            link: LinkType(1),
            wire_len: 60,
            data: &[0; 60],
        };
        let error = filter.matches(&packet).expect_err("not good on Ethernet");
        assert_eq!(error.link, LinkType(1));
        assert_eq!(
            filter.matches(&packet),
            Ok(false),
            "the error is returned once"
        );

        let mut filter = Filter::new("ether src 1:2:3:4:5:6").expect("good on Ethernet");
        assert!(!matches(&mut filter, 1, &[0; 60], 60));
        assert!(
            !matches(&mut filter, 101, &[0; 60], 60),
            "the expression was valid for Ethernet"
        );
    }

    /// Generates bytes that resemble packets enough to reach all parts of a program.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let tail = prop::collection::vec(any::<u8>(), 0..120);
        let kind = prop_oneof![
            Just(vec![0x08, 0x00, 0x45]),
            Just(vec![0x08, 0x00, 0x46]),
            Just(vec![0x86, 0xdd, 0x60]),
            Just(vec![0x81, 0x00, 0, 5, 0x08, 0x00, 0x45]),
            Just(vec![0x88, 0x64, 0x11, 0, 0, 0, 0, 30, 0, 0x21, 0x45]),
            Just(vec![0x88, 0x47, 0, 1, 0x11, 64, 0x45]),
            Just(vec![0x08, 0x06]),
            Just(vec![]),
        ];
        let protocol = prop_oneof![Just(6), Just(17), Just(1), Just(51), Just(0), any::<u8>()];
        (kind, tail, protocol).prop_map(|(kind, tail, protocol)| {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
            frame.extend(&kind);
            let ip = frame.len().saturating_sub(1);
            frame.extend(tail);
            // The protocol is in byte 9 of IPv4 and byte 6 of IPv6. Most packets are unfragmented
            // and have a known address.
            let version = frame.get(ip).map_or(0, |byte| byte >> 4);
            for (at, value) in match version {
                4 => vec![
                    (6, 0),
                    (7, 0),
                    (9, protocol),
                    (12, 10),
                    (13, 0),
                    (14, 0),
                    (15, 1),
                ],
                6 => vec![(6, protocol)],
                _ => vec![],
            } {
                if let Some(byte) = frame.get_mut(ip + at) {
                    *byte = value;
                }
            }
            frame
        })
    }

    #[test]
    fn extension_headers_match_as_in_libpcap() {
        // IPv6 with hop-by-hop options, then UDP; with them twice, then TCP; without any.
        let chains: [&[u8]; 3] = [
            &[17, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0],
            &[],
        ];
        for chain in chains {
            let mut data = vec![
                0x60,
                0,
                0,
                0,
                0,
                chain.len() as u8 + 8,
                if chain.is_empty() { 17 } else { 0 },
                64,
            ];
            data.extend([0x20; 32]);
            data.extend(chain);
            data.extend([0; 8]);
            for expression in ["ip6 protochain 17", "ip6 protochain 6"] {
                let dead =
                    Capture::dead(Linktype(data_link(LinkType(101)))).expect("a dead capture");
                let theirs = dead.compile(expression, true).expect(expression);
                let mut ours = Filter::new(expression).expect(expression);
                assert_eq!(
                    matches(&mut ours, 101, &data, data.len() as u32),
                    theirs.filter(&data),
                    "{expression} {chain:?}"
                );
            }
        }
    }

    proptest! {
        /// libpcap's own interpreter has the same result, if it gets the same lengths.
        #[test]
        fn packets_match_as_in_libpcap(frames in prop::collection::vec(frames(), 20), link in prop_oneof![Just(1), Just(101)]) {
            let expressions: &[&str] = if link == 1 { &ON_ETHERNET } else { &[] };
            let dead = Capture::dead(Linktype(data_link(LinkType(link)))).expect("a dead capture");
            // On some frames, libpcap's interpreter loops for ever in a `protochain`. Ours stops.
            let halting = |expression: &&&str| !expression.contains("protochain");
            for expression in ON_IP.iter().chain(expressions).filter(halting) {
                let mut ours = Filter::new(*expression).expect(expression);
                let theirs = dead.compile(expression, true).expect(expression);
                for frame in &frames {
                    let data = if link == 1 { &frame[..] } else { &frame[14.min(frame.len())..] };
                    prop_assert_eq!(
                        matches(&mut ours, link, data, data.len() as u32),
                        theirs.filter(data),
                        "{} {:02x?}", expression, data
                    );
                }
            }
        }
    }
}
