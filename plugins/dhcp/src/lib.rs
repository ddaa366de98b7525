//! Information that DHCP clients send about themselves, like NFStream's DHCP plugin.

mod message;

use std::net::Ipv4Addr;

use flowloom_sdk::{FlowFields, Options, Outputs, PacketFields, Plugin};

use crate::message::{Kind, Message};

const UDP: u8 = 17;
/// The UDP port of DHCP servers.
const SERVER: u16 = 67;

/// The plugin.
pub struct Dhcp {
    split: bool,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Whether a flow ends with the message that ends its transaction.
    #[option(default = true)]
    split: bool,
}

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet<'a> {
    protocol: u8,
    dst_port: u16,
    #[payload(1500)]
    payload: &'a [u8],
}

/// The flow fields that the plugin requests at the first packet.
#[derive(FlowFields)]
pub struct AtInit<'a> {
    src_ip: &'a str,
}

/// The state of a flow. `None` for flows that are not DHCP.
pub struct State(Option<Box<Client>>);

/// A flow from a client to a server.
#[derive(Default)]
struct Client {
    /// Whether the source address is 0.0.0.0: the client has no address yet.
    is_unspecified: bool,
    /// Whether the message that ends the flow has arrived.
    is_done: bool,
    out: Out,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, Default, PartialEq, Outputs)]
pub struct Out {
    /// Host name (option 12) of the last message with one.
    dhcp_12: Option<String>,
    /// Address that the client requests (option 50) in its last REQUEST.
    dhcp_50: Option<String>,
    /// Numbers of the options that the client requests (option 55) in its last REQUEST, separated by commas.
    dhcp_55: Option<String>,
    /// Maximum message size that the client accepts (option 57), bytes, of the last message with one.
    dhcp_57: Option<i64>,
    /// Vendor class (option 60) of the last message with one.
    dhcp_60: Option<String>,
    /// User class (option 77) of the last message with one.
    dhcp_77: Option<String>,
    /// Numbers of the options of the client's last REQUEST, in their order.
    dhcp_options: Vec<i64>,
    /// Current address of the client (ciaddr) in its last REQUEST with one.
    dhcp_addr: Option<String>,
    /// Type of the first message with one: DISCOVER, REQUEST, INFORM, ….
    dhcp_msg_type: Option<String>,
    /// First three bytes of the client's hardware address in its last REQUEST.
    dhcp_oui: Option<String>,
}

#[flowloom_sdk::plugin]
impl Plugin for Dhcp {
    const DESCRIPTION: &'static str = "Information that DHCP clients send about themselves.";

    type Options = Opts;
    type Packet<'a> = Packet<'a>;
    type AtInit<'a> = AtInit<'a>;
    type State = State;
    type Outputs = Out;

    fn open(Opts { split }: Opts) -> Result<Self, String> {
        Ok(Dhcp { split })
    }

    fn init(&mut self, packet: &Packet<'_>, flow: &AtInit<'_>) -> State {
        if (packet.protocol, packet.dst_port) != (UDP, SERVER) {
            return State(None);
        }
        let mut state = State(Some(Box::new(Client {
            is_unspecified: flow.src_ip == "0.0.0.0",
            ..Client::default()
        })));
        self.update(&mut state, packet, &());
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet<'_>, _: &()) {
        if let (State(Some(client)), Some(message)) = (state, Message::parse(packet.payload)) {
            client.add(&message);
        }
    }

    fn cuts_flows(&self) -> bool {
        self.split
    }

    fn cuts(&self, State(client): &State) -> bool {
        client.as_ref().is_some_and(|client| client.is_done)
    }

    fn expire(&mut self, State(client): State, _: &()) -> Out {
        client.map(|client| client.out).unwrap_or_default()
    }
}

impl Client {
    fn add(&mut self, message: &Message<'_>) {
        let out = &mut self.out;
        for &(code, value) in &message.options {
            match code {
                12 if !value.is_empty() => out.dhcp_12 = Some(text(value)),
                57 => out.dhcp_57 = number(value),
                60 => out.dhcp_60 = Some(text(value)),
                77 => out.dhcp_77 = Some(text(value)),
                _ => {}
            }
        }
        let kind = message.kind();
        if kind == Some(Kind::REQUEST) {
            out.dhcp_50 = message.option(50).and_then(address);
            out.dhcp_55 = message.option(55).map(numbers);
            out.dhcp_oui = match *message.hardware {
                [a, b, c, _, _, _] => Some(format!("{a:02x}:{b:02x}:{c:02x}")),
                _ => None,
            };
            out.dhcp_options = message
                .options
                .iter()
                .map(|&(code, _)| code.into())
                .collect();
            if !message.client.is_unspecified() {
                out.dhcp_addr = Some(message.client.to_string());
            }
        }
        if out.dhcp_msg_type.is_none() {
            out.dhcp_msg_type = kind.map(Kind::name);
        }
        let ends = [Kind::ACK, Kind::NACK, Kind::INFORM, Kind::DECLINE];
        self.is_done |= self.is_unspecified || kind.is_some_and(|kind| ends.contains(&kind));
    }
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Parses an integer in network byte order. Returns `None` if it does not fit into an output.
fn number(value: &[u8]) -> Option<i64> {
    let fits = value.len() < size_of::<i64>();
    fits.then(|| {
        value
            .iter()
            .fold(0, |sum, &byte| sum << 8 | i64::from(byte))
    })
}

fn address(value: &[u8]) -> Option<String> {
    let octets: [u8; 4] = value.try_into().ok()?;
    Some(Ipv4Addr::from(octets).to_string())
}

fn numbers(value: &[u8]) -> String {
    let numbers: Vec<_> = value.iter().map(u8::to_string).collect();
    numbers.join(",")
}

#[cfg(test)]
mod tests {
    use super::message::tests::message;
    use super::*;

    const DISCOVER: (u8, &[u8]) = (53, &[1]);
    const REQUEST: (u8, &[u8]) = (53, &[3]);
    const ACK: (u8, &[u8]) = (53, &[5]);

    /// Runs the plugin for the messages of one flow, up to the one that ends it. Returns the outputs and the
    /// number of messages.
    fn run(src_ip: &str, dst_port: u16, messages: &[Vec<u8>]) -> (Out, usize) {
        let mut plugin = Dhcp { split: true };
        let packet = |payload| Packet {
            protocol: UDP,
            dst_port,
            payload,
        };
        let mut state = plugin.init(&packet(&messages[0]), &AtInit { src_ip });
        let mut shown = 1;
        while shown < messages.len() && !plugin.cuts(&state) {
            plugin.update(&mut state, &packet(&messages[shown]), &());
            shown += 1;
        }
        (plugin.expire(state, &()), shown)
    }

    #[test]
    fn a_client_without_an_address_has_one_flow_per_message() {
        let discover = message([0; 4], &[DISCOVER, (12, b"laptop"), (60, b"udhcp")]);
        let request = message([0; 4], &[REQUEST]);
        let (out, shown) = run("0.0.0.0", 67, &[discover, request]);
        assert_eq!(shown, 1);
        assert_eq!(
            out,
            Out {
                dhcp_12: Some("laptop".to_owned()),
                dhcp_60: Some("udhcp".to_owned()),
                dhcp_msg_type: Some("DISCOVER".to_owned()),
                ..Out::default()
            }
        );
    }

    #[test]
    fn a_request_sets_most_outputs() {
        let request = message(
            [192, 0, 2, 7],
            &[
                REQUEST,
                (50, &[192, 0, 2, 8]),
                (55, &[1, 3, 6, 252]),
                (57, &[2, 64]),
                (77, b"class"),
            ],
        );
        let (out, _) = run("192.0.2.7", 67, &[request]);
        assert_eq!(
            out,
            Out {
                dhcp_12: None,
                dhcp_50: Some("192.0.2.8".to_owned()),
                dhcp_55: Some("1,3,6,252".to_owned()),
                dhcp_57: Some(576),
                dhcp_60: None,
                dhcp_77: Some("class".to_owned()),
                dhcp_options: vec![53, 50, 55, 57, 77],
                dhcp_addr: Some("192.0.2.7".to_owned()),
                dhcp_msg_type: Some("REQUEST".to_owned()),
                dhcp_oui: Some("02:00:5e".to_owned()),
            }
        );
    }

    #[test]
    fn an_acknowledgement_ends_a_flow() {
        let request = message([192, 0, 2, 7], &[REQUEST]);
        let ack = message([192, 0, 2, 7], &[ACK, (12, b"named-by-server")]);
        let (out, shown) = run("192.0.2.7", 67, &[request.clone(), ack, request]);
        assert_eq!(shown, 2);
        assert_eq!(out.dhcp_12.as_deref(), Some("named-by-server"));
        assert_eq!(out.dhcp_msg_type.as_deref(), Some("REQUEST"));
    }

    #[test]
    fn other_flows_have_no_values_and_are_not_cut() {
        let ack = message([0; 4], &[ACK, (12, b"host")]);
        let (out, shown) = run("0.0.0.0", 68, &[ack.clone(), ack]);
        assert_eq!((out, shown), (Out::default(), 2));
    }

    #[test]
    fn invalid_values_are_null_or_replaced() {
        let request = message(
            [0; 4],
            &[
                REQUEST,
                (50, &[1, 2, 3]),
                (57, &[1; 8]),
                (12, b""),
                (60, b"\xff"),
            ],
        );
        let (out, _) = run("192.0.2.7", 67, &[request]);
        assert_eq!((out.dhcp_50, out.dhcp_57, out.dhcp_12), (None, None, None));
        assert_eq!(out.dhcp_60.as_deref(), Some("\u{fffd}"));
        assert_eq!(out.dhcp_addr, None);
    }

    #[test]
    fn flows_are_cut_only_with_split() {
        assert!(Dhcp { split: true }.cuts_flows());
        assert!(!Dhcp { split: false }.cuts_flows());
    }
}
