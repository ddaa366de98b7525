//! Retransmissions, out-of-order segments, zero windows, and round-trip times of the handshake.

use flowloom_sdk::{Direction, Outputs, PacketFields, Plugin};

const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// The maximum delay of an out-of-order segment if the round-trip time is not known, ns.
const LATE: u64 = 3_000_000;

/// The plugin.
pub struct TcpHealth;

/// The packet fields that the plugin requests.
#[derive(PacketFields)]
pub struct Packet {
    time_ns: u64,
    direction: Direction,
    protocol: u8,
    payload_size: u32,
    tcp_flags: u8,
    tcp_seq: u32,
    tcp_ack: u32,
    tcp_window: u16,
}

/// The state of a flow.
#[derive(Default)]
pub struct State {
    is_tcp: bool,
    directions: [Side; 2],
    handshake: Handshake,
}

/// The columns that the plugin adds to a flow.
#[derive(Debug, Default, PartialEq, Outputs)]
pub struct Out {
    /// Segments from source to destination that were sent before.
    src2dst_retransmissions: Option<i64>,
    /// Segments from source to destination that arrived out of order.
    src2dst_out_of_order: Option<i64>,
    /// Segments from source to destination with window 0: the source cannot receive more data.
    src2dst_zero_windows: Option<i64>,
    /// Segments from destination to source that were sent before.
    dst2src_retransmissions: Option<i64>,
    /// Segments from destination to source that arrived out of order.
    dst2src_out_of_order: Option<i64>,
    /// Segments from destination to source with window 0: the destination cannot receive more data.
    dst2src_zero_windows: Option<i64>,
    /// Time from SYN to SYN-ACK, ms: round trip between capture point and destination.
    server_rtt_ms: Option<f64>,
    /// Time from SYN-ACK to ACK, ms: round trip between capture point and source.
    client_rtt_ms: Option<f64>,
}

#[flowloom_sdk::plugin]
impl Plugin for TcpHealth {
    const DESCRIPTION: &'static str =
        "TCP retransmissions, out-of-order segments, zero windows and handshake times.";

    type Packet<'a> = Packet;
    type State = State;
    type Outputs = Out;

    fn open((): ()) -> Result<Self, String> {
        Ok(TcpHealth)
    }

    fn init(&mut self, packet: &Packet, flow: &()) -> State {
        let mut state = State {
            is_tcp: packet.protocol == TCP,
            ..State::default()
        };
        self.update(&mut state, packet, flow);
        state
    }

    fn update(&mut self, state: &mut State, packet: &Packet, _: &()) {
        // Every TCP segment has a flag. Without one, its header was not captured.
        if !state.is_tcp || packet.tcp_flags == 0 {
            return;
        }
        state.handshake.add(packet);
        let late = state.handshake.round_trip().unwrap_or(LATE);
        let [src2dst, dst2src] = &mut state.directions;
        match packet.direction {
            Direction::Src2Dst => src2dst.add(packet, dst2src, late),
            Direction::Dst2Src => dst2src.add(packet, src2dst, late),
        }
    }

    fn expire(&mut self, state: State, _: &()) -> Out {
        if !state.is_tcp {
            return Out::default();
        }
        let [src2dst, dst2src] = state.directions;
        let ms = |ns: Option<u64>| ns.map(|ns| ns as f64 / 1e6);
        Out {
            src2dst_retransmissions: Some(src2dst.retransmissions),
            src2dst_out_of_order: Some(src2dst.out_of_order),
            src2dst_zero_windows: Some(src2dst.zero_windows),
            dst2src_retransmissions: Some(dst2src.retransmissions),
            dst2src_out_of_order: Some(dst2src.out_of_order),
            dst2src_zero_windows: Some(dst2src.zero_windows),
            server_rtt_ms: ms(state.handshake.server()),
            client_rtt_ms: ms(state.handshake.client()),
        }
    }
}

/// One direction of a connection. Sequence numbers wrap around: `a` is before `b` if the distance from `a` to `b`
/// is less than 2^31.
#[derive(Default)]
struct Side {
    /// The highest sequence number sent so far plus 1, and the time of that segment in ns.
    reached: Option<(u32, u64)>,
    /// The last acknowledgement number that this side sent.
    acknowledged: Option<u32>,
    /// The last window that this side offered.
    window: Option<u16>,
    retransmissions: i64,
    out_of_order: i64,
    zero_windows: i64,
}

impl Side {
    fn add(&mut self, packet: &Packet, other: &Side, late: u64) {
        let (seq, flags) = (packet.tcp_seq, packet.tcp_flags);
        let has = |flag| flags & flag != 0;
        let size = packet.payload_size;
        let end = seq.wrapping_add(size);
        if packet.tcp_window == 0 && !has(SYN | FIN | RST) {
            self.zero_windows += 1;
        }
        let mut is_probe = false;
        if let Some((reached, when)) = self.reached {
            // A window probe: one byte at the edge of a closed window.
            is_probe = size == 1 && seq == reached && other.window == Some(0);
            // A keep-alive: no byte or one byte, directly before the next new byte.
            let is_keep_alive =
                size <= 1 && seq == reached.wrapping_sub(1) && !has(SYN | FIN | RST);
            // New data that repeats one byte, which a probe or keep-alive sent before.
            let repeats_probe = size > 1 && seq == reached.wrapping_sub(1);
            let takes_space = size > 0 || has(SYN | FIN);
            if takes_space && !is_keep_alive {
                let is_known = size > 0
                    && other
                        .acknowledged
                        .is_some_and(|acknowledged| !is_before(acknowledged, end));
                let is_behind = is_before(seq, reached) && !repeats_probe;
                let is_late = packet.time_ns.saturating_sub(when) < late && end != reached;
                match (is_known, is_behind) {
                    (true, _) => self.retransmissions += 1,
                    (false, true) if is_late => self.out_of_order += 1,
                    (false, true) => self.retransmissions += 1,
                    (false, false) => {}
                }
            }
        }
        let end = end.wrapping_add(u32::from(has(SYN | FIN)));
        let is_farther = self
            .reached
            .is_none_or(|(reached, _)| is_before(reached, end));
        if is_farther && !is_probe {
            self.reached = Some((end, packet.time_ns));
        }
        self.window = Some(packet.tcp_window);
        if has(ACK) {
            self.acknowledged = Some(packet.tcp_ack);
        }
    }
}

/// Returns whether sequence number `a` is before `b`.
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The times of the three segments of the handshake, ns.
#[derive(Default)]
struct Handshake {
    /// The last SYN before the SYN-ACK.
    syn: Option<u64>,
    /// The first SYN-ACK: its time, and the acknowledgement number that confirms it.
    answer: Option<(u64, u32)>,
    /// The ACK that confirms the SYN-ACK.
    acknowledgement: Option<u64>,
}

impl Handshake {
    fn add(&mut self, packet: &Packet) {
        let now = packet.time_ns;
        if self.acknowledgement.is_some() {
            return;
        }
        match (packet.direction, packet.tcp_flags & (SYN | ACK | RST)) {
            (Direction::Src2Dst, SYN) if self.answer.is_none() => self.syn = Some(now),
            // Only the first SYN-ACK counts. Later ones answer a retransmitted SYN.
            (Direction::Dst2Src, flags)
                if flags == SYN | ACK && self.syn.is_some() && self.answer.is_none() =>
            {
                self.answer = Some((now, packet.tcp_seq.wrapping_add(1)));
            }
            (Direction::Src2Dst, ACK)
                if self.answer.is_some_and(|(_, ack)| ack == packet.tcp_ack) =>
            {
                self.acknowledgement = Some(now);
            }
            _ => {}
        }
    }

    /// Returns the time from SYN to SYN-ACK.
    fn server(&self) -> Option<u64> {
        Some(self.answer?.0.saturating_sub(self.syn?))
    }

    /// Returns the time from SYN-ACK to ACK.
    fn client(&self) -> Option<u64> {
        Some(self.acknowledgement?.saturating_sub(self.answer?.0))
    }

    fn round_trip(&self) -> Option<u64> {
        Some(self.server()? + self.client()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Dst2Src, Src2Dst};

    /// Creates a packet with this time in ms and an open window.
    fn packet(ms: u64, direction: Direction, flags: u8, seq: u32, ack: u32, size: u32) -> Packet {
        Packet {
            time_ns: ms * 1_000_000,
            direction,
            protocol: TCP,
            payload_size: size,
            tcp_flags: flags,
            tcp_seq: seq,
            tcp_ack: ack,
            tcp_window: 100,
        }
    }

    fn run(packets: Vec<Packet>) -> Out {
        let mut packets = packets.into_iter();
        let first = packets.next().expect("a flow has a packet");
        let mut state = TcpHealth.init(&first, &());
        for packet in packets {
            TcpHealth.update(&mut state, &packet, &());
        }
        TcpHealth.expire(state, &())
    }

    /// Creates a handshake of 20 ms, in which the sequence numbers wrap around. The next one is 0 for both sides.
    fn handshake() -> Vec<Packet> {
        vec![
            packet(0, Src2Dst, SYN, u32::MAX, 0, 0),
            packet(15, Dst2Src, SYN | ACK, u32::MAX, 0, 0),
            packet(20, Src2Dst, ACK, 0, 0, 0),
        ]
    }

    fn after(packets: impl IntoIterator<Item = Packet>) -> Out {
        let mut all = handshake();
        all.extend(packets);
        run(all)
    }

    #[test]
    fn the_handshake_is_timed() {
        let out = after([]);
        assert_eq!(
            (out.server_rtt_ms, out.client_rtt_ms),
            (Some(15.0), Some(5.0))
        );
        assert_eq!(out.src2dst_retransmissions, Some(0));
        let out = run(vec![packet(0, Src2Dst, ACK, 1, 1, 10)]);
        assert_eq!((out.server_rtt_ms, out.client_rtt_ms), (None, None));
    }

    #[test]
    fn a_repeated_syn_is_a_retransmission() {
        let out = run(vec![
            packet(0, Src2Dst, SYN, 7, 0, 0),
            packet(1_000, Src2Dst, SYN, 7, 0, 0),
            packet(1_010, Dst2Src, SYN | ACK, 9, 8, 0),
        ]);
        assert_eq!(
            (out.src2dst_retransmissions, out.server_rtt_ms),
            (Some(1), Some(10.0))
        );
    }

    #[test]
    fn an_old_segment_is_out_of_order_within_the_round_trip_and_later_a_retransmission() {
        let with_delay = |late: u64| {
            after([
                packet(100, Dst2Src, ACK, 0, 0, 10),
                packet(101, Dst2Src, ACK, 20, 0, 10),
                packet(101 + late, Dst2Src, ACK, 10, 0, 10),
            ])
        };
        let out = with_delay(19);
        assert_eq!(
            (out.dst2src_out_of_order, out.dst2src_retransmissions),
            (Some(1), Some(0))
        );
        let out = with_delay(20);
        assert_eq!(
            (out.dst2src_out_of_order, out.dst2src_retransmissions),
            (Some(0), Some(1))
        );
        assert_eq!(out.src2dst_retransmissions, Some(0));
    }

    #[test]
    fn an_acknowledged_segment_is_always_a_retransmission() {
        let out = after([
            packet(100, Dst2Src, ACK, 0, 0, 10),
            packet(101, Dst2Src, ACK, 10, 0, 10),
            packet(102, Src2Dst, ACK, 0, 20, 0),
            packet(103, Dst2Src, ACK, 0, 0, 10),
        ]);
        assert_eq!(
            (out.dst2src_out_of_order, out.dst2src_retransmissions),
            (Some(0), Some(1))
        );
    }

    #[test]
    fn probes_and_keep_alives_do_not_count() {
        let closed = Packet {
            tcp_window: 0,
            ..packet(102, Src2Dst, ACK, 0, 10, 0)
        };
        let out = after([
            packet(100, Dst2Src, ACK, 0, 0, 10),
            closed,
            // A window probe, the same byte with more data, then two keep-alives.
            packet(300, Dst2Src, ACK, 10, 0, 1),
            packet(500, Dst2Src, ACK, 10, 0, 5),
            packet(900, Dst2Src, ACK, 14, 0, 0),
            packet(950, Dst2Src, ACK, 14, 0, 1),
        ]);
        assert_eq!(
            (out.dst2src_out_of_order, out.dst2src_retransmissions),
            (Some(0), Some(0))
        );
        assert_eq!(
            (out.src2dst_zero_windows, out.dst2src_zero_windows),
            (Some(1), Some(0))
        );
    }

    #[test]
    fn other_protocols_have_no_values() {
        let udp = Packet {
            protocol: 17,
            ..packet(0, Src2Dst, 0, 0, 0, 9)
        };
        assert_eq!(run(vec![udp]), Out::default());
    }
}
