//! Retransmissions, segments out of order, zero windows, and round-trip times of the handshake.

use flowloom_sdk::{Direction, Outputs, PacketFields, Plugin};

const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// How late a segment may come and still be out of order where the round-trip time is not known, ns.
const LATE: u64 = 3_000_000;

/// The plugin.
pub struct TcpHealth;

/// What it sees of each packet.
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

/// What it keeps of a flow.
#[derive(Default)]
pub struct State {
    is_tcp: bool,
    directions: [Side; 2],
    handshake: Handshake,
}

/// What it adds to a flow.
#[derive(Debug, Default, PartialEq, Outputs)]
pub struct Out {
    /// Segments from source to destination that had been sent before.
    src2dst_retransmissions: Option<i64>,
    /// Segments from source to destination that came late.
    src2dst_out_of_order: Option<i64>,
    /// Segments by which the source said that it cannot take more.
    src2dst_zero_windows: Option<i64>,
    /// Segments from destination to source that had been sent before.
    dst2src_retransmissions: Option<i64>,
    /// Segments from destination to source that came late.
    dst2src_out_of_order: Option<i64>,
    /// Segments by which the destination said that it cannot take more.
    dst2src_zero_windows: Option<i64>,
    /// From SYN to SYN-ACK, ms: to the destination and back, as the capture saw it.
    server_rtt_ms: Option<f64>,
    /// From SYN-ACK to ACK, ms: to the source and back.
    client_rtt_ms: Option<f64>,
}

impl Plugin for TcpHealth {
    const DESCRIPTION: &'static str =
        "TCP retransmissions, segments out of order, zero windows and handshake times.";

    type Options = ();
    type Packet<'a> = Packet;
    type AtInit<'a> = ();
    type AtUpdate<'a> = ();
    type AtExpire<'a> = ();
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
        // No segment is without any flag: its header was not captured.
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

flowloom_sdk::export!(TcpHealth);

/// One direction. Sequence numbers wrap: one is before another if it is less than 2^31 away.
#[derive(Default)]
struct Side {
    /// Behind the farthest byte that was sent, and when that was.
    reached: Option<(u32, u64)>,
    /// What it last acknowledged, and the window that it last offered.
    acknowledged: Option<u32>,
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
            // One byte at the edge of a closed window asks whether it is open again.
            is_probe = size == 1 && seq == reached && other.window == Some(0);
            // Nothing, or one byte that was acknowledged, asks whether the other side is there.
            let is_keep_alive =
                size <= 1 && seq == reached.wrapping_sub(1) && !has(SYN | FIN | RST);
            // It goes on behind a byte that was such a question.
            let goes_on = size > 1 && seq == reached.wrapping_sub(1);
            let carries = size > 0 || has(SYN | FIN);
            if carries && !is_keep_alive {
                let is_known = size > 0
                    && other
                        .acknowledged
                        .is_some_and(|acknowledged| !is_before(acknowledged, end));
                let is_behind = is_before(seq, reached) && !goes_on;
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

/// Whether `a` comes before `b`.
fn is_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// When the three segments of the handshake came, ns.
#[derive(Default)]
struct Handshake {
    /// The last SYN before the answer.
    syn: Option<u64>,
    /// The first answer, and what acknowledges it.
    answer: Option<(u64, u32)>,
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
            // The first one: later ones answer a SYN that was sent again.
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

    fn server(&self) -> Option<u64> {
        Some(self.answer?.0.saturating_sub(self.syn?))
    }

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

    /// A packet at so many ms, with a window.
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

    /// A handshake of 20 ms, after which both sides are at 1, across the end of sequence numbers.
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
    fn a_syn_that_is_sent_again_is_a_retransmission() {
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
    fn what_comes_soon_behind_is_out_of_order_and_later_was_sent_again() {
        let ahead = |late: u64| {
            after([
                packet(100, Dst2Src, ACK, 0, 0, 10),
                packet(101, Dst2Src, ACK, 20, 0, 10),
                packet(101 + late, Dst2Src, ACK, 10, 0, 10),
            ])
        };
        let out = ahead(19);
        assert_eq!(
            (out.dst2src_out_of_order, out.dst2src_retransmissions),
            (Some(1), Some(0))
        );
        let out = ahead(20);
        assert_eq!(
            (out.dst2src_out_of_order, out.dst2src_retransmissions),
            (Some(0), Some(1))
        );
        assert_eq!(out.src2dst_retransmissions, Some(0));
    }

    #[test]
    fn what_was_acknowledged_was_sent_again_however_soon() {
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
    fn questions_whether_someone_is_there_are_neither() {
        let closed = Packet {
            tcp_window: 0,
            ..packet(102, Src2Dst, ACK, 0, 10, 0)
        };
        let out = after([
            packet(100, Dst2Src, ACK, 0, 0, 10),
            closed,
            // A probe of the window, and again with what follows; then a keep-alive.
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
