//! Tests of the meter. Most verify a difference from NFStream in docs/nfstream-differences.md.

use std::sync::{Arc, LazyLock};

use etherparse::PacketBuilder;

use super::testing::{RAW, metered, udp};
use super::{Meter, Settings};
use crate::fields::{Extract, Feature, NumberFunctions};
use crate::flow::Flow;
use crate::link_type::RawPacket;
use crate::time::Time;
use crate::value::Value;

/// Returns a packet that was captured at this second.
pub(super) fn at(second: u64, data: &[u8]) -> RawPacket<'_> {
    RawPacket {
        time: Time::from_ns(second * 1_000_000_000),
        link: RAW,
        wire_len: data.len() as u32,
        data,
    }
}

fn number(flow: &Flow, name: &str) -> i64 {
    match flow.get(name) {
        Some(Value::Integer(number)) => number,
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_long_flow_holds_up_no_other() {
    let (long, short) = (udp(1), udp(2));
    let mut meter = Meter::new(Settings::default());
    meter.push([at(0, &long), at(0, &short)]);
    for second in 1..15 {
        meter.push([at(second, &long)]);
        assert!(meter.next_flow().is_none(), "{second}");
    }
    meter.push([at(15, &long)]);
    let flow = meter
        .next_flow()
        .expect("the short flow is idle, although the long flow is not");
    assert_eq!(number(&flow, "src_port"), 2);
    assert_eq!(meter.live_flows(), 1);
}

#[test]
fn a_flow_is_idle_after_15_seconds_by_default() {
    let packet = udp(1);
    let mut meter = Meter::new(Settings::default());
    meter.push([at(0, &packet), at(14, &packet), at(29, &packet)]);
    meter.finish();
    let flows: Vec<_> = std::iter::from_fn(|| meter.next_flow()).collect();
    let packets = flows
        .iter()
        .map(|flow| number(flow, "bidirectional_packets"));
    assert_eq!(packets.collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn ids_are_the_ordinals_of_first_packets() {
    // The second packet is ignored, but it has an ordinal.
    let flows = metered(
        Settings::default(),
        &[udp(1), vec![0], udp(2), udp(1), udp(3)],
    );
    let ids: Vec<_> = flows.iter().map(|flow| number(flow, "id")).collect();
    assert_eq!(ids, [0, 2, 4]);
}

#[test]
fn sizes_beyond_16_bits_are_counted() {
    let data = udp(1);
    let settings = Settings {
        statistical_analysis: true,
        splt_analysis: 1,
        ..Settings::default()
    };
    let mut meter = Meter::new(settings);
    meter.push([RawPacket {
        wire_len: 70_000,
        ..at(0, &data)
    }]);
    meter.finish();
    let flow = meter.next_flow().unwrap();
    for name in ["bidirectional_bytes", "bidirectional_max_ps"] {
        assert_eq!(number(&flow, name), 70_000, "{name}");
    }
    assert_eq!(flow.get("splt_ps"), Some(Value::Integers(&[70_000])));
}

#[test]
fn a_short_frame_is_a_packet() {
    let mut empty = udp(1);
    empty.truncate(20);
    empty[3] = 20;
    empty[9] = 255;
    let flows = metered(Settings::default(), &[empty]);
    assert_eq!(number(&flows[0], "protocol"), 255);
    assert_eq!(number(&flows[0], "bidirectional_bytes"), 20);
}

#[test]
fn a_full_table_ends_the_oldest_flow() {
    let settings = Settings {
        max_flows: 2,
        ..Settings::default()
    };
    let flows = metered(settings, &[udp(1), udp(2), udp(3)]);
    let ends: Vec<_> = flows
        .iter()
        .map(|flow| (number(flow, "src_port"), number(flow, "expiration_id")))
        .collect();
    assert_eq!(ends, [(1, 3), (2, 0), (3, 0)]);
}

#[test]
fn low_ipv6_addresses_have_no_ipv4_in_their_text() {
    let mut packet = Vec::new();
    let src = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    PacketBuilder::ipv6(src, [0xfd; 16], 64)
        .udp(1, 53)
        .write(&mut packet, b"query")
        .unwrap();
    let flows = metered(Settings::default(), &[packet]);
    let Some(Value::Ip(address)) = flows[0].get("src_ip") else {
        panic!("no address")
    };
    assert_eq!(address.to_string(), "::102:304");
}

#[test]
fn get_computes_only_the_requested_value() {
    static PANICS: LazyLock<Feature> = LazyLock::new(|| Feature {
        name: "panics",
        value: Extract::Integer(NumberFunctions {
            of: |_| panic!("the value was not requested"),
            all: |_, _| panic!("the value was not requested"),
        }),
        ..*Feature::by_name("id").unwrap()
    });
    let mut flow = metered(Settings::default(), &[udp(1)]).remove(0);
    let mut schema = (*flow.schema).clone();
    schema.features.insert(0, &*PANICS);
    flow.schema = Arc::new(schema);
    assert_eq!(number(&flow, "src_port"), 1);
    assert_eq!(flow.get("no_such_column"), None);
}
