//! Tests of captures from pipes, which behave like interfaces, and of signals, which end a run without loss.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::command::{Command, meter};
use crate::flows::{Flow, parse};
use crate::guests::{plugin, udps};
use crate::pcap;

/// A run without output for this time counts as a hang.
const HANGS: Duration = Duration::from_secs(60);

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a clock after 1970").as_millis() as u64
}

/// A run that reads its capture from a pipe that stays open.
struct Piped {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Piped {
    fn start(mut command: Command) -> Self {
        let mut child = command.start();
        let mut stdin = child.stdin.take().expect("the stream is piped");
        stdin
            .write_all(&pcap::HEADER)
            .expect("the command reads its input");
        let stdout = BufReader::new(child.stdout.take().expect("the stream is piped"));
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let _ = tell.send(line.expect("output is text"));
            }
        });
        Self {
            child,
            stdin,
            lines,
        }
    }

    fn send(&mut self, packets: impl IntoIterator<Item = (u64, u16)>) {
        for (time_ms, port) in packets {
            let record = pcap::packet(time_ms, port);
            self.stdin
                .write_all(&record)
                .expect("the command reads its input");
        }
    }

    /// Waits for the next flow.
    fn flow(&self) -> Flow {
        let line = self
            .lines
            .recv_timeout(HANGS)
            .expect("a flow is written in time");
        parse(&line).remove(0)
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let kill = std::process::Command::new("kill")
            .args(["-s", signal, &id])
            .status();
        assert!(kill.expect("kill runs").success());
    }

    /// Waits for the end of the run while the pipe is open. Returns the remaining flows, the exit code and standard
    /// error.
    fn end(mut self) -> (Vec<Flow>, Option<i32>, String) {
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().expect("the stream is piped");
        stderr.read_to_string(&mut log).expect("the log is text");
        let status = self.child.wait().expect("the process ends");
        let flows = self.lines.iter().flat_map(|line| parse(&line)).collect();
        (flows, status.code(), log)
    }
}

#[test]
fn flows_are_written_while_the_pipe_is_open_and_a_signal_loses_none() {
    let stats = plugin("packet_stats");
    for meters in ["1", "2"] {
        for signal in ["INT", "TERM"] {
            let mut run = Piped::start(
                meter("-")
                    .jsonl()
                    .args(["--idle-timeout", "1", "--n-meters", meters, "--plugin"])
                    .arg(&stats),
            );
            let now = now_ms();
            run.send([(now, 1), (now + 1, 1), (now + 2, 2)]);
            // No further packet arrives: the flows end by the clock.
            let mut ports: Vec<_> = (0..2).map(|_| run.flow()["src_port"].as_u64()).collect();
            ports.sort();
            assert_eq!(ports, [Some(1), Some(2)]);
            let later = now_ms();
            run.send((0..50).map(|port| (later, 100 + port)));
            run.signal(signal);
            let (flows, code, log) = run.end();
            assert_eq!(code, Some(0), "{log}");
            assert_eq!(flows.len(), 50, "{log}");
            for flow in &flows {
                assert_eq!(udps(flow, "packet_stats")["src2dst_count"], 1, "{log}");
            }
            assert!(log.contains("packets  53 read, 53 metered"), "{log}");
        }
    }
}

#[test]
fn partial_batches_of_a_busy_pipe_are_metered_in_time() {
    for meters in ["1", "3"] {
        let mut run =
            Piped::start(
                meter("-")
                    .jsonl()
                    .args(["--idle-timeout", "1", "--n-meters", meters]),
            );
        // The first flow ends, while a packet of another flow arrives every 20 ms. A batch of packets is never full.
        run.send([(now_ms(), 1)]);
        let mut first = None;
        for port in 2..3_000 {
            run.send([(now_ms(), port)]);
            first = run.lines.recv_timeout(Duration::from_millis(20)).ok();
            if first.is_some() {
                break;
            }
        }
        let first = parse(&first.expect("a flow ends while packets arrive")).remove(0);
        assert_eq!(first["src_port"], 1);
        run.signal("TERM");
        assert_eq!(run.end().1, Some(0));
    }
}

#[test]
fn a_slow_pipe_does_not_change_the_flows_of_a_recording() {
    let packets: Vec<(u64, u16)> = (0..200).map(|n| (n * 100, (n % 3) as u16)).collect();
    let whole = meter("-")
        .jsonl()
        .args(["--idle-timeout", "1"])
        .stdin(pcap::capture(packets.iter().copied()))
        .run()
        .done();
    let mut run = Piped::start(meter("-").jsonl().args(["--idle-timeout", "1"]));
    let (early, late) = packets.split_at(100);
    run.send(early.iter().copied());
    // No packet arrives for longer than the idle timeout.
    thread::sleep(Duration::from_millis(2_500));
    run.send(late.iter().copied());
    drop(std::mem::replace(
        &mut run.stdin,
        std::process::Command::new("true")
            .stdin(Stdio::piped())
            .spawn()
            .expect("true runs")
            .stdin
            .take()
            .expect("the stream is piped"),
    ));
    let (flows, code, log) = run.end();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(flows, whole.flows(), "{log}");
}

#[test]
fn a_packet_time_in_the_future_does_not_keep_flows_alive() {
    for meters in ["1", "2"] {
        let mut run =
            Piped::start(
                meter("-")
                    .jsonl()
                    .args(["--idle-timeout", "2", "--n-meters", meters]),
            );
        let now = now_ms();
        run.send([(now, 1), (now + 86_400_000, 2), (now + 1, 3)]);
        let ports: Vec<_> = (0..3).map(|_| run.flow()["src_port"].clone()).collect();
        assert_eq!(ports, [1, 2, 3].map(Value::from));
        run.signal("INT");
        let (_, code, log) = run.end();
        assert_eq!(code, Some(0), "{log}");
        let summary = "1 steps back of the clock; each ended all flows";
        assert!(log.contains(summary), "{log}");
        // The packet after the step has its own time.
        assert!(!log.contains("out of order"), "{log}");
    }
}

#[test]
fn a_signal_ends_a_capture_file_with_the_flows_so_far() {
    let count = 400_000;
    let packets = (0..count).map(|n| (n, (n % 60_000) as u16));
    let (_folder, path) = crate::guests::file("x.pcap", pcap::capture(packets));
    for meters in ["1", "2"] {
        let mut child = meter(&path)
            .args(["--idle-timeout", "1", "--n-meters", meters])
            .start();
        let mut stdout = child.stdout.take().expect("the stream is piped");
        let mut first = [0; 1];
        stdout.read_exact(&mut first).expect("a header");
        // Nothing else is read, so that the run blocks before the end of the capture.
        let kill = std::process::Command::new("kill")
            .args(["-s", "INT", &child.id().to_string()])
            .status();
        assert!(kill.expect("kill runs").success());
        let mut text = String::new();
        stdout.read_to_string(&mut text).expect("output is text");
        let mut log = String::new();
        let mut stderr = child.stderr.take().expect("the stream is piped");
        stderr.read_to_string(&mut log).expect("the log is text");
        let status = child.wait().expect("the process ends");
        assert_eq!(status.code(), Some(0), "{log}");
        let flows = text.lines().count() - 1;
        assert!(0 < flows && flows < count as usize, "{flows} flows\n{log}");
        assert!(log.contains(&format!("packets  {flows} read")), "{log}");
        assert!(log.contains(&format!("flows    {flows}\n")), "{log}");
    }
}

/// Runs a command with a terminal as its standard error, and returns what the terminal received. Its input is a capture
/// and a pause.
fn in_terminal(options: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let capture = crate::command::captures().join("dns.pcap");
    let line = format!(
        "(cat '{}'; sleep 1.5) | '{}' meter - -o '{}/flows.csv' --n-dissections 0 {options}",
        capture.display(),
        env!("CARGO_BIN_EXE_flowloom"),
        folder.path().display(),
    );
    let run = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .stdin(Stdio::null())
        .output();
    let run = run.expect("script of util-linux can be run");
    assert!(run.status.success(), "{run:?}");
    String::from_utf8_lossy(&run.stdout).into_owned()
}

#[test]
fn a_terminal_shows_the_status_in_its_last_line() {
    let shown = in_terminal("");
    let (_, status) = shown.split_once("\r\u{1b}[K").expect("a status line");
    assert!(status.contains(" live flows, "), "{shown:?}");
    assert!(status.contains(", nothing lost"), "{shown:?}");
    // The line is removed before the summary.
    let (_, rest) = status
        .rsplit_once("nothing lost\r\u{1b}[K")
        .expect("its removal");
    assert!(rest.starts_with("packets  "), "{shown:?}");
    let quiet = in_terminal("-q");
    assert!(!quiet.contains('\u{1b}'), "{quiet:?}");
}
