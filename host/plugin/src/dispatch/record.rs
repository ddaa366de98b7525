//! Conversion of events to records, for plugins that are called once per event.

use flowloom_core::fields::{Feature, PacketExtract, PacketField, Sensitivity, TextWriter};
use flowloom_core::record::{Direction as FlowDirection, FlowPacket, FlowView};
use flowloom_core::value::Value;

use super::batch::{ip_bytes, payload};
use crate::contract::feature::{Direction, Flow, Packet, TcpFlags, ValueParam};
use crate::load::manifest::Manifest;
use crate::sandbox::pseudonyms::Pseudonyms;

/// Makes records. Reuses its memory from packet to packet.
pub(crate) struct Records {
    src_ip: Option<String>,
    dst_ip: Option<String>,
    src_mac: Option<String>,
    dst_mac: Option<String>,
    /// Texts of the requested fields that are not members of the record.
    more: Vec<String>,
    has_more: bool,
    pseudonyms: Pseudonyms,
}

impl Records {
    pub(crate) fn new(manifest: &Manifest, pseudonyms: Pseudonyms) -> Self {
        let requested = |name: &str| {
            manifest
                .packet
                .iter()
                .any(|field| field.name == name)
                .then(String::new)
        };
        Self {
            src_ip: requested("src_ip"),
            dst_ip: requested("dst_ip"),
            src_mac: requested("src_mac"),
            dst_mac: requested("dst_mac"),
            more: Vec::new(),
            has_more: manifest.packet.iter().any(|field| !field.in_record),
            pseudonyms,
        }
    }

    /// Passes a packet to `call` as a record of the contract.
    pub(crate) fn packet<T>(
        &mut self,
        manifest: &Manifest,
        flow_packet: &FlowPacket<'_>,
        call: impl FnOnce(Packet<'_>) -> T,
    ) -> T {
        let packet = &flow_packet.packet;
        for (text, name) in [
            (&mut self.src_ip, "src_ip"),
            (&mut self.dst_ip, "dst_ip"),
            (&mut self.src_mac, "src_mac"),
            (&mut self.dst_mac, "dst_mac"),
        ] {
            if let (Some(text), Some(field)) = (text, PacketField::by_name(name)) {
                write(field, flow_packet, text);
            }
        }
        let more = self
            .has_more
            .then(|| more(manifest, flow_packet, &self.pseudonyms, &mut self.more));
        call(Packet {
            time_ns: flow_packet.time.ns(),
            delta_time_ms: flow_packet.delta_ms,
            direction: match flow_packet.direction {
                FlowDirection::SrcToDst => Direction::Src2dst,
                FlowDirection::DstToSrc => Direction::Dst2src,
            },
            raw_size: packet.raw_size,
            ip_size: packet.ip_size,
            transport_size: packet.transport_size,
            payload_size: packet.payload_size,
            src_ip: self.src_ip.as_deref(),
            src_port: packet.src_port,
            dst_ip: self.dst_ip.as_deref(),
            dst_port: packet.dst_port,
            src_mac: self.src_mac.as_deref(),
            dst_mac: self.dst_mac.as_deref(),
            protocol: packet.protocol,
            ip_version: packet.ip_version,
            vlan_id: packet.vlan_id,
            tunnel_id: packet.tunnel as u32,
            tcp_flags: tcp_flags(packet.tcp_flags),
            ttl: packet.ttl(flow_packet.frame),
            ip_id: packet.ip_id(flow_packet.frame),
            tcp_window: packet.tcp_window(flow_packet.frame),
            tcp_seq: packet.tcp_seq(flow_packet.frame),
            tcp_ack: packet.tcp_ack(flow_packet.frame),
            icmp_type: packet.icmp_type(flow_packet.frame),
            icmp_code: packet.icmp_code(flow_packet.frame),
            ip_packet: (manifest.packet_bytes > 0).then(|| ip_bytes(manifest, flow_packet)),
            payload: (manifest.payload_bytes > 0).then(|| payload(manifest, flow_packet)),
            more: more.as_deref(),
        })
    }
}

/// Returns the values of the requested fields that are not members of the record.
fn more<'a>(
    manifest: &Manifest,
    flow_packet: &FlowPacket<'_>,
    pseudonyms: &Pseudonyms,
    texts: &'a mut Vec<String>,
) -> Vec<ValueParam<'a>> {
    let beside = || manifest.packet.iter().filter(|field| !field.in_record);
    texts.resize_with(beside().count(), String::new);
    for (field, text) in beside().zip(texts.iter_mut()) {
        if field.sensitivity != Sensitivity::None {
            write(field, flow_packet, text);
        }
    }
    let value = |(field, text): (&&PacketField, &'a String)| match field.value {
        PacketExtract::Number { of, .. } => ValueParam::Integer(of(flow_packet) as i64),
        PacketExtract::Pseudonym(address) => {
            ValueParam::Integer(pseudonyms.of(address(flow_packet)) as i64)
        }
        PacketExtract::Text(_) => ValueParam::Text(text),
    };
    beside().zip(texts.iter()).map(value).collect()
}

fn write(field: &PacketField, flow_packet: &FlowPacket<'_>, text: &mut String) {
    if let PacketExtract::Text(write) = field.value {
        let mut bytes = std::mem::take(text).into_bytes();
        bytes.clear();
        write(flow_packet, &mut TextWriter(&mut bytes));
        *text = String::from_utf8(bytes).unwrap_or_default();
    }
}

fn tcp_flags(bits: u8) -> TcpFlags {
    use TcpFlags as F;
    [
        F::FIN,
        F::SYN,
        F::RST,
        F::PSH,
        F::ACK,
        F::URG,
        F::ECE,
        F::CWR,
    ]
    .into_iter()
    .enumerate()
    .filter(|(bit, _)| bits >> bit & 1 == 1)
    .fold(F::empty(), |flags, (_, flag)| flags | flag)
}

/// Passes a flow to `call` as a record of the contract.
pub(crate) fn flow<T>(
    fields: &[&Feature],
    flow: &FlowView<'_>,
    call: impl FnOnce(Flow<'_>) -> T,
) -> T {
    // Texts are formatted first, so that the values can borrow them.
    let text = |field: &&Feature| match field.value(flow) {
        value @ (Value::Time(_)
        | Value::Ip(_)
        | Value::Mac(_)
        | Value::Oui(_)
        | Value::CommunityId(_)
        | Value::FlowUid(_)) => {
            let mut text = String::new();
            value.write_text(&mut text);
            text
        }
        Value::Texts(texts) => texts.join("\n"),
        _ => String::new(),
    };
    let texts: Vec<_> = fields.iter().map(text).collect();
    let values = fields
        .iter()
        .zip(&texts)
        .map(|(field, text)| match field.value(flow) {
            Value::Null => ValueParam::Null,
            Value::Boolean(value) => ValueParam::Boolean(value),
            Value::Integer(value) => ValueParam::Integer(value),
            Value::Float(value) => ValueParam::Float(value),
            Value::Time(_)
            | Value::Ip(_)
            | Value::Mac(_)
            | Value::Oui(_)
            | Value::CommunityId(_)
            | Value::FlowUid(_)
            | Value::Texts(_) => ValueParam::Text(text),
            Value::Text(value) => ValueParam::Text(value),
            Value::Bytes(value) => ValueParam::Bytes(value),
            Value::Integers(value) => ValueParam::Integers(value),
            Value::Floats(value) => ValueParam::Floats(value),
            Value::Json(value) => ValueParam::Json(value),
        });
    let values: Vec<_> = values.collect();
    call(Flow {
        id: flow.record.id,
        fields: &values,
    })
}

#[cfg(test)]
mod tests {
    use flowloom_core::decode::{Decoder, TunnelSet};
    use flowloom_core::link_type::{LinkType, RawPacket};
    use flowloom_core::meter::{Meter, Settings};
    use flowloom_core::record::DecodedPacket;
    use flowloom_core::time::Time;

    use super::*;
    use crate::config::anonymization_key::AnonymizationKey;
    use crate::load::plugin::tests::load;

    /// An Ethernet frame with a TCP segment of three bytes. SYN, PSH and ACK are set.
    const FRAME: [u8; 57] = [
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 43, 0, 9, 0, 0, 64, 6, 0, 0, 192, 0,
        2, 1, 192, 0, 2, 2, 4, 0, 0, 80, 0, 0, 0, 5, 0, 0, 0, 6, 0x50, 0x1a, 1, 0, 0, 0, 0, 0,
        b'G', b'E', b'T',
    ];

    fn pseudonyms() -> Pseudonyms {
        Pseudonyms::new(&AnonymizationKey::from([7; 64]))
    }

    /// Returns the record of the frame as text, for a plugin that requests these fields and bytes.
    fn record(fields: &[&str], payload_bytes: u32, packet_bytes: u32) -> String {
        let mut manifest = load().manifest().clone();
        let field = |name: &&str| PacketField::by_name(name).expect("it exists");
        manifest.packet = fields.iter().map(field).collect();
        (manifest.payload_bytes, manifest.packet_bytes) = (payload_bytes, packet_bytes);
        let decoder = Decoder::new(TunnelSet::NONE);
        let decoded = DecodedPacket {
            packet: decoder.decode(LinkType(1), &FRAME, 60).unwrap(),
            time: Time::from_ns(7_000_001),
            ..DecodedPacket::default()
        };
        let mut packet = FlowPacket::new(&decoded, &FRAME);
        packet.direction = FlowDirection::DstToSrc;
        packet.delta_ms = 3;
        let mut records = Records::new(&manifest, pseudonyms());
        // The memory of the first packet is reused.
        records.packet(&manifest, &packet, |_| ());
        records.packet(&manifest, &packet, |record| format!("{record:?}"))
    }

    #[track_caller]
    fn assert_has(record: &str, parts: &[&str]) {
        for part in parts {
            assert!(record.contains(part), "{part} is not in {record}");
        }
    }

    #[test]
    fn a_record_has_all_fields_without_a_grant() {
        let parts = [
            "time-ns: 7000001",
            "delta-time-ms: 3",
            "direction: Direction::Dst2src",
            "raw-size: 60",
            "ip-size: 43",
            "transport-size: 23",
            "payload-size: 3",
            "src-ip: None",
            "src-port: 1024",
            "dst-ip: None",
            "dst-port: 80",
            "src-mac: None",
            "dst-mac: None",
            "protocol: 6",
            "ip-version: 4",
            "ttl: 64",
            "ip-id: 9",
            "tcp-window: 256",
            "tcp-seq: 5",
            "tcp-ack: 6",
            "ip-packet: None",
            "payload: None",
            "more: None",
        ];
        assert_has(&record(&[], 0, 0), &parts);
    }

    #[test]
    fn requested_addresses_bytes_and_further_fields_are_added() {
        let text = record(&["src_ip", "dst_mac"], 2, 1);
        let parts = [
            "src-ip: Some(\"192.0.2.1\")",
            "dst-ip: None",
            "src-mac: None",
            "dst-mac: Some(\"02:00:00:00:00:02\")",
            "ip-packet: Some([69])",
            "payload: Some([71, 69])",
            "more: None",
        ];
        assert_has(&text, &parts);
        let text = record(
            &["dst_ip", "time_ms", "src_oui", "src_pseudonym", "src_mac"],
            0,
            0,
        );
        let number = pseudonyms().of([192, 0, 2, 1].into());
        let more = format!(
            "[ValueParam::Integer(7), ValueParam::Text(\"02:00:00\"), ValueParam::Integer({number})]"
        );
        let parts = [
            "dst-ip: Some(\"192.0.2.2\")",
            "src-mac: Some(\"02:00:00:00:00:01\")",
            &more,
        ];
        assert_has(&text, &parts);
    }

    #[test]
    fn each_flag_has_its_bit() {
        let flags = [
            TcpFlags::FIN,
            TcpFlags::SYN,
            TcpFlags::RST,
            TcpFlags::PSH,
            TcpFlags::ACK,
            TcpFlags::URG,
            TcpFlags::ECE,
            TcpFlags::CWR,
        ];
        for (bit, flag) in flags.into_iter().enumerate() {
            assert_eq!(tcp_flags(1 << bit), flag);
        }
        assert_eq!(tcp_flags(0), TcpFlags::empty());
        assert_eq!(tcp_flags(0xff), TcpFlags::all());
    }

    #[test]
    fn flow_fields_have_the_types_of_the_contract() {
        let mut meter = Meter::new(Settings::default());
        let packet = RawPacket {
            time: Time::EPOCH,
            link: LinkType(1),
            wire_len: 60,
            data: &FRAME,
        };
        meter.push([packet]);
        meter.finish();
        let ended = meter.next_flow().unwrap();
        let fields = [
            "src_ip",
            "dst_mac",
            "src_oui",
            "dst_port",
            "src_ip_is_private",
            "application_name",
            "bidirectional_mean_ps",
            "splt_ps",
        ];
        let fields = fields.map(|name| Feature::by_name(name).expect("it exists"));
        let text = flow(&fields, &ended.view(), |flow| format!("{flow:?}"));
        let parts = [
            "id: 0",
            "Text(\"192.0.2.1\")",
            "Text(\"02:00:00:00:00:02\")",
            "Text(\"02:00:00\")",
            "Integer(80)",
            "Boolean(true)",
            "Text(\"Unknown\")",
            "Float(60.0)",
            "Integers([])",
        ];
        assert_has(&text, &parts);
        assert_eq!(text.matches("ValueParam::").count(), 8, "{text}");
    }
}
