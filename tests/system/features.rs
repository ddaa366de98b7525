//! Tests of the plugins that replace NFStream's plugins, on the captures of this repository.

use std::path::Path;
use std::process;

use serde_json::{Map, Value, json};

use crate::command::{Command, HOST, captures, meter};
use crate::flows::Flow;
use crate::golden::{bless, folder};
use crate::guests::{plugin, udps};
use crate::nfstream;

/// Plugins with their grants, and the captures that exercise them most.
const PLUGINS: [(&str, &str, &[&str]); 3] = [
    (
        "dhcp",
        "addresses,payload:1500",
        &["dhcp.pcap", "dhcp-clients.pcap"],
    ),
    ("mdns", "payload:9000", &["mdns.pcap", "mdns-names.pcap"]),
    (
        "ja4",
        "payload:16384",
        &["tls12.pcap", "tls13.pcap", "quic.pcap", "tls-clients.pcap"],
    ),
];

/// Captures with many kinds of flows: protocols, tunnels, sizes, times.
const KINDS: [&str; 12] = [
    "active.pcap",
    "clock.pcap",
    "dns.pcap",
    "fragments.pcap",
    "gtp.pcap",
    "http.pcap",
    "icmp.pcap",
    "idle.pcap",
    "ipv6.pcap",
    "long-ping.pcap",
    "loopback.pcap",
    "odd.pcap",
];

/// The host has the same columns. `golden.rs` compares those with NFStream.
#[test]
fn splt_equals_the_host_in_both_call_modes() {
    for capture in KINDS {
        for mode in ["0", "1", "2", "3"] {
            let options = format!("splt,sequence_length=7,accounting_mode={mode}");
            let [auto, per_event] = Command::CALLS.map(|call_mode| {
                let run = meter(capture)
                    .args(["--accounting-mode", mode, "--splt-analysis", "7"])
                    .args(call_mode)
                    .plugin(&options)
                    .jsonl()
                    .run();
                run.done()
            });
            assert!(!auto.flows().is_empty(), "{capture}");
            assert_eq!(auto.stdout, per_event.stdout, "{capture}");
            for flow in auto.flows() {
                for list in ["splt_direction", "splt_ps", "splt_piat_ms"] {
                    assert_eq!(udps(&flow, "splt")[list], flow[list], "{capture}: {flow:?}");
                }
            }
        }
    }
}

/// `tests/oracle/plugins.py` has checked the golden files with NFStream and with independent code.
#[test]
fn features_of_own_captures_are_unchanged() {
    let mut wrong = String::new();
    for (name, grant, captures) in PLUGINS {
        let grant = format!("{name}={grant}");
        let mut lines = String::new();
        for capture in captures {
            let [auto, per_event] = Command::CALLS.map(|call_mode| {
                let run = meter(capture).args(call_mode).plugin(name).grant(&grant);
                run.jsonl().run().done()
            });
            assert_eq!(auto.stdout, per_event.stdout, "{capture}");
            let flows = auto.flows();
            assert!(!flows.is_empty(), "{capture}");
            for flow in flows {
                lines += &line(capture, name, &flow);
            }
        }
        let golden = folder().join("features").join(format!("{name}.jsonl"));
        if let Some(before) = bless(&golden, &lines) {
            let both = before.lines().zip(lines.lines());
            let different = both.clone().find(|(before, now)| before != now);
            wrong += &format!("{}: {different:#?}\n", golden.display());
        }
    }
    assert!(
        wrong.is_empty(),
        "FLOWLOOM_BLESS=1 rewrites the files:\n{wrong}"
    );
}

/// Returns a JSON line with the values of a plugin, the capture and the flow.
fn line(capture: &str, plugin: &str, flow: &Flow) -> String {
    let mut line = Map::new();
    line.insert("capture".to_owned(), json!(capture));
    for column in [
        "id",
        "src_ip",
        "src_port",
        "dst_ip",
        "dst_port",
        "expiration_id",
    ] {
        line.insert(column.to_owned(), flow[column].clone());
    }
    line.insert(plugin.to_owned(), json!(udps(flow, plugin)));
    Value::Object(line).to_string() + "\n"
}

/// `flow_slicer` outputs every flow field in the same form as the command.
#[test]
fn flow_slicer_outputs_the_flow_and_its_packets() {
    for capture in KINDS {
        let run = meter(capture)
            .args(["--statistical-analysis", "--splt-analysis", "5"])
            .plugin("flow_slicer,bytes=1,max_packets=20")
            .grant("flow_slicer=bytes:1,application,names")
            .jsonl();
        #[cfg(feature = "ndpi")]
        let run = run.dissected();
        let run = run.run().done();
        assert!(!run.flows().is_empty(), "{capture}");
        for mut flow in run.flows() {
            let own = flow.remove("udps").expect("there is a plugin");
            let value = &own["flow_slicer"]["flow"];
            let [packets @ .., last] = value["all_data"].as_array().expect("a list").as_slice()
            else {
                panic!("{capture}: no flow in {value}");
            };
            let mut last = last.as_object().expect("the flow").clone();
            assert_eq!(last.shift_remove("type"), Some(json!("flow1")));
            assert_eq!(
                json!(last).to_string(),
                json!(flow).to_string(),
                "{capture}"
            );

            let count = flow["bidirectional_packets"].as_u64().expect("a number");
            assert_eq!(value["flow_id"], flow["id"]);
            assert_eq!(value["packet_num"], count.min(20));
            assert_eq!(own["flow_slicer"]["truncated"], count > 20, "{capture}");
            assert_eq!(packets.len() as u64, count.min(20));
            for (n, packet) in packets.iter().enumerate() {
                assert_eq!(packet["type"], format!("packet{}", n + 1));
                assert_eq!(packet.as_object().map(Map::len), Some(1 + 25));
            }
            for (list, field) in [
                ("splt_direction", "direction"),
                ("splt_ps", "raw_size"),
                ("splt_piat_ms", "delta_time"),
            ] {
                let list = flow[list].as_array().expect("a list");
                for (value, packet) in list.iter().zip(packets) {
                    assert_eq!(value, &packet[field], "{capture}");
                }
            }
        }
    }
}

/// The bytes of a packet must occur in dns.pcap, whose Ethernet frames have no padding.
#[test]
fn flow_slicer_outputs_packet_bytes() {
    let raw = std::fs::read(captures().join("dns.pcap")).expect("the capture can be read");
    let hexadecimal: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    let run = meter("dns.pcap")
        .plugin("flow_slicer")
        .grant("flow_slicer=bytes:1500")
        .jsonl()
        .run()
        .done();
    let mut seen = 0;
    for flow in run.flows() {
        let all = &udps(&flow, "flow_slicer")["flow"]["all_data"];
        for packet in all.as_array().expect("a list") {
            let Some(bytes) = packet["ip_packet"].as_str() else {
                continue;
            };
            assert_eq!(json!(bytes.len() / 2), packet["ip_size"], "{packet}");
            assert!(hexadecimal.contains(bytes), "{packet}");
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn flow_slicer_leaves_out_what_is_not_available() {
    for (options, absent) in [
        (
            &["--no-decode-tunnels", "--splt-analysis", "2"][..],
            "tunnel_id",
        ),
        (&["--statistical-analysis"], "splt_ps"),
        (&["--splt-analysis", "2"], "bidirectional_min_ps"),
        // Not granted, if the flows are dissected.
        (&[], "application_name"),
    ] {
        let run = meter("dns.pcap")
            .args(options)
            .plugin("flow_slicer,bytes=1")
            .grant("flow_slicer=bytes:1")
            .jsonl();
        #[cfg(feature = "ndpi")]
        let run = run.dissected();
        let run = run.run().done();
        for flow in run.flows() {
            let value = &flow["udps"]["flow_slicer"]["flow"]["all_data"];
            let last = value
                .as_array()
                .and_then(|all| all.last())
                .expect("the flow");
            assert_eq!(last["id"], flow["id"]);
            assert_eq!(last.get(absent), None, "{options:?}");
        }
    }
}

#[test]
fn flow_slicer_is_rejected_if_the_run_lacks_a_field() {
    meter("dns.pcap")
        .plugin("flow_slicer,fields=statistics")
        .grant("flow_slicer=bytes:1500")
        .run()
        .fails(
            "plugin 'flow_slicer': requests flow field bidirectional_min_ps, which this run does \
             not have; it exists with statistical_analysis",
        );
}

/// Compares the plugins with NFStream's own, on the captures of this repository and those of
/// `FLOWLOOM_CAPTURES`.
#[test]
fn plugins_equal_nfstreams_plugins() {
    let Some(python) = nfstream::python() else {
        println!("skipped: FLOWLOOM_ORACLE_PYTHON is not set");
        return;
    };
    let tests = Path::new(HOST).join("../../tests");
    let splt = plugin("splt");
    let plugins = splt.parent().expect("a plugin is in a folder");
    let run = process::Command::new(&python)
        .arg(tests.join("oracle/plugins.py"))
        .args(["--flowloom", env!("CARGO_BIN_EXE_flowloom"), "--telling"])
        .arg("--plugins")
        .arg(plugins)
        .arg("--captures")
        .arg(tests.join("captures"))
        .args(nfstream::folder())
        .output()
        .unwrap_or_else(|error| panic!("FLOWLOOM_ORACLE_PYTHON={}: {error}", python.display()));
    let text = [&run.stdout, &run.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(run.status.success(), "{}{}", text[0], text[1]);
}
