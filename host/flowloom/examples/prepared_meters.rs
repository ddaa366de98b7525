//! One meter, and two side by side, over packets that are in memory already: how well meters go
//! together where no reader and no writer is in the way.
//!
//! `cargo run --release --example prepared_meters -- CAPTURE` prints ns a packet of one meter and of
//! two: a line for each of some rounds.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::error::Error;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use flowloom::capture::{Files, LinkType, RawPacket};
use flowloom::decode::TunnelSet;
use flowloom::{Meter, Settings, Time};
use flowloom_core::decode::Decoder;

const ROUNDS: u32 = 7;
/// Packets that are pushed together.
const BATCH: usize = 1_024;

/// Packets, one behind the other as in a file.
#[derive(Default)]
struct Stored {
    packets: Vec<(Time, LinkType, u32, Range<usize>)>,
    bytes: Vec<u8>,
}

impl Stored {
    fn add(&mut self, packet: &RawPacket<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet.data);
        let range = start..self.bytes.len();
        self.packets
            .push((packet.time, packet.link, packet.wire_len, range));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut files = Files::open(env::args().skip(1))?;
    let decoder = Decoder::new(TunnelSet::default());
    let mut all = Stored::default();
    let mut halves = [Stored::default(), Stored::default()];
    while let Some(packets) = files.read()? {
        for packet in packets.iter() {
            let Ok(decoded) = decoder.decode(packet.link, packet.data, packet.wire_len) else {
                continue;
            };
            // Both directions of a flow have one hash.
            let mut ends = [
                (decoded.src, decoded.src_port),
                (decoded.dst, decoded.dst_port),
            ];
            ends.sort_unstable();
            let mut hasher = DefaultHasher::new();
            (ends, decoded.protocol).hash(&mut hasher);
            halves[hasher.finish() as usize % 2].add(&packet);
            all.add(&packet);
        }
    }
    for _ in 0..ROUNDS {
        let mut flows = [0; 2];
        let mut times = [Duration::ZERO; 2];
        for (n, shares) in [&[&all][..], &[&halves[0], &halves[1]]]
            .into_iter()
            .enumerate()
        {
            (times[n], flows[n]) = run(shares)?;
        }
        assert_eq!(flows[0], flows[1], "two meters have the flows of one");
        let [one, two] = times.map(|time| time.as_secs_f64() * 1e9 / all.packets.len() as f64);
        println!("{one:.1} {two:.1}");
    }
    Ok(())
}

/// Meters each share in a thread of its own; returns how long it took, and how many flows there were.
fn run(shares: &[&Stored]) -> Result<(Duration, u64), Box<dyn Error>> {
    let settings = Settings {
        n_dissections: 0,
        ..Settings::default()
    };
    let begin = Barrier::new(shares.len() + 1);
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for share in shares {
            let mut meter = Meter::new(settings, &[])?;
            let begin = &begin;
            threads.push(scope.spawn(move || {
                begin.wait();
                let mut flows = 0;
                for batch in share.packets.chunks(BATCH) {
                    let raw = |(time, link, wire_len, range): &(_, _, _, Range<usize>)| RawPacket {
                        time: *time,
                        link: *link,
                        wire_len: *wire_len,
                        data: &share.bytes[range.clone()],
                    };
                    meter.push(batch.iter().map(raw));
                    flows += count(&mut meter);
                }
                flows + meter.finish().count() as u64
            }));
        }
        begin.wait();
        let start = Instant::now();
        let mut flows = 0;
        for thread in threads {
            flows += thread.join().map_err(|_| "a meter panicked")?;
        }
        Ok((start.elapsed(), flows))
    })
}

/// Takes the flows that have ended, and does no more with them.
fn count(meter: &mut Meter) -> u64 {
    std::iter::from_fn(|| meter.next_flow()).count() as u64
}
