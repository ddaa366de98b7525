//! Tests of `--fanout`: the kernel distributes packets to several sockets.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::flows::{NEVER, sorted};
use super::net::{Ended, Net, until};
use crate::command::{captures, meter};
use crate::flows::Flow;

/// The number of packets of `dns.pcap`.
const DNS_PACKETS: u64 = 34;

/// Runs two meters on a replayed capture. Returns the result and the number of packets of each meter.
fn fanned_out(net: &Net, capture: &str, options: &[&str]) -> (Ended, Vec<u64>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = folder.path().join("report");
    let mut words = vec!["--n-meters", "2", "--performance-report", "3600"];
    words.extend(
        report
            .to_str()
            .map(|path| ["--performance-report-file", path])
            .iter()
            .flatten(),
    );
    let live = net.meter(words.into_iter().chain(options.iter().copied()));
    if options.contains(&"--fanout") {
        live.logs("2 sockets share the packets of far");
    }
    net.replay(Path::new(capture), &[]);
    let ended = live.stop().exits(0);
    let text = fs::read_to_string(&report).expect("lines are text");
    let last: Value = serde_json::from_str(text.trim()).expect("the report is one line of JSON");
    let balance = last["meters_packets_processing_balance"].as_array();
    let balance = balance
        .expect("the value is a list")
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    (ended, balance)
}

#[test]
fn fanout_gives_the_flows_of_the_file() {
    let Some(net) = Net::new() else { return };
    let options = [&NEVER[..], &["--statistical-analysis"]].concat();
    let mut is_shared = false;
    for capture in ["dns.pcap", "tls13.pcap", "vlan.pcap", "mdns.pcap"] {
        let (ended, balance) = fanned_out(&net, capture, &[&options[..], &["--fanout"]].concat());
        let file = meter(capture).args(&options).jsonl().run().done();
        assert_eq!(sorted(&ended.flows), sorted(&file.flows()), "{}", ended.log);
        let ids: HashSet<_> = ended.flows.iter().map(|flow| flow["id"].as_u64()).collect();
        assert_eq!(ids.len(), ended.flows.len());
        assert_eq!(balance.iter().sum::<u64>(), ended.count(" metered"));
        is_shared |= balance.iter().all(|packets| *packets > 0);
    }
    assert!(is_shared, "one meter received all packets of all captures");
}

#[test]
fn fanout_reassembles_ipv4_fragments() {
    let Some(net) = Net::new() else { return };
    let options = ["--statistical-analysis", "--bpf-filter", "ip"];
    let largest = |ended: &Ended| {
        let sizes = ended
            .flows
            .iter()
            .map(|flow| flow["bidirectional_max_ps"].as_u64());
        sizes.max().flatten()
    };
    let (without_fanout, _) = fanned_out(&net, "fragments.pcap", &options);
    assert!(
        without_fanout.count(" ignored, later-fragment") > 0,
        "{}",
        without_fanout.log
    );
    assert!(
        largest(&without_fanout) <= Some(1_514),
        "{}",
        without_fanout.log
    );
    let (ended, _) = fanned_out(
        &net,
        "fragments.pcap",
        &[&options[..], &["--fanout"]].concat(),
    );
    assert_eq!(ended.count(" ignored, later-fragment"), 0, "{}", ended.log);
    assert!(largest(&ended) > Some(3_000), "{:?}", ended.flows);
}

#[test]
fn one_meter_handles_all_flows_of_a_tunnel() {
    let Some(net) = Net::new() else { return };
    let options = ["--bpf-filter", "ip and udp port 2152"];
    // Without `--fanout` the hash of Flowloom has a random seed, so all flows may have the same meter by chance.
    let without_fanout = (0..20)
        .map(|_| fanned_out(&net, "gtp.pcap", &options).1)
        .find(|without_fanout| without_fanout.iter().all(|packets| *packets > 0))
        .expect("the flows within a tunnel are distributed");
    let (_, balance) = fanned_out(&net, "gtp.pcap", &[&options[..], &["--fanout"]].concat());
    assert_eq!(
        balance.iter().filter(|packets| **packets > 0).count(),
        1,
        "{balance:?}"
    );
    assert_eq!(
        balance.iter().sum::<u64>(),
        without_fanout.iter().sum::<u64>()
    );
}

#[test]
fn packets_that_the_kernel_drops_are_counted() {
    let Some(net) = Net::new() else { return };
    let live = net.meter([
        "--n-meters",
        "2",
        "--fanout",
        "--socket-buffer-size",
        "1000000",
    ]);
    live.logs("2 sockets share the packets of far");
    live.signal("STOP");
    net.replay(Path::new("dns.pcap"), &["--loop=500"]);
    live.signal("CONT");
    let ended = live.stop().exits(0);
    let dropped = ended.count(" dropped by the kernel");
    let read = ended.count(" read");
    let sent = 500 * DNS_PACKETS;
    assert!(dropped > 0 && read > 0, "{}", ended.log);
    assert_eq!(read + dropped, sent, "{}", ended.log);
}

/// Returns both endpoints of a flow in a fixed order, and its protocol.
fn ends(flow: &Flow) -> (Vec<String>, String) {
    let end = |side: &str| {
        format!(
            "{} {}",
            flow[&format!("{side}_ip")],
            flow[&format!("{side}_port")]
        )
    };
    let mut ends = vec![end("src"), end("dst")];
    ends.sort();
    (ends, flow["protocol"].to_string())
}

#[test]
fn flows_active_at_the_start_are_not_split_between_meters() {
    let Some(net) = Net::new() else { return };
    let mut sender = net
        .command("tcpreplay")
        .args([
            "--intf1=near",
            "--quiet",
            "--loop=0",
            "--pps=2000",
            "tls13.pcap",
        ])
        .current_dir(captures())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tcpreplay is installed");
    let words = ["--n-meters", "4", "--fanout"];
    let live = net.meter(NEVER.into_iter().chain(words));
    live.logs("4 sockets share the packets of far");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let _ = sender.kill();
    let _ = sender.wait();
    let ended = live.stop().exits(0);
    let mut all: Vec<_> = ended.flows.iter().map(ends).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert!(count > 0, "{}", ended.log);
    assert_eq!(all.len(), count, "a flow is in two meters");
}

#[test]
fn sockets_share_packets_again_after_an_interface_is_back() {
    let Some(net) = Net::new() else { return };
    let words = ["--n-meters", "3", "--fanout", "--idle-timeout", "10000000"];
    let live = net.meter(words);
    live.logs("3 sockets share the packets of far");
    net.replay(Path::new("dns.pcap"), &[]);
    net.ip(["link", "delete", "near"]);
    let gone = || live.log().matches("WARN interface far is gone").count();
    until("the interface is gone", || gone() == 3);
    net.wire();
    let back = || live.log().matches("INFO interface far is back").count();
    until("the interface is back", || back() == 3);
    net.replay(Path::new("tls13.pcap"), &[]);
    let ended = live.stop().exits(0);
    let mut all: Vec<_> = ended.flows.iter().map(ends).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "a flow is in two meters");
    let file = |capture| {
        meter(capture)
            .args(NEVER)
            .jsonl()
            .run()
            .done()
            .flows()
            .len()
    };
    assert_eq!(
        count,
        file("dns.pcap") + file("tls13.pcap"),
        "{}",
        ended.log
    );
}

#[test]
fn fanout_needs_an_interface() {
    meter("dns.pcap")
        .args(["--fanout", "--n-meters", "2"])
        .run()
        .refuses_usage(
            "--fanout: only an interface has several sockets, and the sources are files",
        );
}
