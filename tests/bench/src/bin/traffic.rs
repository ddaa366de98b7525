//! Writes captures to measure with: the same arguments give the same bytes.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use flowloom_bench::{Ends, Frame, PcapReader, PcapWriter, Random, Zipf, decode};

/// Writes a capture to measure with.
#[derive(Parser)]
struct Arguments {
    /// The capture to write.
    #[arg(short, long)]
    output: PathBuf,
    /// Traffic of another seed has other flows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep so many bytes of each packet.
    #[arg(long, default_value_t = 65_535)]
    snaplen: usize,
    /// Packets a second.
    #[arg(long, default_value_t = 50_000)]
    rate: u64,
    #[command(subcommand)]
    traffic: Traffic,
}

#[derive(Subcommand)]
enum Traffic {
    /// Every packet belongs to any of the flows, all of them alike.
    Uniform {
        /// How many flows.
        #[arg(long)]
        flows: u64,
        /// How many packets.
        #[arg(long)]
        packets: u64,
    },
    /// Few flows have most of the packets, most flows have few: Zipf's distribution.
    Zipf {
        /// How many flows.
        #[arg(long)]
        flows: u64,
        /// How many packets.
        #[arg(long)]
        packets: u64,
        /// How steep it is.
        #[arg(long, default_value_t = 1.1)]
        exponent: f64,
    },
    /// Every packet is a flow: SYNs to ever new ports.
    Scan {
        /// How many packets.
        #[arg(long)]
        packets: u64,
    },
    /// One packet of each flow, in the order of their numbers: `uniform` traffic of the same seed,
    /// read after it, then finds all its flows alive.
    Open {
        /// How many flows.
        #[arg(long)]
        flows: u64,
    },
    /// Captures, played side by side, again and again with other addresses until the file is as
    /// large as it is to be. Pauses of more than a second are cut to one, and what is not metered as
    /// a packet of its own (no IP, later fragments) is left out.
    Mix {
        /// About how large the file is to be.
        #[arg(long, default_value_t = 300_000_000)]
        bytes: u64,
        /// pcap files; those of other link layers than Ethernet are left out.
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

/// Captures may span years; the times of a pcap file end in 2106.
const LONGEST_PAUSE_NS: u64 = 1_000_000_000;

/// A packet of a capture.
struct Played {
    time_ns: u64,
    data: Vec<u8>,
    wire_len: u32,
    /// Where in it addresses stand, and how many bytes each of them has.
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
    // Flows of one round are idle before the next one begins.
    let round_ns = last.time_ns + 20_000_000_000;
    let mut round = 0_u32;
    while pcap.bytes() < bytes {
        for packet in &mut packets {
            let time_ns = u64::from(round) * round_ns + packet.time_ns;
            if pcap.bytes() >= bytes {
                break;
            }
            let (at, len) = packet.addresses;
            // The same change to both addresses, so that answers still belong to their flows.
            let change = |data: &mut [u8]| {
                for address in data[at..at + 2 * len].chunks_mut(len) {
                    address[1] ^= round as u8;
                    address[2] ^= (round >> 8) as u8;
                }
            };
            change(&mut packet.data);
            pcap.write(time_ns, &packet.data, packet.wire_len)?;
            change(&mut packet.data);
        }
        round += 1;
    }
    Ok(())
}

/// The packets of a capture, from time 0 on; none of another kind of file.
fn read(capture: &Path) -> Result<Vec<Played>, io::Error> {
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
        played.push(Played {
            time_ns: now_ns,
            data: record.frame.to_vec(),
            wire_len: record.wire_len,
            addresses: (packet.addresses_at, packet.address_len),
        });
    })? {}
    Ok(played)
}
