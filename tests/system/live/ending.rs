//! Tests of the end of live captures, and of outputs that fail.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::net::{DNS_FLOWS, Net, output, until};
use crate::command::captures;
use crate::guests::{file, plugin, udps};

#[test]
fn a_signal_ends_all_flows_through_plugins_and_sink() {
    let Some(net) = Net::new() else { return };
    for signal in ["INT", "TERM"] {
        for meters in ["1", "2"] {
            let stats = plugin("packet_stats");
            let words = ["--n-meters", meters, "--plugin"];
            let live = net.meter(words.into_iter().chain(stats.to_str()));
            net.replay(Path::new("dns.pcap"), &[]);
            live.signal(signal);
            let ended = live.end().exits(0);
            assert_eq!(ended.flows.len(), DNS_FLOWS, "{}", ended.log);
            for flow in &ended.flows {
                let counted = &udps(flow, "packet_stats")["src2dst_count"];
                assert_eq!(*counted, flow["src2dst_packets"]);
            }
            assert!(
                ended.log.contains("stopping: all flows end"),
                "{}",
                ended.log
            );
        }
    }
}

#[test]
fn a_second_signal_ends_the_run_at_once() {
    let Some(net) = Net::new() else { return };
    // The output is a pipe that nothing reads.
    let live = net.meter(["--output", "/dev/stdout", "--idle-timeout", "0"]);
    for _ in 0..4 {
        net.replay(Path::new("tls13.pcap"), &["--loop=100"]);
    }
    live.signal("TERM");
    live.logs("stopping: all flows end");
    thread::sleep(Duration::from_secs(1));
    live.signal("TERM");
    let ended = live.end();
    assert_eq!(ended.status.signal(), Some(15), "{}", ended.log);
}

/// Parses the last log line of a run that could not write all flows in time. Returns the numbers of all flows and of
/// lost flows.
fn all_and_lost(log: &str) -> (u64, u64) {
    let words = "cannot write all flows within 1 s of the signal: ";
    let (_, numbers) = log
        .trim_end()
        .rsplit_once(words)
        .unwrap_or_else(|| panic!("{log}"));
    let numbers = numbers
        .strip_suffix(" flows are lost")
        .and_then(|numbers| numbers.split_once(" of "));
    let (lost, begun) = numbers.unwrap_or_else(|| panic!("{log}"));
    let number = |text: &str| text.parse().expect("the text is a number");
    (number(begun), number(lost))
}

#[test]
fn a_blocked_output_cannot_keep_a_run_from_ending() {
    let Some(net) = Net::new() else { return };
    for meters in ["1", "2"] {
        // The output is a pipe that nothing reads.
        let live = net.meter([
            "--output",
            "/dev/stdout",
            "--drain-timeout",
            "1",
            "--n-meters",
            meters,
        ]);
        net.replay(Path::new("tls13.pcap"), &["--loop=1000", "--unique-ip"]);
        live.signal("TERM");
        let ended = live.end().exits(3);
        let (begun, lost) = all_and_lost(&ended.log);
        // A part of the last write may have arrived.
        let came = ended.stdout.lines().count() as u64;
        assert_eq!(begun, 2_000, "{}", ended.log);
        assert!(
            begun - lost <= came && came < begun,
            "{came} came\n{}",
            ended.log
        );
    }
}

#[test]
fn a_slow_plugin_cannot_keep_a_run_from_ending() {
    let Some(net) = Net::new() else { return };
    // Each call is within the time limit, and the policy does not limit the time per event.
    let evil = plugin("evil");
    let evil = format!("{},mode=busy,at=expire", evil.display());
    let (_folder, policy) = file(
        "flowloom.toml",
        "version = 1\n[plugins.evil.limits]\nns-per-event = 0\n",
    );
    let policy = policy.to_str().expect("the path is text");
    for meters in ["1", "2"] {
        let words = ["--plugin-calls", "per-event", "--plugin", &evil];
        let words = words.into_iter().chain(["--policy", policy]);
        let more = ["--drain-timeout", "1", "--n-meters", meters];
        let live = net.meter(words.chain(more));
        net.replay(Path::new("tls13.pcap"), &["--loop=2000", "--unique-ip"]);
        live.signal("TERM");
        let ended = live.end().exits(3);
        let (begun, lost) = all_and_lost(&ended.log);
        assert_eq!(begun, 4_000, "{}", ended.log);
        assert_eq!(ended.flows.len() as u64 + lost, begun, "{}", ended.log);
    }
}

#[test]
fn sighup_reopens_the_output() {
    let Some(net) = Net::new() else { return };
    let live = net.meter(["--idle-timeout", "0"]);
    let moved = live.output().with_extension("old");
    net.replay(Path::new("dns.pcap"), &[]);
    until("flows are written", || !live.flows().is_empty());
    fs::rename(live.output(), &moved).expect("files can be moved");
    live.signal("HUP");
    live.logs("reopened the output");
    until("there is a new file", || live.output().exists());
    let before = fs::read_to_string(&moved)
        .expect("the file was moved")
        .lines()
        .count();
    net.replay(Path::new("dns.pcap"), &[]);
    let ended = live.stop().exits(0);
    let metered = ended.count(" metered") as usize;
    assert_eq!(before + ended.flows.len(), metered, "{}", ended.log);
    assert!(!ended.flows.is_empty());
}

#[test]
fn sighup_reads_the_policy_again() {
    let Some(net) = Net::new() else { return };
    let policy_text = |plus: &str| format!("version = 1\n[plugins.evil.options]\nplus = {plus}\n");
    let (_folder, policy) = file("flowloom.toml", policy_text("0"));
    let evil = plugin("evil");
    let words = [
        "--plugin".as_ref(),
        evil.as_os_str(),
        "--policy".as_ref(),
        policy.as_os_str(),
    ];
    let words = words.into_iter().filter_map(|word| word.to_str());
    let live = net.meter(["--idle-timeout", "0"].into_iter().chain(words));
    // Once flows are written, the plugin is loaded.
    net.replay(Path::new("dns.pcap"), &[]);
    until("flows are written", || !live.flows().is_empty());
    fs::write(&policy, policy_text("\"many\"")).expect("the folder is writable");
    live.signal("HUP");
    live.logs("option `plus` must be a number; the loaded plugins are unchanged");
    fs::write(&policy, policy_text("100")).expect("the folder is writable");
    live.signal("HUP");
    live.logs("newly started flows use it");
    net.replay(Path::new("dns.pcap"), &[]);
    let ended = live.stop().exits(0);
    let pluses: Vec<_> = ended
        .flows
        .iter()
        .map(|flow| {
            let count = udps(flow, "evil")["count"].as_u64().expect("a value");
            count - flow["bidirectional_packets"].as_u64().expect("a counter")
        })
        .collect();
    assert!(pluses.is_sorted(), "{pluses:?}");
    assert_eq!((pluses.first(), pluses.last()), (Some(&0), Some(&100)));
}

#[test]
fn a_full_disk_loses_only_flows_that_are_counted() {
    let Some(net) = Net::new() else { return };
    let disk = Disk::of("64k");
    let file = disk.path().join("flows.jsonl");
    let path = file.to_str().expect("the path is text");
    let live = net.meter(["--idle-timeout", "0", "--output", path]);
    for _ in 0..4 {
        net.replay(Path::new("tls13.pcap"), &[]);
        thread::sleep(Duration::from_millis(300));
    }
    live.logs(&format!(
        "ERROR cannot write to '{path}': No space left on device (os error 28); flows are lost until it \
         works again\n"
    ));
    fs::File::options()
        .write(true)
        .open(&file)
        .and_then(|file| file.set_len(0))
        .expect("the file can be emptied");
    net.replay(Path::new("dns.pcap"), &[]);
    live.logs("the output works again");
    let text = || fs::read_to_string(&file).expect("flows are text");
    let metered = |ended: &super::net::Ended| ended.count(" metered");
    let ended = live.stop().exits(3);
    let lines = text().lines().count() as u64;
    assert_eq!(crate::flows::parse(&text()).len() as u64, lines);
    let lost = ended.count(" not written: the output failed");
    assert!(lines > 0 && lost > 0, "{}", ended.log);
    assert!(
        lines + lost < metered(&ended),
        "some were written and then removed"
    );
}

#[test]
fn flows_are_written_or_counted_as_lost_if_the_disk_stays_full() {
    let Some(net) = Net::new() else { return };
    for (meters, format) in [("1", "jsonl"), ("2", "csv")] {
        let disk = Disk::of("64k");
        let file = disk.path().join("flows");
        let path = file.to_str().expect("the path is text");
        let words = ["--idle-timeout", "0", "--output", path, "--format", format];
        let live = net.meter(words.into_iter().chain(["--n-meters", meters]));
        net.replay(Path::new("tls13.pcap"), &["--loop=500", "--unique-ip"]);
        let ended = live.stop().exits(3);
        let text = fs::read_to_string(&file).expect("flows are text");
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "the file ends in half a line"
        );
        let written = text.lines().count() - usize::from(format == "csv");
        let lost = ended.count(" not written: the output failed");
        let (_, summary) = ended
            .log
            .split_once("\nflows    ")
            .expect("the value is reported");
        let flows: u64 = summary
            .lines()
            .next()
            .and_then(|flows| flows.trim().parse().ok())
            .unwrap_or_else(|| panic!("{}", ended.log));
        assert!(flows >= 1_000, "{}", ended.log);
        assert_eq!(written as u64 + lost, flows, "{}", ended.log);
        assert_eq!(ended.count(" not written: the output was"), 0);
    }
}

#[test]
fn a_named_pipe_without_a_reader_ends_the_run() {
    let Some(net) = Net::new() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pipe = folder.path().join("flows.jsonl");
    output(Command::new("mkfifo").arg(&pipe));
    let path = pipe.to_str().expect("the path is text");
    let reader = {
        let pipe = pipe.clone();
        thread::spawn(move || {
            let mut pipe = fs::File::open(pipe).expect("it can be read");
            pipe.read_exact(&mut [0; 9]).expect("there are flows");
        })
    };
    let mut live = net.meter(["--idle-timeout", "0", "--output", path]);
    until("the process ends", || {
        net.replay(Path::new("dns.pcap"), &[]);
        live.has_ended()
    });
    reader.join().expect("the reader does not panic");
    let ended = live.end().exits(1);
    let message = format!("flowloom: cannot write to '{path}': Broken pipe (os error 32)\n");
    assert!(ended.log.ends_with(&message), "{}", ended.log);
    assert!(ended.count(" not written: the output failed") > 0);
}

#[test]
fn standard_output_without_a_reader_ends_the_run() {
    let Some(net) = Net::new() else { return };
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
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut header = [0; 3];
    let mut stdout = child.stdout.take().expect("the stream is piped");
    stdout.read_exact(&mut header).expect("there is a header");
    assert_eq!(header, *b"id,");
    drop(stdout);
    let mut ended = None;
    until("the process ends", || {
        net.replay(Path::new("dns.pcap"), &[]);
        ended = child.try_wait().expect("the process can be waited for");
        ended.is_some()
    });
    let stderr = child
        .wait_with_output()
        .expect("the process has ended")
        .stderr;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{stderr}");
    assert!(!stderr.contains("Broken pipe"), "{stderr}");
    assert!(
        stderr.contains(" not written: the output failed\n"),
        "{stderr}"
    );
}

#[test]
fn an_unknown_source_is_an_error_that_lists_the_interfaces() {
    let Some(net) = Net::new() else { return };
    let mut command = net.command(env!("CARGO_BIN_EXE_flowloom"));
    let listed = output(command.arg("interfaces"));
    let names: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(names.contains(&"far") && names.contains(&"lo"), "{listed}");
    let fails = |sources: &[&str]| {
        let mut command = net.command(env!("CARGO_BIN_EXE_flowloom"));
        let run = command
            .current_dir(captures())
            .arg("meter")
            .args(sources)
            .output()
            .expect("the command starts");
        assert_eq!(run.status.code(), Some(1));
        String::from_utf8_lossy(&run.stderr).into_owned()
    };
    assert_eq!(
        fails(&["nothing0"]),
        format!(
            "flowloom: cannot open 'nothing0': there is no file and no interface of this name; the \
             interfaces are {}\n",
            names.join(", ")
        )
    );
    assert_eq!(
        fails(&["far", "dns.pcap"]),
        "flowloom: cannot capture from interface 'far' together with other sources; name it alone\n"
    );
}

/// A small tmpfs.
struct Disk(tempfile::TempDir);

impl Disk {
    fn of(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let size = format!("size={size}");
        let mut mount = Command::new("mount");
        output(
            mount
                .args(["-t", "tmpfs", "-o", &size, "flowloom"])
                .arg(folder.path()),
        );
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .output();
    }
}
