//! All packets of a flow and the flow itself as one JSON value.

mod fields;
mod packet;

use std::num::NonZeroU32;

use flowloom_sdk::{Available, Chosen, Json, Options, Outputs, Plugin};
use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::packet::Packet;

/// The upper limit for the packets of a flow, in bytes, whatever the option `kib` says. Flowloom accepts at most
/// 16 MiB as the result of one call.
const LONGEST: usize = 15 << 20;

/// The maximum size of the packets of all live flows, in bytes. An instance has 256 MB of memory.
const MOST_KEPT: usize = 128 << 20;

/// The overhead per packet in addition to its text, in bytes.
const OVERHEAD: usize = 32;

/// The plugin.
pub struct FlowSlicer {
    max_packets: usize,
    bytes: u32,
    /// The maximum size of a flow's packets, in bytes.
    longest: usize,
    fields: Fields,
    /// The current size of the packets of all live flows, in bytes.
    kept: usize,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Maximum number of packets per flow.
    #[option(default = 1000)]
    max_packets: NonZeroU32,
    /// Maximum number of bytes of each packet, from its IP header on.
    #[option(default = 1500)]
    bytes: NonZeroU32,
    /// Maximum size of the packets of a flow, KiB. Flowloom accepts 64 KiB per flow unless the policy allows more.
    #[option(default = 56)]
    kib: NonZeroU32,
    /// Groups of flow fields to add: tunnel, statistics, splt, application, joined by +. All that are available if
    /// it is not given.
    fields: Option<String>,
}

/// The state of a flow.
#[derive(Default)]
pub struct State {
    /// The packets as JSON objects.
    packets: Vec<Box<str>>,
    bytes: usize,
    is_truncated: bool,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// The flow: flow_id, packet_num (number of packets in the value) and all_data, a list of objects with a type: packet1, packet2, … and flow1.
    flow: Json,
    /// Whether packets are missing: the flow had more than max_packets, or a size limit was reached.
    truncated: bool,
}

#[flowloom_sdk::plugin]
impl Plugin for FlowSlicer {
    const DESCRIPTION: &'static str =
        "All packets of a flow and the flow itself as one JSON value.";

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type AtExpire<'a> = Chosen<'a>;
    type State = State;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        Ok(FlowSlicer {
            max_packets: options.max_packets.get() as usize,
            bytes: options.bytes.get(),
            longest: LONGEST.min((options.kib.get() as usize).saturating_mul(1 << 10)),
            fields: Fields::with(options.fields.as_deref())?,
            kept: 0,
        })
    }

    fn adapt(&mut self, available: &Available) -> Result<(), String> {
        self.fields.adapt(&available.flow);
        Ok(())
    }

    fn packet_bytes(&self) -> u32 {
        self.bytes
    }

    fn at_expire(&self) -> Vec<String> {
        self.fields.names()
    }

    /// The plugin never cuts a flow. It sets `cuts_flows` so that Flowloom calls it event by event. A result then has
    /// the value of one flow instead of up to a thousand, which may all be large.
    fn cuts_flows(&self) -> bool {
        true
    }

    fn init(&mut self, packet: &Packet<'_>, _: &()) -> State {
        let mut state = State::default();
        self.update(&mut state, packet, &());
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet<'_>, _: &()) {
        state.is_truncated |= state.packets.len() >= self.max_packets;
        if state.is_truncated {
            return;
        }
        let text = packet.to_json(state.packets.len() + 1).into_boxed_str();
        let bytes = text.len() + OVERHEAD;
        state.is_truncated = state.bytes + bytes > self.longest || self.kept + bytes > MOST_KEPT;
        if !state.is_truncated {
            state.bytes += bytes;
            self.kept += bytes;
            state.packets.push(text);
        }
    }

    fn expire(&mut self, state: State, flow: &Chosen<'_>) -> Out {
        self.kept -= state.bytes;
        let mut last = Map::new();
        last.insert("type".to_owned(), "flow1".into());
        self.fields.read(flow, &mut last);
        let id = last.get("id").cloned().unwrap_or_default();
        Out {
            flow: Json(document(&id, &state, &Value::Object(last))),
            truncated: state.is_truncated,
        }
    }
}

/// Returns the JSON value of a flow.
fn document(id: &Value, state: &State, flow: &Value) -> String {
    let (flow, count) = (flow.to_string(), state.packets.len());
    let mut text = format!("{{\"flow_id\":{id},\"packet_num\":{count},\"all_data\":[");
    text.reserve_exact(state.bytes + flow.len() + 2);
    for packet in &state.packets {
        text += packet;
        text.push(',');
    }
    text += &flow;
    text += "]}";
    text
}

#[cfg(test)]
mod tests {
    use super::packet::tests::packet;
    use super::*;

    fn open(max_packets: u32) -> FlowSlicer {
        open_with(max_packets, u32::MAX)
    }

    fn open_with(max_packets: u32, kib: u32) -> FlowSlicer {
        FlowSlicer::open(Opts {
            max_packets: NonZeroU32::new(max_packets).expect("not 0"),
            bytes: NonZeroU32::MIN,
            kib: NonZeroU32::new(kib).expect("not 0"),
            fields: Some(String::new()),
        })
        .expect("the options are valid")
    }

    /// Runs the plugin for a flow with this number of packets of this size.
    fn show(plugin: &mut FlowSlicer, packets: usize, bytes: usize) -> State {
        let bytes = vec![0; bytes];
        let mut state = plugin.init(&packet(&bytes), &());
        for _ in 1..packets {
            plugin.update(&mut state, &packet(&bytes), &());
        }
        state
    }

    #[test]
    fn the_value_contains_the_packets_and_the_flow() {
        let state = show(&mut open(1000), 3, 2);
        let flow = serde_json::json!({"type": "flow1", "id": 7});
        let text = document(&7.into(), &state, &flow);
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(value["flow_id"], 7);
        assert_eq!(value["packet_num"], 3);
        let all = value["all_data"].as_array().expect("a list");
        let types: Vec<_> = all.iter().map(|each| each["type"].as_str()).collect();
        let expected = ["packet1", "packet2", "packet3", "flow1"].map(Some);
        assert_eq!(types, expected);
        assert_eq!(all[1].as_object().expect("an object").len(), 1 + 25);
    }

    #[test]
    fn a_packet_above_the_limit_truncates_the_flow() {
        for (packets, expected, is_truncated) in [(3, 3, false), (4, 3, true), (9, 3, true)] {
            let state = show(&mut open(3), packets, 2);
            assert_eq!(
                (state.packets.len(), state.is_truncated),
                (expected, is_truncated)
            );
        }
    }

    #[test]
    fn a_thousand_packets_of_1500_bytes_fit() {
        let state = show(&mut open(1000), 1000, 1500);
        assert!(!state.is_truncated);
        assert_eq!(state.packets.len(), 1000);
    }

    #[test]
    fn the_size_of_a_flow_is_limited() {
        let mut plugin = open(1000);
        let state = show(&mut plugin, 1000, 65_000);
        assert!(state.is_truncated && !state.packets.is_empty());
        assert!(state.bytes <= LONGEST && plugin.kept == state.bytes);
    }

    #[test]
    fn the_option_kib_limits_the_size_of_a_flow() {
        let state = show(&mut open_with(1000, 56), 1000, 1500);
        assert!(state.is_truncated && state.packets.len() > 10);
        assert!(state.bytes <= 56 << 10);
    }

    #[test]
    fn all_flows_share_a_limit_and_release_their_bytes() {
        let mut plugin = open(1000);
        let mut states: Vec<State> = Vec::new();
        while states.last().is_none_or(|state| !state.packets.is_empty()) {
            states.push(show(&mut plugin, 100, 65_000));
            assert!(plugin.kept <= MOST_KEPT && states.len() < 100);
        }
        assert!(states.last().is_some_and(|state| state.is_truncated));
        let kept: usize = states.iter().map(|state| state.bytes).sum();
        assert_eq!(plugin.kept, kept);
    }
}
