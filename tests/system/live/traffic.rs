//! Meters the traffic of common programs, and compares the flows with the counters of the programs and of the
//! kernel.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::net::{Net, until};
use crate::flows::Flow;

/// The size of an ARP packet on a veth pair, in bytes.
const ARP: u64 = 42;

/// A name server that answers every query with 192.0.2.7.
const NAME_SERVER: &str = r#"
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("192.0.2.1", 53))
print("ready", flush=True)
while True:
    asked, client = server.recvfrom(512)
    end = asked.index(0, 12) + 5
    answer = bytes.fromhex("c00c 0001 0001 0000003c 0004 c0000207")
    counts = bytes.fromhex("8180 0001 0001 0000 0000")
    server.sendto(asked[:2] + counts + asked[12:end] + answer, client)
"#;

/// Returns two hosts, or `None` if the program is not installed.
fn hosts_with(program: &str) -> Option<Net> {
    match Command::new(program).arg("-V").output() {
        Ok(_) => Net::with_hosts(),
        Err(_) => {
            eprintln!("skipped: there is no {program}: tests/setup.sh installs it");
            None
        }
    }
}

/// A program in the namespace of the near end. Dropping the value ends the program.
struct Server(Child);

impl Server {
    /// Starts the program, and waits until it has printed `ready`.
    fn start(command: &mut Command, ready: &str) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("the stream is piped");
        let mut lines = BufReader::new(stdout).lines();
        let is_ready = lines.any(|line| line.is_ok_and(|line| line.contains(ready)));
        assert!(is_ready, "{command:?} has ended");
        // The program must not fail when it writes more.
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the packets and bytes that the far interface has counted in both directions.
fn interface_counters(net: &Net) -> (u64, u64) {
    let report = net.run("ip", ["-json", "-statistics", "link", "show", "far"]);
    let report: Value = serde_json::from_str(&report).expect("ip writes JSON");
    let sum = |what: &str| {
        let counters = ["rx", "tx"].map(|way| report[0]["stats64"][way][what].as_u64());
        counters.into_iter().flatten().sum()
    };
    (sum("packets"), sum("bytes"))
}

fn number(flow: &Flow, name: &str) -> u64 {
    flow[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {flow:?}"))
}

/// Returns the flows of a protocol.
fn of_protocol(flows: &[Flow], protocol: u64) -> Vec<&Flow> {
    flows
        .iter()
        .filter(|flow| flow["protocol"] == protocol)
        .collect()
}

#[test]
fn five_pings_are_one_flow_of_ten_packets() {
    let Some(net) = hosts_with("ping") else {
        return;
    };
    let live = net.meter(["--idle-timeout", "1"]);
    let report = net.run("ping", ["-c", "5", "-i", "0.3", "192.0.2.1"]);
    assert!(
        report.contains("5 packets transmitted, 5 received"),
        "{report}"
    );
    // The flow ends while the capture continues.
    until("the flow is written", || !live.flows().is_empty());
    let ended = live.stop().exits(0);
    let [flow] = &of_protocol(&ended.flows, 1)[..] else {
        panic!("{:?}", ended.flows);
    };
    assert_eq!(
        (&flow["src_ip"], &flow["dst_ip"]),
        (&"192.0.2.2".into(), &"192.0.2.1".into())
    );
    // 56 bytes of data, with headers of 8 (ICMP), 20 (IPv4) and 14 (Ethernet) bytes.
    for way in ["src2dst", "dst2src"] {
        assert_eq!(number(flow, &format!("{way}_packets")), 5);
        assert_eq!(number(flow, &format!("{way}_bytes")), 5 * 98);
    }
    assert_eq!(ended.flows.len(), 1, "{:?}", ended.flows);
}

#[test]
fn a_dns_query_is_a_flow_with_the_queried_name() {
    let Some(net) = hosts_with("dig") else { return };
    let mut python = net.near("/usr/bin/python3");
    let _server = Server::start(python.args(["-c", NAME_SERVER]), "ready");
    let live = net.meter(["--idle-timeout", "1", "--n-dissections", "20"]);
    let name = "www.flowloom.example";
    let answer = net.run("dig", ["@192.0.2.1", "+short", "+notcp", name]);
    assert_eq!(answer.trim(), "192.0.2.7");
    until("the flow is written", || !live.flows().is_empty());
    let ended = live.stop().exits(0);
    let [flow] = &of_protocol(&ended.flows, 17)[..] else {
        panic!("{:?}", ended.flows);
    };
    assert_eq!(flow["dst_port"], 53);
    assert_eq!(
        (
            number(flow, "src2dst_packets"),
            number(flow, "dst2src_packets")
        ),
        (1, 1)
    );
    assert_eq!(flow["application_name"], "DNS");
    assert_eq!(flow["requested_server_name"], name);
}

/// Runs iperf3. Returns its report and the flows. Checks that the flows contain every packet that the interface has
/// counted.
fn iperf3(options: &[&str]) -> Option<(Value, Vec<Flow>)> {
    let net = hosts_with("iperf3")?;
    let mut server = net.near("iperf3");
    let options_of_server = ["--server", "--one-off", "--forceflush"];
    let _server = Server::start(server.args(options_of_server), "Server listening");
    let before = interface_counters(&net);
    let live = net.meter([]);
    let client = ["--client", "192.0.2.1", "--json"];
    let report = net.run("iperf3", client.iter().chain(options));
    let report = serde_json::from_str(&report).expect("iperf3 writes JSON");
    // The client ends before both sides have closed the connections.
    until("no more packets are sent", || {
        let counted = interface_counters(&net);
        thread::sleep(Duration::from_millis(300));
        interface_counters(&net) == counted
    });
    let ended = live.stop().exits(0);
    let after = interface_counters(&net);
    let counted = (after.0 - before.0, after.1 - before.1);
    let sum = |name: &str| {
        let numbers = ended.flows.iter().map(|flow| number(flow, name));
        numbers.sum::<u64>()
    };
    let arp = ended.count(" ignored, not-ip");
    let metered = (
        sum("bidirectional_packets") + arp,
        sum("bidirectional_bytes") + arp * ARP,
    );
    assert_eq!(metered, counted, "{}", ended.log);
    Some((report, ended.flows))
}

/// Returns the flow of a protocol with the most bytes sent.
fn largest(flows: &[Flow], protocol: u64) -> &Flow {
    let flows = of_protocol(flows, protocol);
    let largest = flows
        .iter()
        .max_by_key(|flow| number(flow, "src2dst_bytes"));
    largest.expect("there are flows")
}

#[test]
fn tcp_traffic_of_iperf3_is_counted_like_the_interface_counts_it() {
    let options = ["--bytes", "30M", "--bitrate", "400M"];
    let Some((report, flows)) = iperf3(&options) else {
        return;
    };
    let flow = largest(&flows, 6);
    assert_eq!((&flow["dst_port"], flows.len()), (&5201.into(), 2));
    let sent = report["end"]["sum_sent"]["bytes"]
        .as_u64()
        .expect("the value is reported");
    let bytes = number(flow, "src2dst_bytes");
    // The flow also counts headers. Packets are larger than 1,500 bytes, so there are few of them.
    assert!(sent >= 30 << 20 && bytes > sent, "{sent} sent, {bytes}");
    let packets = number(flow, "src2dst_packets");
    assert!(bytes / packets > 9_000, "no large segments: {flow:?}");
}

#[test]
fn every_datagram_that_iperf3_sends_is_counted() {
    let options = [
        "--udp",
        "--bytes",
        "2M",
        "--bitrate",
        "40M",
        "--length",
        "1200",
    ];
    let Some((report, flows)) = iperf3(&options) else {
        return;
    };
    let flow = largest(&flows, 17);
    let sent = report["end"]["sum"]["packets"]
        .as_u64()
        .expect("the value is reported");
    // iperf3 first sends one more packet in each direction.
    assert_eq!(number(flow, "src2dst_packets"), sent + 1, "{report:#}");
    assert_eq!(number(flow, "dst2src_packets"), 1);
}
