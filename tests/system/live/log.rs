//! Tests of logs and reports whose pipe is full because nothing reads it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::{fs, io, thread};

use super::net::{DNS_FLOWS, Net, until};

/// The capacity of a pipe in bytes.
const PIPE: usize = 1 << 16;

/// Runs a live capture whose standard error is a full pipe. Returns the number of flows. If `is_read` is set, it also
/// reads the pipe at the end and returns the text.
fn with_full_pipe(net: &Net, options: &[&str], is_read: bool) -> (usize, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("flows.jsonl");
    let (mut reader, mut writer) = io::pipe().expect("there are pipes");
    writer
        .write_all(&[b'x'; PIPE])
        .expect("the pipe has room for it");
    let mut child = net
        .command(env!("CARGO_BIN_EXE_flowloom"))
        .args([
            "meter",
            "far",
            "--n-dissections",
            "0",
            "--idle-timeout",
            "0",
        ])
        .args(options)
        .arg("--output")
        .arg(&file)
        .env("FLOWLOOM_LOG", "debug")
        .env_remove("SUDO_UID")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::from(OwnedFd::from(writer)))
        .spawn()
        .expect("the command starts");
    let lines = || {
        fs::read_to_string(&file)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let signal = |signal: &str| {
        let pid = child.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", signal, &pid])
            .status();
        assert!(sent.expect("kill is installed").success());
    };
    until("the command captures", || {
        net.replay(Path::new("dns.pcap"), &[]);
        lines() > 0
    });
    // The run logs each signal, and still writes all flows.
    for _ in 0..20 {
        signal("HUP");
        thread::sleep(std::time::Duration::from_millis(5));
    }
    let before = lines();
    net.replay(Path::new("dns.pcap"), &[]);
    until("flows are written", || lines() >= before + DNS_FLOWS / 2);
    signal("TERM");
    let log = thread::spawn(move || {
        let mut log = String::new();
        if is_read {
            reader.read_to_string(&mut log).expect("the log is text");
        }
        (reader, log)
    });
    let mut status = None;
    until("the process ends", || {
        status = child.try_wait().expect("the process can be waited for");
        status.is_some()
    });
    let code = status.and_then(|status| status.code());
    let (_, log) = log.join().expect("reading does not panic");
    assert_eq!(code, Some(0), "{log}");
    (lines(), log)
}

#[test]
fn a_full_log_pipe_does_not_block_the_run() {
    let Some(net) = Net::new() else { return };
    for options in [
        &["--n-meters", "1"][..],
        &["--n-meters", "2", "--performance-report", "1"],
    ] {
        let (flows, _) = with_full_pipe(&net, options, false);
        assert!(flows >= DNS_FLOWS);
        // The log is late, but complete and in order.
        let (flows, log) = with_full_pipe(&net, options, true);
        assert!(flows >= DNS_FLOWS);
        let (_, log) = log.split_at(PIPE);
        assert!(log.contains("kept capabilities"), "{log}");
        assert!(log.contains("reopened the output"), "{log}");
        let last = log.lines().last().unwrap_or_default();
        assert!(last.starts_with("time     "), "{log}");
        let (_, summary) = log.split_once("\npackets  ").expect("there is a summary");
        assert!(!summary.contains(" INFO "), "{summary}");
    }
}

#[test]
fn a_full_report_pipe_does_not_block_the_run() {
    let Some(net) = Net::new() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("pipe");
    super::net::output(std::process::Command::new("mkfifo").arg(&pipe));
    // The pipe has a reader, but is full.
    let held = File::options().read(true).write(true).open(&pipe);
    let mut held = held.expect("the pipe can be opened");
    held.write_all(&[b'x'; PIPE])
        .expect("the pipe has room for it");
    let path = pipe.to_str().expect("the path is text");
    let live = net.meter([
        "--performance-report",
        "1",
        "--performance-report-file",
        path,
        "--idle-timeout",
        "0",
    ]);
    until("flows are written", || {
        net.replay(Path::new("dns.pcap"), &[]);
        live.flows().len() > 10 * DNS_FLOWS
    });
    thread::sleep(std::time::Duration::from_secs(2));
    let before = live.flows().len();
    net.replay(Path::new("dns.pcap"), &[]);
    until("flows are written", || live.flows().len() > before);
    live.stop().exits(0);
}
