use flowloom::capture::LinkType;
use flowloom_core::decode::{Decoder, Packet};

use super::bytes::Bytes;
use super::settings::tunnels;

/// Any frame of any link type: two bytes of link type, one of tunnels, one of how much longer the
/// packet was on the wire, one of where it is cut for comparison, and the frame.
pub fn decode(data: &[u8]) {
    let mut bytes = Bytes(data);
    let link = LinkType(bytes.u16());
    let tunnels = tunnels(bytes.u8());
    let more = u32::from(bytes.u8()) * 97;
    let cut = usize::from(bytes.u8());
    let frame = bytes.0;
    let wire_len = frame.len() as u32 + more;
    let decoder = Decoder::new(tunnels);
    let decoded = decoder.decode(link, frame, wire_len);
    if let Ok(packet) = &decoded {
        check(packet, frame, wire_len);
    }
    let cut = &frame[..cut.min(frame.len())];
    let Ok(part) = decoder.decode(link, cut, wire_len) else {
        return;
    };
    check(&part, cut, wire_len);
    // A tunnel whose header was cut is an ordinary packet; without tunnels, a capture that kept
    // fewer bytes tells less of the packet, but nothing else.
    if tunnels.iter().next().is_none() {
        let whole = decoded.expect("what can be metered of a part can be of the whole");
        assert_eq!(identity(&part), identity(&whole));
    }
}

fn check(packet: &Packet, frame: &[u8], wire_len: u32) {
    assert!(matches!(packet.ip_version, 4 | 6));
    assert_eq!(packet.raw_size, wire_len);
    assert!(packet.ip_at < packet.transport_at, "{packet:?}");
    assert!(packet.transport_at <= packet.payload_at, "{packet:?}");
    assert!(packet.payload_at <= packet.ip_end, "{packet:?}");
    assert!(packet.ip_end as usize <= frame.len(), "{packet:?}");
    assert!(packet.payload_size <= packet.transport_size, "{packet:?}");
    assert!(packet.transport_size < packet.ip_size, "{packet:?}");
    assert!(packet.ip_end - packet.ip_at <= packet.ip_size, "{packet:?}");
    assert!(packet.vlan_id < 1 << 12, "{packet:?}");
    if packet.ip_version == 4 {
        assert_eq!(packet.src.0[4..], [0; 12]);
        assert_eq!(packet.dst.0[4..], [0; 12]);
    }
    let ip = &frame[packet.ip_at as usize..packet.ip_end as usize];
    assert_eq!(ip[0] >> 4, packet.ip_version);
    assert_eq!(packet.ip_bytes(frame), ip);
    assert_eq!(
        packet.payload(frame),
        &frame[packet.payload_at as usize..packet.ip_end as usize]
    );
    packet.src.to_ip(packet.ip_version);
    let tcp = (
        packet.tcp_seq(frame),
        packet.tcp_ack(frame),
        packet.tcp_window(frame),
        packet.tcp_flags,
    );
    if packet.protocol != 6 {
        assert_eq!(tcp, (0, 0, 0, 0));
    }
    if !matches!(packet.protocol, 1 | 58) {
        assert_eq!((packet.icmp_type(frame), packet.icmp_code(frame)), (0, 0));
    }
    if !matches!(packet.protocol, 6 | 17) {
        assert_eq!((packet.src_port, packet.dst_port), (0, 0));
    }
    assert_eq!(
        packet.ttl(frame),
        ip[if packet.ip_version == 4 { 8 } else { 7 }]
    );
    if packet.ip_version == 6 {
        assert_eq!(packet.ip_id(frame), 0);
    }
}

/// What a packet's flow and its sizes are told by.
fn identity(packet: &Packet) -> impl PartialEq + std::fmt::Debug {
    (
        (packet.src, packet.src_port, packet.dst, packet.dst_port),
        (packet.protocol, packet.ip_version, packet.vlan_id),
        (packet.src_mac, packet.dst_mac),
        (packet.raw_size, packet.ip_size, packet.transport_size),
        (packet.ip_at, packet.transport_at),
    )
}
