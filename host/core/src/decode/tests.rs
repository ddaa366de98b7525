//! Properties of the whole decoder, for arbitrary bytes and all link types.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::testing::*;
use super::{Decoder, Packet, TunnelSet};
use crate::link_type::LinkType;

const LINK_TYPES: [u16; 21] = [
    0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 119, 127, 163, 192, 228, 229, 276, 147, 65535,
];

/// Asserts the invariants of the offsets and sizes of every packet.
fn check(packet: &Packet, frame: &[u8]) {
    let offsets = [
        packet.ip_at,
        packet.transport_at,
        packet.payload_at,
        packet.ip_end,
        frame.len() as u32,
    ];
    assert!(offsets.is_sorted(), "{offsets:?}");
    assert!(packet.payload_size <= packet.transport_size);
    assert!(packet.transport_size < packet.ip_size);
    assert!(packet.ip_end - packet.ip_at <= packet.ip_size);
    assert!(matches!(packet.ip_version, 4 | 6));
    assert!(packet.vlan_id < 4096);

    let accessors = [
        packet.ttl(frame).into(),
        packet.ip_id(frame).into(),
        packet.tcp_seq(frame),
        packet.tcp_ack(frame),
        packet.tcp_window(frame).into(),
        packet.icmp_type(frame).into(),
        packet.icmp_code(frame).into(),
        packet.ip_bytes(frame).len() as u32,
        packet.payload(frame).len() as u32,
    ];
    assert!(accessors[7] >= accessors[8]);
}

/// Returns frames that reach every layer, as input for mutation.
fn seeds() -> Vec<(u16, Vec<u8>)> {
    let inner = ipv4_udp(53, b"inner");
    let frame = ethernet(0x0800, &ipv4_tcp(80, b"GET"));
    let gtp = [
        &[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0x85, 1, 0, 0, 0][..],
        &inner,
    ]
    .concat();
    let tzsp = [&[1, 0, 0, 1, 0, 10, 1, 7, 1][..], &frame].concat();
    let capwap = [
        &[0, 0x10, 3, 0, 0, 0, 0, 0][..],
        &wifi(0x88, &[0, 0], &inner),
    ]
    .concat();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0][..], &frame].concat();
    let geneve = [&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0][..], &frame].concat();
    let gre = [
        &[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1][..],
        &inner,
    ]
    .concat();
    let options = ipv6(
        0,
        &[
            &[
                60, 0, 1, 4, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 9,
            ][..],
            &inner,
        ]
        .concat(),
    );
    let tagged = [
        &[0, 7, 0x88, 0x64, 0x11, 0, 0, 1, 0, 99, 0, 0x57][..],
        &options,
    ]
    .concat();
    let labelled = [&[0, 1, 0x20, 64, 0, 1, 0x21, 64][..], &inner].concat();
    let radiotap = [&[0, 0, 9, 0, 2, 0, 0, 0, 0][..], &wifi(0x08, &[], &inner)].concat();
    let in_ppi = [&[0, 0, 8, 0, 105, 0, 0, 0][..], &wifi(0x08, &[], &inner)].concat();
    vec![
        (1, frame.clone()),
        (1, ethernet(0x8100, &tagged)),
        (1, ethernet(0x8847, &labelled)),
        (101, ipv4_udp(2152, &gtp)),
        (101, ipv6_udp(37008, &tzsp)),
        (101, ipv4_udp(5247, &capwap)),
        (101, ipv4_udp(4789, &vxlan)),
        (101, ipv6_udp(6081, &geneve)),
        (101, ipv4(47, &gre)),
        (101, ipv4(41, &options)),
        (101, ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1])),
        (127, radiotap),
        (192, in_ppi),
        (9, [&[0xff, 3, 0, 0x21][..], &inner].concat()),
        (104, [&[0x0f, 0, 8, 0][..], &inner].concat()),
        (0, [&[2, 0, 0, 0][..], &inner].concat()),
        (113, [&[0; 14][..], &[8, 0], &inner].concat()),
        (276, [&[8, 0][..], &[0; 18], &inner].concat()),
    ]
}

#[test]
fn every_seed_is_decoded() {
    for (link, frame) in seeds() {
        let packet = decode(link, &frame).unwrap_or_else(|why| panic!("{link}: {why}"));
        check(&packet, &frame);
    }
}

#[test]
fn every_cut_of_every_seed_keeps_the_sizes() {
    for (link, frame) in seeds() {
        let whole = decode(link, &frame).expect("decoded above");
        for len in 0..frame.len() {
            let Ok(packet) = decode_cut(link, &frame, len) else {
                continue;
            };
            check(&packet, &frame[..len]);
            if (packet.src_port, packet.tunnel) == (whole.src_port, whole.tunnel) {
                assert_eq!(packet.ip_size, whole.ip_size);
                assert_eq!(packet.transport_size, whole.transport_size);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn arbitrary_bytes_keep_the_invariants(
        link in select(&LINK_TYPES[..]),
        frame in prop::collection::vec(any::<u8>(), 0..200),
        wire_len in any::<u32>(),
    ) {
        for decoder in [decoder(), Decoder::new(TunnelSet::NONE)] {
            if let Ok(packet) = decoder.decode(LinkType(link), &frame, wire_len) {
                check(&packet, &frame);
            }
        }
    }

    #[test]
    fn damaged_packets_keep_the_invariants(
        seed in any::<Index>(),
        damage in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        len in any::<Index>(),
        more in 0..2000u32,
    ) {
        let (link, mut frame) = seed.get(&seeds()).clone();
        for (index, byte) in damage {
            *index.get_mut(&mut frame) = byte;
        }
        // Most frames are not truncated, so that damage in inner layers is reached.
        let len = len.index(4 * frame.len());
        frame.truncate(len.max(1));
        let wire_len = frame.len() as u32 + more;
        if let Ok(packet) = decoder().decode(LinkType(link), &frame, wire_len) {
            check(&packet, &frame);
        }
    }
}
