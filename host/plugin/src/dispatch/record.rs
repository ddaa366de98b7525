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
        value @ (Value::Ip(_) | Value::Mac(_) | Value::Oui(_)) => {
            let mut text = String::new();
            value.write_text(&mut text);
            text
        }
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
            Value::Ip(_) | Value::Mac(_) | Value::Oui(_) => ValueParam::Text(text),
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
