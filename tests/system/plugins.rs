//! Tests of the values that plugins add to flows, in both call modes.

use std::path::PathBuf;

use serde_json::Value;

use crate::command::{Command, Run, meter};
use crate::flows::Flow;
use crate::golden::{all_captures, bless, folder};
use crate::guests::{file, named, plugin, udps};
use crate::nfstream;

/// Returns the captures of this repository and those of `FLOWLOOM_CAPTURES`.
fn captures() -> impl Iterator<Item = PathBuf> {
    let ours = all_captures().into_iter().map(PathBuf::from);
    ours.chain(nfstream::captures())
}

fn number(flow: &Flow, column: &str) -> u64 {
    flow[column].as_u64().expect("a number")
}

fn packets(run: &Run) -> u64 {
    let flows = run.flows();
    let packets = flows
        .iter()
        .map(|flow| number(flow, "bidirectional_packets"));
    packets.sum()
}

/// The host computes the same statistics from the same sizes. Both sum integers and round once, so that floats are
/// equal bit by bit.
#[test]
fn packet_stats_equals_the_host_in_both_call_modes() {
    const IP_SIZE: &str = "1";
    for capture in captures() {
        let command = || {
            meter(&capture)
                .args(["--accounting-mode", IP_SIZE, "--statistical-analysis"])
                .plugin("packet_stats")
                .jsonl()
        };
        let [auto, per_event] = Command::CALLS.map(|call_mode| command().args(call_mode).run());
        assert!(
            auto.stdout == per_event.stdout,
            "the call modes differ:\n{auto}\n{per_event}"
        );
        for flow in auto.flows() {
            let stats = udps(&flow, "packet_stats");
            assert_eq!(stats.len(), 10, "{flow:?}");
            for way in ["src2dst", "dst2src"] {
                let count = &stats[&format!("{way}_count")];
                assert_eq!(count, &flow[&format!("{way}_packets")], "{flow:?}");
                for what in ["mean", "stddev", "min", "max"] {
                    let ours = &stats[&format!("{way}_{what}")];
                    match ours {
                        Value::Null => assert_eq!(count, 0, "{flow:?}"),
                        _ => assert_eq!(ours, &flow[&format!("{way}_{what}_ps")], "{flow:?}"),
                    }
                }
            }
        }
    }
}

#[test]
fn slicer_cuts_flows_and_other_plugins_see_every_packet() {
    let whole = meter("http.pcap").jsonl().run().done();
    for limit in [1, 2, 4, 1_000_000] {
        let run = meter("http.pcap")
            .plugin("packet_stats")
            .plugin(&format!("slicer,limit={limit}"))
            .jsonl()
            .run()
            .done();
        assert_eq!(packets(&run), packets(&whole), "{run}");
        for flow in run.flows() {
            let packets = number(&flow, "bidirectional_packets");
            let is_cut = packets == limit;
            assert!(packets <= limit, "{flow:?}");
            assert_eq!(flow["expiration_id"], if is_cut { -1 } else { 0 });
            assert_eq!(udps(&flow, "slicer")["packets"], packets);
            assert_eq!(udps(&flow, "slicer")["sliced"], is_cut);
            for way in ["src2dst", "dst2src"] {
                let seen = &udps(&flow, "packet_stats")[&format!("{way}_count")];
                assert_eq!(seen, &flow[&format!("{way}_packets")], "{flow:?}");
            }
        }
    }
}

#[test]
fn slicer_is_called_per_event_in_both_call_modes() {
    let [auto, per_event] = Command::CALLS.map(|call_mode| {
        let run = meter("http.pcap")
            .plugin("slicer")
            .args(call_mode)
            .jsonl()
            .run();
        run.done()
    });
    assert_eq!(auto.stdout, per_event.stdout);
    assert_eq!(auto.report(), per_event.report());
}

#[test]
fn values_do_not_depend_on_the_number_of_meters() {
    for capture in ["dns.pcap", "gtp.pcap", "vlan.pcap", "idle.pcap"] {
        let with = |meters: &str| {
            let run = meter(capture)
                .plugin("packet_stats")
                .plugin("slicer,limit=3")
                .plugin("evil,mode=shown,packet=src_ip,payload=8")
                .grant("evil=addresses,payload:8")
                .args(["--n-meters", meters])
                .jsonl()
                .run();
            run.done().stdout
        };
        assert_eq!(with("1"), with("3"), "{capture}");
    }
}

#[test]
fn core_columns_are_the_same_bytes_with_plugins() {
    for capture in all_captures() {
        let without = meter(&capture).run().stdout;
        let with = meter(&capture).plugin("packet_stats").run().stdout;
        let mut rows = 0;
        for (without, with) in without.lines().zip(with.lines()) {
            let rest = with.strip_prefix(without);
            let rest = rest.unwrap_or_else(|| panic!("{without}\nbecame\n{with}"));
            assert_eq!(rest.split(',').count(), 1 + 10, "{with}");
            rows += 1;
        }
        assert_eq!(without.lines().count(), rows, "{capture}");
        assert_eq!(with.lines().count(), rows, "{capture}");
    }
}

#[test]
fn the_operator_names_plugins() {
    let run = meter("http.pcap")
        .args(["--plugin", &named("a", "slicer")])
        .args(["--plugin", &(named("b-2", "slicer") + ",limit=3")])
        .plugin("slicer,limit=5")
        .jsonl()
        .run()
        .done();
    for flow in run.flows() {
        let names: Vec<_> = flow["udps"].as_object().expect("values").keys().collect();
        assert_eq!(names, ["a", "b-2", "slicer"]);
        assert!(number(&flow, "bidirectional_packets") <= 3);
        assert_eq!(udps(&flow, "a")["sliced"], false);
    }
}

#[test]
fn duplicate_plugin_names_are_rejected() {
    let message = "another plugin has this name; give each plugin its own name with NAME=FILE";
    meter("http.pcap")
        .plugin("slicer")
        .plugin("slicer,limit=5")
        .run()
        .fails(&format!("plugin 'slicer': {message}"));
    meter("http.pcap")
        .args(["--plugin", &named("slicer", "packet_stats")])
        .plugin("slicer")
        .run()
        .fails(&format!("plugin 'slicer': {message}"));
}

#[test]
fn invalid_plugin_names_are_rejected() {
    for name in ["a.b", "ü", "a b", "a\u{1b}b", &"x".repeat(65)] {
        meter("http.pcap")
            .args(["--plugin", &named(name, "slicer")])
            .run()
            .fails(&format!(
                "plugin '{0}': '{0}' is not a valid plugin name; use [A-Za-z0-9_-]{{1,64}}, as in \
                 NAME=FILE",
                name.escape_debug()
            ));
    }
}

/// The option that `slicer` accepts, in its errors.
const ACCEPTS: &str = "this plugin accepts `limit` (an integer from 1 to 18446744073709551615, default 20): Packets \
                     after which a flow ends";

#[test]
fn options_reach_the_plugin_and_errors_list_the_accepted_ones() {
    for (option, problem) in [
        (
            "limit=0",
            "option `limit` must be an integer from 1 to 18446744073709551615, not \"0\"",
        ),
        ("length=3", "unknown option `length`"),
    ] {
        meter("http.pcap")
            .plugin(&format!("slicer,{option}"))
            .run()
            .fails(&format!(
                "plugin 'slicer': cannot be opened: {problem}; {ACCEPTS}"
            ));
    }
    meter("http.pcap")
        .plugin("slicer,limit=1,limit=2")
        .run()
        .fails("plugin 'slicer': cannot be opened: option `limit` is given twice");
}

#[test]
fn an_option_that_lacks_its_at_sign_is_explained() {
    meter("dns.pcap").plugin("slicer,limit=tls13.pcap").run().fails(&format!(
        "plugin 'slicer': cannot be opened: option `limit` must be an integer from 1 to 18446744073709551615, not \
         \"tls13.pcap\"; {ACCEPTS}; `limit` is the name of a file: write limit=@tls13.pcap to pass the text of the \
         file"
    ));
}

#[test]
fn an_option_may_be_the_text_of_a_file() {
    let (_folder, path) = file("limit", "3");
    let path = path.display();
    let with = |option: &str| {
        let run = meter("http.pcap").plugin(&format!("slicer,limit={option}"));
        run.run().done().stdout
    };
    assert_eq!(with(&format!("@{path}")), with("3"));
    assert_ne!(with("3"), with("4"));
}

#[test]
fn columns_are_named_by_plugin_and_output() {
    let run = meter("http.pcap")
        .args(["--plugin", &named("s", "slicer")])
        .plugin("packet_stats")
        .run()
        .done();
    let header = run.stdout.lines().next().unwrap_or_default();
    let udps: Vec<_> = header
        .split(',')
        .skip_while(|name| !name.starts_with("udps."))
        .collect();
    let [first, second, rest @ ..] = udps.as_slice() else {
        panic!("{run}")
    };
    assert_eq!([*first, *second], ["udps.s.packets", "udps.s.sliced"]);
    assert_eq!(rest.len(), 10, "{header}");
    assert_eq!(rest[0], "udps.packet_stats.src2dst_count");
    assert_eq!(rest[9], "udps.packet_stats.dst2src_max");
}

#[test]
fn values_are_written_as_documented() {
    let run = |format: &str| {
        let run = meter("dns.pcap")
            .plugin("slicer,limit=4")
            .plugin("packet_stats")
            .args(["--plugin", &(named("types", "evil") + ",mode=every_type")])
            .args(["--plugin", &(named("floats", "evil") + ",mode=no_number")])
            .args(["--statistical-analysis", "--splt-analysis", "3"])
            .args(["--format", format])
            .run();
        run.done().stdout
    };
    for format in ["csv", "jsonl"] {
        let golden = folder().join(format!("values.{format}"));
        if let Some(before) = bless(&golden, &run(format)) {
            let after = run(format);
            let lines = before.lines().zip(after.lines());
            let different = lines.clone().find(|(before, after)| before != after);
            panic!(
                "{} differs (FLOWLOOM_BLESS=1 rewrites it): {:#?}",
                golden.display(),
                different.unwrap_or(("of other length", "")),
            );
        }
    }
}

#[test]
fn a_folder_of_plugins_is_loaded_in_the_order_of_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, of) in [
        ("b.wasm", "packet_stats"),
        ("a.wasm", "slicer"),
        ("c.txt", "evil"),
    ] {
        std::fs::copy(plugin(of), folder.path().join(name)).expect("a plugin can be copied");
    }
    let alone = meter("dns.pcap")
        .args(["--plugin", &named("mine", "packet_stats")])
        .args(["--plugin", &named("a", "slicer")])
        .args(["--plugin", &named("b", "packet_stats")])
        .run()
        .done();
    let run = meter("dns.pcap")
        .args(["--plugin", &named("mine", "packet_stats")])
        .arg("--plugins")
        .arg(folder.path())
        .run()
        .done();
    assert_eq!(run.stdout, alone.stdout);

    let broken = folder.path().join("0.wasm");
    std::fs::write(&broken, "no plugin").expect("a file can be written");
    meter("dns.pcap")
        .arg("--plugins")
        .arg(folder.path())
        .run()
        .fails(&format!(
            "plugin '0': {} is not a WebAssembly component: it has no WebAssembly header",
            broken.display()
        ));
}

#[test]
fn a_folder_with_too_many_plugins_is_rejected() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().display().to_string();
    for n in 0..1_000 {
        std::fs::write(folder.path().join(format!("{n}.wasm")), "").expect("a file can be written");
    }
    meter("dns.pcap")
        .args(["--plugins", &path])
        .run()
        .fails(&format!(
            "the plugin folder {path} has 1000 plugins; at most 64 are accepted"
        ));
    meter("dns.pcap")
        .args(["--plugins", "nowhere"])
        .run()
        .fails("cannot read the plugin folder nowhere: No such file or directory (os error 2)");
}
