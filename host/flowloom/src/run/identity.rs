//! Identifiers of ended flows, by which flows are found in other tools, runs and captures, and their processes.

use std::net::IpAddr;
use std::sync::Arc;

use blake2::digest::consts::U16;
use blake2::{Blake2b, Digest as _};
use flowloom_core::flow::Flow;
use flowloom_core::meter::IdentityColumns;
use flowloom_core::record::{FlowIdentity, FlowKey, Record};
use sha1::Sha1;

use super::config::RunConfig;
use crate::capture::SourceTable;
use crate::processes::SystemVisibility;

/// The IANA numbers of the protocols whose Community ID is special.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// The first byte of the input of a flow UID. Another definition would have another number.
const FLOW_UID_VERSION: u8 = 1;

/// Computes the identifiers of ended flows.
pub(crate) struct FlowIdentification {
    /// The seed of Community IDs; `None` if no column needs them.
    seed: Option<u16>,
    columns: IdentityColumns,
    sources: SourceTable,
    /// Finds the processes of flows, if a column needs them.
    pub(crate) system: Option<Arc<SystemVisibility>>,
}

impl FlowIdentification {
    /// Creates the identification of a run. Returns `None` if no column needs it.
    pub(crate) fn new(config: &RunConfig) -> Option<Self> {
        let columns = columns(config);
        (columns != IdentityColumns::default()).then(|| Self {
            seed: config.community_id,
            columns,
            sources: SourceTable::default(),
            system: None,
        })
    }

    /// Returns the table that the reader of packets fills, if a column needs it.
    pub(crate) fn sources(&self) -> Option<&SourceTable> {
        (self.columns.flow_uid || self.columns.source_file).then_some(&self.sources)
    }

    /// Computes the identifiers of an ended flow that the columns of the run need.
    pub(crate) fn identify(&self, flow: &mut Flow) {
        let record = &flow.record;
        let mut identity = FlowIdentity::default();
        if let Some(seed) = self.seed {
            identity.community_id = community_id(&record.key(), seed);
        }
        if let Some(sources) = self.sources()
            && let Some(source) = sources.find(flow.capture, record.id)
        {
            if self.columns.flow_uid {
                identity.flow_uid = Some(flow_uid(record, &source.capture_name));
            }
            identity.source_file = self.columns.source_file.then_some(source.path);
        }
        if let Some(system) = &self.system {
            identity.process = system.find(&record.key());
        }
        flow.identity = Some(Box::new(identity));
    }
}

/// Returns the columns of identifiers that a run has.
pub(crate) fn columns(config: &RunConfig) -> IdentityColumns {
    IdentityColumns {
        community_id: config.community_id.is_some(),
        flow_uid: config.flow_uid,
        source_file: config.source_file,
        system_process: config.system_visibility,
    }
}

/// Returns the digest of the Community ID of version 1, or `None` if the flow key lacks a part of its input.
///
/// The definition is <https://github.com/corelight/community-id-spec>. ICMP and ICMPv6 need type and code. SCTP needs
/// ports, of which 0 is reserved.
fn community_id(key: &FlowKey, seed: u16) -> Option<[u8; 20]> {
    let has_ports = match key.protocol {
        ICMP | ICMPV6 => return None,
        SCTP if (key.src_port, key.dst_port) == (0, 0) => return None,
        TCP | UDP | SCTP => true,
        _ => false,
    };
    // The smaller endpoint is first, so that both directions have one ID.
    let mut ends = [(key.src_ip, key.src_port), (key.dst_ip, key.dst_port)];
    ends.sort();
    let mut sha1 = Sha1::new();
    sha1.update(seed.to_be_bytes());
    for (address, _) in ends {
        match address {
            IpAddr::V4(address) => sha1.update(address.octets()),
            IpAddr::V6(address) => sha1.update(address.octets()),
        }
    }
    sha1.update([key.protocol, 0]);
    if has_ports {
        for (_, port) in ends {
            sha1.update(port.to_be_bytes());
        }
    }
    Some(sha1.finalize().into())
}

/// Returns the digest that identifies a flow in every run over a capture.
///
/// It is the BLAKE2b-128 (RFC 7693, without a key) of these values. Integers are big-endian.
///
/// | bytes | value |
/// |---|---|
/// | 1 | 1, the version of this definition |
/// | 8 | time of the first packet in ms since 1970-01-01 UTC |
/// | 8 | `id` |
/// | 1 | IP version, 4 or 6 |
/// | 4 or 16 | source address |
/// | 4 or 16 | destination address |
/// | 2 | source port |
/// | 2 | destination port |
/// | 1 | protocol |
/// | 2 | `vlan_id` |
/// | 1 | `tunnel_id` |
/// | the rest | name of the capture |
fn flow_uid(record: &Record, capture_name: &[u8]) -> [u8; 16] {
    let key = record.key();
    let mut blake2 = Blake2b::<U16>::new();
    blake2.update([FLOW_UID_VERSION]);
    blake2.update(record.first_seen_ms().to_be_bytes());
    blake2.update(record.id.to_be_bytes());
    blake2.update([match key.src_ip {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 6,
    }]);
    for address in [key.src_ip, key.dst_ip] {
        match address {
            IpAddr::V4(address) => blake2.update(address.octets()),
            IpAddr::V6(address) => blake2.update(address.octets()),
        }
    }
    blake2.update(key.src_port.to_be_bytes());
    blake2.update(key.dst_port.to_be_bytes());
    blake2.update([key.protocol]);
    blake2.update(key.vlan_id.to_be_bytes());
    blake2.update([key.tunnel as u8]);
    blake2.update(capture_name);
    blake2.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use flowloom_core::decode::Tunnel;
    use flowloom_core::meter::testing::flows;
    use flowloom_core::value::Value;

    use super::*;
    use crate::run::StreamerBuilder;

    fn key(protocol: u8, src: (&str, u16), dst: (&str, u16)) -> FlowKey {
        FlowKey {
            src_ip: src.0.parse().unwrap(),
            dst_ip: dst.0.parse().unwrap(),
            src_port: src.1,
            dst_port: dst.1,
            protocol,
            vlan_id: 0,
            tunnel: Tunnel::None,
        }
    }

    /// From the baselines of the specification, with the seeds 0 and 1.
    #[test]
    fn community_ids_are_those_of_the_specification() {
        for (protocol, one, other, expected) in [
            (
                TCP,
                ("128.232.110.120", 34855),
                ("66.35.250.204", 80),
                [
                    "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
                    "1:3V71V58M3Ksw/yuFALMcW0LAHvc=",
                ],
            ),
            (
                TCP,
                ("2001:470:e5bf:dead:4957:2174:e82c:4887", 63943),
                ("2607:f8b0:400c:c03::1a", 25),
                [
                    "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
                    "1:eJYTW6AOzFLlSUoESovMjnu7rMw=",
                ],
            ),
            (
                UDP,
                ("192.168.1.52", 54585),
                ("8.8.8.8", 53),
                [
                    "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
                    "1:Q9We8WO3piVF8yEQBNJF4uiSVrI=",
                ],
            ),
            (
                SCTP,
                ("192.168.170.8", 7),
                ("192.168.170.56", 7),
                [
                    "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
                    "1:5w3ZRjeKBzqT3zsaEECDGjUbYeg=",
                ],
            ),
            // RSVP, which has no ports.
            (
                46,
                ("10.1.12.1", 0),
                ("10.1.12.2", 0),
                [
                    "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=",
                    "1:rYir8gphR31noO9iDRQmF/BteEI=",
                ],
            ),
        ] {
            for (seed, expected) in (0..).zip(expected) {
                for key in [key(protocol, one, other), key(protocol, other, one)] {
                    let digest = community_id(&key, seed).unwrap();
                    let mut text = String::new();
                    Value::CommunityId(digest).write_text(&mut text);
                    assert_eq!(text, expected, "{key:?}, seed {seed}");
                }
            }
        }
    }

    #[test]
    fn ports_decide_between_equal_addresses() {
        let ends = [("10.0.0.1", 1), ("10.0.0.1", 2)];
        let id = |a: usize, b: usize| community_id(&key(TCP, ends[a], ends[b]), 0);
        assert_eq!(id(0, 1), id(1, 0));
        assert_ne!(id(0, 1), id(0, 0));
    }

    #[test]
    fn flows_without_the_input_have_no_community_id() {
        for protocol in [ICMP, ICMPV6, SCTP] {
            let key = key(protocol, ("192.0.2.1", 0), ("192.0.2.2", 0));
            assert_eq!(community_id(&key, 0), None, "{protocol}");
        }
    }

    /// From Python: `hashlib.blake2b(bytes, digest_size=16)`, with the bytes built by `struct.pack`.
    #[test]
    fn flow_uids_are_digests_of_the_documented_bytes() {
        let flows = flows(2);
        let uid =
            |index: usize, name: &str| hex::encode(flow_uid(&flows[index].record, name.as_bytes()));
        assert_eq!(uid(0, "a.pcap"), "487bda815a1ea261d6e81c942fc1b901");
        assert_eq!(uid(1, "-"), "64664c8df0636d2165d60d3c17637cee");
        assert_ne!(uid(0, "b.pcap"), uid(0, "a.pcap"));
    }

    #[test]
    fn only_the_requested_identifiers_are_computed() {
        let identified = |change: fn(&mut RunConfig)| {
            let mut config = RunConfig::default();
            change(&mut config);
            let identification = FlowIdentification::new(&config)?;
            identification.sources.add(0, 0, Path::new("d/a.pcap"));
            let mut flow = flows(1).remove(0);
            identification.identify(&mut flow);
            let identity = *flow.identity.unwrap();
            Some((
                identity.community_id.is_some(),
                identity.flow_uid.is_some(),
                identity.source_file.as_deref().map(str::to_owned),
            ))
        };
        assert_eq!(identified(|_| ()), None);
        assert_eq!(
            identified(|config| config.community_id = Some(0)),
            Some((true, false, None))
        );
        assert_eq!(
            identified(|config| config.flow_uid = true),
            Some((false, true, None))
        );
        assert_eq!(
            identified(|config| config.source_file = true),
            Some((false, false, Some("d/a.pcap".into())))
        );
    }

    #[test]
    fn processes_are_found_for_interfaces_or_for_a_program_that_asks() {
        use std::time::Duration;

        use flowloom_plugin::ThreadPanics;

        use crate::run::Streamer;

        let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures");
        let builder = || {
            let builder = Streamer::builder([captures.join("dns.pcap")]).n_dissections(0);
            builder.system_visibility(true)
        };
        let error = |builder: StreamerBuilder| builder.build().err().unwrap().to_string();
        assert_eq!(
            error(builder()),
            "system_visibility true: it is for an interface of this machine, not for files"
        );
        for poll_ms in [0, 60_001] {
            assert_eq!(
                error(builder().system_visibility_poll_ms(poll_ms)),
                format!(
                    "system_visibility_poll_ms {poll_ms}: 1 to 60000 milliseconds are accepted"
                )
            );
        }
        let (poll, panics) = (Duration::from_millis(1), ThreadPanics::default());
        let system = SystemVisibility::start(poll, Duration::ZERO, &panics).unwrap();
        let mut streamer = builder().started_system_visibility(system).build().unwrap();
        // No process of this machine has the addresses of the capture.
        for flow in streamer.by_ref() {
            assert_eq!(flow.get("system_process_pid"), Some(Value::Null));
            assert_eq!(flow.get("system_process_name"), Some(Value::Null));
        }
        assert!(streamer.summary().system.unwrap().polls > 0);
    }

    #[cfg(feature = "arrow")]
    #[test]
    fn record_batches_have_the_identifiers() {
        use arrow_array::cast::AsArray as _;
        use arrow_array::{Array as _, StringArray};

        use crate::run::Streamer;

        let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures");
        let capture = captures.join("icmp.pcap");
        let streamer = || {
            let builder = Streamer::builder([&capture]).n_dissections(0).n_meters(2);
            let builder = builder.community_id(0).flow_uid(true).source_file(true);
            builder.build().unwrap()
        };
        let flows: Vec<_> = streamer().collect();
        let mut streamer = streamer();
        let rows = crate::columns::DEFAULT_ROWS;
        let batch = streamer
            .record_batches(rows)
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(batch.num_rows(), flows.len());
        let column = |name| batch.column_by_name(name).unwrap();
        let files = column("source_file").as_any_dictionary();
        assert_eq!(files.values().len(), 1);
        assert_eq!(
            files.values().as_string::<i32>().value(0),
            capture.to_str().unwrap()
        );
        let texts = |name| -> &StringArray { column(name).as_string() };
        assert_eq!(texts("flow_uid").null_count(), 0);
        assert!(texts("community_id").null_count() > 0);
        for (row, flow) in flows.iter().enumerate() {
            for name in ["community_id", "flow_uid"] {
                let text = texts(name);
                let mut expected = String::new();
                flow.get(name).unwrap().write_text(&mut expected);
                let found = text.is_valid(row).then(|| text.value(row));
                assert_eq!(found.unwrap_or_default(), expected, "{name}");
            }
        }
    }
}
