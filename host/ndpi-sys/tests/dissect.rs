//! Tests of nDPI through the bindings.

mod common;

use std::fs;
use std::thread;

use common::library;
use ndpi_sys::{Custom, Error, Flow, Module, Protocol};

/// Returns an IPv4 packet with UDP. The checksums are 0, because nDPI ignores them.
fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let len = |header: usize| ((header + payload.len()) as u16).to_be_bytes();
    let mut packet = vec![0x45, 0];
    packet.extend(len(28));
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 53]);
    packet.extend(ports.map(u16::to_be_bytes).concat());
    packet.extend(len(8));
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// A DNS query for the address of `www.example.org`.
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x03www\x07example\x03org\x00\x00\x01\x00\x01";

fn module() -> Module {
    Module::new(library(), &Custom::default()).expect("the library starts")
}

fn flow() -> Flow {
    Flow::new(library()).expect("there is memory")
}

#[test]
fn a_query_is_dns_with_the_queried_name() {
    let (mut module, mut flow) = (module(), flow());
    let protocol = module.dissect(&mut flow, &udp([4000, 53], QUERY), 1_000);
    assert!(protocol.is_known());
    assert_eq!(module.protocol_name(protocol), "DNS");
    assert_eq!(module.category_name(protocol.category), "Network");
    assert!(module.wants_more(&mut flow), "there is no answer yet");
    assert_eq!(module.give_up(&mut flow), (protocol, false));
    let details = module.details(&flow, protocol);
    assert_eq!(details.server_name, "www.example.org");
    assert_eq!(
        library().confidences()[usize::from(details.confidence)],
        "DPI"
    );
    assert_eq!(details.client_fingerprint, "");
}

#[test]
fn an_unknown_protocol_is_guessed() {
    let (mut module, mut flow) = (module(), flow());
    let protocol = module.dissect(&mut flow, &udp([4000, 514], b"\x01\x02\x03"), 1_000);
    assert!(!protocol.is_known());
    assert_eq!(module.protocol_name(protocol), "Unknown");
    let (protocol, guessed) = module.give_up(&mut flow);
    assert!(guessed);
    assert_eq!(module.protocol_name(protocol), "Syslog");
    assert_eq!(module.details(&flow, protocol).confidence, 1);
}

#[test]
fn packets_of_any_length_are_accepted() {
    let mut module = module();
    let packet = udp([4000, 53], QUERY);
    for len in 0..packet.len() {
        let protocol = module.dissect(&mut flow(), &packet[..len], 1_000);
        assert_eq!(protocol, Protocol::default(), "{len} bytes");
    }
    let long = [packet, vec![0; 1 << 17]].concat();
    assert!(module.dissect(&mut flow(), &long, 1_000).is_known());
}

/// Each of these packets would make nDPI dereference a null pointer or a number.
#[test]
fn packets_that_ndpi_cannot_process_are_not_passed_to_it() {
    let query = udp([4000, 53], QUERY);
    let cut_udp = [&query[..2], &[0, 24], &query[4..24]].concat();
    let mut other = query.clone();
    other[9] = 6;
    for unsafe_packet in [cut_udp, other] {
        let (mut module, mut flow) = (module(), flow());
        let protocol = module.dissect(&mut flow, &query, 1_000);
        assert!(module.wants_more(&mut flow));
        for time_ms in 1_001..1_010 {
            let after = module.dissect(&mut flow, &unsafe_packet, time_ms);
            assert_eq!(after, protocol);
        }
        assert_eq!(module.give_up(&mut flow), (protocol, false));
    }
}

#[test]
fn unknown_numbers_have_a_name() {
    let module = module();
    let none = Protocol {
        master: u16::MAX,
        app: u16::MAX - 1,
        category: u16::MAX,
    };
    assert!(!module.protocol_name(none).is_empty());
    assert!(!module.category_name(none.category).is_empty());
    assert_eq!(
        library().confidences(),
        [
            "Unknown",
            "Match by port",
            "Match by IP",
            "DPI (cache)",
            "DPI"
        ]
    );
    assert!(library().version().starts_with("4.2"));
    assert!((500..2_000).contains(&library().flow_size()));
}

#[test]
fn modules_can_be_created_in_several_threads() {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..3 {
                    let (mut module, mut flow) = (module(), flow());
                    let packet = udp([4000, 53], QUERY);
                    assert!(module.dissect(&mut flow, &packet, 1_000).is_known());
                }
            });
        }
    });
}

#[test]
fn custom_files_add_protocols_and_categories() {
    let folder = std::env::temp_dir().join(format!("ndpi-sys-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder takes folders");
    let [protocols, categories] = ["protos.txt", "categories.txt"].map(|name| folder.join(name));
    fs::write(&protocols, "udp:4242@Beehive\n").expect("it takes files");
    fs::write(&categories, "www.example.org\t100\n").expect("it takes files");
    let custom = Custom {
        protocols: Some(protocols),
        categories: Some(categories),
    };
    let mut module = Module::new(library(), &custom).expect("the files can be read");

    let mut beehive = flow();
    module.dissect(&mut beehive, &udp([4000, 4242], b"\x01\x02\x03"), 1_000);
    let (protocol, _) = module.give_up(&mut beehive);
    assert_eq!(module.protocol_name(protocol), "Beehive");

    let mut named = flow();
    let protocol = module.dissect(&mut named, &udp([4000, 53], QUERY), 1_000);
    assert_eq!(module.category_name(protocol.category), "Malware");
    fs::remove_dir_all(&folder).expect("the folder can be removed");

    let gone = Module::new(library(), &custom).expect_err("there are no files now");
    assert!(matches!(gone, Error::File { .. }), "{gone}");
    let folder = Custom {
        protocols: Some(std::env::temp_dir()),
        ..Custom::default()
    };
    assert!(Module::new(library(), &folder).is_err());
}
