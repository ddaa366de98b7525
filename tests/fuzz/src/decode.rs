use flowloom::capture::LinkType;
use flowloom_core::decode::{Decoder, Packet};

use super::bytes::Bytes;
use super::settings::tunnels;

/// Decodes an arbitrary frame of an arbitrary link type. The input has these fields:
/// - the link type (2 bytes)
/// - the tunnels (1 byte)
/// - how much longer the packet was on the wire, in units of 97 bytes (1 byte)
/// - the length of a truncated copy, which is decoded too (1 byte)
/// - the frame
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
    // A tunnel packet with a truncated header is an ordinary packet, so its flow can differ. Without tunnels, a
    // truncated packet must have the same flow and sizes as the complete one.
    if tunnels.iter().next().is_none() {
        let whole = decoded.expect("the complete packet can be metered if the truncated one can");
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

/// Returns the fields that determine the flow and the sizes of a packet.
fn identity(packet: &Packet) -> impl PartialEq + std::fmt::Debug {
    (
        (packet.src, packet.src_port, packet.dst, packet.dst_port),
        (packet.protocol, packet.ip_version, packet.vlan_id),
        (packet.src_mac, packet.dst_mac),
        (packet.raw_size, packet.ip_size, packet.transport_size),
        (packet.ip_at, packet.transport_at),
    )
}
