//! Tests of nDPI through the bindings.

mod common;

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use common::{captured, libraries, library_4_2, library_5_0};
use ndpi_sys::{CONFIDENCES, Choice, Custom, Error, Flow, Library, Module, Protocol, Search};

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

fn module(library: &Arc<Library>) -> Module {
    Module::new(library, &Custom::default()).expect("the library starts")
}

fn flow(library: &Library) -> Flow {
    Flow::new(library).expect("there is memory")
}

#[test]
fn a_query_is_dns_with_the_queried_name() {
    for library in libraries() {
        let (mut module, mut flow) = (module(library), flow(library));
        let protocol = module.dissect(&mut flow, &udp([4000, 53], QUERY), 1_000);
        assert!(protocol.is_known());
        assert_eq!(module.protocol_name(protocol), "DNS");
        assert_eq!(module.category_name(protocol.category), "Network");
        assert!(module.wants_more(&mut flow), "there is no answer yet");
        assert_eq!(module.give_up(&mut flow), (protocol, false));
        let details = module.details(&flow, protocol);
        assert_eq!(details.server_name, "www.example.org");
        assert_eq!(CONFIDENCES[usize::from(details.confidence)], "DPI");
        assert_eq!(details.client_fingerprint, "");
    }
}

/// A time at which the certificates of the captures are valid.
const TIME_MS: u64 = 1_795_534_287_000;

/// Dissects packets of a flow until nDPI needs no more of them. Returns the protocol.
fn dissected(module: &mut Module, flow: &mut Flow, packets: &[Vec<u8>]) -> Protocol {
    assert!(!packets.is_empty(), "the capture has packets of the flow");
    let mut protocol = Protocol::default();
    for (packet, time_ms) in packets.iter().zip(TIME_MS..) {
        protocol = module.dissect(flow, packet, time_ms);
        if protocol.is_known() && !module.wants_more(flow) {
            break;
        }
    }
    protocol
}

#[test]
fn details_of_tls_and_http_are_found() {
    for library in libraries() {
        let is_5_0 = library.version().starts_with("5.0");
        let (mut module, mut tls) = (module(library), flow(library));
        let protocol = dissected(&mut module, &mut tls, &captured("tls13.pcap", 443));
        assert_eq!(module.protocol_name(protocol), "TLS");
        assert!(!module.wants_more(&mut tls));
        assert_eq!(module.give_up(&mut tls), (protocol, false));
        let details = module.details(&tls, protocol);
        assert_eq!(details.server_name, "www.example.com");
        assert_eq!(
            details.server_fingerprint,
            "15af977ce25de452b96affa2addb1036"
        );
        let (ja3, ja4) = (
            "0149f47eabf9a20d0893e2a44e5a6323",
            "t13d3112h1_e8f1e7e78f70_b26ce05bbdd6",
        );
        assert_eq!(details.client_fingerprint, if is_5_0 { ja4 } else { ja3 });
        let only_5_0 = |text| if is_5_0 { text } else { "" };
        assert_eq!(details.client_ja4, only_5_0(ja4));
        assert_eq!(details.tcp_fingerprint, only_5_0("2_64_64240_d876f498b09e"));
        assert_eq!(details.domain, only_5_0("www.example.com"));
        assert!(details.stack.protocols().eq([91]));
        assert_eq!((details.risks, details.risk_score), (0, 0));

        let mut http = flow(library);
        let protocol = dissected(&mut module, &mut http, &captured("http.pcap", 80));
        assert_eq!(module.protocol_name(protocol), "HTTP");
        let details = module.details(&http, protocol);
        assert_eq!(details.server_name, "www.example.com");
        assert_eq!(details.user_agent, "curl/7.88.1");
        assert_eq!(details.content_type, "text/html");
        assert_eq!(details.client_fingerprint, "");
        assert!(details.stack.protocols().eq([7]));
    }
}

/// nDPI 5.0 leaves these out of its report.
#[test]
fn texts_that_ndpi_does_not_report_are_found() {
    let Some(library) = library_5_0() else { return };
    // Only the first answer, so that there is no URL.
    let (mut module, mut http) = (module(library), flow(library));
    let mut packets = captured("http.pcap", 80);
    packets.retain(|packet| packet[20..22] == 80u16.to_be_bytes());
    packets.truncate(3);
    let protocol = dissected(&mut module, &mut http, &packets);
    assert_eq!(module.protocol_name(protocol), "HTTP");
    let details = module.details(&http, protocol);
    assert_eq!(details.content_type, "text/html");
    assert_eq!(details.user_agent, "");

    // TLS at the port of IMAP has an application of its own.
    let mut imaps = flow(library);
    let mut packets = captured("tls13.pcap", 443);
    for packet in &mut packets {
        for port in [20..22, 22..24] {
            if packet[port.clone()] == 443u16.to_be_bytes() {
                packet[port].copy_from_slice(&993u16.to_be_bytes());
            }
        }
    }
    let protocol = dissected(&mut module, &mut imaps, &packets);
    assert_eq!(module.protocol_name(protocol), "IMAPS");
    let details = module.details(&imaps, protocol);
    let ja4 = "t13d3112h1_e8f1e7e78f70_b26ce05bbdd6";
    assert_eq!(details.client_fingerprint, ja4);
    assert_eq!(
        details.server_fingerprint,
        "15af977ce25de452b96affa2addb1036"
    );
    assert_eq!(details.client_ja4, ja4);
}

#[test]
fn quic_is_decrypted() {
    for library in libraries() {
        let (mut module, mut quic) = (module(library), flow(library));
        let protocol = dissected(&mut module, &mut quic, &captured("quic.pcap", 443));
        let details = module.details(&quic, protocol);
        assert_eq!(details.server_name, "www.example.com", "{library:?}");
    }
}

/// nDPI 5.0 contains functions of libgcrypt. They must not call the real ones, which other
/// libraries may have brought into the process.
#[test]
fn functions_of_the_process_are_not_used() {
    if library_5_0().is_none() {
        return;
    }
    let program = std::env::current_exe().expect("this is a program");
    let test = Command::new(program)
        .args(["--exact", "quic_is_decrypted"])
        .env("LD_PRELOAD", "libgcrypt.so.20")
        .output()
        .expect("this program can be run");
    assert!(test.status.success(), "{test:?}");
    let output = String::from_utf8_lossy(&test.stdout);
    assert!(output.contains("1 passed"), "{output}");
}

#[test]
fn risks_have_names_and_a_score() {
    for library in libraries() {
        let (mut module, mut tls) = (module(library), flow(library));
        let protocol = dissected(&mut module, &mut tls, &captured("tls12.pcap", 443));
        let details = module.details(&tls, protocol);
        let names: Vec<_> = library
            .risks()
            .iter()
            .enumerate()
            .filter(|(number, _)| details.risks & 1 << number != 0)
            .map(|(_, name)| &**name)
            .collect();
        let expected = match library.version().starts_with("5.0") {
            true => ["Self-signed Cert", "TLS Cert Validity Too Long"],
            false => [
                "Self-signed Certificate",
                "TLS Certificate Validity Too Long",
            ],
        };
        assert_eq!(names, expected);
        assert_eq!(details.risk_score, 150);
        // A library has a text for an unknown number too.
        let is_number = |name: &String| name.parse::<u32>().is_ok();
        assert!(!library.risks().iter().any(is_number), "{library:?}");
    }
}

#[test]
#[should_panic(expected = "another nDPI library")]
fn a_flow_belongs_to_one_library() {
    // Each opening has its own table of functions.
    let path = Choice::Path(library_4_2().path().to_owned());
    let other = Library::open(&path, &Search::default()).expect("the path can be used");
    let mut flow = flow(&other.expect("a library was asked for"));
    module(library_4_2()).dissect(&mut flow, &udp([4000, 53], QUERY), 1_000);
}

#[test]
fn a_query_has_the_application_of_its_name() {
    for library in libraries() {
        let (mut module, mut flow) = (module(library), flow(library));
        // A query and an answer for the address of `facebook.com`.
        let [query, answer] = [
            &b"\x01\x00\x00\x01\x00\x00"[..],
            b"\x81\x80\x00\x01\x00\x01",
        ]
        .map(|head| {
            let question = b"\x08facebook\x03com\x00\x00\x01\x00\x01";
            [b"\x12\x34", head, &[0; 4], question].concat()
        });
        let record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x33\x64\x07";
        let answer = [&answer[..], record].concat();
        let packets = [udp([4000, 53], &query), udp([53, 4000], &answer)];
        let protocol = dissected(&mut module, &mut flow, &packets);
        assert_eq!(
            module.protocol_name(protocol),
            "DNS.Facebook",
            "{library:?}"
        );
        let stack = module.details(&flow, protocol).stack;
        let names = stack.protocols().map(|app| {
            module.protocol_name(Protocol {
                app,
                ..Protocol::default()
            })
        });
        assert!(names.eq(["DNS", "Facebook"]), "{library:?}");
    }
}

#[test]
fn an_unknown_protocol_is_guessed() {
    for library in libraries() {
        let (mut module, mut flow) = (module(library), flow(library));
        let protocol = module.dissect(&mut flow, &udp([4000, 514], b"\x01\x02\x03"), 1_000);
        assert!(!protocol.is_known());
        assert_eq!(module.protocol_name(protocol), "Unknown");
        let (protocol, guessed) = module.give_up(&mut flow);
        assert!(guessed);
        assert_eq!(module.protocol_name(protocol), "Syslog");
        assert_eq!(module.details(&flow, protocol).confidence, 1);
    }
}

#[test]
fn packets_of_any_length_are_accepted() {
    for library in libraries() {
        let mut module = module(library);
        let packet = udp([4000, 53], QUERY);
        for len in 0..packet.len() {
            let protocol = module.dissect(&mut flow(library), &packet[..len], 1_000);
            assert_eq!(protocol, Protocol::default(), "{len} bytes");
        }
        let long = [packet, vec![0; 1 << 17]].concat();
        assert!(module.dissect(&mut flow(library), &long, 1_000).is_known());
    }
}

/// Each of these packets would make nDPI dereference a null pointer or a number.
#[test]
fn packets_that_ndpi_cannot_process_are_not_passed_to_it() {
    for library in libraries() {
        let query = udp([4000, 53], QUERY);
        let cut_udp = [&query[..2], &[0, 24], &query[4..24]].concat();
        let mut other = query.clone();
        other[9] = 6;
        for unsafe_packet in [cut_udp, other] {
            let (mut module, mut flow) = (module(library), flow(library));
            let protocol = module.dissect(&mut flow, &query, 1_000);
            assert!(module.wants_more(&mut flow));
            for time_ms in 1_001..1_010 {
                let after = module.dissect(&mut flow, &unsafe_packet, time_ms);
                assert_eq!(after, protocol);
            }
            assert_eq!(module.give_up(&mut flow), (protocol, false));
        }
    }
}

#[test]
fn all_applications_are_listed_with_their_categories() {
    for library in libraries() {
        let module = module(library);
        let applications: Vec<_> = module
            .applications()
            .map(|protocol| {
                let category = module.category_name(protocol.category);
                (module.protocol_name(protocol), category)
            })
            .collect();
        let count = match library.version().starts_with("5.0") {
            true => 400..500,
            false => 270..300,
        };
        assert!(count.contains(&applications.len()), "{library:?}");
        for (name, category) in [
            ("DNS", "Network"),
            ("TLS", "Web"),
            ("Facebook", "SocialNetwork"),
        ] {
            let is_listed = applications
                .iter()
                .any(|app| *app == (name.to_owned(), category.to_owned()));
            assert!(is_listed, "{name} in {applications:?}");
        }
    }
}

#[test]
fn unknown_numbers_have_a_name() {
    for library in libraries() {
        let module = module(library);
        let none = Protocol {
            master: u16::MAX,
            app: u16::MAX - 1,
            category: u16::MAX,
        };
        assert!(!module.protocol_name(none).is_empty());
        assert!(!module.category_name(none.category).is_empty());
        assert!((500..2_000).contains(&library.flow_size()));
    }
}

#[test]
fn confidences_have_the_numbers_of_ndpi_5_0() {
    let names = [
        "Unknown",
        "Match by port",
        "Match by IP",
        "DPI (cache)",
        "DPI",
    ];
    assert_eq!(library_4_2().confidences(), names);
    for name in names {
        assert!(CONFIDENCES.contains(&name), "{name}");
    }
    if let Some(library) = library_5_0() {
        assert_eq!(library.confidences(), CONFIDENCES);
    }
}

#[test]
fn modules_can_be_created_in_several_threads() {
    for library in libraries() {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let (mut module, mut flow) = (module(library), flow(library));
                        let packet = udp([4000, 53], QUERY);
                        assert!(module.dissect(&mut flow, &packet, 1_000).is_known());
                    }
                });
            }
        });
    }
}

#[test]
fn custom_files_add_protocols_and_categories() {
    for library in libraries() {
        let folder = std::env::temp_dir().join(format!("ndpi-sys-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary folder takes folders");
        let [protocols, categories] =
            ["protos.txt", "categories.txt"].map(|name| folder.join(name));
        fs::write(&protocols, "udp:4242@Beehive\n").expect("it takes files");
        fs::write(&categories, "www.example.org\t100\nwww.example.com\t100\n")
            .expect("it takes files");
        let custom = Custom {
            protocols: Some(protocols),
            categories: Some(categories),
        };
        let mut module = Module::new(library, &custom).expect("the files can be read");

        let mut beehive = flow(library);
        module.dissect(&mut beehive, &udp([4000, 4242], b"\x01\x02\x03"), 1_000);
        let (protocol, _) = module.give_up(&mut beehive);
        assert_eq!(module.protocol_name(protocol), "Beehive");

        let mut named = flow(library);
        let protocol = match library.version().starts_with("4.2") {
            true => module.dissect(&mut named, &udp([4000, 53], QUERY), 1_000),
            // DNS always has its own category.
            false => dissected(&mut module, &mut named, &captured("http.pcap", 80)),
        };
        assert_eq!(module.category_name(protocol.category), "Malware");
        fs::remove_dir_all(&folder).expect("the folder can be removed");

        let gone = Module::new(library, &custom).expect_err("there are no files now");
        assert!(matches!(gone, Error::File { .. }), "{gone}");
        let folder = Custom {
            protocols: Some(std::env::temp_dir()),
            ..Custom::default()
        };
        assert!(Module::new(library, &folder).is_err());
    }
}
