//! The size of a flow's largest packet, and whether the source of the flow sent it.

use flowloom_sdk::{Direction, Outputs, PacketFields, Plugin};

struct Biggest;

/// The packet fields to request. `flowloom fields` lists all fields.
#[derive(PacketFields)]
struct Packet {
    direction: Direction,
    ip_size: u64,
}

/// The state of a flow.
#[derive(Default)]
struct State {
    size: u64,
    by_source: bool,
}

/// The columns to add to a flow. The doc comments are the descriptions of the columns.
#[derive(Debug, PartialEq, Outputs)]
struct Out {
    /// Largest ip_size of the flow, bytes.
    size: i64,
    /// Whether the flow's source sent it.
    by_source: bool,
}

#[flowloom_sdk::plugin]
impl Plugin for Biggest {
    const DESCRIPTION: &'static str = "The largest packet of a flow.";
    type Packet<'a> = Packet;
    type State = State;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(Biggest)
    }

    fn init(&mut self, packet: &Packet, flow: &()) -> State {
        let mut state = State::default();
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet, _: &()) {
        if packet.ip_size > state.size {
            state.size = packet.ip_size;
            state.by_source = packet.direction == Direction::Src2Dst;
        }
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        Out {
            size: state.size as i64,
            by_source: state.by_source,
        }
    }
}

#[test]
fn the_first_of_several_largest_packets_determines_by_source() {
    let packet = |direction, ip_size| Packet { direction, ip_size };
    let mut state = Biggest.init(&packet(Direction::Src2Dst, 40), &());
    Biggest.update(&mut state, &packet(Direction::Dst2Src, 1500), &());
    Biggest.update(&mut state, &packet(Direction::Src2Dst, 1500), &());
    let out = Biggest.expire(state, &());
    assert_eq!((out.size, out.by_source), (1500, false));
}
