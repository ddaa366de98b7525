//! Tests of the tables of fields: each line of a table, with the value for a known flow or packet.

use std::fmt::Write;
use std::net::IpAddr;

use etherparse::{PacketBuilder, TcpHeader};

use super::*;
use crate::decode::{Decoder, TunnelSet};
use crate::flow::Flow;
use crate::link_type::{LinkType, RawPacket};
use crate::meter::{Meter, Settings};
use crate::record::{
    Application, DecodedPacket, Direction, FlowIdentity, FlowPacket, SystemProcess,
};
use crate::time::Time;

const CLIENT: ([u8; 6], [u8; 4], u16) = ([2, 0, 0, 0, 0, 1], [192, 168, 0, 1], 40_000);
const SERVER: ([u8; 6], [u8; 4], u16) = ([6, 0, 15, 0, 0, 2], [8, 8, 8, 8], 443);

/// Returns an Ethernet frame with VLAN tag 7: bits of the TCP flags and bytes of payload.
fn tcp(from_client: bool, flags: u8, len: usize) -> Vec<u8> {
    let (src, dst) = match from_client {
        true => (CLIENT, SERVER),
        false => (SERVER, CLIENT),
    };
    let mut header = TcpHeader::new(src.2, dst.2, 0x0102_0304, 512);
    header.acknowledgment_number = 0x0506_0708;
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    (header.fin, header.syn, header.rst) = (is_set(0), is_set(1), is_set(2));
    (header.psh, header.ack, header.urg) = (is_set(3), is_set(4), is_set(5));
    (header.ece, header.cwr) = (is_set(6), is_set(7));
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(src.0, dst.0)
        .single_vlan(7.try_into().unwrap())
        .ipv4(src.1, dst.1, 64)
        .tcp_header(header)
        .write(&mut frame, &vec![0; len])
        .unwrap();
    frame
}

/// A flow of five packets, with all that Flowloom can compute.
fn flow() -> Flow {
    let settings = Settings {
        statistical_analysis: true,
        splt_analysis: 6,
        capture_column: true,
        n_dissections: 1,
        ..Settings::default()
    };
    let mut meter = Meter::new(settings);
    // Headers have 58 bytes: Ethernet, VLAN, IP, TCP.
    let packets = [
        (1_000, tcp(true, 0b0000_0010, 0)),
        (1_010, tcp(false, 0b1001_0010, 2)),
        (1_040, tcp(true, 0b0111_1000, 42)),
        (1_041, tcp(false, 0b0001_0001, 142)),
        (1_100, tcp(true, 0b0001_0100, 12)),
    ];
    meter.push(packets.iter().map(|(ms, data)| RawPacket {
        time: Time::from_ns(ms * 1_000_000),
        link: LinkType(1),
        wire_len: data.len() as u32,
        data,
    }));
    meter.finish();
    let mut flow = meter.next_flow().expect("the flow");
    let texts = [
        "www.example.org",
        "ja3",
        "ja3s",
        "curl",
        "text/html",
        "ja4",
        "2_64",
        "example.org",
    ];
    let application = Application::new("TLS".into(), "Web".into(), true, 6, texts)
        .with_risks(["Old".into(), "Odd".into()].into(), 150)
        .with_stack(["TLS".into()].into());
    flow.application = Some(Box::new(application));
    flow.capture = 3;
    flow.identity = Some(Box::new(FlowIdentity {
        community_id: Some([1; 20]),
        flow_uid: Some([2; 16]),
        source_file: Some("a.pcap".into()),
        process: Some(SystemProcess {
            pid: 4_194_304,
            name: Some("curl".into()),
        }),
    }));
    flow
}

#[test]
fn every_flow_field() {
    let flow = flow();
    let mut lines = String::new();
    for feature in FEATURES {
        let Feature {
            name,
            ty,
            unit,
            group,
            ..
        } = feature;
        let grant = feature.sensitivity.grant();
        let value = feature.value(&flow.view());
        writeln!(
            lines,
            "{name}|{}|{unit}|{group:?}|{grant}|{value:?}",
            ty.name()
        )
        .unwrap();
        assert!(feature.doc.ends_with(['.', ')']), "{name}");
        assert_eq!(Feature::by_name(name).map(|found| found.name), Some(*name));
        let same: Vec<_> = FEATURES.iter().filter(|other| *other == feature).collect();
        assert_eq!(same.len(), 1, "{name}");
    }
    assert_eq!(lines, include_str!("flow_fields.txt"));
    assert!(Feature::by_name("no_such_field").is_none());
}

#[test]
fn fields_of_an_undissected_flow_without_analyses_are_empty() {
    let mut flow = flow();
    (flow.application, flow.statistics) = (None, None);
    flow.identity = None;
    for (name, expected) in [
        ("community_id", "Null"),
        ("flow_uid", "Null"),
        ("source_file", "Null"),
        ("system_process_pid", "Null"),
        ("system_process_name", "Null"),
        ("application_name", "Text(\"Unknown\")"),
        ("application_category_name", "Text(\"Unspecified\")"),
        ("user_agent", "Text(\"\")"),
        ("bidirectional_max_ps", "Integer(0)"),
        ("dst2src_ack_packets", "Integer(0)"),
    ] {
        let feature = Feature::by_name(name).expect("it exists");
        assert_eq!(
            format!("{:?}", feature.value(&flow.view())),
            expected,
            "{name}"
        );
    }
}

#[test]
fn every_packet_field() {
    let frames = [
        tcp(true, 0b1010_1010, 3),
        icmp(),
        tcp(false, 0b0101_0101, 3),
    ];
    let decoder = Decoder::new(TunnelSet::DEFAULT);
    let decoded: Vec<_> = frames
        .iter()
        .zip(1..)
        .map(|(frame, n)| DecodedPacket {
            packet: decoder.decode(LinkType(1), frame, 100).expect("IP"),
            time: Time::from_ns(n * 1_234_567),
            ..DecodedPacket::default()
        })
        .collect();
    let mut packets: Vec<_> = decoded
        .iter()
        .zip(&frames)
        .map(|(decoded, frame)| FlowPacket::new(decoded, frame))
        .collect();
    packets[2].direction = Direction::DstToSrc;
    packets[2].delta_ms = 9;
    let pseudonym = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets()[3].into(),
        IpAddr::V6(_) => 0,
    };
    let mut lines = String::new();
    for field in PACKET_FIELDS {
        let PacketField {
            name,
            ty,
            unit,
            in_record,
            ..
        } = field;
        let grant = field.sensitivity.grant();
        let mut column = ColumnBuffer::new(*ty);
        // The second packet is that of another flow.
        let places = &[0, 2, 1];
        let chunk = &packets;
        field.extend(PacketSubset { chunk, places }, &pseudonym, &mut column);
        if let PacketExtract::Number { of, .. } = field.value {
            let mut one_by_one = ColumnBuffer::new(*ty);
            for &place in places {
                one_by_one.push_number(of(&packets[usize::from(place)]));
            }
            assert_eq!(format!("{one_by_one:?}"), format!("{column:?}"));
        }
        let values = match column {
            ColumnBuffer::Texts { bytes, .. } => String::from_utf8(bytes).unwrap(),
            numbers => format!("{numbers:?}"),
        };
        writeln!(
            lines,
            "{name}|{}|{unit}|{in_record}|{grant}|{values}",
            ty.name()
        )
        .unwrap();
        assert!(field.doc.ends_with('.'), "{name}");
        assert_eq!(
            PacketField::by_name(name).map(|found| found.name),
            Some(*name)
        );
        let same: Vec<_> = PACKET_FIELDS
            .iter()
            .filter(|other| *other == field)
            .collect();
        assert_eq!(same.len(), 1, "{name}");
    }
    assert_eq!(lines, include_str!("packet_fields.txt"));
    assert!(PacketField::by_name("no_such_field").is_none());
}

/// Returns an ICMP message of type 3 and code 4 without a VLAN tag.
fn icmp() -> Vec<u8> {
    let mut frame = [SERVER.0, CLIENT.0].concat();
    frame.extend([8, 0, 0x45, 0, 0, 28, 0xab, 0xcd, 0, 0, 32, 1, 0, 0]);
    frame.extend([CLIENT.1, SERVER.1].concat());
    frame.extend([3, 4, 0, 0, 0, 0, 0, 0]);
    frame
}

#[test]
fn groups_say_when_fields_are_present() {
    for (group, when) in [
        (Group::Core, "always"),
        (Group::Capture, "with several sources"),
        (Group::CommunityId, "with community_id"),
        (Group::FlowUid, "with flow_uid"),
        (Group::SourceFile, "with source_file"),
        (Group::SystemProcess, "with system_visibility"),
        (Group::Tunnel, "unless decode_tunnels is false"),
        (Group::Statistics, "with statistical_analysis"),
        (Group::Splt, "with splt_analysis"),
        (Group::Application, "unless n_dissections is 0"),
    ] {
        assert_eq!(group.when(), when);
    }
}
