//! Directions, sizes and times of a flow's first packets, like NFStream's SPLT plugin.

use flowloom_sdk::{Direction, Options, Outputs, PacketFields, Plugin};

/// The maximum length of a sequence. The values of a thousand flows that end in one batch must fit into 16 MiB,
/// the limit of Flowloom for the result of one call.
const LONGEST: u32 = 512;

/// The value for a missing packet.
const NO_PACKET: i64 = -1;

/// The plugin.
pub struct Splt {
    length: u32,
    size: fn(&Packet) -> u32,
}

/// The options of the plugin.
#[derive(Options)]
pub struct Opts {
    /// Number of packets per flow in the lists, 1 to 512.
    #[option(default = 20)]
    sequence_length: u32,
    /// Size of a packet: 0 raw_size, 1 ip_size, 2 transport_size, 3 payload_size.
    #[option(default = 0)]
    accounting_mode: u32,
}

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet {
    direction: Direction,
    delta_time_ms: u64,
    raw_size: u32,
    ip_size: u32,
    transport_size: u32,
    payload_size: u32,
}

/// The state of a flow. Its size depends on the number of packets, because most flows are short.
#[derive(Default)]
pub struct Sequence(Vec<Step>);

struct Step {
    direction: Direction,
    size: u32,
    gap_ms: u64,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, PartialEq, Outputs)]
pub struct Out {
    /// Direction of each of the first packets: 0 src2dst, 1 dst2src, -1 if the flow has fewer packets.
    splt_direction: Vec<i64>,
    /// Size of each of the first packets by accounting_mode, bytes; -1 if the flow has fewer packets.
    splt_ps: Vec<i64>,
    /// Time from the previous packet of either direction to each of the first packets, ms; 0 for the first packet, -1 if the flow has fewer packets.
    splt_piat_ms: Vec<i64>,
}

#[flowloom_sdk::plugin]
impl Plugin for Splt {
    const DESCRIPTION: &'static str = "Directions, sizes and times of a flow's first packets.";

    type Options = Opts;
    type Packet<'a> = Packet;
    type State = Sequence;
    type Outputs = Out;

    fn open(options: Opts) -> Result<Self, String> {
        let length = options.sequence_length;
        if length == 0 || length > LONGEST {
            return Err(format!(
                "option `sequence_length` must be from 1 to {LONGEST}, not {length}"
            ));
        }
        let size: fn(&Packet) -> u32 = match options.accounting_mode {
            0 => |packet| packet.raw_size,
            1 => |packet| packet.ip_size,
            2 => |packet| packet.transport_size,
            3 => |packet| packet.payload_size,
            other => {
                return Err(format!(
                    "option `accounting_mode` must be from 0 to 3, not {other}"
                ));
            }
        };
        Ok(Splt { length, size })
    }

    fn packets_per_flow(&self) -> Option<u32> {
        Some(self.length)
    }

    /// Includes all packets of the sequence.
    fn state_bytes(&self) -> usize {
        size_of::<Sequence>() + self.length as usize * size_of::<Step>()
    }

    fn init(&mut self, packet: &Packet, flow: &()) -> Sequence {
        let mut sequence = Sequence::default();
        self.update(&mut sequence, packet, flow);
        sequence
    }

    fn update(&mut self, sequence: &mut Sequence, packet: &Packet, _: &()) {
        sequence.0.push(Step {
            direction: packet.direction,
            size: (self.size)(packet),
            gap_ms: packet.delta_time_ms,
        });
    }

    fn expire(&mut self, Sequence(steps): Sequence, _: &()) -> Out {
        let list = |of: fn(&Step) -> i64| {
            let mut list: Vec<_> = steps.iter().map(of).collect();
            list.resize(self.length as usize, NO_PACKET);
            list
        };
        Out {
            splt_direction: list(|step| step.direction as i64),
            splt_ps: list(|step| step.size.into()),
            splt_piat_ms: list(|step| step.gap_ms as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sequence_length: u32, accounting_mode: u32) -> Result<Splt, String> {
        Splt::open(Opts {
            sequence_length,
            accounting_mode,
        })
    }

    /// Runs the plugin for three packets, the second in the opposite direction. As in Flowloom, the plugin receives
    /// no more packets than it requests.
    fn run(mut plugin: Splt) -> Out {
        let packet = |direction, delta_time_ms, size| Packet {
            direction,
            delta_time_ms,
            raw_size: size + 14,
            ip_size: size,
            transport_size: size - 20,
            payload_size: size - 40,
        };
        let mut sequence = plugin.init(&packet(Direction::Src2Dst, 0, 40), &());
        let later = [
            packet(Direction::Dst2Src, 7, 60),
            packet(Direction::Src2Dst, 5, 1500),
        ];
        let shown = plugin.packets_per_flow().expect("it has a limit") as usize - 1;
        for packet in later.iter().take(shown) {
            plugin.update(&mut sequence, packet, &());
        }
        plugin.expire(sequence, &())
    }

    #[test]
    fn missing_packets_are_minus_one() {
        let out = run(open(5, 0).expect("5 is a valid length"));
        assert_eq!(
            out,
            Out {
                splt_direction: vec![0, 1, 0, -1, -1],
                splt_ps: vec![54, 74, 1514, -1, -1],
                splt_piat_ms: vec![0, 7, 5, -1, -1],
            }
        );
    }

    #[test]
    fn a_sequence_ends_at_its_length() {
        let out = run(open(2, 0).expect("2 is a valid length"));
        assert_eq!(out.splt_direction, [0, 1]);
        assert_eq!(out.splt_piat_ms, [0, 7]);
    }

    #[test]
    fn the_accounting_mode_selects_the_size() {
        let sizes = |mode| run(open(3, mode).expect("a mode")).splt_ps;
        assert_eq!(sizes(1), [40, 60, 1500]);
        assert_eq!(sizes(2), [20, 40, 1480]);
        assert_eq!(sizes(3), [0, 20, 1460]);
    }

    #[test]
    fn options_have_bounds() {
        for (length, mode, expected) in [
            (
                0,
                0,
                "option `sequence_length` must be from 1 to 512, not 0",
            ),
            (
                513,
                0,
                "option `sequence_length` must be from 1 to 512, not 513",
            ),
            (20, 4, "option `accounting_mode` must be from 0 to 3, not 4"),
        ] {
            assert_eq!(open(length, mode).err().as_deref(), Some(expected));
        }
    }
}
