//! Tests of `--system-visibility`: the processes that own the sockets of flows.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::chown;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::net::{Ended, Live, Net, until};
use crate::command::meter;

/// The user ID and group ID of `nobody`.
const NOBODY: u32 = 65_534;

/// A user ID that nobody else has.
const OTHER: &str = "54321";

/// Options of a run that reports the number of polls in each second. No flow ends before the run.
const OPTIONS: [&str; 7] = [
    "--system-visibility",
    "--system-visibility-poll-ms",
    "5",
    "--performance-report",
    "1",
    "--idle-timeout",
    "1000",
];

/// A program with one socket, which it keeps. Arguments: its name, its user, what it does, and addresses.
const PROGRAM: &str = r#"
import os, socket, sys
name, user, role, *ends = sys.argv[1:]
ends = [(end.rsplit(":", 1)[0], int(end.rsplit(":", 1)[1])) for end in ends]
with open("/proc/self/comm", "w") as comm:
    comm.write(name)
if user != "root":
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
family = socket.AF_INET6 if ":" in ends[0][0] else socket.AF_INET
kind = socket.SOCK_STREAM if role.startswith("tcp") else socket.SOCK_DGRAM
s = socket.socket(family, kind)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(ends[0])
if role == "tcp-server":
    s.listen()
    print("bound", flush=True)
    s, _ = s.accept()
    s.sendall(s.recv(100))
elif role == "udp-server":
    print("bound", flush=True)
    data, peer = s.recvfrom(100)
    s.sendto(data, peer)
elif role == "udp-unconnected":
    s.sendto(b"question", ends[1])
    s.recv(100)
else:
    s.connect(ends[1])
    s.send(b"question")
    s.recv(100)
print("done", flush=True)
sys.stdin.read()
"#;

/// A running program with a socket. Dropping the value ends the program.
struct Program {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Program {
    /// Starts a program in a namespace. A server is bound when this returns.
    fn start(mut command: Command, arguments: &[&str]) -> Self {
        let command = command.args(["-c", PROGRAM]).args(arguments);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("the stream is piped");
        let mut program = Self {
            child,
            lines: BufReader::new(stdout),
        };
        if arguments[2].ends_with("server") {
            program.prints("bound");
        }
        program
    }

    fn prints(&mut self, expected: &str) {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a pipe can be read");
        assert_eq!(line.trim(), expected);
    }

    /// Waits until it has exchanged packets with the other side.
    fn done(mut self) -> Self {
        self.prints("done");
        self
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program in the namespace of the run.
fn here(net: &Net, arguments: &[&str]) -> Program {
    Program::start(net.command("/usr/bin/python3"), arguments)
}

/// Starts a program in the namespace of the near end, whose sockets the run does not see.
fn there(net: &Net, arguments: &[&str]) -> Program {
    Program::start(net.near("/usr/bin/python3"), arguments)
}

/// Returns the last report of polls in the log.
fn last_report(live: &Live) -> (usize, Value) {
    let log = live.log();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with('{') && line.ends_with('}'))
        .collect();
    let last = lines
        .last()
        .and_then(|line| serde_json::from_str(line).ok());
    (lines.len(), last.unwrap_or_default())
}

/// Waits for two more polls, so that one of them has seen all sockets.
fn wait_for_polls(live: &Live) -> Value {
    let polls = || last_report(live).1["system"]["polls"].as_u64();
    let before = last_report(live).0;
    until("there is a report", || last_report(live).0 > before);
    let seen = polls().expect("the report has the number of polls");
    until("there are more polls", || polls() > Some(seen + 1));
    last_report(live).1["system"].clone()
}

/// Returns process ID and name of the only flow with this destination port.
#[track_caller]
fn process_of(ended: &Ended, port: u16) -> (Option<u32>, Option<String>) {
    let flows: Vec<_> = (ended.flows.iter())
        .filter(|flow| flow["dst_port"] == port)
        .collect();
    let [flow] = &flows[..] else {
        panic!("{} flows with port {port}: {:?}", flows.len(), ended.flows);
    };
    let pid = flow["system_process_pid"].as_u64();
    let name = flow["system_process_name"].as_str();
    (
        pid.map(|pid| u32::try_from(pid).expect("a process ID")),
        name.map(str::to_owned),
    )
}

/// Returns what [`process_of`] returns for a program with this name.
fn process(program: &Program, name: &str) -> (Option<u32>, Option<String>) {
    (Some(program.pid()), Some(name.to_owned()))
}

#[test]
fn each_flow_has_the_process_of_its_socket() {
    let Some(net) = Net::with_hosts() else { return };
    let live = net.meter(OPTIONS);
    // A client and a server of TCP.
    let peer = there(&net, &["peer", "root", "tcp-server", "192.0.2.1:7001"]);
    let client = here(
        &net,
        &[
            "a client, \"x\"",
            OTHER,
            "tcp",
            "192.0.2.2:0",
            "192.0.2.1:7001",
        ],
    )
    .done();
    let server = here(&net, &["server", "root", "tcp-server", "192.0.2.2:7002"]);
    let other = there(&net, &["o", "root", "tcp", "192.0.2.1:0", "192.0.2.2:7002"]);
    let tcp = [peer.done(), server.done(), other.done()];
    // A connected and an unconnected socket of UDP, and servers at an address and at all addresses.
    let peers = [7003, 7004].map(|port| {
        let address = format!("192.0.2.1:{port}");
        there(&net, &["peer", "root", "udp-server", &address])
    });
    let connected = here(
        &net,
        &["connected", "root", "udp", "192.0.2.2:0", "192.0.2.1:7003"],
    )
    .done();
    let unconnected = here(
        &net,
        &[
            "free",
            "root",
            "udp-unconnected",
            "0.0.0.0:0",
            "192.0.2.1:7004",
        ],
    )
    .done();
    let bound = here(&net, &["bound", "root", "udp-server", "192.0.2.2:7005"]);
    let wildcard = here(&net, &["wildcard", "root", "udp-server", ":::7006"]);
    let clients = [7005, 7006].map(|port| {
        let address = format!("192.0.2.2:{port}");
        there(&net, &["c", "root", "udp", "192.0.2.1:0", &address]).done()
    });
    let report = wait_for_polls(&live);
    assert_eq!(
        (&report["polls_failed"], &report["polls_cut"]),
        (&0.into(), &0.into())
    );
    let ended = live.stop().exits(0);
    assert_eq!(
        process_of(&ended, 7001),
        process(&client, "a client, \"x\"")
    );
    assert_eq!(process_of(&ended, 7002), process(&tcp[1], "server"));
    assert_eq!(process_of(&ended, 7003), process(&connected, "connected"));
    assert_eq!(process_of(&ended, 7004), process(&unconnected, "free"));
    assert_eq!(process_of(&ended, 7005), process(&bound, "bound"));
    assert_eq!(process_of(&ended, 7006), process(&wildcard, "wildcard"));
    assert_eq!(ended.flows.len(), 6, "{:?}", ended.flows);
    drop((peers, clients));
}

#[test]
fn connections_whose_addresses_begin_alike_have_their_own_processes() {
    let Some(net) = Net::with_hosts() else { return };
    net.ip(["address", "add", "198.51.100.2/24", "dev", "far"]);
    super::net::output(
        net.near("ip")
            .args(["address", "add", "198.51.100.1/24", "dev", "near"]),
    );
    let live = net.meter(OPTIONS);
    let pairs = ["192.0.2", "198.51.100"].map(|network| {
        let [here_at, there_at] = [format!("{network}.2:50000"), format!("{network}.1:443")];
        let server = there(&net, &["peer", "root", "tcp-server", &there_at]);
        let client = here(&net, &[network, "root", "tcp", &here_at, &there_at]);
        (client.done(), server.done(), network)
    });
    wait_for_polls(&live);
    let ended = live.stop().exits(0);
    assert_eq!(ended.flows.len(), 2);
    for (client, _, network) in &pairs {
        let address = format!("{network}.2");
        let flow = ended.flows.iter().find(|flow| flow["src_ip"] == address);
        let flow = flow.expect("there is a flow of each client");
        assert_eq!(flow["system_process_pid"], client.pid());
        assert_eq!(flow["system_process_name"], *network);
    }
}

/// Prints the metrics of a run in the same namespace.
const SCRAPE: &str = r#"
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:9100/metrics").read().decode())
"#;

#[test]
fn a_flow_of_the_loopback_interface_has_the_process_of_its_source() {
    let Some(net) = Net::new() else { return };
    net.ip(["link", "set", "lo", "up"]);
    let options = OPTIONS.into_iter().chain(["--metrics", "9100"]);
    let live = Live::start_on("lo", &net, None, options);
    let server = here(&net, &["server", "root", "tcp-server", "127.0.0.1:7001"]);
    let client = here(
        &net,
        &["client", "root", "tcp", "127.0.0.1:0", "127.0.0.1:7001"],
    )
    .done();
    let udp_server = here(&net, &["server", "root", "udp-server", "127.0.0.1:7002"]);
    let arguments = [
        "sender",
        "root",
        "udp-unconnected",
        "0.0.0.0:0",
        "127.0.0.1:7002",
    ];
    let sender = here(&net, &arguments).done();
    wait_for_polls(&live);
    let metrics = net.run("/usr/bin/python3", ["-c", SCRAPE]);
    let ended = live.stop().exits(0);
    assert_eq!(process_of(&ended, 7001), process(&client, "client"));
    assert_eq!(process_of(&ended, 7002), process(&sender, "sender"));
    for counter in ["polls", "polls_failed", "polls_cut"] {
        let name = format!("\nflowloom_system_{counter}_total ");
        assert!(metrics.contains(&name), "no {counter} in\n{metrics}");
    }
    drop((server, udp_server));
}

#[test]
fn a_socket_that_was_closed_before_its_flow_ended_is_known() {
    let Some(net) = Net::with_hosts() else { return };
    let live = net.meter(OPTIONS);
    let peer = there(&net, &["peer", "root", "udp-server", "192.0.2.1:7001"]);
    let client = here(
        &net,
        &["gone", "root", "udp", "192.0.2.2:0", "192.0.2.1:7001"],
    )
    .done();
    wait_for_polls(&live);
    let expected = process(&client, "gone");
    drop((client, peer));
    wait_for_polls(&live);
    let ended = live.stop().exits(0);
    assert_eq!(process_of(&ended, 7001), expected);
}

/// Returns the capabilities that each thread has, with its name: permitted and effective.
fn capabilities(live: &Live) -> Vec<(String, [String; 2])> {
    let threads = fs::read_dir(format!("/proc/{}/task", live.pid())).expect("the process runs");
    threads
        .map(|thread| {
            let status = thread.expect("the process runs").path().join("status");
            let status = fs::read_to_string(status).expect("the thread runs");
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.expect("the kernel reports it").trim().to_owned()
            };
            (field("Name:"), [field("CapPrm:"), field("CapEff:")])
        })
        .collect()
}

#[test]
fn processes_of_other_users_are_found_after_privileges_were_dropped() {
    let Some(net) = Net::with_hosts() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root has permission");
    let file = folder.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    let options = ["--output", path, "--user", "nobody", "--n-meters", "2"];
    let live = net.meter(OPTIONS.into_iter().chain(options));
    live.logs("kept capabilities: CAP_NET_RAW\n");
    live.logs("Landlock denies access to TCP and to all files except the output and the plugins");
    live.logs(
        "INFO system visibility: the thread that reads processes keeps CAP_DAC_READ_SEARCH and \
         CAP_SYS_PTRACE, and is not restricted by Landlock\n",
    );
    // CAP_DAC_READ_SEARCH is number 2, CAP_NET_RAW 13, CAP_SYS_PTRACE 19.
    let capabilities = capabilities(&live);
    assert!(capabilities.len() > 3, "{capabilities:?}");
    let mut reading = 0;
    for (name, sets) in &capabilities {
        let expected = match name.as_str() {
            "flowloom-system" => {
                reading += 1;
                "0000000000080004"
            }
            _ => "0000000000002000",
        };
        assert_eq!(*sets, [expected; 2], "{name}");
    }
    assert_eq!(reading, 1, "{capabilities:?}");
    let programs = [("root", 7001), (OTHER, 7002), ("65534", 7003)].map(|(user, port)| {
        let address = format!("192.0.2.1:{port}");
        let peer = there(&net, &["peer", "root", "tcp-server", &address]);
        let client = here(&net, &[user, user, "tcp", "192.0.2.2:0", &address]);
        (client.done(), peer.done(), user, port)
    });
    wait_for_polls(&live);
    live.stop().exits(0);
    let flows = fs::read_to_string(&file).expect("the run wrote it");
    let flows = crate::flows::parse(&flows);
    for (client, _, user, port) in &programs {
        let flow = flows.iter().find(|flow| flow["dst_port"] == *port);
        let flow = flow.expect("there is a flow");
        assert_eq!(flow["system_process_pid"], client.pid(), "{user}");
        assert_eq!(flow["system_process_name"], *user);
    }
}

#[test]
fn the_options_for_privileges_apply_to_the_other_threads() {
    let Some(net) = Net::with_hosts() else { return };
    let message = "system visibility: the thread that reads processes keeps CAP_DAC_READ_SEARCH and \
                   CAP_SYS_PTRACE\n";
    for (option, has_message) in [
        ("--keep-privileges=files", true),
        ("--keep-privileges", false),
    ] {
        let live = net.meter(OPTIONS.into_iter().chain([option]));
        wait_for_polls(&live);
        assert_eq!(live.log().contains(message), has_message, "{}", live.log());
        let all = capabilities(&live);
        let of = |is_reading: bool| -> HashSet<_> {
            let threads = all.iter();
            let threads = threads.filter(|(name, _)| (name == "flowloom-system") == is_reading);
            threads.map(|(_, sets)| sets[1].as_str()).collect()
        };
        assert_eq!(of(true), ["0000000000080004"].into(), "{option}");
        let is_dropped = of(false) == ["0000000000002000"].into();
        assert_eq!(is_dropped, has_message, "{option}: {all:?}");
        let peer = there(&net, &["peer", "root", "tcp-server", "192.0.2.1:7001"]);
        let arguments = ["other", OTHER, "tcp", "192.0.2.2:0", "192.0.2.1:7001"];
        let client = here(&net, &arguments).done();
        wait_for_polls(&live);
        let ended = live.stop().exits(0);
        assert_eq!(process_of(&ended, 7001), process(&client, "other"));
        drop((client, peer));
    }
}

#[test]
fn without_the_capabilities_only_processes_of_the_user_are_found() {
    let Some(net) = Net::with_hosts() else { return };
    let before = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all"];
    let live = Live::start(&net, Some(&before), OPTIONS);
    live.logs(
        "WARN system visibility finds only processes of this user: the run has no CAP_SYS_PTRACE\n",
    );
    let peer = there(&net, &["peer", "root", "tcp-server", "192.0.2.1:7001"]);
    let client = here(
        &net,
        &["other", OTHER, "tcp", "192.0.2.2:0", "192.0.2.1:7001"],
    )
    .done();
    wait_for_polls(&live);
    let ended = live.stop().exits(0);
    assert_eq!(process_of(&ended, 7001), (None, None));
    drop((client, peer));
}

/// Starts processes with a socket that end at once.
const SHORT_LIVED: &str = r#"
import os, socket
for _ in range(400):
    if os.fork() == 0:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("192.0.2.2", 0))
        os._exit(0)
    os.waitpid(-1, os.WNOHANG)
"#;

#[test]
fn processes_that_vanish_do_not_stop_the_polls() {
    let Some(net) = Net::with_hosts() else { return };
    let live = net.meter(OPTIONS);
    net.run("/usr/bin/python3", ["-c", SHORT_LIVED]);
    let peer = there(&net, &["peer", "root", "tcp-server", "192.0.2.1:7001"]);
    let client = here(
        &net,
        &["client", "root", "tcp", "192.0.2.2:0", "192.0.2.1:7001"],
    )
    .done();
    let report = wait_for_polls(&live);
    assert_eq!(report["polls_failed"], 0, "{}", live.log());
    let ended = live.stop().exits(0);
    assert_eq!(process_of(&ended, 7001), process(&client, "client"));
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    drop(peer);
}

#[test]
fn without_the_option_nothing_is_polled_and_flows_have_no_process() {
    let Some(net) = Net::with_hosts() else { return };
    let live = net.meter(["--performance-report", "1"]);
    until("there is a report", || last_report(&live).0 > 0);
    assert!(last_report(&live).1["system"].is_null());
    let peer = there(&net, &["peer", "root", "udp-server", "192.0.2.1:7001"]);
    let client = here(&net, &["c", "root", "udp", "192.0.2.2:0", "192.0.2.1:7001"]).done();
    let ended = live.stop().exits(0);
    let [flow] = &ended.flows[..] else {
        panic!("{:?}", ended.flows);
    };
    assert!(!flow.keys().any(|name| name.starts_with("system_process")));
    assert!(!ended.log.contains("system visibility"), "{}", ended.log);
    drop((client, peer));
}

#[test]
fn the_configuration_of_an_interface_has_the_columns() {
    let columns = ["--select", "system_process_pid,system_process_name,id"];
    let check = || meter("lo").arg("--check-config").args(columns);
    let run = check().arg("--system-visibility").run().exits(0);
    assert_eq!(
        run.stdout,
        "the configuration is valid: 1 sources, 0 plugins, 3 columns\n"
    );
    let stderr = check().run().exits(2).stderr;
    assert!(stderr.contains("with --system-visibility"), "{stderr}");
}

#[test]
fn files_have_no_processes() {
    let run = meter("dns.pcap")
        .args(["--system-visibility"])
        .run()
        .exits(2);
    assert_eq!(
        run.stderr,
        "flowloom: --system-visibility: it is for an interface of this machine, and the sources are files\n"
    );
    let run = meter("dns.pcap")
        .args(["--system-visibility-poll-ms", "5"])
        .run();
    assert!(run.exits(2).stderr.contains("--system-visibility"));
}
