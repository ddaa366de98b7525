//! The detection of the end of a TCP connection.

use super::Direction;
use crate::decode::Packet;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// The closing state of a TCP connection: the FINs of both directions and their acknowledgements.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TcpClose {
    /// For each direction the acknowledgement number that acknowledges its FIN.
    fin_ends: [u32; 2],
    /// One bit for each direction, set if it has sent a FIN.
    finished: u8,
    /// One bit for each direction, set if its FIN is acknowledged.
    acknowledged: u8,
}

const BOTH: u8 = 0b11;

impl TcpClose {
    /// Records a packet. Returns whether it closes the connection.
    ///
    /// A reset closes the connection. So does the packet after which the FINs of both directions are
    /// acknowledged. Sequence numbers distinguish the last acknowledgement from repeated ones, and from those
    /// that were in transit when a FIN was sent. The function does not check that a reset is within the window.
    #[inline]
    pub(crate) fn closes_with(
        &mut self,
        direction: Direction,
        packet: &Packet,
        frame: &[u8],
    ) -> bool {
        let flags = packet.tcp_flags;
        if flags & RST != 0 {
            return true;
        }
        // The common case: no FIN so far.
        if flags & FIN == 0 && self.finished == 0 {
            return false;
        }
        let (own, other) = (direction as usize, 1 - direction as usize);
        if flags & FIN != 0 {
            self.finished |= 1 << own;
            self.fin_ends[own] = packet
                .tcp_seq(frame)
                .wrapping_add(packet.payload_size)
                .wrapping_add(1 + u32::from(flags & SYN != 0));
        }
        if flags & ACK != 0 && self.finished & 1 << other != 0 {
            let beyond = packet.tcp_ack(frame).wrapping_sub(self.fin_ends[other]);
            if beyond < 1 << 31 {
                self.acknowledged |= 1 << other;
            }
        }
        self.acknowledged == BOTH
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{PacketBuilder, TcpHeader};

    use crate::flow::Flow;
    use crate::meter::Settings;
    use crate::meter::testing::metered;
    use crate::value::Value;

    const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);
    const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 80);

    /// Returns a TCP packet: direction (`>` from the client, `<` from the server), first letters of the flags,
    /// sequence number, acknowledgement number, bytes of payload.
    fn packet((direction, flags, seq, ack, len): (char, &str, u32, u32, usize)) -> Vec<u8> {
        let (src, dst) = match direction {
            '>' => (CLIENT, SERVER),
            _ => (SERVER, CLIENT),
        };
        let mut header = TcpHeader::new(src.1, dst.1, seq, 512);
        header.acknowledgment_number = ack;
        header.syn = flags.contains('S');
        header.ack = flags.contains('A');
        header.fin = flags.contains('F');
        header.rst = flags.contains('R');
        let mut packet = Vec::new();
        PacketBuilder::ipv4(src.0, dst.0, 64)
            .tcp_header(header)
            .write(&mut packet, &vec![0; len])
            .unwrap();
        packet
    }

    const HANDSHAKE: [(char, &str, u32, u32, usize); 3] = [
        ('>', "S", 99, 0, 0),
        ('<', "SA", 499, 100, 0),
        ('>', "A", 100, 500, 0),
    ];

    /// Meters a handshake and then `packets`. Returns the number of packets and the expiration id of each flow.
    fn flows(end_on_fin: bool, packets: &[(char, &str, u32, u32, usize)]) -> Vec<(i64, i64)> {
        let settings = Settings {
            end_on_fin,
            ..Settings::default()
        };
        let packets = [&HANDSHAKE, packets].concat();
        let packets: Vec<_> = packets.into_iter().map(packet).collect();
        let number = |flow: &Flow, name| match flow.get(name) {
            Some(Value::Integer(number)) => number,
            other => panic!("{name}: {other:?}"),
        };
        metered(settings, &packets)
            .iter()
            .map(|flow| {
                (
                    number(flow, "bidirectional_packets"),
                    number(flow, "expiration_id"),
                )
            })
            .collect()
    }

    #[test]
    fn a_connection_ends_with_the_last_acknowledgement() {
        let closing = [
            ('>', "FA", 100, 500, 10),
            ('<', "FA", 500, 111, 0),
            ('>', "A", 111, 501, 0),
        ];
        assert_eq!(flows(true, &closing), [(6, 2)]);
        assert_eq!(flows(false, &closing), [(6, 0)]);
        // Without the last acknowledgement, the connection is still open.
        assert_eq!(flows(true, &closing[..2]), [(5, 0)]);
    }

    #[test]
    fn a_half_closed_connection_stays_open() {
        let half_closed = [
            ('>', "FA", 100, 500, 0),
            ('<', "A", 500, 101, 1000),
            ('>', "A", 101, 1500, 0),
            ('<', "FA", 1500, 101, 7),
            // Acknowledges an earlier packet only.
            ('>', "A", 101, 1507, 0),
            // The FIN again, as its acknowledgement is late.
            ('<', "FA", 1500, 101, 7),
            ('>', "A", 101, 1508, 0),
        ];
        assert_eq!(flows(true, &half_closed), [(10, 2)]);
    }

    #[test]
    fn simultaneous_fins_close_the_connection() {
        let crossing = [
            ('>', "FA", 100, 500, 0),
            ('<', "FA", 500, 100, 0),
            ('>', "A", 101, 501, 0),
            ('<', "A", 501, 101, 0),
        ];
        assert_eq!(flows(true, &crossing), [(7, 2)]);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let wrapping = [
            ('>', "FA", u32::MAX, 500, 0),
            ('<', "FA", u32::MAX - 3, 0, 3),
            ('>', "A", 0, 0, 0),
        ];
        assert_eq!(flows(true, &wrapping), [(6, 2)]);
    }

    #[test]
    fn a_reset_ends_it_at_once_and_later_packets_are_another_flow() {
        let reset = [
            ('<', "RA", 500, 100, 0),
            ('<', "R", 500, 0, 0),
            ('>', "A", 100, 500, 9),
        ];
        assert_eq!(flows(true, &reset), [(4, 2), (1, 2), (1, 0)]);
        assert_eq!(flows(false, &reset), [(6, 0)]);
    }

    #[test]
    fn ports_used_again_are_another_flow() {
        let closing = [
            ('>', "FA", 100, 500, 0),
            ('<', "FA", 500, 101, 0),
            ('>', "A", 101, 501, 0),
        ];
        let again = [&closing[..], &HANDSHAKE, &closing].concat();
        assert_eq!(flows(true, &again), [(6, 2), (6, 2)]);
        assert_eq!(flows(false, &again), [(12, 0)]);
    }

    #[test]
    fn a_late_packet_is_another_flow() {
        let late = [
            ('>', "FA", 100, 500, 0),
            ('<', "FA", 500, 101, 0),
            ('>', "A", 101, 501, 0),
            ('<', "FA", 500, 101, 0),
        ];
        assert_eq!(flows(true, &late), [(6, 2), (1, 0)]);
    }

    #[test]
    fn a_syn_counts_for_the_acknowledgement_of_a_fin() {
        let fast = [
            ('>', "FA", 100, 500, 0),
            ('<', "SFA", 700, 101, 0),
            // Acknowledges the SYN only, and then the FIN too.
            ('>', "A", 101, 701, 0),
            ('>', "A", 101, 702, 0),
        ];
        assert_eq!(flows(true, &fast), [(7, 2)]);
        assert_eq!(flows(true, &fast[..3]), [(6, 0)]);
    }

    #[test]
    fn an_acknowledgement_number_without_its_flag_does_not_count() {
        let without = [
            ('>', "FA", 100, 500, 0),
            ('<', "F", 500, 101, 0),
            ('>', "", 101, 501, 0),
            ('<', "A", 501, 101, 0),
            ('>', "A", 101, 501, 0),
        ];
        assert_eq!(flows(true, &without), [(8, 2)]);
        assert_eq!(flows(true, &without[..4]), [(7, 0)]);
    }
}
