//! A plugin that misbehaves as its options say. It implements both worlds of the contract.
//!
//! - `mode` selects the misbehaviour (see [`misbehave`] and [`Plugin::values`]).
//! - `at` selects the function that misbehaves: open, init, update, expire or finish.
//! - `after` is the number of correct calls of this function before.
//! - Other options set the manifest.
//!
//! Without misbehaviour, the plugin outputs the number of packets of each flow plus `plus`.

mod bindings;
mod manifest;
mod misbehaviour;
mod values;
mod worlds;

use std::collections::BTreeMap;

use manifest::Options;
use misbehaviour::misbehave;
use values::Value;

/// An opened plugin.
struct Plugin {
    options: Options,
    honest: u64,
    flows: BTreeMap<u64, Flow>,
    /// The number of nonzero bytes in new memory.
    residue: usize,
}

/// The state of a flow.
#[derive(Default)]
struct Flow {
    packets: i64,
    src_ip: Option<String>,
    /// The first payload that is not empty.
    payload: Option<Vec<u8>>,
    /// The bytes of the first packet.
    bytes: Option<Vec<u8>>,
}

/// A packet, from either world.
#[derive(Default)]
struct Packet {
    src_ip: Option<String>,
    payload: Option<Vec<u8>>,
    bytes: Option<Vec<u8>>,
}

impl Plugin {
    fn open(options: &[(String, String)]) -> Result<Self, String> {
        misbehaviour::log_panics();
        let options = Options::parse(options)?;
        let mut plugin = Self {
            honest: options.after,
            residue: match options.mode.as_str() {
                "residue" => misbehaviour::residue(),
                _ => 0,
            },
            flows: BTreeMap::new(),
            options,
        };
        plugin.reach("open");
        Ok(plugin)
    }

    fn reach(&mut self, place: &str) {
        if self.options.at == place {
            match self.honest.checked_sub(1) {
                Some(left) => self.honest = left,
                None => misbehave(&self.options.mode),
            }
        }
    }

    fn packet(&mut self, place: &str, flow: u64, packet: Packet) {
        self.reach(place);
        let flow = self.flows.entry(flow).or_default();
        flow.packets += 1;
        flow.src_ip = flow.src_ip.take().or(packet.src_ip);
        flow.bytes = flow.bytes.take().or(packet.bytes);
        let payload = packet.payload.filter(|payload| !payload.is_empty());
        flow.payload = flow.payload.take().or(payload);
    }

    fn expire(&mut self, flow: u64) -> Vec<Value> {
        self.reach("expire");
        let flow = self.flows.remove(&flow).unwrap_or_default();
        self.values(flow)
    }

    /// Returns the values of a flow. They match [`Options::outputs`] unless the mode returns invalid values.
    fn values(&self, flow: Flow) -> Vec<Value> {
        let count = Value::Integer(flow.packets + self.options.plus);
        match self.options.mode.as_str() {
            "wrong_type" => vec![Value::Text(b"three".into()), count],
            "too_few" => vec![count],
            "too_many" => vec![count.clone(), count.clone(), count],
            "no_number" => vec![
                Value::Float(f64::NAN),
                Value::Float(f64::INFINITY),
                Value::Float(f64::NEG_INFINITY),
            ],
            "not_utf8" => vec![Value::Text(b"a\xffb".into()), count],
            "not_json" => vec![Value::Json(br#"{"a": [1, 2}"#.into()), count],
            "huge_text" => vec![Value::Text(vec![b'x'; 128 << 20])],
            "million_values" => vec![count; 1_000_000],
            "residue" => vec![Value::Integer(self.residue as i64)],
            "shown" => vec![
                flow.src_ip.map_or(Value::Null, |ip| Value::Text(ip.into())),
                flow.payload.map_or(Value::Null, Value::Bytes),
                flow.bytes.map_or(Value::Null, Value::Bytes),
            ],
            "every_type" => Value::of_every_type(flow.packets),
            _ => vec![count],
        }
    }
}
