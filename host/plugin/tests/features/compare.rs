//! The values of components beside those of the interpreter.

use std::fmt::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flowloom_core::fields::PacketExtract;
use flowloom_core::flow::ReadyFlows;
use flowloom_core::meter::Extension;
use flowloom_core::record::FlowPacket;
use flowloom_core::value::{UdpValue, Value};
use flowloom_expr::features::{Packet, Program};
use flowloom_plugin::{
    PluginDispatcher, PluginSet, PluginSource, PluginSpec, PluginState, Registry,
};

use super::packets::{ENDED, Given, Step, Traffic, settings};

/// The maximum of the state of a flow.
pub(crate) const MAX_STATE_BYTES: u32 = 4_096;

static REGISTRY: LazyLock<Registry> =
    LazyLock::new(|| Registry::new(settings().schema()).expect("an engine"));

/// Runs a component over packets. Returns the values of each flow.
///
/// # Errors
///
/// The host does not accept the component or its values, or the component traps.
pub(crate) fn run(
    component: Vec<u8>,
    program: &Program,
    traffic: &Traffic,
) -> Result<Vec<Vec<UdpValue>>, String> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = format!("f{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut spec = PluginSpec::named(&name, PluginSource::Bytes(component.into()));
    if !program.grants().is_empty() {
        spec.grants = program
            .grants()
            .join(",")
            .parse()
            .map_err(|error| format!("{error}"))?;
    }
    // The machine that tests may be busy.
    spec.limits.call = Duration::from_secs(20);
    spec.limits.open = Duration::from_secs(20);
    let plugin = REGISTRY
        .load(spec)
        .map_err(|error| format!("not loaded: {error}"))?;
    REGISTRY.remove(&name).map_err(|error| error.to_string())?;
    if plugin.manifest().flow_bytes > MAX_STATE_BYTES {
        return Err(format!(
            "{} bytes of each flow",
            plugin.manifest().flow_bytes
        ));
    }
    let set = PluginSet::new(&settings().schema(), &[plugin]);
    let mut dispatcher =
        PluginDispatcher::open(&set, 64 << 20).map_err(|error| error.to_string())?;
    let mut ready = ReadyFlows::default();
    deliver(&mut dispatcher, traffic, &mut ready);
    let report = dispatcher.reports().remove(0);
    let lost = report.flows_lost + report.flows_skipped + report.flows_overflowed;
    if report.traps + report.bad_outputs + report.outputs_too_large + lost > 0
        || report.state != PluginState::Running
    {
        return Err(format!("the host reports {report:?}"));
    }
    let mut values = vec![Vec::new(); traffic.flows];
    while let Some(flow) = ready.pop() {
        values[flow.id() as usize] = flow.udps().iter().map(|(_, value)| owned(value)).collect();
    }
    Ok(values)
}

fn deliver(dispatcher: &mut PluginDispatcher, traffic: &Traffic, ready: &mut ReadyFlows) {
    let mut chunk: Vec<FlowPacket<'_>> = Vec::new();
    for step in &traffic.steps {
        match *step {
            Step::Packet(index) => {
                let packet = traffic.packets[index].flow_packet();
                if packet.nth == 1 {
                    dispatcher.begin_flow(&packet);
                }
                chunk.push(packet);
            }
            Step::End(index, slot) => {
                let mut flow = ENDED[index % ENDED.len()].clone();
                flow.record.id = index as u64;
                flow.schema = dispatcher.schema().clone();
                dispatcher.expire(slot, flow, &chunk, ready);
            }
            Step::Take => {
                dispatcher.take(&chunk, ready);
                chunk.clear();
            }
            Step::Flush => dispatcher.flush(&chunk, ready),
        }
    }
    dispatcher.finish(ready);
}

/// Returns the values of a flow by their definitions.
pub(crate) fn expected(program: &Program, traffic: &Traffic, flow: usize) -> Vec<UdpValue> {
    let packets: Vec<Packet> = traffic
        .of(flow)
        .map(|given| packet(program, given))
        .collect();
    let view = ENDED[flow % ENDED.len()].view();
    let fields = program.flow_fields();
    let fields: Vec<_> = fields
        .iter()
        .map(|field| owned(field.value(&view)))
        .collect();
    program.interpret(&packets, &fields)
}

fn packet(program: &Program, given: &Given) -> Packet {
    let packet = given.flow_packet();
    let fields = program.packet_fields();
    let number = fields.iter().map(|field| match field.value {
        PacketExtract::Number { of, .. } => of(&packet),
        PacketExtract::Pseudonym(_) | PacketExtract::Text(_) => 0,
    });
    let payload = given.decoded.packet.payload(&given.frame);
    Packet::new(number.collect(), payload.to_vec())
}

fn owned(value: Value<'_>) -> UdpValue {
    match value {
        Value::Boolean(value) => UdpValue::Boolean(value),
        Value::Integer(value) => UdpValue::Integer(value),
        Value::Float(value) => UdpValue::Float(value),
        Value::Bytes(value) => UdpValue::Bytes(value.into()),
        Value::Integers(values) => UdpValue::Integers(values.into()),
        Value::Floats(values) => UdpValue::Floats(values.into()),
        _ => UdpValue::Null,
    }
}

/// Returns whether values are the same: with equal bits, or with floats that are as close as `is_exact` says.
pub(crate) fn are_equal(one: &UdpValue, other: &UdpValue, is_exact: bool) -> bool {
    let close = |one: f64, other: f64| {
        one.to_bits() == other.to_bits()
            || !is_exact && (one - other).abs() <= 1e-12 * one.abs().max(other.abs())
    };
    match (one, other) {
        (UdpValue::Float(one), UdpValue::Float(other)) => close(*one, *other),
        (UdpValue::Floats(one), UdpValue::Floats(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other.iter())
                    .all(|(one, other)| close(*one, *other))
        }
        _ => one == other,
    }
}

/// Returns the packets of a flow as lines: the fields that the program reads, and the payload as far as it can be read.
pub(crate) fn shown(program: &Program, traffic: &Traffic, flow: usize) -> String {
    let mut text = String::new();
    for given in traffic.of(flow) {
        let packet = packet(program, given);
        for (field, number) in program.packet_fields().iter().zip(&packet.fields) {
            let _ = write!(text, "{} {number}, ", field.name);
        }
        let most = packet.payload.len().min(program.payload_bytes() as usize);
        let payload: String = packet.payload[..most]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let _ = writeln!(text, "payload x\"{payload}\"");
    }
    let view = ENDED[flow % ENDED.len()].view();
    for field in program.flow_fields() {
        let _ = writeln!(text, "{} {:?}", field.name, field.value(&view));
    }
    text
}
