//! Measures one meter, and two meters in parallel, without a reader and a writer.
//!
//! All packets are in memory before the measurement starts, so the result shows how metering scales.
//!
//! Usage: `cargo run --release -p flowloom --example prepared_meters -- CAPTURE`
//!
//! Each of 7 rounds prints one line: the time per packet with one meter and with two meters, in ns.

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
/// The number of packets per call of [`Meter::push`].
const BATCH: usize = 1_024;

/// Packets whose bytes are stored one after another, as in a file.
#[derive(Default)]
struct Stored {
    /// Time, link type, length on the wire and the range of `bytes` of each packet.
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
            // Sorted, so that both directions of a flow have the same hash.
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
        for (index, shares) in [&[&all][..], &[&halves[0], &halves[1]]]
            .into_iter()
            .enumerate()
        {
            (times[index], flows[index]) = run(shares)?;
        }
        assert_eq!(
            flows[0], flows[1],
            "two meters must find as many flows as one"
        );
        let [one, two] = times.map(|time| time.as_secs_f64() * 1e9 / all.packets.len() as f64);
        println!("{one:.1} {two:.1}");
    }
    Ok(())
}

/// Meters each share in its own thread. Returns the elapsed time and the number of flows.
fn run(shares: &[&Stored]) -> Result<(Duration, u64), Box<dyn Error>> {
    let mut settings = Settings::default();
    settings.n_dissections = 0;
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

/// Drops the flows that have ended. Returns their number.
fn count(meter: &mut Meter) -> u64 {
    std::iter::from_fn(|| meter.next_flow()).count() as u64
}
