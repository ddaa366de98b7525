//! The names that multicast DNS answers give: NFStream's MDNS plugin.

mod dns;

use flowloom_sdk::{Json, Outputs, PacketFields, Plugin};

const UDP: u8 = 17;
/// The port of multicast DNS.
const MDNS: u16 = 5353;

/// The most bytes of a flow's list. The answers to a thousand flows that end together have to fit
/// into what Flowloom takes of a plugin in one call, 16 MiB.
const LONGEST_LIST: usize = 15_000;

/// The plugin.
pub struct Mdns;

/// What it sees of each packet. A message has at most 9000 bytes, headers included (RFC 6762).
#[derive(PacketFields)]
pub struct Packet<'a> {
    protocol: u8,
    dst_port: u16,
    #[payload(9000)]
    payload: &'a [u8],
}

/// What it keeps of a flow; nothing of one to another port.
pub struct State(Option<Box<Names>>);

/// Names, each once and in quotes as JSON has them.
#[derive(Default)]
struct Names {
    names: Vec<String>,
    bytes: usize,
    is_full: bool,
}

/// What it adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Names that PTR answers point to, a list of texts: each once, in the order of the packets, commas replaced by spaces.
    mdns_ptr: Json,
    /// Whether there were more names than the list holds.
    mdns_ptr_cut: bool,
}

impl Plugin for Mdns {
    const DESCRIPTION: &'static str = "The names that multicast DNS answers give.";

    type Options = ();
    type Packet<'a> = Packet<'a>;
    type AtInit<'a> = ();
    type AtUpdate<'a> = ();
    type AtExpire<'a> = ();
    type State = State;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Mdns)
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &()) -> State {
        let is_mdns = (packet.protocol, packet.dst_port) == (UDP, MDNS);
        let mut state = State(is_mdns.then(Box::default));
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, State(names): &mut State, packet: &Packet<'_>, _: &()) {
        if let Some(names) = names {
            for name in dns::pointers(packet.payload) {
                names.add(&name.replace(',', " "));
            }
        }
    }

    fn expire(&mut self, State(names): State, _: &()) -> Out {
        let Names { names, is_full, .. } = names.map(|names| *names).unwrap_or_default();
        Out {
            mdns_ptr: Json(format!("[{}]", names.join(","))),
            mdns_ptr_cut: is_full,
        }
    }
}

flowloom_sdk::export!(Mdns);

impl Names {
    fn add(&mut self, name: &str) {
        let quoted = serde_json::Value::from(name).to_string();
        if self.is_full || self.names.contains(&quoted) {
            return;
        }
        let bytes = self.bytes + quoted.len() + 1;
        self.is_full = bytes > LONGEST_LIST;
        if !self.is_full {
            self.bytes = bytes;
            self.names.push(quoted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::dns::tests::answer;
    use super::*;

    fn run(dst_port: u16, messages: &[Vec<u8>]) -> Out {
        let mut plugin = Mdns;
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
    fn each_name_is_told_once_and_without_commas() {
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
    fn other_flows_have_no_names() {
        let out = run(53, &[answer(&["a.local"])]);
        assert_eq!((out.mdns_ptr.0.as_str(), out.mdns_ptr_cut), ("[]", false));
    }

    #[test]
    fn a_list_has_a_longest_length_and_says_so() {
        let name = |n| format!("{n:04}{}", "x".repeat(45));
        let full = LONGEST_LIST / (49 + 3);
        let messages =
            |names: usize| -> Vec<_> { (0..names).map(|n| answer(&[&name(n)])).collect() };
        let out = run(MDNS, &messages(full));
        assert!(!out.mdns_ptr_cut && out.mdns_ptr.0.len() <= LONGEST_LIST + 1);
        let longer = run(MDNS, &messages(full + 1));
        assert!(longer.mdns_ptr_cut);
        assert_eq!(longer.mdns_ptr, out.mdns_ptr);
    }
}
