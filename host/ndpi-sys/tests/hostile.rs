//! Tests with modified packets. `HOSTILE_ROUNDS=100000 cargo test -p ndpi-sys` runs more rounds.

mod common;

use std::ffi::OsString;
use std::fs;

use common::{libraries, packets};
use ndpi_sys::{Custom, Flow, Module};

/// A random number generator that yields the same packets for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

/// Returns the IP packets of the test captures, one list per file. The packets of a file mostly
/// belong to one conversation.
fn conversations() -> Vec<Vec<Vec<u8>>> {
    let folder = match std::env::var_os("HOSTILE_CAPTURES") {
        Some(folder) => folder,
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/captures").into(),
    };
    let mut files: Vec<_> = fs::read_dir::<OsString>(folder)
        .expect("captures are there")
        .map(|entry| entry.expect("they can be listed").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| packets(&fs::read(file).unwrap_or_default()))
        .filter(|packets| !packets.is_empty())
        .collect()
}

/// Changes bytes, mostly after the headers, and truncates or extends the packet. It mostly keeps
/// the length in the header correct, because nDPI ignores packets with a wrong one.
fn tamper(packet: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(6) {
        let len = packet.len();
        match random.below(8) {
            0 => packet.truncate(20 + random.below(len)),
            1 => {
                let more = random.below(300);
                packet.resize(len + more, random.next() as u8);
            }
            2 if len > 60 => {
                let (from, to) = (40 + random.below(len - 48), 40 + random.below(len - 48));
                packet.copy_within(from..(from + 8).min(len), to.min(len - 8));
            }
            3 if len > 40 => {
                let at = 28 + random.below(len - 30);
                let edge = [0, 1, 0x7f, 0x80, 0xff, 0xff][random.below(6)];
                packet[at] = edge;
                packet[at + 1] = [0, 1, 0xff, edge][random.below(4)];
            }
            _ if len > 0 => {
                let at = random.below(len);
                packet[at] = random.next() as u8;
            }
            _ => {}
        }
    }
    if random.below(8) > 0 && packet.len() > 20 && packet[0] >> 4 == 4 {
        let len = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&len);
    } else if random.below(8) > 0 && packet.len() > 40 && packet[0] >> 4 == 6 {
        let len = (packet.len() as u16 - 40).to_be_bytes();
        packet[4..6].copy_from_slice(&len);
    }
}

#[test]
fn modified_packets_cause_no_crash() {
    let number = |name| std::env::var(name).ok()?.parse().ok();
    let rounds = number("HOSTILE_ROUNDS").unwrap_or(200);
    let seed = number("HOSTILE_SEED").unwrap_or(1);
    let conversations = conversations();
    for library in libraries() {
        let mut module = Module::new(library, &Custom::default()).expect("the library starts");
        for round in 0..rounds {
            let mut random = Random((seed << 32) + round + 1);
            let conversation = &conversations[random.below(conversations.len())];
            let start = random.below(conversation.len());
            let mut flow = Flow::new(library).expect("there is memory");
            for (n, packet) in conversation.iter().cycle().skip(start).take(20).enumerate() {
                let mut packet = packet.clone();
                tamper(&mut packet, &mut random);
                let protocol = module.dissect(&mut flow, &packet, 1_000 * round + n as u64);
                module.wants_more(&mut flow);
                module.details(&flow, protocol);
            }
            let (protocol, _) = module.give_up(&mut flow);
            module.details(&flow, protocol);
            assert!(!module.protocol_name(protocol).is_empty());
            assert!(!module.category_name(protocol.category).is_empty());
        }
    }
}
