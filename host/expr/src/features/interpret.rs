//! The executable specification: the values of a program by their definitions.
//!
//! It keeps all packets of a flow, and computes each value of the program for all of them. A compiled program has to
//! return the same values. It is for tests: its time grows with packets × values.

mod accumulate;
mod finals;
mod operate;
mod streams;

use flowloom_core::value::UdpValue;

use super::ast::Unit;
use super::graph::{Level, Node, StreamId, ValueId};
use super::names::{LARGEST_SIZE, packet_field};
use super::program::{Output, Program};
use super::value::Value;
use crate::ast::Number;

/// A packet of a flow, as a plugin sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packet {
    /// The value of each packet field that the program reads, in the order of [`Program::packet_fields`]. Booleans
    /// are 0 or 1.
    pub fields: Vec<u64>,
    /// The payload as far as it was captured. Bytes beyond [`Program::payload_bytes`] are not read.
    pub payload: Vec<u8>,
}

impl Packet {
    /// Returns a packet with the values of the fields of [`Program::packet_fields`], and its payload.
    pub fn new(fields: Vec<u64>, payload: Vec<u8>) -> Self {
        Self { fields, payload }
    }
}

impl Program {
    /// Returns the value of each output for the packets of one flow, which are in the order of their times.
    ///
    /// `flow_fields` are the values of the fields of [`Program::flow_fields`], in their order: booleans, integers or
    /// floats. A value that is missing is null.
    ///
    /// Without packets, all values are null.
    pub fn interpret(&self, packets: &[Packet], flow_fields: &[UdpValue]) -> Vec<UdpValue> {
        if packets.is_empty() {
            return vec![UdpValue::Null; self.outputs.len()];
        }
        let interpreter = Interpreter::evaluated(self, packets, flow_fields);
        let value = |output: &Output| {
            let value = interpreter.at(output.value, 0).clone();
            written(value, output)
        };
        self.outputs.iter().map(value).collect()
    }
}

/// The values of one flow.
struct Interpreter<'a> {
    program: &'a Program,
    packets: &'a [Packet],
    flow_fields: &'a [UdpValue],
    /// The bytes of each payload that the program can read.
    payloads: Vec<&'a [u8]>,
    /// The index in `Packet::fields` of each field of the table; none if the program does not read it.
    places: Vec<Option<usize>>,
    /// The index in `flow_fields` of each field of the table.
    flow_places: Vec<Option<usize>>,
    /// The column of each value so far: a value for each packet, for each run, or one value.
    columns: Vec<Vec<Value>>,
}

impl<'a> Interpreter<'a> {
    fn new(program: &'a Program, packets: &'a [Packet], flow_fields: &'a [UdpValue]) -> Self {
        let most = program.payload_bytes() as usize;
        let payload = |packet: &'a Packet| &packet.payload[..packet.payload.len().min(most)];
        let read = program.packet_fields();
        let place = |name: &str| read.iter().position(|field| field.name == name);
        let fields = flowloom_core::fields::PACKET_FIELDS.iter();
        let read_of_flow = program.flow_fields();
        let flow_place = |name: &str| read_of_flow.iter().position(|field| field.name == name);
        let features = flowloom_core::fields::FEATURES.iter();
        Self {
            program,
            packets,
            flow_fields,
            payloads: packets.iter().map(payload).collect(),
            places: fields.map(|field| place(field.name)).collect(),
            flow_places: features.map(|field| flow_place(field.name)).collect(),
            columns: Vec::new(),
        }
    }

    /// Returns the values of one flow, which has a packet.
    fn evaluated(program: &'a Program, packets: &'a [Packet], flow_fields: &'a [UdpValue]) -> Self {
        let mut interpreter = Self::new(program, packets, flow_fields);
        for id in 0..program.graph.values.len() {
            let column = interpreter.column(ValueId(id));
            interpreter.columns.push(column);
        }
        interpreter
    }

    /// Returns the value at a packet or run. Constants and values of the flow have one value only.
    fn at(&self, value: ValueId, position: usize) -> &Value {
        let column = &self.columns[value.0];
        match self.program.graph.level(value) {
            Level::Constant | Level::Flow => column.first().unwrap_or(&Value::Null),
            Level::Packet | Level::Run(_) => column.get(position).unwrap_or(&Value::Null),
        }
    }

    /// Returns a packet field as a whole number; 0 if the packet lacks it.
    fn field(&self, packet: usize, field: usize) -> i64 {
        let place = self.places.get(field).copied().flatten();
        let number = place.and_then(|place| self.packets[packet].fields.get(place));
        let number = i64::try_from(number.copied().unwrap_or(0)).unwrap_or(i64::MAX);
        let name = flowloom_core::fields::PACKET_FIELDS[field].name;
        match name.ends_with("_size") {
            true => number.min(LARGEST_SIZE),
            false => number,
        }
    }

    fn field_by_name(&self, packet: usize, name: &str) -> i64 {
        packet_field(name).map_or(0, |(field, _)| self.field(packet, field))
    }

    /// Computes a value for all packets or runs, or for the flow.
    fn column(&self, id: ValueId) -> Vec<Value> {
        let typed = &self.program.graph.values[id.0];
        match &typed.node {
            Node::Previous { of, stream } => return self.previous(*of, *stream, typed.level),
            Node::Within { of, stream } => return self.within(*of, *stream),
            Node::Accumulated(_) | Node::Prefix(..) => return self.accumulated(&typed.node),
            _ => (),
        }
        let count = match typed.level {
            Level::Packet => self.packets.len(),
            Level::Run(run) => self.runs(run).len(),
            Level::Constant | Level::Flow => 1,
        };
        (0..count)
            .map(|position| self.operate(id, position))
            .collect()
    }

    fn previous(&self, of: ValueId, stream: StreamId, level: Level) -> Vec<Value> {
        let count = match level {
            Level::Run(run) => self.runs(run).len(),
            _ => self.packets.len(),
        };
        let mut column = vec![Value::Null; count];
        for members in self.groups(stream) {
            for pair in members.windows(2) {
                column[pair[1]] = self.at(of, pair[0]).clone();
            }
        }
        column
    }

    fn within(&self, of: ValueId, stream: StreamId) -> Vec<Value> {
        let mut column = vec![Value::Null; self.packets.len()];
        for position in self.groups(stream).into_iter().flatten() {
            column[position] = self.at(of, position).clone();
        }
        column
    }
}

/// Checks that each value of a flow has its type: its kind, its interval, and null only where it is admitted.
#[cfg(test)]
pub(super) fn check_types(program: &Program, packets: &[Packet]) {
    let interpreter = Interpreter::evaluated(program, packets, &[]);
    for (typed, column) in program.graph.values.iter().zip(&interpreter.columns) {
        let ty = typed.ty;
        for value in column {
            let fits = match value {
                // Flow fields are missing here.
                Value::Null => ty.is_nullable || !program.flow_fields().is_empty(),
                Value::Integer(number) => ty.kind.is_whole() && ty.interval.contains(*number),
                Value::Float(number) => !ty.kind.is_whole() && number.is_finite(),
                Value::Bytes(bytes) => bytes.len() <= ty.most as usize,
                Value::List(values) => values.len() <= ty.most as usize,
                Value::Boolean(_) | Value::Wide(_) | Value::Moments(_) => true,
            };
            assert!(fits, "{value:?} of {typed:?} in {}", program.source());
        }
    }
}

/// Returns the value of a column.
fn written(value: Value, output: &Output) -> UdpValue {
    let unit = output.unit.map(Unit::ns);
    let in_unit = |value: &Value| match unit {
        Some(ns) => value.as_float().map_or(f64::NAN, |value| value / ns as f64),
        None => value.as_float().unwrap_or(f64::NAN),
    };
    match (value, output.null) {
        (Value::Null, Some(Number::Integer(number))) => UdpValue::Integer(number),
        (Value::Null, Some(Number::Float(number))) => UdpValue::Float(number),
        (Value::Boolean(value), _) => UdpValue::Boolean(value),
        (value @ Value::Integer(_), _) if unit.is_some() => UdpValue::Float(in_unit(&value)),
        (Value::Integer(value), _) => UdpValue::Integer(value),
        (value @ Value::Float(_), _) => UdpValue::Float(in_unit(&value)),
        (Value::Bytes(bytes), _) => UdpValue::Bytes(bytes.into()),
        (Value::List(values), _) if output.ty == flowloom_core::value::Type::Integers => {
            let whole = |value: &Value| match value {
                Value::Integer(number) => *number,
                _ => 0,
            };
            UdpValue::Integers(values.iter().map(whole).collect())
        }
        (Value::List(values), _) => UdpValue::Floats(values.iter().map(in_unit).collect()),
        (Value::Null | Value::Wide(_) | Value::Moments(_), _) => UdpValue::Null,
    }
}
