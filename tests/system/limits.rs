//! Tests of the limits of plugins in the policy, and of the limits of the compiler.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowloom::plugin::{ChildCompiler, Compiler as _, PluginSource};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::command::{Command, flowloom, meter};
use crate::flows::Flow;
use crate::guests::{file, plugin, udps};
use crate::pcap;

fn policy(text: &str) -> (TempDir, PathBuf) {
    file("flowloom.toml", format!("version = 1\n{text}"))
}

impl Command {
    fn policy(self, path: &Path) -> Self {
        self.arg("--policy").arg(path)
    }
}

fn digest(path: &Path) -> String {
    hex::encode(Sha256::digest(fs::read(path).expect("a plugin")))
}

#[test]
fn a_policy_pins_files_by_digest() {
    let sha256 = digest(&plugin("evil"));
    let (_folder, path) = policy(&format!(
        "unlisted = \"refuse\"\n[plugins.evil]\nsha256 = \"{sha256}\"\n[plugins.slicer]\n\
         sha256 = \"{sha256}\"\n"
    ));
    meter("dns.pcap").plugin("evil").policy(&path).run().done();
    let slicer = plugin("slicer");
    meter("dns.pcap")
        .plugin("slicer")
        .policy(&path)
        .run()
        .fails(&format!(
            "plugin 'slicer': {} has SHA-256 {}, but only {sha256} may be loaded",
            slicer.display(),
            digest(&slicer)
        ));
    meter("dns.pcap")
        .plugin("packet_stats")
        .policy(&path)
        .run()
        .fails(
            "plugin 'packet_stats': is not listed in the policy, which rejects unlisted plugins; \
                add a section [plugins.NAME]",
        );
}

#[test]
fn a_policy_grants_and_sets_options() {
    let (_folder, path) = policy(
        "[plugins.evil]\ngrants = [\"payload:4\"]\n\
         options = { mode = \"shown\", payload = 9, outputs = \"ip:text+payload:bytes+bytes:bytes\" }\n",
    );
    let run = meter("dns.pcap")
        .plugin("evil")
        .policy(&path)
        .jsonl()
        .run()
        .done();
    for flow in run.flows() {
        let payload = udps(&flow, "evil")["payload"].as_str().expect("a payload");
        assert_eq!(payload.len(), 8, "four bytes in hexadecimal");
    }
}

#[test]
fn an_invalid_policy_is_rejected() {
    let (_folder, path) = policy("[plugins.evil]\ngrant = []\n");
    let run = meter("dns.pcap")
        .plugin("evil")
        .policy(&path)
        .run()
        .exits(1);
    let start = format!(
        "flowloom: policy {}: TOML parse error at line 3, ",
        path.display()
    );
    assert!(run.stderr.starts_with(&start), "{run}");
    assert!(run.stderr.contains("unknown field `grant`"), "{run}");
}

#[test]
fn flows_above_the_flow_limit_are_skipped() {
    let (_folder, path) = policy("[limits]\nflows = 2\n");
    for call_mode in Command::CALLS {
        let run = meter("dns.pcap")
            .plugin("evil")
            .args(call_mode)
            .policy(&path)
            .jsonl()
            .run()
            .done();
        let has_value = |flow: &&Flow| !udps(flow, "evil")["count"].is_null();
        assert_eq!(run.flows().iter().filter(has_value).count(), 2, "{run}");
        let skipped = ", 7 flows skipped: the plugin reached its flow limit";
        assert!(run.stderr.contains(skipped), "{run}");
    }
}

#[test]
fn meters_share_the_flow_limit_of_a_plugin() {
    let (_folder, path) = policy("[limits]\nflows = 30\n");
    let mut capture = pcap::HEADER.to_vec();
    for port in 1..=300 {
        capture.extend(packets(1, 2, port));
    }
    for (meters, held) in [("1", 30), ("2", 30), ("3", 30), ("4", 28)] {
        let run = meter("-")
            .stdin(capture.as_slice())
            .plugin("evil")
            .args(["--n-meters", meters])
            .policy(&path)
            .jsonl()
            .run()
            .done();
        let has_value = |flow: &&Flow| !udps(flow, "evil")["count"].is_null();
        assert_eq!(run.flows().iter().filter(has_value).count(), held, "{run}");
        let skipped = format!(
            ", {} flows skipped: the plugin reached its flow limit",
            300 - held
        );
        assert!(run.stderr.contains(&skipped), "{run}");
    }
}

#[test]
fn the_policy_limits_memory_and_time() {
    let (_folder, path) = policy("[plugins.evil.limits]\nmemory-mib = 1\n");
    let run = meter("dns.pcap")
        .plugin("evil")
        .policy(&path)
        .run()
        .exits(1);
    assert!(run.stderr.contains("1048576 are allowed"), "{run}");
    let (_folder, path) = policy("[limits]\ncall-ms = 30\n");
    let run = meter("dns.pcap")
        .plugin("evil,mode=loop,at=init")
        .policy(&path)
        .run()
        .incomplete();
    assert!(
        run.stderr
            .contains(": it took more than 30 ms of CPU time in "),
        "{run}"
    );
}

#[test]
fn a_plugin_above_its_time_per_event_gets_a_back_off() {
    let (_folder, path) = policy("[limits]\nns-per-event = 10000\ncall-ms = 2000\n");
    let alone = meter("dns.pcap").jsonl().run().done().flows();
    for call_mode in Command::CALLS {
        let run = meter("dns.pcap")
            // The flows have 32 packets and 9 ends.
            .plugin("evil,mode=busy,at=update")
            .args(call_mode)
            .policy(&path)
            .jsonl()
            .run()
            .incomplete();
        let mut flows = run.flows();
        for flow in &mut flows {
            flow.remove("udps");
        }
        assert_eq!(flows, alone, "{run}");
        let is_logged = run.stderr.lines().any(|line| {
            line.contains("ERROR plugin evil: stopped in ")
                && line.contains(": it took ")
                && line.contains(
                    " ns of CPU time per event; 10000 are allowed; the flows that it held ",
                )
        });
        assert!(is_logged, "{run}");
        assert!(
            run.stderr
                .contains(" back-offs: the plugin took too much time"),
            "{run}"
        );
    }
}

#[test]
fn compiling_is_bounded() {
    // SAFETY: `sleep` writes no output, so no compiled code is loaded.
    #[allow(unsafe_code, reason = "the compiler is `sleep`")]
    let slow = unsafe { ChildCompiler::new("/bin/sleep", ["60"]) };
    let slow = slow.limits(Duration::from_secs(1), ChildCompiler::MEMORY);
    let error = slow
        .compile(&PluginSource::File("a.wasm".into()), b"a plugin")
        .err()
        .expect("the compiler exceeds its time limit");
    assert_eq!(error.reason(), "it takes more than 1 s");
    let run = meter("dns.pcap")
        .plugin("evil")
        .args(["--plugin-cache", "none", "--compile-memory", "40"])
        .run()
        .exits(1);
    assert!(run.stderr.contains(" does not compile: "), "{run}");
    assert!(run.stderr.contains("40 MiB of memory are allowed"), "{run}");
}

/// Returns the packets of one flow, one per second.
fn packets(from: u32, to: u32, port: u16) -> Vec<u8> {
    (from..to)
        .flat_map(|second| pcap::packet(u64::from(second) * 1_000, port))
        .collect()
}

#[test]
fn a_plugin_that_allocates_without_end_leaves_the_host_memory_bounded() {
    let mut child = meter("-")
        .args(["--output", "/dev/null", "--plugin-calls", "per-event"])
        .plugin("evil,mode=bomb,at=init")
        .start();
    let mut stdin = child.stdin.take().expect("the stream is piped");
    let mut log = BufReader::new(child.stderr.take().expect("the stream is piped")).lines();
    stdin
        .write_all(&pcap::HEADER)
        .expect("the command reads its input");
    // A new flow begins every second. After each back-off a new instance allocates memory until it traps.
    for second in 1..40 {
        stdin
            .write_all(&packets(second, second + 1, second as u16))
            .expect("the command reads its input");
    }
    stdin.flush().expect("the command reads its input");
    let mut bombs = 0;
    while bombs < 4 {
        let line = log
            .next()
            .expect("the expected line is logged before the end")
            .expect("text");
        let traps = ["; 268435456 are allowed", "ms of CPU time"];
        bombs += u32::from(traps.iter().any(|trap| line.contains(trap)));
    }
    let status =
        fs::read_to_string(format!("/proc/{}/status", child.id())).expect("the process runs");
    let most = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next())
        .and_then(|kib| kib.parse::<u64>().ok())
        .expect("Linux reports VmHWM");
    // The memory limit of one instance, and 128 MiB for the host.
    assert!(most < (256 + 128) << 10, "{most} KiB");
    drop(stdin);
    child.wait().expect("the process ends");
}

#[test]
fn changes_of_a_watched_folder_and_policy_take_effect_while_packets_flow() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("flowloom.toml");
    let write_policy = |options: &str| {
        let text = format!("version = 1\n[plugins.evil.options]\n{options}\n");
        fs::write(&path, text).expect("the folder is writable");
    };
    write_policy("plus = 0");
    fs::copy(plugin("evil"), folder.path().join("evil.wasm")).expect("the folder is writable");
    let mut child = meter("-")
        .jsonl()
        .args(["--watch", "--plugins"])
        .arg(folder.path())
        .arg("--policy")
        .arg(&path)
        .start();
    let mut stdin = child.stdin.take().expect("the stream is piped");
    let mut log = BufReader::new(child.stderr.take().expect("the stream is piped")).lines();
    let mut wait_for = |words: &str| loop {
        let line = log
            .next()
            .expect("the expected line is logged before the end")
            .expect("text");
        if line.contains(words) {
            return;
        }
    };
    let mut feed = |bytes: &[u8]| {
        stdin.write_all(bytes).expect("the command reads its input");
        stdin.flush().expect("the command reads its input");
    };
    feed(&pcap::HEADER);
    feed(&packets(1, 4, 1));
    std::thread::sleep(std::time::Duration::from_millis(300));
    // An invalid option changes nothing. Other options load a new generation.
    write_policy("plus = \"many\"");
    wait_for(
        "plugin 'evil': cannot be opened: option `plus` must be a number; the loaded plugins \
         are unchanged",
    );
    feed(&packets(4, 6, 1));
    write_policy("plus = 100");
    wait_for("INFO plugin evil: ");
    // The live flow keeps its generation. A new flow uses the new one.
    feed(&packets(6, 9, 1));
    feed(&packets(9, 11, 2));
    fs::remove_file(folder.path().join("evil.wasm")).expect("the path exists");
    wait_for("INFO plugin evil: removed, because its file is gone");
    feed(&packets(11, 12, 3));
    drop(stdin);
    let mut stdout = String::new();
    child
        .stdout
        .take()
        .expect("the stream is piped")
        .read_to_string(&mut stdout)
        .expect("text");
    assert!(child.wait().expect("the process ends").success());
    let counts: Vec<_> = stdout
        .lines()
        .map(|line| {
            let flow: Flow = serde_json::from_str(line).expect("JSON");
            let value = flow.get("udps").map(|udps| udps["evil"]["count"].clone());
            (flow["src_port"].clone(), value)
        })
        .collect();
    let value = |count: u64| Some(count.into());
    assert_eq!(
        counts,
        [
            (1.into(), value(8)),
            (2.into(), value(102)),
            (3.into(), None)
        ],
        "{stdout}"
    );
}

#[test]
fn watching_needs_a_plugin_folder() {
    let run = flowloom()
        .args(["meter", "dns.pcap", "--watch"])
        .run()
        .exits(2);
    assert!(run.stderr.contains("--plugins <DIR>"), "{run}");
}
