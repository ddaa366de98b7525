//! The event or events of a call, for the log.

use std::fmt;

use flowloom_core::record::FlowPacket;

use super::batch::EventKind;

/// The event or events of a call. `packet` is an ordinal, and `flow` is a flow id.
#[derive(Clone, Copy)]
pub(super) enum Event {
    Packet {
        kind: EventKind,
        packet: u64,
        flow: u64,
    },
    Expire {
        flow: u64,
    },
    Batch {
        events: usize,
    },
    Start,
    Finish,
}

impl Event {
    pub(super) fn of(flow_packet: &FlowPacket<'_>) -> Self {
        Self::Packet {
            kind: EventKind::of(flow_packet),
            packet: flow_packet.ordinal,
            flow: flow_packet.flow_id,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { kind, packet, flow } => {
                let name = match kind {
                    EventKind::Init => "init",
                    _ => "update",
                };
                write!(f, "in {name}, packet {packet} of flow {flow}")
            }
            Self::Expire { flow } => write!(f, "in expire of flow {flow}"),
            Self::Batch { events } => write!(f, "in a batch of {events} events"),
            Self::Start => f.write_str("while a new instance was opened"),
            Self::Finish => f.write_str("in finish"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_event() {
        let packet = |kind| Event::Packet {
            kind,
            packet: 7,
            flow: 3,
        };
        for (event, text) in [
            (packet(EventKind::Init), "in init, packet 7 of flow 3"),
            (packet(EventKind::Update), "in update, packet 7 of flow 3"),
            (Event::Expire { flow: 3 }, "in expire of flow 3"),
            (Event::Batch { events: 9 }, "in a batch of 9 events"),
            (Event::Start, "while a new instance was opened"),
            (Event::Finish, "in finish"),
        ] {
            assert_eq!(event.to_string(), text);
        }
    }
}
