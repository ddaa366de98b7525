mod errors;
mod examples;
mod properties;
mod requests;

use flowloom_core::value::UdpValue;

use super::{Limits, Packet, Program};

/// A packet in a short form.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) ms: u64,
    /// Whether it is of the direction dst2src.
    pub(super) is_answer: bool,
    pub(super) size: u64,
    pub(super) flags: u64,
    pub(super) window: u64,
    pub(super) payload: &'static [u8],
}

impl Given {
    fn field(&self, name: &str) -> u64 {
        let flag = |bit: u64| self.flags >> bit & 1;
        match name {
            "time_ns" => self.ms * 1_000_000,
            "direction" => self.is_answer.into(),
            "ip_size" | "raw_size" => self.size,
            "payload_size" => self.payload.len() as u64,
            "transport_size" => self.payload.len() as u64 + 20,
            "dst_port" => {
                if self.is_answer {
                    40_000
                } else {
                    53
                }
            }
            "ttl" => {
                if self.is_answer {
                    60
                } else {
                    64
                }
            }
            "tcp_flags" => self.flags,
            "tcp_window" => self.window,
            "fin" => flag(0),
            "syn" => flag(1),
            "rst" => flag(2),
            "ack" => flag(4),
            _ => 0,
        }
    }
}

pub(super) fn program(text: &str) -> Program {
    Program::parse("test", text, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn packets(program: &Program, given: &[Given]) -> Vec<Packet> {
    let fields = program.packet_fields();
    let packet = |given: &Given| {
        let values = fields.iter().map(|field| given.field(field.name));
        Packet::new(values.collect(), given.payload.to_vec())
    };
    given.iter().map(packet).collect()
}

/// Returns the values of the features of a text.
pub(super) fn values(text: &str, given: &[Given]) -> Vec<UdpValue> {
    let program = program(text);
    program.interpret(&packets(&program, given), &[])
}
