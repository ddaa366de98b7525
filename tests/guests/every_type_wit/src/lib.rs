//! `every_type` in the world `plugin`, which has single events only. It has no SDK: the bindings are those that
//! wit-bindgen generates from the contract.

mod bindings;

use std::cell::RefCell;
use std::collections::HashMap;

use crate::bindings::exports::flowloom::plugin::feature::{
    Guest, Packet, TcpFlags, Value, Values, Verdict,
};
use crate::bindings::flowloom::plugin::log::{Level, write};
use crate::bindings::flowloom::plugin::manifest::{
    Available, Manifest, OptionDescription, OptionType, Output, ValueType,
};

thread_local! {
    static PLUGIN: RefCell<EveryType> = RefCell::default();
}

/// The guest.
#[derive(Default)]
struct EveryType {
    options: Options,
    flows: HashMap<u64, State>,
    /// Flows that have ended.
    ended: u64,
}

/// Options of all types.
struct Options {
    add: u32,
    factor: f64,
    negate: bool,
    name: Option<String>,
    cuts: Option<u32>,
    most: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            add: 0,
            factor: 1.0,
            negate: false,
            name: None,
            cuts: None,
            most: None,
        }
    }
}

/// The state of a flow.
#[derive(Default)]
struct State {
    syn: bool,
    sum: i64,
    peers: String,
    last: Vec<u8>,
    packets: Vec<f64>,
}

struct Component;

impl Guest for Component {
    fn open(given: Vec<(String, String)>, _: Available) -> Result<Manifest, String> {
        let options = Options::parse(given)?;
        let manifest = options.manifest();
        PLUGIN.with_borrow_mut(|plugin| plugin.options = options);
        Ok(manifest)
    }

    fn init(flow: u64, packet: Packet, values: Values) -> Verdict {
        PLUGIN.with_borrow_mut(|plugin| {
            let mut values = Listed::of(values);
            let mut state = State {
                syn: packet.tcp_flags.contains(TcpFlags::SYN),
                ..State::default()
            };
            let seen = Seen::of(packet, &mut values);
            state.sum = values.integer();
            state.peers = values.text();
            state.see(seen);
            plugin.flows.insert(flow, state);
            plugin.verdict(flow)
        })
    }

    fn update(flow: u64, packet: Packet, values: Values) -> Verdict {
        PLUGIN.with_borrow_mut(|plugin| {
            let mut values = Listed::of(values);
            let state = plugin.flows.get_mut(&flow).expect("init was called");
            let seen = Seen::of(packet, &mut values);
            state.packets.push(values.integer() as f64);
            state.see(seen);
            plugin.verdict(flow)
        })
    }

    fn expire(flow: u64, values: Values) -> Vec<Value> {
        PLUGIN.with_borrow_mut(|plugin| {
            let mut values = Listed::of(values);
            let state = plugin.flows.remove(&flow).expect("init was called");
            plugin.ended += 1;
            plugin.options.outputs(state, &mut values)
        })
    }

    fn finish() {
        PLUGIN.with_borrow(|plugin| {
            if let Some(name) = &plugin.options.name {
                let line = format!("{name}: {} flows", plugin.ended);
                for level in [Level::Error, Level::Warn, Level::Info, Level::Debug] {
                    write(level, &line);
                }
            }
        });
    }
}

impl EveryType {
    fn verdict(&self, flow: u64) -> Verdict {
        match self.options.cuts {
            Some(cuts) if self.flows[&flow].packets.len() + 1 >= cuts as usize => Verdict::Cut,
            _ => Verdict::Keep,
        }
    }
}

impl Options {
    fn parse(given: Vec<(String, String)>) -> Result<Self, String> {
        let mut options = Self::default();
        for (key, value) in given {
            let wrong = || format!("option `{key}` cannot be {value:?}");
            match key.as_str() {
                "add" => options.add = value.parse().map_err(|_| wrong())?,
                "factor" => options.factor = value.parse().map_err(|_| wrong())?,
                "negate" => options.negate = value.parse().map_err(|_| wrong())?,
                "cuts" => options.cuts = Some(value.parse().map_err(|_| wrong())?),
                "most" => options.most = Some(value.parse().map_err(|_| wrong())?),
                "name" => options.name = Some(value),
                _ => return Err(format!("unknown option `{key}`")),
            }
        }
        Ok(options)
    }

    fn manifest(&self) -> Manifest {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let outputs = [
            ("syn", ValueType::Boolean),
            ("sum", ValueType::Integer),
            ("mean", ValueType::Float),
            ("peers", ValueType::Text),
            ("last", ValueType::Bytes),
            ("sizes", ValueType::Integers),
            ("packets", ValueType::Floats),
            ("letters", ValueType::Texts),
            ("reason", ValueType::Json),
        ];
        let options = [
            ("add", OptionType::Integer, "0"),
            ("factor", OptionType::Float, "1"),
            ("negate", OptionType::Boolean, "false"),
            ("name", OptionType::Text, ""),
            ("cuts", OptionType::Integer, ""),
            ("most", OptionType::Integer, ""),
        ];
        Manifest {
            version: "0.1.0".to_owned(),
            description: "An output of every type.".to_owned(),
            outputs: outputs
                .map(|(name, kind)| Output {
                    name: name.to_owned(),
                    kind,
                    description: String::new(),
                })
                .into(),
            options: options
                .map(|(name, kind, default)| OptionDescription {
                    name: name.to_owned(),
                    kind,
                    accepts: String::new(),
                    default: Some(default.to_owned()),
                    description: String::new(),
                })
                .into(),
            packet: list(&[
                "syn",
                "ttl",
                "dst_port",
                "tcp_flags",
                "direction",
                "tcp_seq",
                "time_ms",
                "src_ip",
            ]),
            payload_bytes: 8,
            packet_bytes: 20,
            at_init: list(&["id", "dst_ip"]),
            at_update: list(&["bidirectional_packets"]),
            at_expire: list(&["expiration_id", "bidirectional_mean_ps", "splt_ps"]),
            packets_per_flow: self.most,
            flow_bytes: 0,
            cuts_flows: self.cuts.is_some(),
            packed: false,
            needs_one_meter: self.name.is_some(),
        }
    }

    fn outputs(&self, state: State, flow: &mut Listed) -> Vec<Value> {
        let (reason, mean, sizes) = (flow.integer(), flow.float(), flow.integers());
        let updates = state.packets.len();
        let letters = state.peers.split(' ').map(|peer| peer[..1].to_owned());
        let letters = letters.collect();
        let unless = |is_null: bool, value: Value| match is_null {
            true => Value::Null,
            false => value,
        };
        vec![
            unless(updates % 2 == 1, Value::Boolean(state.syn ^ self.negate)),
            Value::Integer(state.sum + i64::from(self.add)),
            unless(mean <= 100.0, Value::Float(mean * self.factor)),
            Value::Text(self.name.clone().unwrap_or_default() + &state.peers),
            unless(updates == 1, Value::Bytes(state.last)),
            Value::Integers(sizes),
            unless(updates == 0, Value::Floats(state.packets)),
            unless(updates == 0, Value::Texts(letters)),
            Value::Json(format!("{{\"ü\":{reason}}}")),
        ]
    }
}

/// The fields of a packet that the plugin reads.
struct Seen {
    sum: i64,
    src_ip: String,
    /// Payload, and bytes from the IP header on.
    bytes: Vec<u8>,
}

impl Seen {
    fn of(packet: Packet, values: &mut Listed) -> Self {
        let ttl = values.integer();
        let (tcp_seq, time_ms) = (values.integer(), values.integer());
        let src_ip = values.text();
        let (bytes, payload) = (values.bytes(), values.bytes());
        Self {
            sum: ttl
                + i64::from(packet.dst_port)
                + i64::from(packet.tcp_flags.bits())
                + packet.direction as i64
                + tcp_seq
                + time_ms,
            src_ip,
            bytes: [payload, bytes].concat(),
        }
    }
}

impl State {
    fn see(&mut self, seen: Seen) {
        self.sum %= 1 << 40;
        self.sum += seen.sum;
        if self.packets.len() < 3 {
            self.peers.push(' ');
            self.peers.push_str(&seen.src_ip);
        }
        self.last = seen.bytes;
    }
}

/// The values of an event that were not read yet.
struct Listed(std::vec::IntoIter<Value>);

impl Listed {
    fn of(values: Values) -> Self {
        match values {
            Values::Listed(values) => Self(values.into_iter()),
            other => panic!("{other:?} are not the requested values"),
        }
    }

    fn next(&mut self) -> Value {
        self.0.next().expect("all requested values")
    }

    fn integer(&mut self) -> i64 {
        match self.next() {
            Value::Integer(value) => value,
            other => panic!("{other:?} is not an integer"),
        }
    }

    fn float(&mut self) -> f64 {
        match self.next() {
            Value::Float(value) => value,
            other => panic!("{other:?} is not a float"),
        }
    }

    fn text(&mut self) -> String {
        match self.next() {
            Value::Text(value) => value,
            other => panic!("{other:?} is not a text"),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        match self.next() {
            Value::Bytes(value) => value,
            other => panic!("{other:?} are not bytes"),
        }
    }

    fn integers(&mut self) -> Vec<i64> {
        match self.next() {
            Value::Integers(value) => value,
            other => panic!("{other:?} are not integers"),
        }
    }
}

#[cfg(target_family = "wasm")]
#[allow(unreachable_pub, unsafe_code, reason = "generated code")]
mod export {
    use super::Component;

    crate::bindings::export!(Component with_types_in crate::bindings);
}
