//! A simple second implementation of the meter. A flow is a list of its packets. All columns are computed from this
//! list when the flow has ended.

use std::collections::{BTreeMap, HashMap};

use flowloom::capture::RawPacket;
use flowloom::fields::{Feature, Group};
use flowloom::{AccountingMode, Counters, Flow, Settings, Time, Value};
use flowloom_core::decode::{Decoder, Packet};

/// Both endpoints of a flow, protocol, VLAN and tunnel.
type Key = (
    (flowloom_core::decode::Addr, u16),
    (flowloom_core::decode::Addr, u16),
    u8,
    u16,
    u8,
);

pub(crate) struct Model {
    settings: Settings,
    decoder: Decoder,
    clock: Time,
    packets: u64,
    live: HashMap<Key, Listed>,
    ended: BTreeMap<u64, Listed>,
}

/// A flow as the list of its packets.
pub(crate) struct Listed {
    id: u64,
    first: Packet,
    is_active_end: bool,
    packets: Vec<Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    time_ms: u64,
    back: bool,
    size: u64,
    tcp_flags: u8,
}

impl Model {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            decoder: Decoder::new(settings.decode_tunnels),
            clock: Time::EPOCH,
            packets: 0,
            live: HashMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// Returns whether the model supports these settings and this run. It does not end flows with their connections or
    /// because the table is full.
    pub(crate) fn supports(settings: &Settings, counters: Counters) -> bool {
        !settings.end_on_fin && counters.evicted == 0
    }

    pub(crate) fn push(&mut self, raw: &RawPacket<'_>) {
        let id = self.packets;
        self.packets += 1;
        let Ok(packet) = self.decoder.decode(raw.link, raw.data, raw.wire_len) else {
            return;
        };
        self.clock = self.clock.max(raw.time);
        let time_ms = self.clock.ms();
        let (there, back) = keys(&packet);
        let key = if self.live.contains_key(&back) {
            back
        } else {
            there
        };
        let ms = |seconds: u64| seconds.saturating_mul(1_000);
        if let Some(flow) = self.live.get_mut(&key) {
            let (first, last) = (flow.packets[0], flow.packets[flow.packets.len() - 1]);
            let idle = time_ms - last.time_ms >= ms(self.settings.idle_timeout);
            let active = time_ms - first.time_ms >= ms(self.settings.active_timeout);
            if idle || active {
                flow.is_active_end = !idle;
                let flow = self.live.remove(&key).expect("the flow is live");
                self.ended.insert(flow.id, flow);
            }
        }
        let key = if self.live.contains_key(&key) {
            key
        } else {
            there
        };
        let seen = Seen {
            time_ms,
            back: key != there,
            size: size(self.settings.accounting_mode, &packet),
            tcp_flags: packet.tcp_flags,
        };
        self.live
            .entry(key)
            .or_insert_with(|| Listed {
                id,
                first: packet,
                is_active_end: false,
                packets: Vec::new(),
            })
            .packets
            .push(seen);
    }

    /// Checks that these flows equal those of the model.
    pub(crate) fn check(mut self, flows: &[Flow]) {
        let live = self.live.drain().map(|(_, flow)| (flow.id, flow));
        self.ended.extend(live);
        assert_eq!(self.ended.len(), flows.len());
        for flow in flows {
            let listed = self.ended.get(&flow.id());
            let listed = listed.unwrap_or_else(|| panic!("no such flow: {flow:?}"));
            let all = &listed.packets;
            let directions = [
                Direction::of(all.iter()),
                Direction::of(all.iter().filter(|seen| !seen.back)),
                Direction::of(all.iter().filter(|seen| seen.back)),
            ];
            for (name, value) in flow.iter() {
                let splt = usize::from(self.settings.splt_analysis);
                listed.check(name, value, splt, &directions);
            }
        }
    }
}

fn keys(packet: &Packet) -> (Key, Key) {
    let src = (packet.src, packet.src_port);
    let dst = (packet.dst, packet.dst_port);
    let (protocol, vlan, tunnel) = (packet.protocol, packet.vlan_id, packet.tunnel as u8);
    (
        (src, dst, protocol, vlan, tunnel),
        (dst, src, protocol, vlan, tunnel),
    )
}

fn size(mode: AccountingMode, packet: &Packet) -> u64 {
    u64::from(match mode {
        AccountingMode::Raw => packet.raw_size,
        AccountingMode::Ip => packet.ip_size,
        AccountingMode::Transport => packet.transport_size,
        AccountingMode::Payload => packet.payload_size,
    })
}

impl Listed {
    fn check(&self, name: &str, value: Value<'_>, splt: usize, directions: &[Direction; 3]) {
        let first = &self.first;
        let ip = |addr: flowloom_core::decode::Addr| Value::Ip(addr.to_ip(first.ip_version));
        let expected = match name {
            "id" => integer(self.id),
            "expiration_id" => integer(u64::from(self.is_active_end)),
            "src_ip" => ip(first.src),
            "dst_ip" => ip(first.dst),
            "src_mac" => Value::Mac(first.src_mac),
            "dst_mac" => Value::Mac(first.dst_mac),
            "src_port" => integer(first.src_port.into()),
            "dst_port" => integer(first.dst_port.into()),
            "protocol" => integer(first.protocol.into()),
            "ip_version" => integer(first.ip_version.into()),
            "vlan_id" => integer(first.vlan_id.into()),
            "tunnel_id" => integer((first.tunnel as u8).into()),
            "src_oui" | "dst_oui" | "src_ip_is_private" | "dst_ip_is_private" => return,
            // The model has no dissection.
            _ if Feature::by_name(name).is_some_and(|field| field.group == Group::Application) => {
                return;
            }
            "splt_direction" => return self.sequence(value, splt, |seen, _| seen.back.into()),
            "splt_ps" => return self.sequence(value, splt, |seen, _| seen.size),
            "splt_piat_ms" => return self.sequence(value, splt, |_, gap| gap),
            _ => {
                let (direction, what) = name.split_once('_').expect("direction and field");
                let direction = match direction {
                    "bidirectional" => 0,
                    "src2dst" => 1,
                    _ => 2,
                };
                return directions[direction].check(what, value);
            }
        };
        assert_eq!(value, expected, "{name} of flow {}", self.id);
    }

    fn sequence(&self, value: Value<'_>, len: usize, number: impl Fn(&Seen, u64) -> u64) {
        let mut before = self.packets[0].time_ms;
        let mut expected = vec![-1; len];
        for (expected, seen) in expected.iter_mut().zip(&self.packets) {
            let gap = seen.time_ms - std::mem::replace(&mut before, seen.time_ms);
            *expected = i64::try_from(number(seen, gap)).unwrap_or(i64::MAX);
        }
        assert_eq!(value, Value::Integers(&expected), "flow {}", self.id);
    }
}

/// The packets of one direction or both.
struct Direction {
    times: Vec<u64>,
    sizes: Vec<u64>,
    gaps: Vec<u64>,
    /// The number of packets with each TCP flag, by the bit of the flag.
    flags: [u64; 8],
}

impl Direction {
    fn of<'a>(packets: impl Iterator<Item = &'a Seen>) -> Self {
        let packets: Vec<_> = packets.collect();
        let times: Vec<_> = packets.iter().map(|seen| seen.time_ms).collect();
        let flag = |bit: u32| {
            let has = |seen: &&&Seen| seen.tcp_flags >> bit & 1 == 1;
            packets.iter().filter(has).count() as u64
        };
        Self {
            sizes: packets.iter().map(|seen| seen.size).collect(),
            gaps: times.windows(2).map(|pair| pair[1] - pair[0]).collect(),
            flags: [0, 1, 2, 3, 4, 5, 6, 7].map(flag),
            times,
        }
    }

    fn check(&self, what: &str, value: Value<'_>) {
        let (sizes, gaps) = (&self.sizes, &self.gaps);
        let least = |numbers: &[u64]| integer(numbers.iter().copied().min().unwrap_or(0));
        let most = |numbers: &[u64]| integer(numbers.iter().copied().max().unwrap_or(0));
        let expected = match what {
            "first_seen_ms" => least(&self.times),
            "last_seen_ms" => most(&self.times),
            "duration_ms" => integer(gaps.iter().sum()),
            "packets" => integer(sizes.len() as u64),
            "bytes" => integer(sizes.iter().sum()),
            "min_ps" => least(sizes),
            "max_ps" => most(sizes),
            "min_piat_ms" => least(gaps),
            "max_piat_ms" => most(gaps),
            "mean_ps" => return close(value, mean(sizes), sizes, what),
            "mean_piat_ms" => return close(value, mean(gaps), gaps, what),
            "stddev_ps" => return close(value, deviation(sizes), sizes, what),
            "stddev_piat_ms" => return close(value, deviation(gaps), gaps, what),
            flag => {
                const FLAGS: [&str; 8] = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"];
                let name = flag.strip_suffix("_packets");
                let bit = FLAGS.iter().position(|flag| Some(*flag) == name);
                integer(self.flags[bit.unwrap_or_else(|| panic!("{flag} is not in the model"))])
            }
        };
        assert_eq!(value, expected, "{what}");
    }
}

fn integer(value: u64) -> Value<'static> {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn mean(numbers: &[u64]) -> f64 {
    let sum: u128 = numbers.iter().copied().map(u128::from).sum();
    sum as f64 / numbers.len().max(1) as f64
}

fn deviation(numbers: &[u64]) -> f64 {
    if numbers.len() < 2 {
        return 0.0;
    }
    let mean = mean(numbers);
    let squares = numbers.iter().map(|n| (*n as f64 - mean).powi(2));
    (squares.sum::<f64>() / (numbers.len() - 1) as f64).sqrt()
}

/// Checks that a float equals the expected value, except for a rounding error relative to the largest number.
fn close(value: Value<'_>, expected: f64, numbers: &[u64], name: &str) {
    let Value::Float(value) = value else {
        panic!("{name} is {value:?}");
    };
    let most = numbers.iter().copied().max().unwrap_or(0) as f64;
    let off = (value - expected).abs();
    assert!(
        off <= most * 1e-9,
        "{name} is {value}, not {expected}, of {numbers:?}"
    );
}
