//! Conversion of events to the types of the contract, for plugins that are called once per event.

use flowloom_core::fields::{Feature, PacketExtract, PacketField, TextWriter};
use flowloom_core::record::{Direction as FlowDirection, FlowPacket, FlowView};
use flowloom_core::value::Value;

use super::batch::{ip_bytes, payload};
use crate::contract::feature::{Direction, Packet, TcpFlags, ValueParam, Values};
use crate::load::manifest::Manifest;
use crate::sandbox::pseudonyms::Pseudonyms;

/// Collects the values that a plugin requested for an event.
///
/// It allocates no memory for an event, once its buffers are large enough.
pub(crate) struct EventValues {
    /// The requested packet fields that the record `packet` does not contain.
    packet: Vec<&'static PacketField>,
    has_packet_bytes: bool,
    has_payload: bool,
    pseudonyms: Pseudonyms,
    /// The TCP flags for each value of their byte.
    tcp_flags: Box<[TcpFlags]>,
    texts: Texts,
    /// Empty between events. Its memory is reused.
    values: Vec<ValueParam<'static>>,
}

impl EventValues {
    pub(crate) fn new(manifest: &Manifest, pseudonyms: Pseudonyms) -> Self {
        let packet = manifest.packet.iter().copied();
        Self {
            packet: packet.filter(|field| !field.in_record).collect(),
            has_packet_bytes: manifest.packet_bytes > 0,
            has_payload: manifest.payload_bytes > 0,
            pseudonyms,
            tcp_flags: tcp_flags(),
            texts: Texts::default(),
            values: Vec::new(),
        }
    }

    /// Returns a packet as a record of the contract.
    #[inline]
    pub(crate) fn packet(&self, flow_packet: &FlowPacket<'_>) -> Packet {
        let packet = &flow_packet.packet;
        Packet {
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
            src_port: packet.src_port,
            dst_port: packet.dst_port,
            protocol: packet.protocol,
            tcp_flags: self.tcp_flags[usize::from(packet.tcp_flags)],
        }
    }

    /// Passes the values of an `init` or `update` to `call`.
    ///
    /// `fields` are the flow fields for this event, and `flow` returns the flow. It is called only if there
    /// are such fields.
    #[inline]
    pub(crate) fn of_packet<'f, T>(
        &mut self,
        manifest: &Manifest,
        flow_packet: &FlowPacket<'_>,
        fields: &[&'static Feature],
        flow: &dyn Fn() -> FlowView<'f>,
        call: impl FnOnce(Values<'_>) -> T,
    ) -> T {
        if self.packet.is_empty() && fields.is_empty() {
            match (self.has_packet_bytes, self.has_payload) {
                (false, false) => return call(Values::None),
                (true, false) => return call(Values::Bytes(ip_bytes(manifest, flow_packet))),
                (false, true) => return call(Values::Bytes(payload(manifest, flow_packet))),
                (true, true) => {}
            }
        }
        let flow = (!fields.is_empty()).then(flow);
        self.texts.clear();
        self.texts.write_packet(&self.packet, flow_packet);
        if let Some(flow) = &flow {
            self.texts.write_flow(fields, flow);
        }
        let (mut values, mut texts) = (std::mem::take(&mut self.values), self.texts.iter());
        for field in &self.packet {
            values.push(match field.value {
                PacketExtract::Number { of, .. } => ValueParam::Integer(of(flow_packet) as i64),
                PacketExtract::Pseudonym(address) => {
                    ValueParam::Integer(self.pseudonyms.of(address(flow_packet)) as i64)
                }
                PacketExtract::Text(_) => ValueParam::Text(texts.next().unwrap_or_default()),
            });
        }
        if self.has_packet_bytes {
            values.push(ValueParam::Bytes(ip_bytes(manifest, flow_packet)));
        }
        if self.has_payload {
            values.push(ValueParam::Bytes(payload(manifest, flow_packet)));
        }
        if let Some(flow) = &flow {
            push_flow(&mut values, fields, flow, &mut texts);
        }
        let answer = call(Values::Listed(&values));
        self.values = emptied(values);
        answer
    }

    /// Passes the values of an `expire` to `call`.
    pub(crate) fn of_flow<T>(
        &mut self,
        fields: &[&'static Feature],
        flow: &FlowView<'_>,
        call: impl FnOnce(Values<'_>) -> T,
    ) -> T {
        if fields.is_empty() {
            return call(Values::None);
        }
        self.texts.clear();
        self.texts.write_flow(fields, flow);
        let mut values = std::mem::take(&mut self.values);
        push_flow(&mut values, fields, flow, &mut self.texts.iter());
        let answer = call(Values::Listed(&values));
        self.values = emptied(values);
        answer
    }
}

/// Adds the flow fields of an event. `texts` are the written texts from the first of these fields on.
fn push_flow<'a>(
    values: &mut Vec<ValueParam<'a>>,
    fields: &[&'static Feature],
    flow: &'a FlowView<'_>,
    texts: &mut impl Iterator<Item = &'a str>,
) {
    let of = |field: &&'static Feature| value(field.value(flow), texts);
    values.extend(fields.iter().map(of));
}

/// Texts of one event that are not stored anywhere and must be written, in one piece of memory.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    /// The end of each text in `bytes`.
    ends: Vec<usize>,
}

impl Texts {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn write_packet(&mut self, fields: &[&PacketField], flow_packet: &FlowPacket<'_>) {
        for field in fields {
            if let PacketExtract::Text(write) = field.value {
                write(flow_packet, &mut TextWriter(&mut self.bytes));
                self.ends.push(self.bytes.len());
            }
        }
    }

    fn write_flow(&mut self, fields: &[&Feature], flow: &FlowView<'_>) {
        for field in fields {
            let value = field.value(flow);
            if !is_written(&value) {
                continue;
            }
            match value {
                Value::Texts(texts) => {
                    for (n, text) in texts.iter().enumerate() {
                        if n > 0 {
                            self.bytes.push(b'\n');
                        }
                        self.bytes.extend_from_slice(text.as_bytes());
                    }
                }
                value => value.write_text(&mut TextWriter(&mut self.bytes)),
            }
            self.ends.push(self.bytes.len());
        }
    }

    /// Returns the texts in the order in which they were written.
    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let text = &self.bytes[std::mem::replace(&mut start, end)..end];
            std::str::from_utf8(text).unwrap_or_default()
        })
    }
}

/// Returns whether a value is passed as a text that must be written first.
fn is_written(value: &Value<'_>) -> bool {
    matches!(
        value,
        Value::Time(_)
            | Value::Ip(_)
            | Value::Mac(_)
            | Value::Oui(_)
            | Value::CommunityId(_)
            | Value::FlowUid(_)
            | Value::Texts(_)
    )
}

/// Returns a value of a flow field as a type of the contract. `texts` are the written texts from this field on.
fn value<'a>(value: Value<'a>, texts: &mut impl Iterator<Item = &'a str>) -> ValueParam<'a> {
    match value {
        // Fields have no nulls. Only a text can be absent.
        Value::Null => ValueParam::Text(""),
        Value::Boolean(value) => ValueParam::Boolean(value),
        Value::Integer(value) => ValueParam::Integer(value),
        Value::Float(value) => ValueParam::Float(value),
        Value::Time(_)
        | Value::Ip(_)
        | Value::Mac(_)
        | Value::Oui(_)
        | Value::CommunityId(_)
        | Value::FlowUid(_)
        | Value::Texts(_) => ValueParam::Text(texts.next().unwrap_or_default()),
        Value::Text(value) => ValueParam::Text(value),
        Value::Bytes(value) => ValueParam::Bytes(value),
        Value::Integers(value) => ValueParam::Integers(value),
        Value::Floats(value) => ValueParam::Floats(value),
        Value::Json(value) => ValueParam::Json(value),
    }
}

/// Removes the values, whose data is borrowed for one event only, and keeps the memory: the standard library
/// collects into the memory of the source if the elements have the same layout.
fn emptied(mut values: Vec<ValueParam<'_>>) -> Vec<ValueParam<'static>> {
    values.clear();
    values.into_iter().map(|_| ValueParam::Null).collect()
}

/// Returns the TCP flags for each value of their byte.
fn tcp_flags() -> Box<[TcpFlags]> {
    use TcpFlags as F;
    let names = [
        F::FIN,
        F::SYN,
        F::RST,
        F::PSH,
        F::ACK,
        F::URG,
        F::ECE,
        F::CWR,
    ];
    let of = |bits: u8| {
        let is_set = |bit: &usize| bits >> bit & 1 == 1;
        let bits = (0..names.len()).filter(is_set);
        bits.fold(F::empty(), |flags, bit| flags | names[bit])
    };
    (0..=u8::MAX).map(of).collect()
}

#[cfg(test)]
mod tests {
    use flowloom_core::decode::{Decoder, TunnelSet};
    use flowloom_core::fields::{ColumnBuffer, FEATURES, PACKET_FIELDS, PacketSubset};
    use flowloom_core::link_type::{LinkType, RawPacket};
    use flowloom_core::meter::{Meter, Settings};
    use flowloom_core::record::DecodedPacket;
    use flowloom_core::time::Time;
    use flowloom_core::value::Type;

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

    /// Returns the record and the values of the frame as text, for a plugin that requests these fields and
    /// bytes, and these flow fields for the event.
    fn event(packet: &[&str], payload_bytes: u32, packet_bytes: u32, flow: &[&str]) -> [String; 2] {
        let mut manifest = load().manifest().clone();
        let field = |name: &&str| PacketField::by_name(name).expect("it exists");
        manifest.packet = packet.iter().map(field).collect();
        (manifest.payload_bytes, manifest.packet_bytes) = (payload_bytes, packet_bytes);
        let decoded = decoded();
        let mut packet = FlowPacket::new(&decoded, &FRAME);
        packet.direction = FlowDirection::DstToSrc;
        packet.delta_ms = 3;
        let ended = ended();
        let fields: Vec<_> = flow.iter().map(|name| feature(name)).collect();
        let view = || match fields.is_empty() {
            true => panic!("the flow is not needed"),
            false => ended.view(),
        };
        let mut events = EventValues::new(&manifest, pseudonyms());
        let mut values = || {
            events.of_packet(&manifest, &packet, &fields, &view, |values| {
                format!("{values:?}")
            })
        };
        // The memory of the first event is reused.
        assert_eq!(values(), values());
        let values = values();
        [format!("{:?}", events.packet(&packet)), values]
    }

    fn decoded() -> DecodedPacket {
        let decoder = Decoder::new(TunnelSet::NONE);
        DecodedPacket {
            packet: decoder.decode(LinkType(1), &FRAME, 60).unwrap(),
            time: Time::from_ns(7_000_001),
            ..DecodedPacket::default()
        }
    }

    fn feature(name: &str) -> &'static Feature {
        Feature::by_name(name).expect("it exists")
    }

    /// Returns the flow of the frame.
    fn ended() -> flowloom_core::flow::Flow {
        let mut settings = Settings::default();
        settings.statistical_analysis = true;
        settings.splt_analysis = 3;
        let mut meter = Meter::new(settings);
        let packet = RawPacket {
            time: Time::EPOCH,
            link: LinkType(1),
            wire_len: 60,
            data: &FRAME,
        };
        meter.push([packet]);
        meter.finish();
        meter.next_flow().unwrap()
    }

    #[test]
    fn a_record_has_its_fields_without_a_request() {
        let [record, values] = event(&[], 0, 0, &[]);
        let parts = [
            "time-ns: 7000001",
            "delta-time-ms: 3",
            "direction: Direction::Dst2src",
            "raw-size: 60",
            "ip-size: 43",
            "transport-size: 23",
            "payload-size: 3",
            "src-port: 1024",
            "dst-port: 80",
            "protocol: 6",
        ];
        for part in parts {
            assert!(record.contains(part), "{part} is not in {record}");
        }
        assert_eq!(values, "Values::None");
    }

    #[test]
    fn fields_of_the_record_are_not_repeated() {
        let in_record = [
            "direction",
            "ip_size",
            "tcp_flags",
            "syn",
            "time_ns",
            "src_port",
        ];
        let [_, values] = event(&in_record, 0, 0, &[]);
        assert_eq!(values, "Values::None");
        let [_, values] = event(&["ttl", "ip_size", "tcp_ack"], 0, 0, &[]);
        assert_eq!(
            values,
            "Values::Listed([ValueParam::Integer(64), ValueParam::Integer(6)])"
        );
    }

    #[test]
    fn the_values_are_packet_fields_bytes_payload_and_flow_fields() {
        let packet = ["dst_ip", "time_ms", "src_oui", "src_pseudonym", "src_mac"];
        let [_, values] = event(&packet, 2, 1, &["src_ip", "dst_port", "dst_mac"]);
        let number = pseudonyms().of([192, 0, 2, 1].into());
        let expected = [
            "Text(\"192.0.2.2\")",
            "Integer(7)",
            "Text(\"02:00:00\")",
            &format!("Integer({number})"),
            "Text(\"02:00:00:00:00:01\")",
            "Bytes([69])",
            "Bytes([71, 69])",
            "Text(\"192.0.2.1\")",
            "Integer(80)",
            "Text(\"02:00:00:00:00:02\")",
        ];
        let expected = expected.map(|value| format!("ValueParam::{value}"));
        assert_eq!(values, format!("Values::Listed([{}])", expected.join(", ")));
    }

    #[test]
    fn the_only_byte_string_is_passed_alone() {
        let [_, values] = event(&["ip_size"], 2, 0, &[]);
        assert_eq!(values, "Values::Bytes([71, 69])");
        let [_, values] = event(&[], 0, 1, &[]);
        assert_eq!(values, "Values::Bytes([69])");
        let [_, values] = event(&[], 2, 1, &[]);
        assert_eq!(
            values,
            "Values::Listed([ValueParam::Bytes([69]), ValueParam::Bytes([71, 69])])"
        );
        let [_, values] = event(&["ttl"], 1, 0, &[]);
        assert_eq!(
            values,
            "Values::Listed([ValueParam::Integer(64), ValueParam::Bytes([71])])"
        );
    }

    #[test]
    fn the_memory_of_values_is_reused() {
        let mut values = vec![ValueParam::Null; 9];
        values.push(ValueParam::Integer(1));
        let (place, capacity) = (values.as_ptr().addr(), values.capacity());
        let values = emptied(values);
        assert!(values.is_empty());
        assert_eq!(
            (values.as_ptr().addr(), values.capacity()),
            (place, capacity)
        );
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
        let table = tcp_flags();
        for (bit, flag) in flags.into_iter().enumerate() {
            assert_eq!(table[1 << bit], flag);
        }
        assert_eq!(table[0], TcpFlags::empty());
        assert_eq!((table[0xff], table.len()), (TcpFlags::all(), 256));
    }

    #[test]
    fn flow_fields_have_the_types_of_the_contract() {
        let ended = ended();
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
        let fields = fields.map(feature);
        let mut events = EventValues::new(load().manifest(), pseudonyms());
        let mut of = |fields: &[&'static Feature]| {
            events.of_flow(fields, &ended.view(), |values| format!("{values:?}"))
        };
        let expected = [
            "Text(\"192.0.2.1\")",
            "Text(\"02:00:00:00:00:02\")",
            "Text(\"02:00:00\")",
            "Integer(80)",
            "Boolean(true)",
            "Text(\"Unknown\")",
            "Float(60.0)",
            "Integers([60, -1, -1])",
        ];
        let expected = expected
            .map(|value| format!("ValueParam::{value}"))
            .join(", ");
        for _ in 0..2 {
            assert_eq!(of(&fields), format!("Values::Listed([{expected}])"));
        }
        assert_eq!(of(&[]), "Values::None");
    }

    /// Returns the only value of a column as a value of an event.
    fn cell(column: &ColumnBuffer, ty: Type) -> String {
        let value = match column {
            ColumnBuffer::U8s(values) if ty == Type::Boolean => ValueParam::Boolean(values[0] != 0),
            ColumnBuffer::U8s(values) => ValueParam::Integer(values[0].into()),
            ColumnBuffer::U16s(values) => ValueParam::Integer(values[0].into()),
            ColumnBuffer::U32s(values) => ValueParam::Integer(values[0].into()),
            ColumnBuffer::U64s(values) => ValueParam::Integer(values[0] as i64),
            ColumnBuffer::S64s(values) => ValueParam::Integer(values[0]),
            ColumnBuffer::F64s(values) => ValueParam::Float(values[0]),
            ColumnBuffer::Texts { bytes, .. } => {
                ValueParam::Text(std::str::from_utf8(bytes).unwrap())
            }
            ColumnBuffer::IntegerLists { values, .. } => ValueParam::Integers(values),
        };
        format!("{value:?}")
    }

    #[test]
    fn every_packet_field_has_the_value_of_its_column() {
        let manifest = load().manifest().clone();
        let decoded = decoded();
        let packet = FlowPacket::new(&decoded, &FRAME);
        let record = EventValues::new(&manifest, pseudonyms()).packet(&packet);
        let flag = |flag| u64::from(record.tcp_flags & flag == flag);
        for field in PACKET_FIELDS {
            let mut column = ColumnBuffer::new(field.ty);
            let (chunk, places) = (std::slice::from_ref(&packet), &[0]);
            let pseudonym = |address| pseudonyms().of(address);
            field.extend(PacketSubset { chunk, places }, &pseudonym, &mut column);
            let manifest = Manifest {
                packet: vec![field],
                ..manifest.clone()
            };
            let no_flow = || -> FlowView<'_> { panic!("the flow is not needed") };
            let mut events = EventValues::new(&manifest, pseudonyms());
            let values = events.of_packet(&manifest, &packet, &[], &no_flow, |values| {
                format!("{values:?}")
            });
            if values == "Values::None" {
                let value: u64 = match field.name {
                    "time_ns" => record.time_ns,
                    "delta_time_ms" => record.delta_time_ms,
                    "direction" => u64::from(record.direction == Direction::Dst2src),
                    "raw_size" => record.raw_size.into(),
                    "ip_size" => record.ip_size.into(),
                    "transport_size" => record.transport_size.into(),
                    "payload_size" => record.payload_size.into(),
                    "src_port" => record.src_port.into(),
                    "dst_port" => record.dst_port.into(),
                    "protocol" => record.protocol.into(),
                    "tcp_flags" => {
                        assert_eq!(
                            record.tcp_flags,
                            TcpFlags::SYN | TcpFlags::PSH | TcpFlags::ACK
                        );
                        0x1a
                    }
                    "fin" => flag(TcpFlags::FIN),
                    "syn" => flag(TcpFlags::SYN),
                    "rst" => flag(TcpFlags::RST),
                    "psh" => flag(TcpFlags::PSH),
                    "ack" => flag(TcpFlags::ACK),
                    "urg" => flag(TcpFlags::URG),
                    "ece" => flag(TcpFlags::ECE),
                    "cwr" => flag(TcpFlags::CWR),
                    other => panic!("the record does not contain {other}"),
                };
                let mut expected = ColumnBuffer::new(field.ty);
                expected.push_number(value);
                assert_eq!(
                    format!("{column:?}"),
                    format!("{expected:?}"),
                    "{}",
                    field.name
                );
                continue;
            }
            let expected = format!("Values::Listed([{}])", cell(&column, field.ty));
            assert_eq!(values, expected, "{}", field.name);
        }
    }

    #[test]
    fn every_flow_field_has_the_value_of_its_column() {
        let ended = ended();
        let mut events = EventValues::new(load().manifest(), pseudonyms());
        let mut types = Vec::new();
        for feature in FEATURES
            .iter()
            .filter(|feature| !feature.group.follows_end())
        {
            let mut column = ColumnBuffer::new(feature.ty);
            column.push_value(feature.value(&ended.view()));
            let values = events.of_flow(&[feature], &ended.view(), |values| format!("{values:?}"));
            let expected = format!("Values::Listed([{}])", cell(&column, feature.ty));
            assert_eq!(values, expected, "{}", feature.name);
            if !types.contains(&feature.ty) {
                types.push(feature.ty);
            }
        }
        assert!(types.len() >= 7, "{types:?}");
    }
}
