use flowloom::capture::{LinkType, RawPacket};
use flowloom::{Flow, Meter, Time};

use super::bytes::Bytes;
use super::flows;
use super::model::Model;
use super::settings::settings;

/// Meters packets and compares the flows with the model. The input is the settings, and then steps.
///
/// Each step begins with a byte:
/// - bits 0 and 1: how the time changes
/// - bits 2 and 3: the kind of packet, or that time passes without a packet
/// - bit 4: whether the waiting packets are pushed
/// - bit 5: whether ended flows are taken
pub fn meter(data: &[u8]) {
    let mut bytes = Bytes(data);
    let settings = settings(&mut bytes);
    let mut meter = Meter::new(settings, &[]).expect("there are no plugins to fail");
    let mut model = Model::new(settings);
    let mut time_ns = 0_u64;
    let mut waiting: Vec<TestPacket> = Vec::new();
    let mut flows: Vec<Flow> = Vec::new();
    let mut advanced = false;
    while !bytes.is_empty() {
        let step = bytes.u8();
        time_ns = match step & 3 {
            0 => time_ns,
            1 => time_ns.saturating_add(u64::from(bytes.u8()) * 1_000_000),
            2 => time_ns.saturating_add_signed(i64::from(bytes.u16().cast_signed()) * 10_000_000),
            _ => bytes.u64(),
        };
        let time = Time::from_ns(time_ns);
        match step >> 2 & 3 {
            0 | 1 => waiting.push(TestPacket::usual(&mut bytes, time)),
            2 => waiting.push(TestPacket::any(&mut bytes, time)),
            // This must be rare: the model does not support it, so the flows are not compared afterwards.
            _ if step & 0xc0 == 0xc0 => {
                advanced = true;
                push(&mut meter, &mut model, &mut waiting);
                meter.advance(time);
            }
            _ => {}
        }
        if step & 0x10 != 0 {
            push(&mut meter, &mut model, &mut waiting);
            let live = meter.live_flows() as u64;
            assert!(settings.max_flows == 0 || live <= settings.max_flows);
            assert!(meter.memory() > 0);
        }
        if step & 0x20 != 0 {
            flows.extend(std::iter::from_fn(|| meter.next_flow()));
            assert_eq!(meter.counters().flows, flows.len() as u64);
        }
    }
    push(&mut meter, &mut model, &mut waiting);
    let mut meter = meter.finish();
    flows.extend(meter.by_ref());
    let counters = meter.counters();
    flows::check(&flows, counters, &settings);
    if !advanced && Model::supports(&settings, counters) {
        model.check(&flows);
    }
}

fn push(meter: &mut Meter, model: &mut Model, waiting: &mut Vec<TestPacket>) {
    for packet in &*waiting {
        model.push(&packet.raw());
    }
    meter.push(waiting.iter().map(TestPacket::raw));
    waiting.clear();
}

struct TestPacket {
    time: Time,
    link: LinkType,
    wire_len: u32,
    data: Vec<u8>,
}

impl TestPacket {
    fn raw(&self) -> RawPacket<'_> {
        RawPacket {
            time: self.time,
            link: self.link,
            wire_len: self.wire_len,
            data: &self.data,
        }
    }

    /// Returns an arbitrary frame of an arbitrary link type.
    fn any(bytes: &mut Bytes<'_>, time: Time) -> Self {
        let link = LinkType(bytes.u16());
        let more = bytes.u8();
        let len = bytes.u8();
        let data = bytes.take(len.into()).to_vec();
        Self {
            time,
            link,
            wire_len: data.len() as u32 + u32::from(more) * u32::from(more) * 66_000,
            data,
        }
    }

    /// Returns a packet between few hosts and ports, so that flows have several packets.
    fn usual(bytes: &mut Bytes<'_>, time: Time) -> Self {
        let (hosts, ports, size) = (bytes.u8(), bytes.u8(), bytes.u16());
        let (src, dst) = (hosts & 15, hosts >> 4);
        let (is_v6, is_tagged) = (ports & 0x80 != 0, ports & 0x40 != 0);
        let protocol = [6, 6, 17, 1][usize::from(ports >> 4 & 3)];
        let mut data = Vec::new();
        if is_tagged {
            data.extend([
                2,
                0,
                0,
                0,
                0,
                dst,
                2,
                0,
                0,
                0,
                0,
                src,
                0x81,
                0,
                0,
                size as u8 & 1,
            ]);
            data.extend(if is_v6 { [0x86, 0xdd] } else { [8, 0] });
        }
        if is_v6 {
            let [high, low] = size.to_be_bytes();
            data.extend([0x60, 0, 0, 0, high, low, protocol, 64]);
            for host in [src, dst] {
                data.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
            }
        } else {
            let [high, low] = size.max(20).to_be_bytes();
            data.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0]);
            data.extend([192, 0, 2, src, 192, 0, 2, dst]);
        }
        let flags = if protocol == 6 { bytes.u8() } else { 0 };
        data.extend([0, ports & 3, 0, ports >> 2 & 3, 0, 0, 0, 0]);
        data.extend([0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        Self {
            time,
            link: LinkType(if is_tagged { 1 } else { 101 }),
            wire_len: data.len() as u32 + u32::from(size),
            data,
        }
    }
}
