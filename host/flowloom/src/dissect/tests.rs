use etherparse::PacketBuilder;
use flowloom_core::meter::testing::RAW;

use crate::capture::RawPacket;
use crate::{Flow, Meter, Settings, Streamer, Time, Value};

/// Meters raw IP packets with one second between them.
fn metered(settings: Settings, packets: &[Vec<u8>]) -> Vec<Flow> {
    let mut meter = Meter::new(settings, &[]).expect("nDPI starts");
    meter.push(packets.iter().zip(0..).map(|(data, second)| RawPacket {
        time: Time::from_ns(second * 1_000_000_000),
        link: RAW,
        wire_len: data.len() as u32,
        data,
    }));
    meter.finish().collect()
}

/// The results of nDPI's own reader for flows of the test captures: application, category, server
/// name, client and server fingerprint, if it has a column for them.
const FLOWS: [(&str, [&str; 5]); 8] = [
    ("dns.pcap", ["DNS", "Network", "www.example.com", "", ""]),
    ("http.pcap", ["HTTP", "Web", "www.example.com", "", ""]),
    (
        "dhcp.pcap",
        ["DHCP", "Network", "shuttle", "1,3,6,12,15,28,42", ""],
    ),
    ("mdns.pcap", ["MDNS", "Network", "_http._tcp.local", "", ""]),
    (
        "quic.pcap",
        [
            "QUIC",
            "Web",
            "www.example.com",
            "121f6e4f22ee3205214b0676ed64b9e2",
            "",
        ],
    ),
    (
        "ssh.pcap",
        [
            "SSH",
            "RemoteAccess",
            "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10",
            "D41D8CD98F00B204E9800998ECF8427E",
            "425D29FE50D8E4F5E37EFB6E24BCF660",
        ],
    ),
    (
        "tls12.pcap",
        [
            "TLS",
            "Web",
            "www.example.com",
            "87b9bfc7da97115ed2276737b09f8d74",
            "a548c224ffe85e7076d7897c27f6758c",
        ],
    ),
    (
        "tls13.pcap",
        [
            "TLS",
            "Web",
            "www.example.com",
            "0149f47eabf9a20d0893e2a44e5a6323",
            "15af977ce25de452b96affa2addb1036",
        ],
    ),
];

#[test]
fn confidences_are_those_of_ndpi() {
    let names = super::CONFIDENCES.map(|confidence| confidence.name);
    assert_eq!(names, ndpi_sys::CONFIDENCES);
    for (confidence, number) in super::CONFIDENCES.into_iter().zip(0..) {
        assert_eq!(confidence.number, number);
    }
}

fn captured(name: &str, n_dissections: u8, meters: usize) -> Vec<Flow> {
    let capture = format!("{}/../../tests/captures/{name}", env!("CARGO_MANIFEST_DIR"));
    Streamer::builder([capture])
        .n_dissections(n_dissections)
        .n_meters(meters)
        .build()
        .expect("our captures can be read")
        .collect()
}

fn text<'a>(flow: &'a Flow, column: &str) -> &'a str {
    match flow.get(column) {
        Some(Value::Text(text)) => text,
        other => panic!("{column}: {other:?}"),
    }
}

#[test]
fn applications_of_the_test_captures_are_known() {
    for (name, expected) in FLOWS {
        let flows = captured(name, 20, 1);
        let known = flows.iter().map(|flow| {
            [
                "application_name",
                "application_category_name",
                "requested_server_name",
                "client_fingerprint",
                "server_fingerprint",
            ]
            .map(|column| text(flow, column))
        });
        let known: Vec<_> = known.collect();
        assert!(known.contains(&expected), "{name}: {known:#?}");
    }
}

fn udp(src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(src_port, dst_port)
        .write(&mut packet, payload)
        .expect("it fits");
    packet
}

fn settings(n_dissections: u8) -> Settings {
    let mut settings = Settings::default();
    settings.n_dissections = n_dissections;
    settings
}

#[test]
fn an_unknown_application_is_guessed_at_the_limit_or_at_the_end() {
    for (limit, packets) in [(1, 1), (1, 3), (3, 2), (20, 1), (255, 30)] {
        let packets = vec![udp(4000, 514, &[1, 2, 3]); packets];
        let flows = metered(settings(limit), &packets);
        assert_eq!(flows.len(), 1);
        assert_eq!(text(&flows[0], "application_name"), "Syslog");
        let is_guessed = flows[0].get("application_is_guessed");
        assert_eq!(is_guessed, Some(Value::Boolean(true)), "{limit}");
        let confidence = flows[0].get("application_confidence");
        assert_eq!(confidence, Some(Value::Integer(1)), "{limit}");
    }
    let flows = metered(settings(20), &[udp(40_000, 40_001, &[1, 2, 3])]);
    assert_eq!(text(&flows[0], "application_name"), "Unknown");
    assert_eq!(text(&flows[0], "application_category_name"), "Unspecified");
}

#[test]
fn without_dissections_there_is_no_application() {
    let flows = metered(settings(0), &[udp(4000, 514, &[1, 2, 3])]);
    assert!(flows[0].get("application_name").is_none());
    assert!(flows[0].application.is_none());
}

#[test]
fn a_flow_in_a_reused_slot_has_its_own_dissection() {
    let mut idle = settings(20);
    idle.idle_timeout = 0;
    let packets = [
        udp(4000, 514, &[1]),
        udp(4000, 514, &[1]),
        udp(40_000, 40_001, &[1]),
    ];
    let flows = metered(idle, &packets);
    let names: Vec<_> = flows
        .iter()
        .map(|flow| text(flow, "application_name"))
        .collect();
    assert_eq!(names, ["Syslog", "Syslog", "Unknown"]);
}

#[test]
fn several_meters_find_the_same_applications() {
    for name in [
        "dns.pcap",
        "http.pcap",
        "quic.pcap",
        "ssh.pcap",
        "tls12.pcap",
    ] {
        let rows = |meters| -> Vec<String> {
            captured(name, 20, meters)
                .iter()
                .map(|flow| format!("{flow:?}"))
                .collect()
        };
        assert_eq!(rows(1), rows(3), "{name}");
    }
}
