//! Tests that a live capture gives the same flows as a file with the same packets, and writes them in time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use super::net::{DNS_FLOWS, Net, until};
use crate::command::{captures, meter};
use crate::flows::Flow;
use crate::guests::{plugin, udps};

/// Timeouts that never end a flow. The times between packets differ on the wire.
pub(super) const NEVER: [&str; 4] = ["--idle-timeout", "10000000", "--active-timeout", "10000000"];

/// Returns the columns of a flow that do not depend on time.
fn timeless(flow: &Flow) -> Vec<(String, Value)> {
    let is_time = |name: &str| name.ends_with("_ms") || name == "id" || name.contains("piat");
    flow.iter()
        .filter(|(name, _)| !is_time(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

pub(super) fn sorted(flows: &[Flow]) -> Vec<String> {
    let mut flows: Vec<_> = flows
        .iter()
        .map(|flow| format!("{:?}", timeless(flow)))
        .collect();
    flows.sort();
    flows
}

/// Returns the captures of Ethernet frames that can be sent unchanged.
fn on_wire() -> Vec<PathBuf> {
    let is_ethernet = |path: &PathBuf| {
        let head = fs::read(path).unwrap_or_default();
        path.extension()
            .is_some_and(|extension| extension == "pcap")
            && head.get(..4) == Some(&0xa1b2_c3d4_u32.to_le_bytes())
            && head.get(20..24) == Some(&1_u32.to_le_bytes())
    };
    let named = |path: &PathBuf, names: &[&str]| {
        names
            .iter()
            .any(|name| path.file_stem().is_some_and(|stem| stem == *name))
    };
    let mut found: Vec<_> = fs::read_dir(captures())
        .expect("the captures can be read")
        .map(|entry| entry.expect("the captures can be read").path())
        .filter(is_ethernet)
        // These captures are truncated, or have frames that are shorter than they claim or too short to send.
        .filter(|path| !named(path, &["cut", "cut-header", "bad-length", "empty", "odd"]))
        .filter(|path| !named(path, &["snaplen46", "snaplen60", "loopback", "offload"]))
        .collect();
    found.sort();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// Replays captures one after another, and compares the flows with those of the files.
fn same_on_the_wire(options: &[&str]) {
    let Some(net) = Net::new() else { return };
    let options = [&NEVER[..], &["--statistical-analysis"], options].concat();
    for capture in on_wire() {
        let live = net.meter(options.iter().copied());
        net.replay(&capture, &[]);
        let ended = live.stop().exits(0);
        let file = meter(&capture).args(&options).jsonl().run().done();
        let theirs = file.flows();
        assert!(!theirs.is_empty());
        let (ours, theirs) = (sorted(&ended.flows), sorted(&theirs));
        let only = |some: &[String], others: &[String]| {
            let others: BTreeSet<_> = others.iter().collect();
            some.iter()
                .filter(|flow| !others.contains(flow))
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            ours,
            theirs,
            "{}\nonly live: {:#?}\nonly in the file: {:#?}\n{}",
            capture.display(),
            only(&ours, &theirs),
            only(&theirs, &ours),
            ended.log
        );
    }
}

#[test]
fn a_replayed_capture_gives_the_flows_of_its_file() {
    same_on_the_wire(&[]);
}

#[test]
fn a_replayed_capture_gives_the_flows_of_its_file_with_several_meters() {
    same_on_the_wire(&["--n-meters", "3"]);
}

#[test]
fn flows_of_a_quiet_interface_are_written_within_a_second_of_their_timeout() {
    const IDLE_MS: u64 = 1_000;
    let Some(net) = Net::new() else { return };
    for meters in ["1", "2"] {
        // A busy machine may delay some of the runs, but not all.
        let late: Vec<u64> = (0..5)
            .map(|_| {
                let stats = plugin("packet_stats");
                let words = ["--idle-timeout", "1", "--n-meters", meters, "--plugin"];
                let live = net.meter(words.into_iter().chain(stats.to_str()));
                net.replay(Path::new("dns.pcap"), &[]);
                until("all flows are written", || live.flows().len() == DNS_FLOWS);
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let now = now.expect("the clock is after 1970").as_millis() as u64;
                let flows = live.flows();
                for flow in &flows {
                    assert!(udps(flow, "packet_stats")["src2dst_count"].is_u64());
                    assert_eq!(flow["expiration_id"], 0);
                }
                let last = |flow: &Flow| flow["bidirectional_last_seen_ms"].as_u64();
                let last = flows.iter().filter_map(last).max();
                let ended = live.stop().exits(0);
                assert_eq!(ended.flows.len(), DNS_FLOWS, "{}", ended.log);
                now - last.expect("flows have times") - IDLE_MS
            })
            .collect();
        let best = late.iter().min().copied();
        assert!(best < Some(1_000), "the delays in ms: {late:?}");
    }
}

#[test]
fn partial_batches_reach_a_plugin_in_time() {
    let Some(net) = Net::new() else { return };
    let evil = plugin("evil");
    let evil = format!("{},mode=log_levels,at=update", evil.display());
    for meters in ["1", "2"] {
        for rate in ["--topspeed", "--pps=40"] {
            // No flow ends, and a batch is never full. Without a time limit it would wait until the end of the run.
            let words = ["--n-meters", meters, "--plugin", &evil];
            let live = net.meter(NEVER.into_iter().chain(words));
            let mut sender = net
                .command("tcpreplay")
                .args(["--intf1=near", "--quiet", rate, "dns.pcap"])
                .current_dir(captures())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("tcpreplay is installed");
            let start = Instant::now();
            live.logs("an error");
            let waited = start.elapsed();
            sender.wait().expect("the process ends");
            // The packet is sent after at most 50 ms. It waits up to 100 ms in the kernel and 100 ms in the batch. The
            // rest is a reserve for a busy machine.
            assert!(waited < Duration::from_secs(10), "{waited:?}");
            assert!(live.flows().is_empty());
            live.stop().exits(0);
        }
    }
}

#[test]
fn the_kernel_applies_the_filter() {
    let Some(net) = Net::new() else { return };
    let live = net.meter(["--bpf-filter", "udp port 53", "--snapshot-length", "60"]);
    net.replay(Path::new("dns.pcap"), &[]);
    net.replay(Path::new("tls13.pcap"), &[]);
    let ended = live.stop().exits(0);
    let file = meter("dns.pcap")
        .args(["--bpf-filter", "udp port 53"])
        .jsonl()
        .run();
    assert_eq!(sorted(&ended.flows), sorted(&file.flows()));
    let metered: u64 = ended.count(" metered");
    assert_eq!(ended.count(" read"), metered, "{}", ended.log);
}

#[test]
fn large_tcp_segments_are_counted_completely() {
    const BYTES: u64 = 20_000_000;
    let Some(net) = Net::with_hosts() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("large"), vec![7; BYTES as usize]).expect("a temporary file");
    let live = net.meter(["--accounting-mode", "3", "--statistical-analysis"]);
    let server = net
        .near("/usr/bin/python3")
        .args(["-m", "http.server", "--bind", "192.0.2.1", "80"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let server = Server(server.expect("Debian's Python is installed"));
    let url = "http://192.0.2.1/large";
    let retry = ["--retry", "50", "--retry-connrefused", "--retry-delay", "1"];
    let options = ["--silent", "--fail", "--output", "/dev/null", url];
    net.run("curl", options.iter().chain(&retry));
    drop(server);
    let ended = live.stop().exits(0);
    let bytes = |flow: &&Flow| flow["dst2src_bytes"].as_u64();
    let most = ended.flows.iter().max_by_key(bytes);
    let most = most.expect("there are flows");
    let counted = bytes(&most).unwrap_or_default();
    // The payload includes an HTTP header, and sometimes retransmitted segments.
    assert!(
        (BYTES..BYTES + 2_000_000).contains(&counted),
        "{most:?}\n{}",
        ended.log
    );
    let largest = most["dst2src_max_ps"].as_u64();
    assert!(largest > Some(9_000), "no large segments: {most:?}");
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_interface_that_is_gone_is_metered_when_it_is_back() {
    let Some(net) = Net::new() else { return };
    for more in [&[][..], &["--n-meters", "2"]] {
        let live = net.meter(["--idle-timeout", "1"].iter().chain(more).copied());
        net.replay(Path::new("dns.pcap"), &[]);
        net.ip(["link", "delete", "far"]);
        live.logs(
            " WARN interface far is gone (libpcap error: The interface disappeared); metering continues \
             when it is back\n",
        );
        // Flows end while the interface is gone.
        until("flows are written", || live.flows().len() == DNS_FLOWS);
        net.wire();
        live.logs(" INFO interface far is back\n");
        net.replay(Path::new("dns.pcap"), &[]);
        thread::sleep(Duration::from_millis(100));
        let ended = live.stop().exits(0);
        assert_eq!(ended.flows.len(), 2 * DNS_FLOWS, "{}", ended.log);
        assert_eq!(ended.count(" lost: the interface disappeared"), 0);
    }
}

#[test]
fn a_signal_ends_a_run_while_its_interface_is_gone() {
    let Some(net) = Net::new() else { return };
    for more in [
        &[][..],
        &["--n-meters", "2"],
        &["--n-meters", "2", "--fanout"],
    ] {
        let live = net.meter(more.iter().copied());
        if more.contains(&"--fanout") {
            live.logs("2 sockets share the packets of far");
        }
        net.replay(Path::new("dns.pcap"), &[]);
        net.ip(["link", "delete", "far"]);
        live.logs("far is gone (");
        let ended = live.stop().exits(0);
        assert_eq!(ended.flows.len(), DNS_FLOWS, "{}", ended.log);
        net.wire();
    }
}
