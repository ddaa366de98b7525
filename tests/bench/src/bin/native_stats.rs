//! Measures the cost of `packet_stats` without a sandbox.
//!
//! It compiles the code of the plugin natively, and runs it over the events that Flowloom would pass for a capture. It
//! prints the ns per packet of the fastest round. The creation of the events is not measured.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BinaryHeap;
use std::collections::btree_map::Entry;
use std::env;
use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use flowloom_bench::{Key, Packet, PcapReader, decode};
use flowloom_sdk::__private::batch_feature::Column;
use flowloom_sdk::__private::{FlowColumns, PacketColumns};
use flowloom_sdk::{PacketFields, Plugin};
use packet_stats::PacketStats;

const ROUNDS: u32 = 7;
const IDLE_MS: u64 = 15_000;

const INIT: u8 = 0;
const UPDATE: u8 = 1;
const EXPIRE: u8 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut events = Events::default();
    for path in env::args().skip(1) {
        let mut file = PcapReader::open(Path::new(&path))?;
        while file.read(|record| {
            if let Some(packet) = decode(record.frame) {
                events.packet(&packet, record.time_ns / 1_000_000);
            }
        })? {}
    }
    events.finish();
    let packets = events.directions.len();
    let columns = [Column::U8s(events.directions), Column::U32s(events.sizes)];
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        black_box(run(&events.kinds, &events.slots, &columns, packets));
        best = best.min(start.elapsed());
    }
    println!("{:.3}", best.as_secs_f64() * 1e9 / packets.max(1) as f64);
    Ok(())
}

/// Processes all events as a native plugin would: states are in a vector, and columns are not copied.
fn run(kinds: &[u8], slots: &[u32], columns: &[Column], rows: usize) -> i64 {
    let mut plugin = PacketStats;
    let packets = <PacketStats as Plugin>::Packet::columns(PacketColumns {
        fields: FlowColumns { columns, rows },
        payload: None,
        bytes: None,
    });
    let mut states = Vec::new();
    let mut packet = 0;
    let mut sum = 0;
    for (&kind, &slot) in kinds.iter().zip(slots) {
        let slot = slot as usize;
        if kind == EXPIRE {
            let state = std::mem::take(&mut states[slot]);
            black_box(plugin.expire(state, &()));
            sum += 1;
            continue;
        }
        let row = PacketFields::row(&packets, packet);
        packet += 1;
        if kind == UPDATE {
            plugin.update(&mut states[slot], &row, &());
        } else {
            if slot >= states.len() {
                states.resize_with(slot + 1, Default::default);
            }
            states[slot] = plugin.init(&row, &());
        }
    }
    sum
}

/// The events as columns. The flows are those of the meter, and slots are assigned as in Flowloom.
#[derive(Default)]
struct Events {
    kinds: Vec<u8>,
    slots: Vec<u32>,
    directions: Vec<u8>,
    sizes: Vec<u32>,
    live: BTreeMap<Key, Live>,
    /// The times at which flows may reach the idle timeout, earliest first.
    deadlines: BinaryHeap<Reverse<(u64, Key)>>,
    free: Vec<u32>,
    n_slots: u32,
    now_ms: u64,
}

struct Live {
    slot: u32,
    /// The value of the first packet.
    downwards: bool,
    last_ms: u64,
}

impl Events {
    fn packet(&mut self, packet: &Packet, time_ms: u64) {
        self.now_ms = self.now_ms.max(time_ms);
        self.expire(self.now_ms);
        let key = packet.key;
        let (kind, live) = match self.live.entry(key) {
            Entry::Occupied(live) => (UPDATE, live.into_mut()),
            Entry::Vacant(entry) => {
                let slot = self.free.pop().unwrap_or_else(|| {
                    self.n_slots += 1;
                    self.n_slots - 1
                });
                self.deadlines.push(Reverse((self.now_ms + IDLE_MS, key)));
                let live = entry.insert(Live {
                    slot,
                    downwards: packet.downwards,
                    last_ms: 0,
                });
                (INIT, live)
            }
        };
        live.last_ms = self.now_ms;
        self.kinds.push(kind);
        self.slots.push(live.slot);
        self.directions
            .push(u8::from(live.downwards != packet.downwards));
        self.sizes.push(packet.ip_size);
    }

    fn expire(&mut self, now_ms: u64) {
        while let Some(Reverse((deadline, key))) = self.deadlines.peek().copied() {
            if deadline > now_ms {
                return;
            }
            self.deadlines.pop();
            let idle_at = self.live[&key].last_ms + IDLE_MS;
            if idle_at > now_ms {
                self.deadlines.push(Reverse((idle_at, key)));
            } else if let Some(live) = self.live.remove(&key) {
                self.end(live.slot);
            }
        }
    }

    fn end(&mut self, slot: u32) {
        self.kinds.push(EXPIRE);
        self.slots.push(slot);
        self.free.push(slot);
    }

    fn finish(&mut self) {
        let mut slots: Vec<_> = self.live.values().map(|live| live.slot).collect();
        slots.sort_unstable();
        for slot in slots {
            self.end(slot);
        }
    }
}
