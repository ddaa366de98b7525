//! Both worlds of the contract, implemented with [`Plugin`].

use std::cell::RefCell;

use crate::bindings::exports::flowloom::plugin::batch_feature::{
    self, Batch, Column, OutputColumn,
};
use crate::bindings::exports::flowloom::plugin::feature::{self, Value, Values, Verdict};
use crate::bindings::flowloom::plugin::manifest::{Available, Manifest};
use crate::manifest::Options;
use crate::values::columns;
use crate::{Packet, Plugin};

thread_local! {
    static PLUGIN: RefCell<Option<Plugin>> = const { RefCell::new(None) };
}

fn open(options: Vec<(String, String)>) -> Result<Manifest, String> {
    let plugin = Plugin::open(&options)?;
    let manifest = plugin.options.manifest();
    PLUGIN.set(Some(plugin));
    Ok(manifest)
}

fn with<T>(call: impl FnOnce(&mut Plugin) -> T) -> T {
    PLUGIN.with_borrow_mut(|plugin| call(plugin.as_mut().expect("opened before it is called")))
}

struct Component;

impl feature::Guest for Component {
    fn open(options: Vec<(String, String)>, _: Available) -> Result<Manifest, String> {
        open(options)
    }

    fn init(flow: u64, _: feature::Packet, values: Values) -> Verdict {
        with(|plugin| {
            let packet = packet(&plugin.options, values);
            plugin.packet("init", flow, packet);
            match plugin.options.mode.as_str() {
                "cut_every_packet" => Verdict::Cut,
                _ => Verdict::Keep,
            }
        })
    }

    fn update(flow: u64, _: feature::Packet, values: Values) -> Verdict {
        with(|plugin| {
            let packet = packet(&plugin.options, values);
            plugin.packet("update", flow, packet);
            match plugin.options.mode.as_str() {
                "cut" | "cut_every_packet" => Verdict::Cut,
                _ => Verdict::Keep,
            }
        })
    }

    fn expire(flow: u64, _: Values) -> Vec<Value> {
        let values = with(|plugin| plugin.expire(flow));
        values.into_iter().map(Into::into).collect()
    }

    fn finish() {
        with(|plugin| plugin.reach("finish"));
    }
}

/// Reads the values of a packet. No other text than the source address is before the bytes.
fn packet(options: &Options, values: Values) -> Packet {
    let mut packet = Packet::default();
    let values = match values {
        Values::None => Vec::new(),
        Values::Bytes(bytes) => vec![Value::Bytes(bytes)],
        Values::Listed(values) => values,
    };
    for value in values {
        match value {
            Value::Text(text) if packet.src_ip.is_none() && options.asks_for("src_ip") => {
                packet.src_ip = Some(text);
            }
            Value::Bytes(bytes) if packet.bytes.is_none() && options.bytes > 0 => {
                packet.bytes = Some(bytes);
            }
            Value::Bytes(payload) => packet.payload = Some(payload),
            _ => {}
        }
    }
    packet
}

impl batch_feature::Guest for Component {
    fn open(options: Vec<(String, String)>, _: Available) -> Result<Manifest, String> {
        open(options)
    }

    fn process(events: Batch) -> Vec<OutputColumn> {
        with(|plugin| {
            let Column::U32s(slots) = &events.slots else {
                panic!("slots are not u32s");
            };
            let src_ip = plugin
                .options
                .packet
                .iter()
                .position(|name| name == "src_ip");
            let mut row = 0;
            let mut values = Vec::new();
            for (&kind, &slot) in events.kinds.iter().zip(slots) {
                if kind == 2 {
                    values.push(plugin.expire(slot.into()));
                    continue;
                }
                let src_ip = src_ip.map(|at| text(&events.packets[at], row));
                let packet = Packet {
                    src_ip: src_ip.map(|ip| String::from_utf8(ip).expect("addresses are ASCII")),
                    payload: events.payload.as_ref().map(|column| text(column, row)),
                    bytes: events.bytes.as_ref().map(|column| text(column, row)),
                };
                plugin.packet(["init", "update"][usize::from(kind)], slot.into(), packet);
                row += 1;
            }
            columns(&values)
        })
    }

    fn finish() {
        with(|plugin| plugin.reach("finish"));
    }
}

/// Returns a row of a column of texts.
fn text(column: &Column, row: usize) -> Vec<u8> {
    let Column::Texts(texts) = column else {
        panic!("not a column of texts");
    };
    let end = |row: usize| texts.ends[row] as usize;
    let start = row.checked_sub(1).map_or(0, end);
    texts.bytes[start..end(row)].to_vec()
}

#[cfg(target_family = "wasm")]
#[allow(unreachable_pub, unsafe_code, reason = "generated code")]
mod export {
    use super::Component;

    crate::bindings::export!(Component with_types_in crate::bindings);
}
