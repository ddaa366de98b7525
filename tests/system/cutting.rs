//! Tests of a plugin that ends a flow at every packet. Other plugins and the core columns stay correct.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::meter;
use crate::flows::Flow;
use crate::guests::udps;

const CUTTER: &str = "evil,mode=cut_every_packet,cuts=1";

#[track_caller]
fn number(flow: &Flow, column: &str) -> u64 {
    let value = flow[column].as_u64();
    value.unwrap_or_else(|| panic!("{column} of {flow:?}"))
}

fn sum(flows: &[Flow], column: &str) -> u64 {
    flows.iter().map(|flow| number(flow, column)).sum()
}

#[test]
fn every_packet_becomes_a_flow_and_nothing_is_lost() {
    for (capture, packets) in [("dns.pcap", 32), ("http.pcap", 55)] {
        // Accounting mode 1 counts IP packets, which is what packet_stats measures.
        let run = |meters: &str, cutter: Option<&str>| {
            let run = meter(capture)
                .plugin("packet_stats")
                .args(["--accounting-mode", "1", "--n-meters", meters])
                .jsonl();
            match cutter {
                Some(cutter) => run.plugin(cutter).run().done(),
                None => run.run().done(),
            }
        };
        let whole = run("1", None).flows();
        let cut = run("1", Some(CUTTER));
        assert_eq!(cut.stdout, run("3", Some(CUTTER)).stdout, "{capture}");
        let flows = cut.flows();
        assert_eq!(flows.len(), packets, "{cut}");
        for column in ["bidirectional_packets", "bidirectional_bytes"] {
            assert_eq!(sum(&flows, column), sum(&whole, column), "{cut}");
        }
        for pair in flows.windows(2) {
            assert!(number(&pair[0], "id") < number(&pair[1], "id"), "{cut}");
        }
        for flow in &flows {
            assert_eq!(flow["expiration_id"], -1, "{flow:?}");
            assert_eq!(flow["bidirectional_packets"], 1, "{flow:?}");
            assert_eq!(flow["bidirectional_duration_ms"], 0, "{flow:?}");
            assert_eq!(udps(flow, "evil")["count"], 1, "{flow:?}");
            // The other plugin receives a flow of one packet in the direction src2dst.
            let bytes = number(flow, "bidirectional_bytes");
            let stats = udps(flow, "packet_stats");
            assert_eq!(stats["src2dst_count"], 1, "{flow:?}");
            assert_eq!(stats["src2dst_mean"].as_f64(), Some(bytes as f64));
            assert_eq!(stats["src2dst_min"], bytes, "{flow:?}");
            assert_eq!(stats["src2dst_max"], bytes, "{flow:?}");
            assert_eq!(stats["dst2src_count"], 0, "{flow:?}");
            assert_eq!(stats["dst2src_mean"], Value::Null, "{flow:?}");
        }
        let events = 2 * packets;
        cut.reports_line(&format!(
            "plugin   evil 6.6.6: {events} events in {} calls, _ ns per event, _ KiB, 0 traps, \
             {packets} flows cut",
            events + 1
        ));
    }
}

/// The number of packets. Without the plugin they would be one flow.
const PACKETS: u32 = 100_000;

/// Returns a pcap of raw IP with these packets, 1 ms apart.
fn one_flow() -> Vec<u8> {
    let mut pcap = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        pcap.extend(word.to_le_bytes());
    }
    for ms in 0..PACKETS {
        for word in [ms / 1_000, ms % 1_000 * 1_000, 28, 28] {
            pcap.extend(word.to_le_bytes());
        }
        pcap.extend([
            0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 1, 0, 0, 53, 0,
            8, 0, 0,
        ]);
    }
    pcap
}

#[test]
fn memory_is_bounded_when_a_long_flow_is_cut_at_every_packet() {
    let report = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut child = meter("-")
        .jsonl()
        .args(["--performance-report", "3600", "--performance-report-file"])
        .arg(report.path())
        .plugin("packet_stats")
        .plugin(CUTTER)
        .start();
    let mut stdin = child.stdin.take().expect("the stream is piped");
    let stdout = child.stdout.take().expect("the stream is piped");
    let count = Arc::new(AtomicUsize::new(0));
    let lines = thread::spawn({
        let count = count.clone();
        move || {
            let mut last = String::new();
            for line in BufReader::new(stdout).lines() {
                last = line.expect("text");
                count.fetch_add(1, Ordering::Relaxed);
            }
            last
        }
    });
    stdin
        .write_all(&one_flow())
        .expect("the command reads its input");
    stdin.flush().expect("the command reads its input");
    // Most flows are written while the run goes on. The rest waits in buffers.
    let start = Instant::now();
    while count.load(Ordering::Relaxed) < PACKETS as usize * 3 / 4 {
        assert!(
            start.elapsed() < Duration::from_secs(120),
            "the flows are not written in time"
        );
        thread::sleep(Duration::from_millis(5));
    }
    let status =
        fs::read_to_string(format!("/proc/{}/status", child.id())).expect("the process runs");
    let most = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .expect("Linux reports VmHWM");
    // The run takes 19 MiB. It would take 50 MiB more if it kept ended flows.
    assert!(most < 48 << 10, "{most} KiB");
    drop(stdin);
    let last: Flow =
        serde_json::from_str(&lines.join().expect("the command reads its input")).expect("a flow");
    let mut log = String::new();
    let mut stderr = child.stderr.take().expect("the stream is piped");
    stderr.read_to_string(&mut log).expect("text");
    assert!(child.wait().expect("the process ends").success(), "{log}");
    assert_eq!(count.load(Ordering::Relaxed), PACKETS as usize, "{log}");
    assert_eq!(last["id"], PACKETS - 1);
    assert_eq!(last["bidirectional_packets"], 1);
    // Each packet and each end of a flow is an event. packet_stats receives batches of about 1,000 events.
    let report = fs::read_to_string(report.path()).expect("the file was written");
    let report: Value = report
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .expect("a report");
    let (stats, evil) = (&report["plugins"][0], &report["plugins"][1]);
    for plugin in [stats, evil] {
        assert_eq!(plugin["events"], 2 * PACKETS, "{report}");
        assert!(plugin["memory_bytes"].as_u64() < Some(2 << 20), "{report}");
    }
    assert_eq!(evil["calls"], 2 * PACKETS + 1, "{report}");
    assert_eq!(evil["flows_cut"], PACKETS, "{report}");
    assert!(stats["calls"].as_u64() < Some(250), "{report}");
    assert_eq!(stats["flows_cut"], 0, "{report}");
}
