//! The names in multicast DNS answers, like NFStream's MDNS plugin.

mod dns;

use std::collections::BTreeSet;

use flowloom_sdk::{Json, Outputs, PacketFields, Plugin};

const UDP: u8 = 17;
/// The UDP port of multicast DNS.
const MDNS: u16 = 5353;

/// The maximum size of a flow's list, in bytes. The values of a thousand flows that end in one batch must fit into
/// 16 MiB, the limit of Flowloom for the result of one call.
const LONGEST_LIST: usize = 15_000;

/// The maximum size of the lists of all live flows, in bytes. An instance has 256 MB of memory, and each name is
/// stored twice.
const ROOM: usize = 64 << 20;

/// The plugin.
pub struct Mdns {
    /// The remaining number of bytes for the lists of all live flows.
    room: usize,
}

/// The packet fields that the plugin requests. A message has at most 9000 bytes including headers (RFC 6762).
#[derive(PacketFields)]
pub struct Packet<'a> {
    protocol: u8,
    dst_port: u16,
    #[payload(9000)]
    payload: &'a [u8],
}

/// The state of a flow. `None` for flows to other ports.
pub struct State(Option<Box<Names>>);

/// The names of a flow, each once.
#[derive(Default)]
struct Names {
    seen: BTreeSet<Box<str>>,
    /// The names as JSON strings, separated by commas.
    list: String,
    /// Whether a name did not fit.
    is_full: bool,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Names to which PTR answers point: a list of texts, each once, in packet order, with commas replaced by spaces.
    mdns_ptr: Json,
    /// Whether names are missing because a limit was reached.
    mdns_ptr_cut: bool,
}

#[flowloom_sdk::plugin]
impl Plugin for Mdns {
    const DESCRIPTION: &'static str = "The names in multicast DNS answers.";

    type Packet<'a> = Packet<'a>;
    type State = State;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Mdns { room: ROOM })
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> State {
        let is_mdns = (packet.protocol, packet.dst_port) == (UDP, MDNS);
        let mut state = State(is_mdns.then(Box::default));
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, State(names): &mut State, packet: &Packet<'_>, _: &()) {
        if let Some(names) = names {
            dns::pointers(packet.payload, &mut |name| names.add(name, &mut self.room));
        }
    }

    fn expire(&mut self, State(names): State, _: &()) -> Out {
        let names = names.unwrap_or_default();
        self.room += names.list.len();
        Out {
            mdns_ptr: Json(format!("[{}]", names.list)),
            mdns_ptr_cut: names.is_full,
        }
    }
}

impl Names {
    fn add(&mut self, name: &[u8], room: &mut usize) {
        let mut text = String::from_utf8_lossy(name);
        if text.contains(',') {
            text = text.replace(',', " ").into();
        }
        if self.is_full || self.seen.contains(&*text) {
            return;
        }
        let quoted = serde_json::Value::from(&*text).to_string();
        let comma = if self.list.is_empty() { "" } else { "," };
        let bytes = comma.len() + quoted.len();
        self.is_full = self.list.len() + bytes > LONGEST_LIST || bytes > *room;
        if !self.is_full {
            *room -= bytes;
            self.list += comma;
            self.list += &quoted;
            self.seen.insert(text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::dns::tests::answer;
    use super::*;

    fn run(dst_port: u16, messages: &[Vec<u8>]) -> Out {
        let mut plugin = Mdns { room: ROOM };
        let packet = |payload| Packet {
            protocol: UDP,
            dst_port,
            payload,
        };
        let mut state = plugin.init(&packet(&messages[0]), &());
        for message in &messages[1..] {
            plugin.update(&mut state, &packet(message), &());
        }
        plugin.expire(state, &())
    }

    #[test]
    fn each_name_is_listed_once_and_without_commas() {
        let out = run(
            MDNS,
            &[
                answer(&["b.local", "a.local"]),
                answer(&["a.local", "x,y \"z\".local"]),
            ],
        );
        assert_eq!(out.mdns_ptr.0, r#"["b.local","a.local","x y \"z\".local"]"#);
        assert!(!out.mdns_ptr_cut);
    }

    #[test]
    fn names_that_become_equal_are_listed_once() {
        let out = run(MDNS, &[answer(&["x,y", "x y", "y"])]);
        assert_eq!(out.mdns_ptr.0, r#"["x y","y"]"#);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced() {
        let mut names = Names::default();
        names.add(b"caf\xe9.local", &mut { ROOM });
        assert_eq!(names.list, "\"caf\u{fffd}.local\"");
    }

    #[test]
    fn other_flows_have_no_names() {
        let out = run(53, &[answer(&["a.local"])]);
        assert_eq!((out.mdns_ptr.0.as_str(), out.mdns_ptr_cut), ("[]", false));
    }

    #[test]
    fn a_list_that_exceeds_its_limit_is_marked() {
        let name = |n| format!("{n:04}{}", "x".repeat(45));
        // Each name has two quotes and, except for the first, a comma.
        let full = (LONGEST_LIST + 1) / (49 + 3);
        let messages =
            |names: usize| -> Vec<_> { (0..names).map(|n| answer(&[&name(n)])).collect() };
        let out = run(MDNS, &messages(full));
        assert!(!out.mdns_ptr_cut && out.mdns_ptr.0.len() <= LONGEST_LIST + 2);
        let longer = run(MDNS, &messages(full + 1));
        assert!(longer.mdns_ptr_cut);
        assert_eq!(longer.mdns_ptr, out.mdns_ptr);
    }

    #[test]
    fn all_lists_share_a_limit_and_release_their_bytes() {
        let mut room = 28;
        let mut names = Names::default();
        for name in ["1234567", "1234567", "abcdefg", "tuvwxyz", "a"] {
            names.add(name.as_bytes(), &mut room);
        }
        assert_eq!(names.list, "\"1234567\",\"abcdefg\"");
        assert!(names.is_full && room == 28 - names.list.len());
        let mut plugin = Mdns { room };
        plugin.expire(State(Some(Box::new(names))), &());
        assert_eq!(plugin.room, 28);
    }
}
