//! Compares the meter with a reference meter, which is a map from flow keys to flows.
//!
//! The reference meter implements NFStream's definitions:
//! - A packet that is older than an earlier packet gets the time of the earlier one.
//! - A flow ends before a packet that arrives at least the idle timeout after the flow's last packet, or at least
//!   the active timeout after its first packet. The idle timeout has precedence.
//! - This packet begins the next flow, whose source is the source of this packet.
//! - All times are in whole milliseconds.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use flowloom::capture::{LinkType, RawPacket};
use flowloom::{AccountingMode, Meter, Settings, Time, Value};
use proptest::prelude::*;
use proptest::sample::select;

const ETHERNET: LinkType = LinkType(1);
/// 2023-11-14.
const START_MS: i64 = 1_700_000_000_000;

/// A packet, and its time after the packet before.
#[derive(Clone, Debug)]
struct Step {
    /// May be negative.
    step_ns: i64,
    src: End,
    dst: End,
    content: Content,
    vlan: Option<u16>,
    payload: u8,
}

/// An endpoint. The strategies generate few addresses and ports, so that packets share flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct End {
    ip: Ipv4Addr,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Tcp,
    Udp,
    Icmp,
    /// Not metered.
    Arp,
}

impl Content {
    fn protocol(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Icmp => 1,
            Self::Arp => 0,
        }
    }

    fn header(self) -> usize {
        match self {
            Self::Tcp => 20,
            Self::Udp | Self::Icmp | Self::Arp => 8,
        }
    }
}

impl Step {
    /// Returns source and destination. The ports are 0 for ICMP.
    fn ends(&self) -> (End, End) {
        let end = |end: End| End {
            port: match self.content {
                Content::Icmp => 0,
                _ => end.port,
            },
            ..end
        };
        (end(self.src), end(self.dst))
    }

    fn frame(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        if let Some(vlan) = self.vlan {
            frame.extend([0x81, 0]);
            frame.extend(vlan.to_be_bytes());
        }
        if self.content == Content::Arp {
            frame.extend([8, 6]);
            frame.extend([0; 46]);
            return frame;
        }
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((self.ip_size() as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, self.content.protocol(), 0, 0]);
        frame.extend(self.src.ip.octets());
        frame.extend(self.dst.ip.octets());
        let mut transport = vec![0; self.content.header()];
        if self.content != Content::Icmp {
            transport[..2].copy_from_slice(&self.src.port.to_be_bytes());
            transport[2..4].copy_from_slice(&self.dst.port.to_be_bytes());
        }
        match self.content {
            Content::Tcp => transport[12] = 5 << 4,
            Content::Udp => {
                let len = self.transport_size() as u16;
                transport[4..6].copy_from_slice(&len.to_be_bytes());
            }
            _ => {}
        }
        frame.extend(transport);
        frame.resize(frame.len() + usize::from(self.payload), 0xab);
        frame
    }

    fn transport_size(&self) -> usize {
        self.content.header() + usize::from(self.payload)
    }

    fn ip_size(&self) -> usize {
        20 + self.transport_size()
    }

    fn size(&self, mode: AccountingMode) -> i64 {
        let size = match mode {
            AccountingMode::Raw => self.frame().len(),
            AccountingMode::Ip => self.ip_size(),
            AccountingMode::Transport => self.transport_size(),
            AccountingMode::Payload => self.payload.into(),
        };
        size as i64
    }
}

/// Time of the first and the last packet in ms, number of packets, number of bytes.
type Counters = [i64; 4];

/// A flow: `(id, expiration_id, src, dst, protocol, vlan_id, bidirectional, src2dst, dst2src)`.
type Flow = (
    i64,
    i64,
    (Ipv4Addr, i64),
    (Ipv4Addr, i64),
    i64,
    i64,
    Counters,
    Counters,
    Counters,
);

fn count(counters: &mut Counters, ms: i64, bytes: i64) {
    if counters[2] == 0 {
        counters[0] = ms;
    }
    *counters = [counters[0], ms, counters[2] + 1, counters[3] + bytes];
}

/// Returns the flows and counters of the reference meter.
fn reference(steps: &[Step], settings: &Settings) -> (Vec<Flow>, flowloom::Counters) {
    let (idle, active) = (settings.idle_timeout as i64, settings.active_timeout as i64);
    let mut live = HashMap::<_, Flow>::new();
    let mut ended = Vec::new();
    let mut counters = flowloom::Counters::default();
    let (mut captured, mut clock) = (START_MS * 1_000_000, 0);
    for step in steps {
        captured += step.step_ns;
        counters.packets += 1;
        if step.content == Content::Arp {
            counters.ignored[flowloom::decode::IgnoreReason::NotIp.index()] += 1;
            continue;
        }
        counters.metered += 1;
        counters.clamped += u64::from(captured < clock);
        clock = clock.max(captured);
        let ms = clock / 1_000_000;

        let (src, dst) = step.ends();
        let protocol = i64::from(step.content.protocol());
        let vlan = i64::from(step.vlan.unwrap_or(0));
        let key = (src.min(dst), src.max(dst), protocol, vlan);
        let over = live.get(&key).and_then(|flow| match flow.6 {
            [_, last, ..] if ms - last >= idle * 1_000 => Some(0),
            [first, ..] if ms - first >= active * 1_000 => Some(1),
            _ => None,
        });
        if let Some(expiration) = over
            && let Some(mut flow) = live.remove(&key)
        {
            flow.1 = expiration;
            ended.push(flow);
        }
        let flow = live.entry(key).or_insert_with(|| {
            let end = |end: End| (end.ip, end.port.into());
            let id = counters.packets as i64 - 1;
            let none = Counters::default();
            (id, 0, end(src), end(dst), protocol, vlan, none, none, none)
        });
        let is_src2dst = (flow.2, flow.3) == ((src.ip, src.port.into()), (dst.ip, dst.port.into()));
        let bytes = step.size(settings.accounting_mode);
        count(&mut flow.6, ms, bytes);
        count(
            if is_src2dst { &mut flow.7 } else { &mut flow.8 },
            ms,
            bytes,
        );
    }
    ended.extend(live.into_values());
    counters.flows = ended.len() as u64;
    ended.sort();
    (ended, counters)
}

/// Returns the flows and counters of Flowloom's meter, which receives `batch` packets at once.
fn metered(steps: &[Step], settings: Settings, batch: usize) -> (Vec<Flow>, flowloom::Counters) {
    let mut meter = Meter::new(settings, &[]).expect("there are no plugins to fail");
    let frames: Vec<_> = steps.iter().map(Step::frame).collect();
    let mut captured = START_MS * 1_000_000;
    let packets: Vec<_> = steps
        .iter()
        .zip(&frames)
        .map(|(step, data)| {
            captured += step.step_ns;
            RawPacket {
                time: Time::from_ns(captured as u64),
                link: ETHERNET,
                wire_len: data.len() as u32,
                data,
            }
        })
        .collect();
    for batch in packets.chunks(batch) {
        meter.push(batch.iter().copied());
    }
    let mut meter = meter.finish();
    let mut flows: Vec<_> = meter.by_ref().map(|flow| ours(&flow)).collect();
    flows.sort();
    (flows, meter.counters())
}

fn ours(flow: &flowloom::Flow) -> Flow {
    let number = |name: &str| match flow.get(name) {
        Some(Value::Integer(number)) => number,
        other => panic!("{name} is {other:?}"),
    };
    let ip = |name: &str| match flow.get(name) {
        Some(Value::Ip(std::net::IpAddr::V4(ip))) => ip,
        other => panic!("{name} is {other:?}"),
    };
    let counters = |way: &str| {
        let names = ["first_seen_ms", "last_seen_ms", "packets", "bytes"];
        let counters = names.map(|name| number(&format!("{way}_{name}")));
        let duration = number(&format!("{way}_duration_ms"));
        assert_eq!(duration, counters[1] - counters[0], "{way}");
        counters
    };
    (
        number("id"),
        number("expiration_id"),
        (ip("src_ip"), number("src_port")),
        (ip("dst_ip"), number("dst_port")),
        number("protocol"),
        number("vlan_id"),
        counters("bidirectional"),
        counters("src2dst"),
        counters("dst2src"),
    )
}

fn step(idle: u64, active: u64) -> impl Strategy<Value = Step> {
    const MS: i64 = 1_000_000;
    let (idle, active) = (idle as i64 * 1_000 * MS, active as i64 * 1_000 * MS);
    // Values on both sides of each limit, and sometimes any value.
    let gaps = vec![
        0,
        1,
        MS - 1,
        MS,
        10 * MS,
        -1,
        -MS,
        -5_000 * MS,
        idle - 1,
        idle,
        idle + 1,
        idle - MS,
        idle + 9 * MS,
        active,
        active - MS,
        active / 2,
        -idle,
        60_000 * MS,
    ];
    let step_ns = prop_oneof![8 => select(gaps), 2 => -30_000 * MS..90_000 * MS];
    let end = (select(vec![1, 2, 3]), select(vec![53, 1_024])).prop_map(|(host, port)| End {
        ip: Ipv4Addr::new(192, 0, 2, host),
        port,
    });
    let content = prop_oneof![
        4 => Just(Content::Udp),
        4 => Just(Content::Tcp),
        2 => Just(Content::Icmp),
        1 => Just(Content::Arp),
    ];
    let vlan = prop_oneof![5 => Just(None), 1 => Just(Some(10))];
    (step_ns, end.clone(), end, content, vlan, any::<u8>()).prop_map(
        |(step_ns, src, dst, content, vlan, payload)| Step {
            step_ns,
            src,
            dst,
            content,
            vlan,
            payload,
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    let modes = vec![
        AccountingMode::Raw,
        AccountingMode::Ip,
        AccountingMode::Transport,
        AccountingMode::Payload,
    ];
    // 60 s and more exceed the range of the timing wheel.
    let idle = select(vec![0, 1, 2, 15, 60, 120]);
    let active = select(vec![0, 2, 30, 1_800]);
    (idle, active, select(modes)).prop_map(|(idle_timeout, active_timeout, accounting_mode)| {
        let mut settings = Settings::default();
        settings.idle_timeout = idle_timeout;
        settings.active_timeout = active_timeout;
        settings.accounting_mode = accounting_mode;
        settings.n_dissections = 0;
        settings
    })
}

fn run() -> impl Strategy<Value = (Settings, Vec<Step>, usize)> {
    settings().prop_flat_map(|settings| {
        let step = step(settings.idle_timeout, settings.active_timeout);
        let steps = prop::collection::vec(step, 0..120);
        (Just(settings), steps, 1..40_usize)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flows_equal_those_of_the_reference_meter((settings, steps, batch) in run()) {
        let (expected, counters) = reference(&steps, &settings);
        let (flows, ours) = metered(&steps, settings, batch);
        prop_assert_eq!(&flows, &expected);
        prop_assert_eq!(ours, counters);
        // The counters add up.
        prop_assert_eq!(ours.packets, steps.len() as u64);
        prop_assert_eq!(ours.packets, ours.metered + ours.ignored.iter().sum::<u64>());
        let packets: i64 = flows.iter().map(|flow| flow.6[2]).sum();
        prop_assert_eq!(ours.metered as i64, packets);
    }

    #[test]
    fn flows_do_not_depend_on_a_limit_that_is_not_reached((settings, steps, batch) in run()) {
        let mut limited = settings;
        limited.max_flows = 200;
        prop_assert_eq!(metered(&steps, limited, batch), metered(&steps, settings, 16));
    }

    #[test]
    fn live_flows_never_exceed_the_limit((settings, steps, _) in run(), limit in 1..6_u64) {
        let mut limited = settings;
        limited.max_flows = limit;
        let mut meter = Meter::new(limited, &[]).expect("there are no plugins to fail");
        let mut captured = START_MS * 1_000_000;
        for step in &steps {
            captured += step.step_ns;
            let data = &step.frame();
            let (time, wire_len) = (Time::from_ns(captured as u64), data.len() as u32);
            meter.push([RawPacket { time, link: ETHERNET, wire_len, data }]);
            prop_assert!(meter.live_flows() as u64 <= limit);
        }
        let mut meter = meter.finish();
        let flows: Vec<_> = meter.by_ref().map(|flow| ours(&flow)).collect();
        let counters = meter.counters();
        prop_assert_eq!(counters.flows, flows.len() as u64);
        prop_assert_eq!(counters.metered as i64, flows.iter().map(|flow| flow.6[2]).sum::<i64>());
        prop_assert!(counters.evicted <= counters.flows);
    }
}

/// Without packets, only the clock ends flows.
#[test]
fn time_that_passes_without_packets_ends_idle_flows() {
    let mut meter = Meter::new(Settings::default(), &[]).expect("there are no plugins to fail");
    let end = |host| End {
        ip: Ipv4Addr::new(192, 0, 2, host),
        port: 53,
    };
    let frame = Step {
        step_ns: 0,
        src: end(1),
        dst: end(2),
        content: Content::Udp,
        vlan: None,
        payload: 0,
    }
    .frame();
    let at = |ms: i64| Time::from_ns(ms as u64 * 1_000_000);
    let push = |meter: &mut Meter, ms| {
        meter.push([RawPacket {
            time: at(ms),
            link: ETHERNET,
            wire_len: frame.len() as u32,
            data: &frame,
        }]);
    };
    push(&mut meter, START_MS);
    meter.advance(at(START_MS + 14_990));
    assert!(meter.next_flow().is_none());
    meter.advance(at(START_MS + 15_010));
    let flow = meter.next_flow().expect("a flow reached its idle timeout");
    assert_eq!(ours(&flow).6[..3], [START_MS, START_MS, 1]);
    // A packet with an earlier time keeps it: only packets, not `advance`, limit the times of later packets.
    push(&mut meter, START_MS + 2);
    let mut meter = meter.finish();
    let flow = meter.next().expect("a flow of the late packet");
    assert_eq!(ours(&flow).6[..3], [START_MS + 2, START_MS + 2, 1]);
    assert_eq!(meter.counters().clamped, 0);
}
