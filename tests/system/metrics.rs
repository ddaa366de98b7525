//! Tests of `--metrics` with hostile clients.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{captures, meter};

/// A step that takes longer counts as a hang.
const HANGS: Duration = Duration::from_secs(60);
/// The memory in bytes that the server may use for all its clients.
const MOST_MEMORY: u64 = 32 << 20;

/// A run that waits for its standard input and serves metrics.
struct Waiting {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    address: SocketAddr,
}

impl Waiting {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(options: &[&str]) -> Self {
        let mut command = meter("-").args(["--metrics", "127.0.0.1:0"]).args(options);
        let mut child = command.start();
        let mut log = BufReader::new(child.stderr.take().expect("the stream is piped"));
        let mut line = String::new();
        log.read_line(&mut line).expect("the log names the address");
        let address = line
            .trim_end()
            .split_once(" INFO serving metrics on http://")
            .and_then(|(_, line)| line.strip_suffix("/metrics"))
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("{line}"));
        Self {
            child,
            log,
            address,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the socket listens");
        stream
            .set_read_timeout(Some(HANGS))
            .expect("the timeout is not 0");
        stream
            .set_write_timeout(Some(HANGS))
            .expect("the timeout is not 0");
        stream
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(request.as_bytes());
        let (mut answer, start) = (Vec::new(), Instant::now());
        let _ = stream.read_to_end(&mut answer);
        assert!(start.elapsed() < HANGS, "the server does not close");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Waits until there are metrics, and returns them.
    fn metrics(&self) -> String {
        let start = Instant::now();
        loop {
            let answer = self.ask("GET /metrics HTTP/1.1\r\n\r\n");
            if answer.starts_with("HTTP/1.1 200 ") {
                return answer;
            }
            assert!(start.elapsed() < HANGS, "there are no metrics");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn serves(&self) {
        let answer = self.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }

    fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().nth(0));
        number
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in {status}"))
    }

    fn memory(&self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// Writes the capture to the run, and checks that it writes all flows.
    fn finish(mut self) {
        let capture = fs::read(captures().join("dns.pcap")).expect("the path exists");
        let mut stdin = self.child.stdin.take().expect("the stream is piped");
        let stdout = self.child.stdout.take().expect("the stream is piped");
        let lines = thread::spawn(move || BufReader::new(stdout).lines().count());
        stdin.write_all(&capture).expect("the input is read");
        drop(stdin);
        let mut log = String::new();
        self.log.read_to_string(&mut log).expect("the log is text");
        let status = self.child.wait().expect("the process ends");
        assert!(status.success(), "{status}\n{log}");
        assert_eq!(
            lines.join().expect("the thread does not panic"),
            10,
            "{log}"
        );
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn hostile_clients_neither_end_the_run_nor_fill_its_memory() {
    let run = Waiting::start();
    run.serves();
    let before = run.memory();
    let body = |length: &str| format!("GET /metrics HTTP/1.1\r\nContent-Length: {length}\r\n\r\n");
    let mut held = Vec::new();
    for (request, repeated) in [
        (body("1000000000000000"), 1),
        (body("18446744073709551615"), 1),
        (body("2000"), 1),
        ("GET /metrics HTTP/1.1\r\n".into(), 1),
        // A very long header, and very many requests.
        ("a:b\r\n".into(), 200_000),
        ("GET /metrics HTTP/1.1\r\n\r\n".into(), 20_000),
        ("\0".into(), 1 << 20),
    ] {
        for _ in 0..50 {
            let mut stream = run.connect();
            let start = match request.starts_with("a:b") {
                true => "GET /metrics HTTP/1.1\r\n",
                false => "",
            };
            let bytes = format!("{start}{}", request.repeat(repeated));
            let _ = stream.write_all(bytes.as_bytes());
            held.push(stream);
        }
        run.serves();
    }
    let after = run.memory();
    assert!(
        after < before + MOST_MEMORY,
        "{before} bytes before, {after} after"
    );
    run.finish();
}

#[test]
fn clients_are_served_again_after_file_descriptors_ran_out() {
    let run = Waiting::start();
    // Once metrics are available, the run has opened all its files.
    run.metrics();
    let open = || fs::read_dir(format!("/proc/{}/fd", run.child.id())).expect("the process runs");
    // The limit includes all open files: first no client can connect, then one.
    for room in [0, 1] {
        let limit = open().count() + room;
        let words = [
            format!("--pid={}", run.child.id()),
            format!("--nofile={limit}:"),
        ];
        let limited = Command::new("prlimit").args(words).status();
        assert!(limited.expect("util-linux is installed").success());
        // The kernel queues up to 128 connections of a listening socket.
        let held: Vec<_> = (0..100).map(|_| run.connect()).collect();
        if room > 0 {
            run.serves();
        }
        drop(held);
        // With a higher soft limit the server serves clients again.
        let words = [format!("--pid={}", run.child.id()), "--nofile=1024:".into()];
        let limited = Command::new("prlimit").args(words).status();
        assert!(limited.expect("util-linux is installed").success());
        run.serves();
    }
    run.finish();
}

/// Returns the words of a query that can be names: of metrics, labels and functions.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

#[test]
fn the_dashboard_for_grafana_shows_metrics_that_are_served() {
    let run = Waiting::start_with(&["--feature", "n = count()"]);
    let served = run.metrics();
    let text = include_str!("../../docs/grafana/flowloom.json");
    let dashboard: Value = serde_json::from_str(text).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let (mut queries, mut ids) = (0, BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "{}", panel["title"]);
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let legend = target["legendFormat"].as_str().expect("a legend");
            for metric in words(query).filter(|word| word.starts_with("flowloom_")) {
                queries += 1;
                let lines = served.lines();
                let labels: Vec<_> = lines.filter_map(|line| line.strip_prefix(metric)).collect();
                let has = |label: &str| labels.iter().any(|it| it.contains(&format!("{label}=\"")));
                let is_served = labels.iter().any(|it| it.starts_with([' ', '{']));
                assert!(is_served, "{metric}");
                for label in ["plugin", "stage", "thread"] {
                    let is_used = words(query).any(|word| word == label);
                    assert!(!is_used || has(label), "{label} of {metric}");
                    assert_eq!(
                        is_used,
                        legend.contains(&format!("{{{{{label}}}}}")),
                        "{query}"
                    );
                }
            }
        }
    }
    assert!(queries > 20, "{queries}");
    run.finish();
}
