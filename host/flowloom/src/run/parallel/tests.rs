//! Tests that runs with several meters have the flows, counters and errors of runs with one.

use std::fs;
use std::path::{Path, PathBuf};
use std::slice::from_ref;

use etherparse::PacketBuilder;

use crate::Streamer;
use crate::capture::Grouping;
use crate::capture::testing::{BOTH, PcapFile, enhanced, interface, option, section};

/// Returns the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = (self.0)
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn udp(random: &mut Random, port: u16, payload: &[u8]) -> Vec<u8> {
    let source = [10, 0, random.below(3) as u8, random.below(20) as u8];
    let mut frame = Vec::new();
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4(source, [10, 1, 0, 1], 64)
        .udp(40_000, port)
        .write(&mut frame, payload)
        .expect("the payload fits");
    frame
}

/// Returns a frame: UDP, a later fragment, GTP, or one that cannot be metered.
fn frame(random: &mut Random) -> Vec<u8> {
    let payload = vec![7; random.below(1_300) as usize];
    match random.below(12) {
        0 => {
            let mut fragment = udp(random, 53, &payload);
            // The offset of the fragment, in units of 8 bytes.
            fragment[21] = 3;
            fragment
        }
        1 => {
            let inner = udp(random, 80, b"inner")[14..].to_vec();
            let mut tunnel = vec![0x30, 0xff];
            tunnel.extend((inner.len() as u16).to_be_bytes());
            tunnel.extend([0, 0, 0, 1]);
            tunnel.extend(inner);
            udp(random, 2152, &tunnel)
        }
        // ARP, and a frame that is cut in its IP header.
        2 => [&[0; 12][..], &[8, 6], &payload].concat(),
        3 => udp(random, 53, b"")[..20].to_vec(),
        _ => {
            let port = 53 + random.below(30) as u16;
            udp(random, port, &payload)
        }
    }
}

/// Returns the times of packets in ms: some are earlier than those before them, some much later.
fn times(random: &mut Random, count: usize) -> Vec<u64> {
    let mut now = 1_000_000;
    let mut next = |_: usize| {
        now += random.below(30);
        if random.below(500) == 0 {
            now += 15_000;
        }
        match random.below(20) {
            0 => now - random.below(20_000),
            1 => now + random.below(2_000),
            _ => now,
        }
    };
    (0..count).map(&mut next).collect()
}

/// Returns a file of several blocks. Some records are larger than the room before a block, and one is larger than a block.
fn pcap(seed: u64, count: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let file = PcapFile {
        snaplen: 4 << 20,
        ..PcapFile::default()
    };
    let mut bytes = file.header();
    for (n, ms) in times(&mut random, count).into_iter().enumerate() {
        let mut data = frame(&mut random);
        match n {
            1_000 | 2_500 => data.resize(200_000, 1),
            2_000 => data.resize(1_300_000, 1),
            _ => {}
        }
        let len = data.len() as u32;
        let time = [(ms / 1_000) as u32, (ms % 1_000) as u32 * 1_000];
        bytes.extend(file.record([time[0], time[1], len, len], &data));
    }
    bytes
}

/// Returns a file whose interfaces have different link types, of which one is unknown, and units of time.
fn pcapng(seed: u64, count: usize) -> Vec<u8> {
    let (mut random, [order, _]) = (Random(seed), BOTH);
    let mut bytes = section(order);
    let milliseconds = option(order, 9, &[3]);
    bytes.extend(interface(order, 1, 0, &milliseconds));
    let mut interfaces = 1;
    for ms in times(&mut random, count) {
        if random.below(1_000) == 0 {
            let link = [1, 9_999, 101][random.below(3) as usize];
            bytes.extend(interface(order, link, 0, &milliseconds));
            interfaces += 1;
        }
        let data = frame(&mut random);
        let interface = random.below(interfaces) as u32;
        bytes.extend(enhanced(order, interface, ms, data.len() as u32, &data));
    }
    bytes
}

/// What a run returns, except the times that it took.
#[derive(Debug, PartialEq)]
struct Outcome {
    flows: Vec<String>,
    summary: String,
    problems: Vec<String>,
}

fn run(paths: &[PathBuf], meters: usize, grouping: Grouping, filter: Option<&str>) -> Outcome {
    let mut builder = Streamer::builder(paths.to_vec())
        .grouping(grouping)
        .idle_timeout(10)
        .n_dissections(0)
        .n_meters(meters);
    if let Some(filter) = filter {
        builder = builder.bpf_filter(filter);
    }
    let mut streamer = builder.build().expect("the sources are captures");
    let flows = streamer.by_ref().map(|flow| format!("{flow:?}")).collect();
    let summary = streamer.summary();
    Outcome {
        flows,
        summary: format!(
            "{} read, {} filtered, {} captures, {:?}, {:?}",
            summary.packets_read,
            summary.packets_filtered,
            summary.captures,
            summary.counters,
            summary.unknown_links,
        ),
        problems: summary.problems.iter().map(ToString::to_string).collect(),
    }
}

/// Checks that the result does not depend on the number of meters, and returns it.
fn check(paths: &[PathBuf], grouping: Grouping, filter: Option<&str>) -> Outcome {
    let expected = run(paths, 1, grouping, filter);
    for meters in [2, 3, 5] {
        let found = run(paths, meters, grouping, filter);
        assert!(found.flows == expected.flows, "{paths:?}, {meters} meters");
        assert_eq!(found.summary, expected.summary, "{meters}");
        assert_eq!(found.problems, expected.problems, "{meters}");
    }
    expected
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("the folder is writable");
    path
}

#[test]
fn late_ignored_and_tunnelled_packets_and_fragments() {
    let folder = tempfile::tempdir().expect("a folder");
    let pcap = write(folder.path(), "a.pcap", &pcap(1, 6_000));
    let pcapng = write(folder.path(), "b.pcapng", &pcapng(2, 6_000));
    for (path, filter) in [
        (&pcap, None),
        (&pcap, Some("udp port 53 or arp")),
        (&pcapng, None),
    ] {
        let found = check(from_ref(path), Grouping::Auto, filter);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert!(found.flows.len() > 100, "{}", found.flows.len());
    }
}

#[test]
fn captures_of_a_run_and_files_of_a_capture() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = pcap(3, 4_000);
    let compressed = zstd::encode_all(&whole[..], 1).expect("it is in memory");
    let paths = [
        write(folder.path(), "a.pcap", &whole),
        write(folder.path(), "b.pcapng", &pcapng(4, 3_000)),
        write(folder.path(), "empty.pcap", &PcapFile::default().header()),
        write(folder.path(), "c.pcap", &pcap(5, 10)),
        write(folder.path(), "d.pcap.zst", &compressed),
    ];
    for grouping in [Grouping::Each, Grouping::One] {
        check(&paths, grouping, None);
    }
}

#[test]
fn damage_in_the_middle_ends_a_capture_at_the_same_packet() {
    let folder = tempfile::tempdir().expect("a folder");
    let (pcap, pcapng) = (pcap(6, 5_000), pcapng(7, 5_000));
    let next = write(folder.path(), "next.pcap", &pcap[..300_000]);
    for (number, bytes) in [&pcap, &pcapng].into_iter().enumerate() {
        // Within the first block, near the end of blocks, and in the last block.
        for at in [
            70_001,
            (512 << 10) + 3,
            (1 << 20) + 17,
            2_345_679,
            bytes.len() - 5,
        ] {
            // Longer than a record, so that the length of one is changed.
            let mut changed = bytes.clone();
            let end = changed.len().min(at + 2_000);
            changed[at..end].fill(0xff);
            let cut = write(folder.path(), &format!("cut{number}.pcap"), &bytes[..at]);
            let changed = write(folder.path(), &format!("changed{number}.pcap"), &changed);
            let found = check(&[cut, next.clone()], Grouping::Each, None);
            assert_eq!(found.problems.len(), 2);
            check(&[changed, next.clone()], Grouping::Each, None);
        }
    }
    let compressed = zstd::encode_all(&pcap[..], 1).expect("it is in memory");
    let cut = &compressed[..compressed.len() / 2];
    let path = write(folder.path(), "cut.pcap.zst", cut);
    assert_eq!(check(&[path], Grouping::Each, None).problems.len(), 1);
}
