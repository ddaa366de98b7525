//! What programs of every day send, metered while they send it, and compared with what they and the
//! kernel say of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::net::{Net, until};
use crate::flows::Flow;

/// Bytes of an ARP packet on a virtual wire.
const ARP: u64 = 42;

/// Answers every question with 192.0.2.7.
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

/// Two hosts, where the program is there.
fn hosts_with(program: &str) -> Option<Net> {
    match Command::new(program).arg("-V").output() {
        Ok(_) => Net::with_hosts(),
        Err(_) => {
            eprintln!("skipped: there is no {program}: tests/setup.sh installs it");
            None
        }
    }
}

/// A program at the near end, which ends with this.
struct Server(Child);

impl Server {
    /// Waits until it has printed this.
    fn start(command: &mut Command, ready: &str) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let is_ready = lines.any(|line| line.is_ok_and(|line| line.contains(ready)));
        assert!(is_ready, "{command:?} has ended");
        // It goes on to write, and is not to find that nobody reads.
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

/// Packets and bytes that have gone over the far end, both ways.
fn over_the_wire(net: &Net) -> (u64, u64) {
    let said = net.run("ip", ["-json", "-statistics", "link", "show", "far"]);
    let said: Value = serde_json::from_str(&said).expect("ip writes JSON");
    let sum = |what: &str| {
        let counters = ["rx", "tx"].map(|way| said[0]["stats64"][way][what].as_u64());
        counters.into_iter().flatten().sum()
    };
    (sum("packets"), sum("bytes"))
}

fn number(flow: &Flow, name: &str) -> u64 {
    flow[name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {name} in {flow:?}"))
}

/// The flows of a protocol.
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
    let said = net.run("ping", ["-c", "5", "-i", "0.3", "192.0.2.1"]);
    assert!(said.contains("5 packets transmitted, 5 received"), "{said}");
    // It ends while the capture goes on.
    until("the flow is written", || !live.flows().is_empty());
    let ended = live.stop().exits(0);
    let [flow] = &of_protocol(&ended.flows, 1)[..] else {
        panic!("{:?}", ended.flows);
    };
    assert_eq!(
        (&flow["src_ip"], &flow["dst_ip"]),
        (&"192.0.2.2".into(), &"192.0.2.1".into())
    );
    // 56 bytes of data, with headers of 8, 20 and 14.
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

/// What iperf3 says that it did, and the flows; every packet that the interface has counted is in one.
fn iperf3(options: &[&str]) -> Option<(Value, Vec<Flow>)> {
    let net = hosts_with("iperf3")?;
    let mut server = net.near("iperf3");
    let options_of_server = ["--server", "--one-off", "--forceflush"];
    let _server = Server::start(server.args(options_of_server), "Server listening");
    let before = over_the_wire(&net);
    let live = net.meter([]);
    let client = ["--client", "192.0.2.1", "--json"];
    let said = net.run("iperf3", client.iter().chain(options));
    let said = serde_json::from_str(&said).expect("iperf3 writes JSON");
    // The client is gone before both sides have taken leave of each other.
    until("the wire is quiet", || {
        let counted = over_the_wire(&net);
        thread::sleep(Duration::from_millis(300));
        over_the_wire(&net) == counted
    });
    let ended = live.stop().exits(0);
    let after = over_the_wire(&net);
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
    Some((said, ended.flows))
}

/// The flow that most bytes were sent in.
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
    let Some((said, flows)) = iperf3(&options) else {
        return;
    };
    let flow = largest(&flows, 6);
    assert_eq!((&flow["dst_port"], flows.len()), (&5201.into(), 2));
    let sent = said["end"]["sum_sent"]["bytes"].as_u64().expect("it says");
    let bytes = number(flow, "src2dst_bytes");
    // Its headers too; and there are far fewer of them than packets of 1500 bytes would have.
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
    let Some((said, flows)) = iperf3(&options) else {
        return;
    };
    let flow = largest(&flows, 17);
    let sent = said["end"]["sum"]["packets"].as_u64().expect("it says");
    // One more each way at first, so that both sides know each other.
    assert_eq!(number(flow, "src2dst_packets"), sent + 1, "{said:#}");
    assert_eq!(number(flow, "dst2src_packets"), 1);
}
