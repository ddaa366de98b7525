//! A minimal host. It sends the same events through either world, with the fields that the manifest
//! requests.

use flowloom_sdk::__private::Instance;
use flowloom_sdk::__private::batch_feature::{
    self, Batch, Column, IntegerLists, OutputColumn, Texts,
};
use flowloom_sdk::__private::feature::{self, Value, Values};
use flowloom_sdk::__private::manifest::{Manifest, ValueType};
use flowloom_sdk::{Available, Plugin};

/// The field values of a packet or a flow, by name.
pub(crate) type Facts = Vec<(&'static str, Fact)>;

/// One field value, in the type that Flowloom's tables define.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    U8(u8),
    Bool(bool),
    U16(u16),
    U32(u32),
    U64(u64),
    I64(i64),
    F64(f64),
    Text(String),
    List(Vec<i64>),
}

/// An event of a flow.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: u8,
    pub(crate) flow: u64,
    /// The index of the flow among the live flows.
    pub(crate) slot: u32,
    pub(crate) facts: Facts,
    pub(crate) packet: Facts,
    pub(crate) bytes: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// Nothing is available.
pub(crate) const NOTHING: Available = Available {
    packet: Vec::new(),
    flow: Vec::new(),
    payload_bytes: 0,
    packet_bytes: 0,
};

/// The output values of the expired flows, in order.
pub(crate) type Rows = Vec<Vec<Value>>;

/// Sends the events one at a time.
pub(crate) fn one_by_one<P: Plugin>(options: &[(String, String)], events: &[Event]) -> Rows {
    let (mut plugin, manifest) =
        Instance::<P>::open("test", "0", options, &NOTHING).expect("it opens");
    let mut rows = Vec::new();
    for event in events {
        let (flow, values) = (event.flow, values(&manifest, event));
        match event.kind {
            0 => _ = plugin.init(flow, &packet(event), &values),
            1 => _ = plugin.update(flow, &packet(event), &values),
            _ => rows.push(plugin.expire(flow, &values)),
        }
    }
    plugin.finish();
    rows
}

/// Sends the events in batches. The sizes are used in turn, repeatedly.
pub(crate) fn in_batches<P: Plugin>(
    options: &[(String, String)],
    events: &[Event],
    sizes: &[usize],
) -> Rows {
    let (mut plugin, manifest) =
        Instance::<P>::open("test", "0", options, &NOTHING).expect("it opens");
    let mut rows = Vec::new();
    let mut rest = events;
    for &size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (events, later) = rest.split_at(size.min(rest.len()));
        rest = later;
        let flows = events.iter().filter(|event| event.kind == 2).count();
        let columns = plugin.process(batch(&manifest, events));
        if columns.is_empty() {
            assert!(flows == 0 || manifest.outputs.is_empty());
            rows.extend((0..flows).map(|_| Vec::new()));
            continue;
        }
        assert_eq!(columns.len(), manifest.outputs.len());
        for row in 0..flows {
            let kinds = manifest.outputs.iter().map(|output| output.kind);
            rows.push(
                columns
                    .iter()
                    .zip(kinds)
                    .map(|(column, kind)| cell(column, kind, row))
                    .collect(),
            );
        }
    }
    plugin.finish();
    rows
}

pub(crate) fn batch(manifest: &Manifest, events: &[Event]) -> Batch {
    let packets: Vec<&Event> = events.iter().filter(|event| event.kind != 2).collect();
    let of = |kind: u8| -> Vec<Column> {
        asked(manifest, kind)
            .iter()
            .map(|name| {
                column(
                    events
                        .iter()
                        .filter(|e| e.kind == kind)
                        .map(|e| find(&e.facts, name)),
                )
            })
            .collect()
    };
    let bytes = |most: u32, of: fn(&Event) -> &[u8]| {
        (most > 0).then(|| texts(packets.iter().map(|event| first(of(event), most))))
    };
    Batch {
        kinds: events.iter().map(|event| event.kind).collect(),
        slots: Column::U32s(events.iter().map(|event| event.slot).collect()),
        packets: manifest
            .packet
            .iter()
            .map(|name| column(packets.iter().map(|event| find(&event.packet, name))))
            .collect(),
        bytes: bytes(manifest.packet_bytes, |event| &event.bytes),
        payload: bytes(manifest.payload_bytes, |event| &event.payload),
        opened: of(0),
        updated: of(1),
        expired: of(2),
    }
}

fn asked(manifest: &Manifest, kind: u8) -> &[String] {
    [&manifest.at_init, &manifest.at_update, &manifest.at_expire][usize::from(kind)]
}

fn find<'a>(facts: &'a Facts, name: &str) -> &'a Fact {
    let found = facts.iter().find(|(known, _)| *known == name);
    &found
        .unwrap_or_else(|| panic!("the event has no value for `{name}`"))
        .1
}

fn first(bytes: &[u8], most: u32) -> &[u8] {
    &bytes[..bytes.len().min(most as usize)]
}

fn value(fact: &Fact) -> Value {
    match fact.clone() {
        Fact::U8(v) => Value::Integer(v.into()),
        Fact::Bool(v) => Value::Boolean(v),
        Fact::U16(v) => Value::Integer(v.into()),
        Fact::U32(v) => Value::Integer(v.into()),
        Fact::U64(v) => Value::Integer(v as i64),
        Fact::I64(v) => Value::Integer(v),
        Fact::F64(v) => Value::Float(v),
        Fact::Text(v) => Value::Text(v),
        Fact::List(v) => Value::Integers(v),
    }
}

fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Column {
    let mut texts = Texts {
        bytes: Vec::new(),
        ends: Vec::new(),
    };
    for value in values {
        texts.bytes.extend_from_slice(value);
        texts.ends.push(texts.bytes.len() as u32);
    }
    Column::Texts(texts)
}

macro_rules! take {
    ($facts:ident, $case:ident) => {
        $facts
            .map(|fact| match fact {
                Fact::$case(value) => value.clone(),
                other => panic!("{other:?} is not a {}", stringify!($case)),
            })
            .collect::<Vec<_>>()
    };
}

fn column<'a>(facts: impl Iterator<Item = &'a Fact>) -> Column {
    let mut facts = facts.peekable();
    match facts.peek() {
        // Without rows the SDK does not check the case.
        None => Column::Packed(Vec::new()),
        Some(Fact::U8(_)) => Column::U8s(take!(facts, U8)),
        Some(Fact::Bool(_)) => Column::U8s(take!(facts, Bool).into_iter().map(u8::from).collect()),
        Some(Fact::U16(_)) => Column::U16s(take!(facts, U16)),
        Some(Fact::U32(_)) => Column::U32s(take!(facts, U32)),
        Some(Fact::U64(_)) => Column::U64s(take!(facts, U64)),
        Some(Fact::I64(_)) => Column::S64s(take!(facts, I64)),
        Some(Fact::F64(_)) => Column::F64s(take!(facts, F64)),
        Some(Fact::Text(_)) => texts(take!(facts, Text).iter().map(String::as_bytes)),
        Some(Fact::List(_)) => {
            let mut lists = IntegerLists {
                values: Vec::new(),
                ends: Vec::new(),
            };
            for list in take!(facts, List) {
                lists.values.extend(list);
                lists.ends.push(lists.values.len() as u32);
            }
            Column::IntegerLists(lists)
        }
    }
}

/// Packet fields that the record contains.
const IN_RECORD: [&str; 19] = [
    "time_ns",
    "delta_time_ms",
    "direction",
    "raw_size",
    "ip_size",
    "transport_size",
    "payload_size",
    "src_port",
    "dst_port",
    "protocol",
    "tcp_flags",
    "fin",
    "syn",
    "rst",
    "psh",
    "ack",
    "urg",
    "ece",
    "cwr",
];

/// Returns the values of an event, in the contract's order.
pub(crate) fn values(manifest: &Manifest, event: &Event) -> Values {
    let mut values = Vec::new();
    if event.kind != 2 {
        let fields = manifest.packet.iter();
        let fields = fields.filter(|name| !IN_RECORD.contains(&name.as_str()));
        values.extend(fields.map(|name| value(find(&event.packet, name))));
        for (most, bytes) in [
            (manifest.packet_bytes, &event.bytes),
            (manifest.payload_bytes, &event.payload),
        ] {
            if most > 0 {
                values.push(Value::Bytes(first(bytes, most).to_vec()));
            }
        }
    }
    let asked = asked(manifest, event.kind);
    values.extend(asked.iter().map(|name| value(find(&event.facts, name))));
    match &mut values[..] {
        [] => Values::None,
        [Value::Bytes(bytes)] => Values::Bytes(std::mem::take(bytes)),
        _ => Values::Listed(values),
    }
}

pub(crate) fn packet(event: &Event) -> feature::Packet {
    let number = |name: &str| match find(&event.packet, name) {
        Fact::U8(v) => u64::from(*v),
        Fact::U16(v) => u64::from(*v),
        Fact::U32(v) => u64::from(*v),
        Fact::U64(v) => *v,
        other => panic!("{other:?} is not a number"),
    };
    feature::Packet {
        time_ns: number("time_ns"),
        delta_time_ms: number("delta_time_ms"),
        direction: match number("direction") {
            0 => feature::Direction::Src2dst,
            _ => feature::Direction::Dst2src,
        },
        raw_size: number("raw_size") as u32,
        ip_size: number("ip_size") as u32,
        transport_size: number("transport_size") as u32,
        payload_size: number("payload_size") as u32,
        src_port: number("src_port") as u16,
        dst_port: number("dst_port") as u16,
        protocol: number("protocol") as u8,
        tcp_flags: feature::TcpFlags::from_bits_retain(number("tcp_flags") as u8),
    }
}

/// Returns one value of an output column. The case of the column must match the declared type.
fn cell(column: &OutputColumn, kind: ValueType, row: usize) -> Value {
    if column.valid.get(row) == Some(&0) {
        return Value::Null;
    }
    let reach = |ends: &[u32]| {
        let start = if row == 0 { 0 } else { ends[row - 1] };
        start as usize..ends[row] as usize
    };
    let text = |texts: &Texts| {
        String::from_utf8(texts.bytes[reach(&texts.ends)].to_vec()).expect("texts are UTF-8")
    };
    use batch_feature::Values;
    match (&column.values, kind) {
        (Values::Booleans(values), ValueType::Boolean) => Value::Boolean(values[row] != 0),
        (Values::Integers(values), ValueType::Integer) => Value::Integer(values[row]),
        (Values::Floats(values), ValueType::Float) => Value::Float(values[row]),
        (Values::Texts(texts), ValueType::Text) => Value::Text(text(texts)),
        (Values::Bytes(texts), ValueType::Bytes) => {
            Value::Bytes(texts.bytes[reach(&texts.ends)].to_vec())
        }
        (Values::IntegerLists(lists), ValueType::Integers) => {
            Value::Integers(lists.values[reach(&lists.ends)].to_vec())
        }
        (Values::FloatLists(lists), ValueType::Floats) => {
            Value::Floats(lists.values[reach(&lists.ends)].to_vec())
        }
        (Values::TextLists(lists), ValueType::Texts) => {
            let one = |n: usize| {
                let start = if n == 0 { 0 } else { lists.texts.ends[n - 1] };
                let bytes = &lists.texts.bytes[start as usize..lists.texts.ends[n] as usize];
                String::from_utf8(bytes.to_vec()).expect("texts are UTF-8")
            };
            Value::Texts(reach(&lists.ends).map(one).collect())
        }
        (Values::Jsons(texts), ValueType::Json) => Value::Json(text(texts)),
        (values, kind) => panic!("declared type {kind:?}, but the plugin returned {values:?}"),
    }
}
