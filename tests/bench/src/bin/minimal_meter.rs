//! A minimal meter, for comparison.
//!
//! It reads pcap files of Ethernet frames in blocks, decodes them with etherparse's header slices, and counts packets
//! and bytes of each flow in a hash table. It processes batches of 16 packets. At the end it prints the number of
//! flows. It ends no flows, writes no flows, and supports no other format.

use std::env;
use std::error::Error;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;

use flowloom_bench::{Key, PcapReader, decode};

const BLOCK: usize = 512 * 1024;
const CHUNK: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1).peekable();
    if arguments.next_if_eq("--only-read").is_some() {
        for path in arguments {
            only_read(&path)?;
        }
        return Ok(());
    }
    let mut table = Table::new();
    let mut packets = 0;
    for path in arguments {
        packets += meter(&path, &mut table)?;
    }
    println!("{packets} packets, {} flows", table.flows.len());
    Ok(())
}

fn only_read(path: &str) -> Result<(), Box<dyn Error>> {
    let mut file = File::open(path)?;
    let mut block = vec![0; BLOCK];
    while file.read(&mut block)? > 0 {
        black_box(&block);
    }
    Ok(())
}

/// Meters a file. Returns the number of packets that belong to flows.
fn meter(path: &str, table: &mut Table) -> Result<u64, Box<dyn Error>> {
    let mut file = PcapReader::open(Path::new(path))?;
    let mut packets = 0;
    let mut chunk = [Packet::default(); CHUNK];
    let mut len = 0;
    while file.read(|record| {
        let Some(packet) = decode(record.frame) else {
            return;
        };
        chunk[len] = Packet {
            hash: packet.key.hash(),
            key: packet.key,
            bytes: record.wire_len,
        };
        len += 1;
        if len == CHUNK {
            table.count(&chunk);
            packets += CHUNK as u64;
            len = 0;
        }
    })? {}
    table.count(&chunk[..len]);
    Ok(packets + len as u64)
}

#[derive(Clone, Copy, Default)]
struct Packet {
    key: Key,
    hash: u64,
    bytes: u32,
}

struct Flow {
    key: Key,
    packets: u64,
    bytes: u64,
}

/// A hash table with open addressing and linear probing. At most half of the slots are used. Flows are in the order of
/// their first packets.
struct Table {
    /// The upper 32 bits of the hash, and in the lower 32 bits the index of the flow plus 1. 0 means free.
    slots: Vec<u64>,
    flows: Vec<Flow>,
}

impl Table {
    fn new() -> Self {
        Table {
            slots: vec![0; 1 << 12],
            flows: Vec::new(),
        }
    }

    fn count(&mut self, packets: &[Packet]) {
        // Reads the memory that the lookups will read, so that the waits for memory overlap.
        let mut sum = 0;
        for packet in packets {
            let slot = self.slots[packet.hash as usize & (self.slots.len() - 1)];
            if let Some(flow) = self.flows.get((slot as u32).wrapping_sub(1) as usize) {
                sum ^= flow.packets;
            }
        }
        black_box(sum);
        for packet in packets {
            let flow = self.find(packet);
            flow.packets += 1;
            flow.bytes += u64::from(packet.bytes);
        }
    }

    #[inline]
    fn find(&mut self, packet: &Packet) -> &mut Flow {
        let mask = self.slots.len() - 1;
        let mut at = packet.hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let index = slot as u32 as usize - 1;
            if (slot ^ packet.hash) >> 32 == 0 && self.flows[index].key == packet.key {
                return &mut self.flows[index];
            }
            at = (at + 1) & mask;
        }
        self.flows.push(Flow {
            key: packet.key,
            packets: 0,
            bytes: 0,
        });
        let len = self.flows.len();
        self.slots[at] = packet.hash >> 32 << 32 | len as u64;
        if len * 2 > self.slots.len() {
            self.grow();
        }
        &mut self.flows[len - 1]
    }

    #[cold]
    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        self.slots = vec![0; mask + 1];
        for (index, flow) in self.flows.iter().enumerate() {
            let hash = flow.key.hash();
            let mut at = hash as usize & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = hash >> 32 << 32 | (index + 1) as u64;
        }
    }
}
