//! Tests of metrics, performance reports and thread names of a run.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value};

use super::net::{DNS_FLOWS, Live, Net, until};
use crate::guests::plugin;

/// A program with the strict parser of Prometheus. It prints a JSON object with the values of samples and the types
/// of metrics.
const PARSER: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
samples, types = {}, {}
for family in text_string_to_metric_families(sys.stdin.read()):
    types[family.name] = family.type
    for sample in family.samples:
        labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
        samples[f"{sample.name}{{{labels}}}"] = sample.value
json.dump({"samples": samples, "types": types}, sys.stdout)
"#;

fn scrape(net: &Net) -> Map<String, Value> {
    let text = net.run(
        "curl",
        [
            "--silent",
            "--fail",
            "--retry",
            "9",
            "http://127.0.0.1:9100/metrics",
        ],
    );
    let mut parser = Command::new("/usr/bin/python3")
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Debian's Python is installed");
    let mut stdin = parser.stdin.take().expect("the stream is piped");
    stdin.write_all(text.as_bytes()).expect("the input is read");
    drop(stdin);
    let parsed = parser.wait_with_output().expect("the process ends");
    assert!(parsed.status.success(), "Prometheus cannot parse\n{text}");
    serde_json::from_slice(&parsed.stdout).expect("JSON was written")
}

fn sample(scraped: &Map<String, Value>, name: &str) -> f64 {
    scraped["samples"][name]
        .as_f64()
        .unwrap_or_else(|| panic!("no {name} in {scraped:#?}"))
}

fn watched(net: &Net, meters: &str, more: &[&str]) -> Live {
    let stats = plugin("packet_stats");
    let words = ["--n-meters", meters, "--idle-timeout", "1", "--plugin"];
    let live = net.meter(
        words
            .into_iter()
            .chain(stats.to_str())
            .chain(more.iter().copied()),
    );
    net.replay(Path::new("dns.pcap"), &[]);
    live
}

#[test]
fn prometheus_reads_the_metrics() {
    let Some(net) = Net::new() else { return };
    net.ip(["link", "set", "lo", "up"]);
    for meters in ["1", "2"] {
        let live = watched(&net, meters, &["--metrics", "9100"]);
        let ended = |scraped: &_| sample(scraped, "flowloom_flows_ended_total{}");
        let events =
            |scraped: &_| sample(scraped, "flowloom_plugin_events_total{plugin=packet_stats}");
        let mut scraped = scrape(&net);
        until("the metrics are complete", || {
            scraped = scrape(&net);
            ended(&scraped) == DNS_FLOWS as f64
                && scraped["types"].get("flowloom_plugin_events").is_some()
                && scraped["samples"]
                    .get("flowloom_plugin_events_total{plugin=packet_stats}")
                    .is_some()
                && events(&scraped) > 0.0
        });
        let read = sample(&scraped, "flowloom_packets_read_total{}");
        let metered = sample(&scraped, "flowloom_packets_metered_total{}");
        let ignored = sample(&scraped, "flowloom_packets_ignored_total{reason=not-ip}");
        assert_eq!(read, metered + ignored);
        let per_meter = |meter: &str| {
            scraped["samples"]
                .get(format!("flowloom_meter_packets_total{{meter={meter}}}"))
                .and_then(Value::as_f64)
        };
        assert_eq!(
            per_meter("0").unwrap_or(0.0) + per_meter("1").unwrap_or(0.0),
            metered
        );
        assert_eq!(per_meter("1").is_some(), meters == "2");
        for stage in ["kernel", "interface", "gone"] {
            sample(
                &scraped,
                &format!("flowloom_packets_dropped_total{{stage={stage}}}"),
            );
        }
        assert_eq!(sample(&scraped, "flowloom_flows_live{}"), 0.0);
        assert!(sample(&scraped, "flowloom_resident_memory_bytes{}") > 1e6);
        assert_eq!(
            sample(
                &scraped,
                "flowloom_plugin_state{plugin=packet_stats,state=running}"
            ),
            1.0
        );
        let types = scraped["types"]
            .as_object()
            .expect("the value is an object");
        assert!(
            types
                .values()
                .all(|kind| kind == "counter" || kind == "gauge"),
            "{types:?}"
        );

        let listening = net.run("ss", ["-Hltn", "sport", "=", ":9100"]);
        assert!(listening.contains(" 127.0.0.1:9100 "), "{listening}");
        let other = net
            .command("curl")
            .args(["-s", "http://127.0.0.1:9100/"])
            .output();
        let other = String::from_utf8_lossy(&other.expect("curl is installed").stdout).into_owned();
        assert_eq!(other, "the metrics are at /metrics\n");
        live.stop().exits(0);
    }
}

#[test]
fn performance_is_reported_in_json_lines() {
    let Some(net) = Net::new() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("performance.jsonl");
    let path = file.to_str().expect("the path is text");
    let words = [
        "--performance-report",
        "1",
        "--performance-report-file",
        path,
    ];
    let live = watched(&net, "2", &words);
    until("there are lines", || {
        fs::read_to_string(&file).is_ok_and(|text| text.lines().count() >= 2)
    });
    live.stop().exits(0);
    let text = fs::read_to_string(&file).expect("lines are text");
    let last = text.lines().last().expect("there are lines");
    let last: Map<String, Value> = serde_json::from_str(last).expect("the lines are JSON");
    let nfstream = [
        "flows_expired",
        "packets_processed",
        "packets_ignored",
        "packets_dropped_filtered_by_kernel",
        "meters_packets_processing_balance",
    ];
    assert_eq!(last.keys().take(5).collect::<Vec<_>>(), nfstream);
    let number = |name: &str| {
        last[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {last:?}"))
    };
    assert_eq!(number("flows_expired"), DNS_FLOWS as u64);
    assert_eq!(
        number("packets_processed") + number("packets_ignored"),
        number("packets_read")
    );
    let balance: u64 = last["meters_packets_processing_balance"]
        .as_array()
        .expect("the value is a list")
        .iter()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(balance, number("packets_processed"));
    assert_eq!(last["plugins"][0]["name"], "packet_stats");
    assert!(last["plugins"][0]["events"].as_u64() > Some(0));
}

#[test]
fn threads_have_names() {
    let Some(net) = Net::new() else { return };
    let live = net.meter(["--metrics", "9100", "--n-meters", "2"]);
    // Linux truncates the names of threads to 15 bytes.
    let expected = ["drain", "log", "meter-", "metric", "reader", "writer"];
    until("all threads are there", || {
        let threads = fs::read_dir(format!("/proc/{}/task", live.pid())).expect("the process runs");
        let names: Vec<_> = threads
            .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok())
            .map(|name| name.trim_end().to_owned())
            .collect();
        let has = |name: &str| names.contains(&format!("flowloom-{name}"));
        expected.iter().all(|name| has(name))
    });
    live.stop().exits(0);
}

#[test]
fn a_port_in_use_is_an_error() {
    let Some(net) = Net::new() else { return };
    net.ip(["link", "set", "lo", "up"]);
    let live = net.meter(["--metrics", "9100"]);
    let other = net.meter(["--metrics", "9100"]).end().exits(1);
    assert_eq!(
        other.log,
        "flowloom: cannot serve metrics on 127.0.0.1:9100: Address already in use (os error 98)\n"
    );
    live.stop().exits(0);
}
