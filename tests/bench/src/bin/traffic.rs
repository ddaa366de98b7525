//! Writes captures for measurements. The same arguments give the same bytes.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use flowloom_bench::{Ends, Frame, PcapReader, PcapWriter, Random, Zipf, decode};

/// Writes a capture for measurements.
#[derive(Parser)]
struct Arguments {
    /// The capture to write.
    #[arg(short, long)]
    output: PathBuf,
    /// Seed of the random numbers. Another seed gives other flows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Maximum number of bytes of each packet to write.
    #[arg(long, default_value_t = 65_535)]
    snaplen: usize,
    /// Packets per second.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
    #[command(subcommand)]
    traffic: Traffic,
}

#[derive(Subcommand)]
enum Traffic {
    /// Each packet belongs to a random flow; all flows are equally likely.
    Uniform {
        /// Number of flows.
        #[arg(long)]
        flows: u64,
        /// Number of packets.
        #[arg(long)]
        packets: u64,
    },
    /// A few flows have most of the packets, by Zipf's distribution.
    Zipf {
        /// Number of flows.
        #[arg(long)]
        flows: u64,
        /// Number of packets.
        #[arg(long)]
        packets: u64,
        /// Exponent of the distribution.
        #[arg(long, default_value_t = 1.1)]
        exponent: f64,
    },
    /// Every packet is a new flow: SYNs to different ports.
    Scan {
        /// Number of packets.
        #[arg(long)]
        packets: u64,
    },
    /// One packet of each flow, in the order of their numbers. `uniform` traffic with the same seed that is read
    /// afterwards finds all its flows live.
    Open {
        /// Number of flows.
        #[arg(long)]
        flows: u64,
    },
    /// Merges captures by time, and repeats them with other addresses until the file has the given size. Pauses of
    /// more than 1 s become 1 s. Packets that are not metered (no IP, later fragments) are omitted.
    Mix {
        /// Approximate size of the file in bytes.
        #[arg(long, default_value_t = 300_000_000)]
        bytes: u64,
        /// pcap files. Those with link types other than Ethernet are ignored.
        #[arg(required = true)]
        captures: Vec<PathBuf>,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut pcap = PcapWriter::create(&arguments.output, arguments.snaplen)?;
    let seed = arguments.seed;
    let step_ns = 1_000_000_000 / arguments.rate;
    let mut frame = Frame::new(seed);
    let mut random = Random::new(!seed);
    let mut write = |n: u64, flow: u64, random: &mut Random| {
        let len = Frame::imix(random);
        let back = random.below(2) == 1;
        let bytes = frame.packet(&Ends::of(seed, flow), back, len);
        pcap.write(n * step_ns, bytes, bytes.len() as u32)
    };
    match arguments.traffic {
        Traffic::Uniform { flows, packets } => {
            for n in 0..packets {
                let flow = random.below(flows);
                write(n, flow, &mut random)?;
            }
        }
        Traffic::Zipf {
            flows,
            packets,
            exponent,
        } => {
            let zipf = Zipf::new(flows, exponent);
            for n in 0..packets {
                let flow = zipf.draw(&mut random);
                write(n, flow, &mut random)?;
            }
        }
        Traffic::Scan { packets } => {
            for n in 0..packets {
                let bytes = frame.syn(&Ends::scan(seed, n));
                pcap.write(n * step_ns, bytes, bytes.len() as u32)?;
            }
        }
        Traffic::Open { flows } => {
            for flow in 0..flows {
                write(flow, flow, &mut random)?;
            }
        }
        Traffic::Mix { bytes, captures } => mix(&captures, bytes, &mut pcap)?,
    }
    pcap.finish()?;
    Ok(())
}

/// Longer pauses are shortened, because captures may span years and times in a pcap file end in 2106.
const LONGEST_PAUSE_NS: u64 = 1_000_000_000;

/// A packet of a capture.
struct TimedPacket {
    time_ns: u64,
    data: Vec<u8>,
    wire_len: u32,
    /// The offset of the addresses, and the length of each address in bytes.
    addresses: (usize, usize),
}

fn mix(captures: &[PathBuf], bytes: u64, pcap: &mut PcapWriter) -> Result<(), Box<dyn Error>> {
    let mut packets = Vec::new();
    for capture in captures {
        packets.extend(read(capture)?);
    }
    packets.sort_by_key(|packet| packet.time_ns);
    let Some(last) = packets.last() else {
        return Err("there are no Ethernet packets in these captures".into());
    };
    // All flows of a repetition reach their idle timeout before the next one begins.
    let repetition_ns = last.time_ns + 20_000_000_000;
    let mut repetition = 0_u32;
    while pcap.bytes() < bytes {
        for packet in &mut packets {
            let time_ns = u64::from(repetition) * repetition_ns + packet.time_ns;
            if pcap.bytes() >= bytes {
                break;
            }
            let (at, len) = packet.addresses;
            // Both addresses change in the same way, so that both directions still form a flow.
            let change = |data: &mut [u8]| {
                for address in data[at..at + 2 * len].chunks_mut(len) {
                    address[1] ^= repetition as u8;
                    address[2] ^= (repetition >> 8) as u8;
                }
            };
            change(&mut packet.data);
            pcap.write(time_ns, &packet.data, packet.wire_len)?;
            change(&mut packet.data);
        }
        repetition += 1;
    }
    Ok(())
}

/// Returns the packets of a capture, with times from 0. Returns none for a file of another format.
fn read(capture: &Path) -> Result<Vec<TimedPacket>, io::Error> {
    let mut file = match PcapReader::open(capture) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Vec::new()),
        file => file?,
    };
    let mut played = Vec::new();
    let (mut before_ns, mut now_ns) = (None, 0);
    while file.read(|record| {
        let pause = record
            .time_ns
            .saturating_sub(before_ns.unwrap_or(record.time_ns));
        before_ns = Some(record.time_ns);
        now_ns += pause.min(LONGEST_PAUSE_NS);
        let Some(packet) = decode(record.frame) else {
            return;
        };
        played.push(TimedPacket {
            time_ns: now_ns,
            data: record.frame.to_vec(),
            wire_len: record.wire_len,
            addresses: (packet.addresses_at, packet.address_len),
        });
    })? {}
    Ok(played)
}
