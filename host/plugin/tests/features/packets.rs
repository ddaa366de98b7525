//! Random packets of interleaved flows, and the order in which the host gets packets, ends of flows, and flushes.

use std::sync::LazyLock;

use flowloom_core::decode::{Packet, Tunnel};
use flowloom_core::flow::Flow;
use flowloom_core::link_type::{LinkType, RawPacket};
use flowloom_core::meter::{Meter, Settings};
use flowloom_core::record::{CHUNK, DecodedPacket, Direction, FlowPacket};
use flowloom_core::time::Time;

use super::choices::Random;

/// A packet in its flow.
pub(crate) struct Given {
    pub(crate) decoded: DecodedPacket,
    pub(crate) frame: Vec<u8>,
    pub(crate) direction: Direction,
    delta_ms: u64,
    slot: u32,
    /// The index of the flow.
    pub(crate) flow: usize,
    nth: u64,
}

impl Given {
    /// Returns the packet as a meter gives it.
    pub(crate) fn flow_packet(&self) -> FlowPacket<'_> {
        let mut packet = FlowPacket::new(&self.decoded, &self.frame);
        packet.direction = self.direction;
        packet.delta_ms = self.delta_ms;
        packet.slot = self.slot;
        packet.flow_id = self.flow as u64;
        packet.nth = self.nth;
        packet
    }
}

/// What the dispatcher gets next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The packet with this index.
    Packet(usize),
    /// The end of the flow with this index, in a slot.
    End(usize, u32),
    /// The chunk of packets ends.
    Take,
    /// The batch ends.
    Flush,
}

/// Packets, and the order of events.
pub(crate) struct Traffic {
    pub(crate) packets: Vec<Given>,
    pub(crate) steps: Vec<Step>,
    pub(crate) flows: usize,
}

/// A live flow.
struct Live {
    flow: usize,
    packets: u64,
    last_ms: u64,
    /// Of the flow's packets, how many of four are answers; 0 for one direction only.
    answers: u64,
}

/// How often something happens.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    /// One of this many events is followed by a flush; 0 for full batches.
    pub(crate) flush: u64,
    /// One of this many packets is the last of its flow.
    pub(crate) end: u64,
    /// The slots that live flows have.
    pub(crate) slots: Vec<u32>,
    /// The number of bytes that a payload can have.
    pub(crate) payload: u64,
}

impl Traffic {
    /// Makes a packet of each seed.
    pub(crate) fn new(seeds: &[u64], rates: &Rates) -> Self {
        let mut traffic = Self {
            packets: Vec::new(),
            steps: Vec::new(),
            flows: 0,
        };
        let mut live: Vec<Option<Live>> = rates.slots.iter().map(|_| None).collect();
        let (mut now, mut in_chunk) = (0_u64, 0);
        for &seed in seeds {
            let mut random = Random(seed);
            now = time(&mut random, now);
            let place = random.below(live.len() as u64) as usize;
            let of = live[place].get_or_insert_with(|| {
                traffic.flows += 1;
                Live {
                    flow: traffic.flows - 1,
                    packets: 0,
                    last_ms: now / 1_000_000,
                    answers: random.below(4),
                }
            });
            let is_answer = of.packets > 0 && random.below(4) < of.answers;
            let (decoded, frame) = packet(&mut random, rates, now, traffic.packets.len());
            traffic.packets.push(Given {
                decoded,
                frame,
                direction: if is_answer {
                    Direction::DstToSrc
                } else {
                    Direction::SrcToDst
                },
                delta_ms: now / 1_000_000 - of.last_ms,
                slot: rates.slots[place],
                flow: of.flow,
                nth: of.packets + 1,
            });
            (of.packets, of.last_ms) = (of.packets + 1, now / 1_000_000);
            traffic.steps.push(Step::Packet(traffic.packets.len() - 1));
            in_chunk += 1;
            if random.below(rates.end) == 0 {
                traffic.steps.push(Step::End(of.flow, rates.slots[place]));
                live[place] = None;
            }
            if in_chunk == CHUNK || random.below(6) == 0 {
                traffic.steps.push(Step::Take);
                in_chunk = 0;
            }
            if rates.flush > 0 && random.below(rates.flush) == 0 {
                traffic.steps.push(Step::Flush);
            }
        }
        traffic.steps.push(Step::Take);
        for (of, slot) in live.into_iter().zip(&rates.slots) {
            if let Some(of) = of {
                traffic.steps.push(Step::End(of.flow, *slot));
            }
        }
        traffic
    }

    /// Returns the packets of a flow.
    pub(crate) fn of(&self, flow: usize) -> impl Iterator<Item = &Given> {
        self.packets
            .iter()
            .filter(move |packet| packet.flow == flow)
    }
}

/// Returns the time of the next packet. A capture's time that decreases counts as the time before it.
fn time(random: &mut Random, before: u64) -> u64 {
    const S: u64 = 1_000_000_000;
    let step = match random.below(12) {
        0 => random.pick(&[60 * S, 3_600 * S, 1 << 55, 1 << 62]),
        1 => S,
        2 => random.below(5 * S),
        3 | 4 => 0,
        5 => return before.max(before.saturating_sub(random.below(S))),
        6 => 1,
        7 => random.below(2_000),
        _ => random.below(20) * 100_000_000,
    };
    // Rarely near the end of 64 bits.
    let sum = before.saturating_add(step);
    if sum > 1 << 61 && random.below(4) > 0 {
        before
    } else {
        sum
    }
}

fn packet(
    random: &mut Random,
    rates: &Rates,
    now: u64,
    ordinal: usize,
) -> (DecodedPacket, Vec<u8>) {
    let size = |random: &mut Random| match random.below(8) {
        0 => random.pick(&[
            0,
            1,
            i32::MAX as u32 - 1,
            i32::MAX as u32,
            1 << 31,
            u32::MAX,
        ]),
        1 => random.next() as u32,
        2 => random.pick(&[40, 52, 64, 1_000, 1_500]),
        _ => random.below(1_600) as u32,
    };
    let captured = match random.below(4) {
        0 => 0,
        1 => random.below(4),
        _ => random.below(rates.payload + 1),
    } as usize;
    let mut frame: Vec<u8> = (0..40).map(|_| byte(random)).collect();
    // Some payloads begin with bytes that programs search for.
    if random.below(3) == 0 {
        frame.extend(random.pick(&[
            &b"GET / HTTP/1.1\r\n"[..],
            &[0x16, 3, 1, 0],
            b"GEGET",
            b"\0\0\0",
        ]));
    }
    // Others repeat few bytes, so that a search begins again within what it has found.
    let is_simple = random.below(4) == 0;
    while frame.len() < 40 + captured {
        frame.push(match is_simple {
            true => random.pick(b"aaab"),
            false => byte(random),
        });
    }
    frame.truncate(40 + captured);
    let payload_size = match random.below(5) {
        // More than was captured, less, or anything.
        0 => captured as u32 + random.below(9) as u32,
        1 => size(random),
        _ => captured as u32,
    };
    let packet = Packet {
        src_port: port(random),
        dst_port: port(random),
        vlan_id: random.pick(&[0, 0, 7, 4_095]),
        protocol: random.pick(&[6, 6, 17, 1, 58, 132]),
        ip_version: random.pick(&[4, 6]),
        tunnel: random.pick(&[Tunnel::None, Tunnel::Vxlan, Tunnel::Geneve]),
        tcp_flags: match random.below(3) {
            0 => random.next() as u8,
            _ => random.pick(&[0, 0x02, 0x10, 0x12, 0x18, 0x11, 0x04]),
        },
        raw_size: size(random),
        ip_size: size(random),
        transport_size: size(random),
        payload_size,
        ip_at: 0,
        transport_at: 20,
        payload_at: 40,
        ip_end: frame.len() as u32,
        ..Packet::default()
    };
    let decoded = DecodedPacket {
        packet,
        time: Time::from_ns(now),
        ordinal: ordinal as u64,
        hash: 0,
    };
    (decoded, frame)
}

fn byte(random: &mut Random) -> u8 {
    match random.below(3) {
        0 => random.pick(&[0, 1, 0xff, b'G', b'E', b'T', 0x16]),
        _ => random.next() as u8,
    }
}

fn port(random: &mut Random) -> u16 {
    match random.below(3) {
        0 => random.next() as u16,
        _ => random.pick(&[0, 53, 80, 443, 8_080, 65_535]),
    }
}

/// The settings of the flows: those with the most fields of numbers.
pub(crate) fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.statistical_analysis = true;
    settings
}

/// The time of a packet in ms, and whether it is an answer.
type Sent = (u64, bool);

/// Flows whose fields are read at their end. They differ in every field that is a number.
pub(crate) static ENDED: LazyLock<Vec<Flow>> = LazyLock::new(|| {
    let times: [(&[Sent], u32); 5] = [
        (&[(0, false)], 40),
        (&[(1_000, false), (1_000, true)], u32::MAX),
        (&[(5, false), (5, false), (5, false)], 0),
        (
            &[
                (7, false),
                (9, true),
                (900, true),
                (5_000, false),
                (9_999, true),
            ],
            1_500,
        ),
        (&[(1 << 40, false), ((1 << 40) + 3, false)], 60),
    ];
    let flow = |(n, (packets, wire_len)): (u16, (&[Sent], u32))| {
        let mut meter = Meter::new(settings());
        for (ms, is_answer) in packets.iter() {
            let data = tcp(n, *is_answer);
            meter.push([RawPacket {
                time: Time::from_ns(ms * 1_000_000),
                link: LinkType(101),
                wire_len: wire_len.max(data.len() as u32),
                data: &data,
            }]);
        }
        meter.finish();
        meter.next_flow().expect("the packets belong to a flow")
    };
    (0..).zip(times).map(flow).collect()
});

/// Returns a TCP segment without payload.
fn tcp(port: u16, is_answer: bool) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[..10].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
    let (client, server) = ([10, 0, 0, 1], [203, 0, 113, port as u8]);
    let (from, to) = if is_answer {
        (server, client)
    } else {
        (client, server)
    };
    packet[12..16].copy_from_slice(&from);
    packet[16..20].copy_from_slice(&to);
    let ports = if is_answer {
        [443, port + 9]
    } else {
        [port + 9, 443]
    };
    packet[20..22].copy_from_slice(&ports[0].to_be_bytes());
    packet[22..24].copy_from_slice(&ports[1].to_be_bytes());
    packet[32..34].copy_from_slice(&[0x50, if is_answer { 0x12 } else { 0x02 }]);
    packet
}
