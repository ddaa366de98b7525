//! Tests of the limits on the resources of the host: values, components and errors of plugins.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flowloom::capture::{LinkType, RawPacket};
use flowloom::plugin::{CallMode, PluginSpec, Registry};
use flowloom::{Meter, Settings, Time, Value};
use tempfile::TempDir;

use crate::command::{Command, Run, flowloom, meter};
use crate::flows::Flow;
use crate::guests::{file, plugin, udps};
use crate::wat::{Module, component};

/// A capture of raw IP.
struct Capture(Vec<u8>);

impl Capture {
    fn new() -> Self {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        bytes.extend([0; 8]);
        bytes.extend(65_575_u32.to_le_bytes());
        bytes.extend(101_u32.to_le_bytes());
        Self(bytes)
    }

    fn packet(&mut self, seconds: u32, packet: &[u8]) {
        let len = packet.len() as u32;
        for word in [seconds, 0, len, len] {
            self.0.extend(word.to_le_bytes());
        }
        self.0.extend(packet);
    }

    /// Returns a capture with `flows` flows of one packet with `payload` bytes of payload. A packet 2 minutes later
    /// ends them all.
    fn heavy(flows: u16, payload: usize) -> Self {
        let mut capture = Self::new();
        for port in 0..flows {
            capture.packet(1, &v4(17, &udp(1_000 + port, &vec![b'x'; payload])));
        }
        capture.packet(121, &v4(17, &udp(9, b"last")));
        capture
    }

    fn file(&self) -> (TempDir, PathBuf) {
        file("made.pcap", &self.0)
    }
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    let header = [port, 53, len, 0].map(u16::to_be_bytes).concat();
    [&header, payload].concat()
}

/// Returns an IPv4 packet from 192.0.2.1 to 192.0.2.2.
fn v4(protocol: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + content.len() as u16).to_be_bytes();
    let header = [
        0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    [&header, content].concat()
}

/// Returns an IPv6 packet from 2001:db8::1 to 2001:db8::2.
fn v6(protocol: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, protocol, 64];
    for host in [1, 2] {
        packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    [&packet, content].concat()
}

/// Returns a run with the guest `evil`, which outputs the first payload of each flow.
fn payloads(capture: &Path, call_mode: &[&str]) -> Command {
    meter(capture)
        .plugin("evil,mode=shown,payload=60000,outputs=ip:text+payload:bytes+bytes:bytes")
        .grant("evil=payload:60000")
        .args(call_mode)
        .jsonl()
}

/// Returns how many flows have a payload.
fn with_payload(run: &Run) -> usize {
    let has_payload = |flow: &&Flow| !udps(flow, "evil")["payload"].is_null();
    run.flows().iter().filter(has_payload).count()
}

#[test]
fn values_above_the_limit_of_a_flow_are_null_and_counted() {
    let (_folder, capture) = Capture::heavy(3, 2_000).file();
    let (_folder, policy) = file("flowloom.toml", "version = 1\n[limits]\noutput-kib = 1\n");
    for call_mode in Command::CALLS {
        let run = payloads(&capture, call_mode).run().done();
        assert_eq!((run.flows().len(), with_payload(&run)), (4, 4), "{run}");
        let run = payloads(&capture, call_mode)
            .arg("--policy")
            .arg(&policy)
            .run()
            .done();
        assert_eq!((run.flows().len(), with_payload(&run)), (4, 1), "{run}");
        let counted = ", 3 values null: the flow reached its limit of bytes (output-kib)";
        assert!(run.stderr.contains(counted), "{run}");
    }
}

#[test]
fn meters_wait_for_the_writer_and_lose_no_values() {
    // The values of one batch stay below the size limit of a result.
    let flows = 2_400;
    let (_folder, capture) = Capture::heavy(flows, 12_000).file();
    // A call copies megabytes. A debug build needs more than the default of 100 ms.
    let (_folder, policy) = file("flowloom.toml", "version = 1\n[limits]\ncall-ms = 60000\n");
    let payloads = |call_mode| payloads(&capture, call_mode).arg("--policy").arg(&policy);
    let all = payloads(Command::CALLS[0]).run().done();
    assert_eq!(with_payload(&all), usize::from(flows) + 1, "{}", all.stderr);
    for call_mode in Command::CALLS {
        for meters in ["1", "2", "4"] {
            let run = payloads(call_mode)
                .args(["--n-meters", meters, "--queue-mib", "16"])
                .run()
                .done();
            assert!(
                run.stdout == all.stdout,
                "{meters} {call_mode:?}: {}",
                run.stderr
            );
        }
    }
}

#[test]
fn a_full_queue_loses_values_but_no_flow() {
    // The last packet ends flows with 42 MB of values at once. The limit of a meter is at least 32 MiB.
    let flows = 3_500;
    let mut settings = Settings::default();
    settings.n_dissections = 0;
    settings.queue_bytes = 16 << 20;
    let registry = Registry::new(settings.schema()).expect("the engine starts");
    let spec = PluginSpec::new(plugin("evil"))
        .option("mode", "shown")
        .option("payload", "60000")
        .option("outputs", "ip:text+payload:bytes+bytes:bytes")
        .grant("payload:60000".parse().expect("a grant"));
    // A call copies megabytes. A debug build needs more than the default of 100 ms.
    let mut limits = spec.limits;
    limits.call = Duration::from_secs(60);
    for call_mode in [CallMode::Auto, CallMode::PerEvent] {
        let name = format!("evil{}", call_mode as u8);
        let mut spec = spec.clone().name(&name).calls(call_mode);
        spec.limits = limits;
        let plugin = registry.load(spec).expect("the plugin loads");
        let mut meter = Meter::new(settings, &[plugin]).expect("a meter");
        for port in 0..=flows {
            let data = v4(17, &udp(1_000 + port, &[b'x'; 12_000]));
            let seconds = if port < flows { 1 } else { 121 };
            meter.push([RawPacket {
                time: Time::from_ns(seconds * 1_000_000_000),
                link: LinkType(101),
                wire_len: data.len() as u32,
                data: &data,
            }]);
        }
        meter.flush();
        let ended: Vec<_> = std::iter::from_fn(|| meter.next_flow()).collect();
        let with_payload = ended
            .iter()
            .filter(|flow| flow.udps().get(&name, "payload") != Some(Value::Null))
            .count();
        assert_eq!(ended.len(), usize::from(flows));
        assert!((300..ended.len()).contains(&with_payload), "{with_payload}");
        let lost = (ended.len() - with_payload) as u64;
        assert_eq!(meter.plugins()[0].flows_overflowed, lost);
    }
}

#[test]
fn payload_that_may_contain_addresses_is_withheld_with_pseudonyms() {
    let mut capture = Capture::new();
    let inner = v4(17, &udp(1_000, b"secret"));
    let inner6 = v6(17, &udp(1_000, b"secret"));
    for kind in [3, 4, 5, 11, 12] {
        capture.packet(
            1,
            &v4(1, &[&[kind, 1, 0, 0, 0, 0, 0, 0], &inner[..]].concat()),
        );
    }
    for kind in [1, 2, 3, 4] {
        capture.packet(
            1,
            &v6(58, &[&[kind, 0, 0, 0, 0, 0, 0, 0], &inner6[..]].concat()),
        );
    }
    // GRE and OSPF.
    capture.packet(1, &v4(47, &[&[0, 0, 8, 0], &inner[..]].concat()));
    capture.packet(1, &v4(89, &[192, 0, 2, 1]));
    capture.packet(1, &v4(17, &udp(2_000, b"shown")));
    let (_folder, capture) = capture.file();
    for call_mode in Command::CALLS {
        let run = |grants: &str| {
            meter(&capture)
                .plugin("evil,mode=shown,payload=64,outputs=ip:text+payload:bytes+bytes:bytes")
                .grant(grants)
                .args(call_mode)
                .arg("--no-decode-tunnels")
                .jsonl()
                .run()
                .done()
        };
        assert!(with_payload(&run("evil=payload:64")) > 3);
        let shown = run("evil=pseudonyms,payload:64");
        let payloads: Vec<_> = shown
            .flows()
            .iter()
            .map(|flow| udps(flow, "evil")["payload"].clone())
            .filter(|payload| !payload.is_null())
            .collect();
        assert_eq!(payloads, [hex::encode("shown")], "{shown}");
    }
}

/// Returns a component that instantiates nested components. Their number doubles at each level.
fn doubling(levels: u32) -> String {
    let mut text = "(component $c0)".to_owned();
    for level in 1..=levels {
        let below = level - 1;
        text = format!(
            "(component $c{level} {text} (instance (instantiate $c{below})) \
             (instance (instantiate $c{below})))"
        );
    }
    format!("(component {text} (instance (instantiate $c{levels})))")
}

#[test]
fn exponentially_nested_components_are_rejected_before_instantiation() {
    for levels in [10, 14] {
        let (_folder, path) = component(&doubling(levels));
        let count = 2_u32.pow(levels + 1);
        let reason = format!(
            "plugin 'hand': {} does not compile: it has {count} instances of nested components; at \
             most \
             1024 are accepted",
            path.display()
        );
        for meters in ["1", "4"] {
            meter("dns.pcap")
                .arg("--plugin")
                .arg(&path)
                .args(["--n-meters", meters])
                .run()
                .fails(&reason);
        }
        flowloom()
            .args(["plugin", "check"])
            .arg(&path)
            .run()
            .fails(&reason);
    }
}

#[test]
fn the_error_of_a_plugin_is_one_short_line() {
    let message = "\u{1b}[31m\r\nERROR all is well\u{2028}\u{202e}\u{200b}\u{feff}\u{e0041}";
    let escaped = r"\u{1b}[31m\u{d}\u{a}ERROR all is well\u{2028}\u{202e}\u{200b}\u{feff}\u{e0041}";
    for (count, shown) in [(1, escaped.to_owned()), (1_000, escaped.repeat(11))] {
        let text = message.repeat(count);
        let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        let len: String = (text.len() as u32)
            .to_le_bytes()
            .map(|byte| format!("\\{byte:02x}"))
            .concat();
        // The error case of a result, with a string at address 2048.
        let data = format!(
            "(data (i32.const 1024) \"\\01\\00\\00\\00\\00\\08\\00\\00{len}\") \
             (data (i32.const 2048) \"{bytes}\")"
        );
        let module = Module {
            more: data.leak(),
            ..Module::default()
        };
        let (_folder, path) = module.file();
        let run = meter("dns.pcap").arg("--plugin").arg(path).run().exits(1);
        let start = format!("flowloom: plugin 'hand': cannot be opened: {shown}");
        assert!(run.stderr.starts_with(&start), "{run}");
        assert_eq!(run.stderr.lines().count(), 1, "{run}");
        assert!(run.stderr.len() < 1_200, "{}", run.stderr.len());
    }
}

#[test]
fn paths_in_errors_are_escaped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("a\n\u{1b}[31mERROR.pcap");
    let shown = folder.path().join(r"a\u{a}\u{1b}[31mERROR.pcap");
    let shown = shown.display();
    std::fs::write(&path, "no capture at all").expect("a temporary file");
    let run = meter(&path).run().exits(1);
    let start = format!("flowloom: cannot read '{shown}': it is not a capture (");
    assert!(run.stderr.starts_with(&start), "{run}");
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
    let with = |option: &str| {
        meter("dns.pcap")
            .arg(option)
            .arg(&path)
            .plugin("evil")
            .run()
    };
    let start = format!("flowloom: policy {shown}: ");
    let run = with("--policy").exits(1);
    assert!(run.stderr.starts_with(&start), "{run}");
    assert!(!run.stderr.contains('\u{1b}'), "{run}");
    let wasm = path.with_extension("wasm");
    std::fs::copy(plugin("evil"), &wasm).expect("a copy");
    let run = meter("dns.pcap")
        .arg("--plugin")
        .arg(format!("evil={}", wasm.display()))
        .args(["--plugin-cache", "none"])
        .run();
    assert!(!run.stderr.contains('\u{1b}'), "{run}");
}
