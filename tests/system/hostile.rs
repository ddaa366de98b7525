//! Tests of plugins that misbehave at run time. Only their own values are lost.

use crate::command::{Command, Run, meter, without_stack};
use crate::flows::Flow;
use crate::guests::{named, udps};
use crate::wat::Module;

/// The number of flows in dns.pcap. They all end with the capture.
const FLOWS: usize = 9;

const DEADLINE: &str = "it took more than 100 ms of CPU time";
/// The reason of a trap without a message. The names of functions follow.
const UNREACHABLE: &str = "wasm trap: wasm `unreachable` instruction executed";

const AUTO: &[&str] = Command::CALLS[0];
const PER_EVENT: &[&str] = Command::CALLS[1];

/// Runs dns.pcap with the guest `evil`.
fn evil(options: &str, call_mode: &[&str]) -> Run {
    meter("dns.pcap")
        .plugin(&format!("evil,{options}"))
        .args(call_mode)
        .jsonl()
        .run()
}

/// Checks that a plugin trapped for this reason before any flow had values. (Hand-written modules have no outputs.)
#[track_caller]
fn stopped(run: Run, plugin: &str, reason: &str) {
    stops(&run, plugin, reason);
    let run = run
        .incomplete()
        .reports_line("packets  34 read, 32 metered")
        .reports_line(&format!("flows    {FLOWS}"));
    let report = run.report();
    let summary = report.last().expect("a line about the plugin");
    let end = format!("_ KiB, 1 traps, {FLOWS} flows without values after a trap");
    assert!(summary.starts_with(&format!("plugin   {plugin} ")), "{run}");
    assert!(summary.ends_with(&end), "{run}");
    if plugin == "evil" {
        assert_eq!(values(&run, plugin, "count"), [None; FLOWS], "{run}");
    }
}

/// Checks that the log has the error of this trap, in any event.
#[track_caller]
fn stops(run: &Run, plugin: &str, reason: &str) {
    let start = format!("ERROR plugin {plugin}: stopped ");
    let end = format!(": {reason}; {LATER}");
    assert!(
        run.stderr
            .lines()
            .map(without_stack)
            .any(|line| line.starts_with(&start) && line.ends_with(&end)),
        "no `{start}…{end}` in\n{run}"
    );
}

const LATER: &str = "the flows that it held have null values; back-off: 1 s";

/// Returns the values of one output, in the order of the flows.
fn values(run: &Run, plugin: &str, output: &str) -> Vec<Option<u64>> {
    let value = |flow: &Flow| {
        udps(flow, plugin)
            .get(output)
            .and_then(|value| value.as_u64())
    };
    run.flows().iter().map(value).collect()
}

fn packets(run: &Run) -> Vec<Option<u64>> {
    let packets = |flow: &Flow| flow["bidirectional_packets"].as_u64();
    run.flows().iter().map(packets).collect()
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    for at in ["init", "update", "expire"] {
        for call_mode in Command::CALLS {
            let run = evil(&format!("mode=loop,at={at}"), call_mode);
            stopped(run, "evil", DEADLINE);
        }
    }
}

#[test]
fn an_endless_loop_in_finish_costs_no_values() {
    for (call_mode, calls) in [(AUTO, 2), (PER_EVENT, 42)] {
        let run = evil("mode=loop,at=finish", call_mode);
        stops(&run, "evil", DEADLINE);
        let run = run.incomplete().reports_line(&format!(
            "plugin   evil 6.6.6 (restarting): 41 events in {calls} calls, _ ns per event, _ KiB, 1 traps"
        ));
        assert_eq!(values(&run, "evil", "count"), packets(&run));
    }
}

#[test]
fn an_endless_loop_in_post_return_ends_at_the_deadline() {
    let module = Module {
        more: r#"(func (export "cabi_post_flowloom:plugin/feature@0.1.0#expire") (param i32)
                   (loop $l (br $l)))"#,
        ..Module::default()
    };
    stopped(by_hand(&module), "hand", DEADLINE);
}

#[test]
fn recursion_is_a_trap() {
    for call_mode in Command::CALLS {
        // The stack of a Rust guest is below its data, so it overflows before the stack of the host.
        let run = evil("mode=recurse,at=update", call_mode);
        stopped(run, "evil", "wasm trap: out of bounds memory access");
    }
    let module = Module {
        init: "call $deeper",
        ..Module::default()
    };
    stopped(by_hand(&module), "hand", "wasm trap: call stack exhausted");
}

#[test]
fn memory_above_the_limit_is_a_trap() {
    for call_mode in Command::CALLS {
        let run = evil("mode=hoard,at=update", call_mode).incomplete();
        let line = run
            .stderr
            .lines()
            .find(|line| line.starts_with("ERROR"))
            .unwrap_or_default();
        let requested = line
            .split_once(": it requested ")
            .and_then(|(_, rest)| rest.split_once(" bytes of memory in "))
            .filter(|(_, rest)| rest.contains("; 268435456 are allowed; "))
            .map(|(requested, _)| requested);
        let requested: u64 = requested
            .and_then(|requested| requested.parse().ok())
            .unwrap_or_else(|| panic!("{run}"));
        assert!(requested > 268_435_456, "{run}");
        assert_eq!(values(&run, "evil", "count"), [None; FLOWS]);
    }
}

#[test]
fn a_plugin_may_continue_after_a_failed_allocation() {
    for call_mode in Command::CALLS {
        let run = evil("mode=greedy,at=update", call_mode).done();
        assert_eq!(values(&run, "evil", "count"), packets(&run));
        // The reason of a later trap is the reason of that trap, not the failed allocation.
        let run = evil("mode=greedy_then_panic,at=update", call_mode);
        stopped(run, "evil", "evil panicked: of another reason");
    }
}

#[test]
fn traps_without_a_message() {
    for mode in ["silent", "exit"] {
        for call_mode in Command::CALLS {
            let run = evil(&format!("mode={mode},at=update"), call_mode);
            stopped(run, "evil", UNREACHABLE);
        }
    }
}

#[test]
fn a_panic_is_shown_escaped_and_shortened() {
    let start = r"evil panicked: on purpose \u{1b}[31m\u{202e}";
    let text = format!("{start}{}…", "x".repeat(1_021 - start.len()));
    for call_mode in Command::CALLS {
        let run = evil("mode=panic,at=update", call_mode);
        assert!(!run.stderr.contains('\u{1b}'), "{run}");
        stopped(run, "evil", &text);
    }
}

#[test]
fn a_panic_of_the_sdk_names_event_and_place() {
    for (at, call_mode, event) in [
        ("init", AUTO, "init of slot 0 (event 1 of 41 in the batch)"),
        (
            "update",
            AUTO,
            "update of slot 0 (event 2 of 41 in the batch)",
        ),
        (
            "expire",
            AUTO,
            "expire of slot 0 (event 33 of 41 in the batch)",
        ),
        ("init", PER_EVENT, "init of flow 2"),
        ("update", PER_EVENT, "update of flow 2"),
        ("expire", PER_EVENT, "expire of flow 2"),
    ] {
        let run = meter("dns.pcap")
            .plugin(&format!("panics,at={at}"))
            .args(call_mode)
            .jsonl()
            .run()
            .incomplete();
        let start = format!(": panics panicked in {event} at tests/guests/panics/src/lib.rs:");
        let end = format!(": one more than expected; {LATER}");
        assert!(
            run.stderr
                .lines()
                .any(|line| line.contains(&start) && line.ends_with(&end)),
            "no `{start}…{end}` in\n{run}"
        );
        assert_eq!(values(&run, "panics", "packets"), [None; FLOWS]);
    }
}

#[test]
fn values_from_before_a_trap_are_kept() {
    let run = evil("mode=panic,at=expire,after=4", PER_EVENT).incomplete();
    let expected: Vec<_> = packets(&run)
        .into_iter()
        .enumerate()
        .map(|(n, packets)| packets.filter(|_| n < 4))
        .collect();
    assert_eq!(values(&run, "evil", "count"), expected, "{run}");
    run.reports_line(
        "plugin   evil 6.6.6 (restarting): 37 events in 37 calls, _ ns per event, _ KiB, 1 traps, \
         5 flows without values after a trap",
    );
}

#[test]
fn a_trapped_instance_is_never_called_again() {
    // The first update is the second event. A call after the trap would be counted.
    evil("mode=silent,at=update", PER_EVENT)
        .incomplete()
        .reports_line(
            "plugin   evil 6.6.6 (restarting): 2 events in 2 calls, _ ns per event, _ KiB, 1 traps, \
             9 flows without values after a trap",
        );
}

#[test]
fn other_plugins_and_core_columns_are_unaffected() {
    let alone = meter("http.pcap").plugin("packet_stats").run().done();
    for options in [
        "mode=loop,at=update,after=10",
        "mode=panic,at=init",
        "mode=silent,at=expire,after=1",
        "mode=hoard,at=update",
        "mode=too_many",
    ] {
        for call_mode in Command::CALLS {
            for meters in ["1", "3"] {
                let run = meter("http.pcap")
                    .plugin("packet_stats")
                    .plugin(&format!("evil,{options}"))
                    .args(["--plugin", &named("after", "packet_stats")])
                    .args(call_mode)
                    .args(["--n-meters", meters])
                    .run();
                let rows = run.stdout.lines().skip(1);
                assert_eq!(run.stdout.lines().count(), alone.stdout.lines().count());
                for (row, alone) in rows.zip(alone.stdout.lines().skip(1)) {
                    // First the core columns and the ten of packet_stats, with the same bytes as without evil. Then
                    // the columns of evil, and again ten of packet_stats.
                    let rest = row.strip_prefix(alone).unwrap_or_else(|| panic!("{run}"));
                    let fields: Vec<_> = alone.split(',').collect();
                    let stats = fields[fields.len() - 10..].join(",");
                    assert!(rest.ends_with(&format!(",{stats}")), "{run}");
                }
            }
        }
    }
}

#[test]
fn two_plugins_that_trap_are_two_traps() {
    let run = meter("dns.pcap")
        .args(["--plugin", &(named("a", "evil") + ",mode=silent,at=init")])
        .args(["--plugin", &(named("b", "evil") + ",mode=loop,at=finish")])
        .jsonl()
        .run()
        .incomplete();
    stops(&run, "a", UNREACHABLE);
    stops(&run, "b", DEADLINE);
    assert_eq!(values(&run, "a", "count"), [None; FLOWS]);
    assert_eq!(values(&run, "b", "count"), packets(&run));
}

#[test]
fn values_of_another_type_or_number_are_null_and_counted() {
    for call_mode in Command::CALLS {
        for (mode, output) in [
            ("wrong_type", "count"),
            ("too_few", "more"),
            ("not_json", "json"),
        ] {
            let run = evil(&format!("mode={mode}"), call_mode).done();
            bad_values(&run, FLOWS);
            assert_eq!(values(&run, "evil", output), [None; FLOWS], "{run}");
            // The other values of the plugin are kept.
            let other = match mode {
                "too_few" => "count",
                _ => "honest",
            };
            assert_eq!(values(&run, "evil", other), packets(&run), "{run}");
        }
        let run = evil("mode=too_many", call_mode).done();
        bad_values(&run, FLOWS);
        assert_eq!(values(&run, "evil", "count"), packets(&run), "{run}");
        assert_eq!(values(&run, "evil", "more"), packets(&run), "{run}");
    }
}

#[track_caller]
fn bad_values(run: &Run, count: usize) {
    let report = run.report();
    let summary = report.last().expect("a line about the plugin");
    let end = format!("_ KiB, 0 traps, {count} values null: not of the declared type");
    assert!(summary.ends_with(&end), "{run}");
}

#[test]
fn text_that_is_not_utf8() {
    // In a batch, texts are bytes, and the host validates each one. In a single call they are strings of the component
    // model, which must be UTF-8, so the call traps.
    let run = evil("mode=not_utf8", AUTO).done();
    bad_values(&run, FLOWS);
    assert_eq!(values(&run, "evil", "honest"), packets(&run));
    let run = evil("mode=not_utf8", PER_EVENT);
    stopped(
        run,
        "evil",
        "invalid utf-8 sequence of 1 bytes from index 1",
    );
}

#[test]
fn nan_and_infinity_are_null_but_not_counted() {
    for (call_mode, calls) in [(AUTO, 2), (PER_EVENT, 42)] {
        let run = evil("mode=no_number", call_mode).done();
        for flow in run.flows() {
            let values = udps(&flow, "evil");
            assert!(values.values().all(|value| value.is_null()), "{flow:?}");
        }
        run.reports_line(&format!(
            "plugin   evil 6.6.6: 41 events in {calls} calls, _ ns per event, _ KiB, 0 traps"
        ));
    }
}

#[test]
fn results_above_the_size_limit_are_traps() {
    for mode in ["huge_text", "million_values"] {
        let run = evil(&format!("mode={mode}"), PER_EVENT);
        stopped(
            run,
            "evil",
            "too much data is being copied between the host and the guest: fuel allocated for \
             hostcalls has been exhausted",
        );
    }
}

#[test]
fn invalid_pointers_in_results_are_traps() {
    for (module, reason) in [
        (
            Module {
                expire: "i32.const -4",
                ..Module::default()
            },
            "pointer out of bounds of memory",
        ),
        (
            Module {
                expire: "i32.const 1026",
                ..Module::default()
            },
            "return pointer not aligned",
        ),
        (
            Module {
                // A list at 1024 with 2³² - 1 values.
                expire: "i32.const 512",
                more: r#"(data (i32.const 512) "\00\04\00\00\ff\ff\ff\ff")"#,
                ..Module::default()
            },
            "list pointer/length out of bounds of memory",
        ),
        (
            Module {
                init: "i32.const 7",
                ..Module::default()
            },
            "unexpected discriminant: 7",
        ),
    ] {
        stopped(by_hand(&module), "hand", reason);
    }
}

#[test]
fn the_rate_of_log_lines_is_limited() {
    let run = evil("mode=log_flood,at=init", AUTO).done();
    let lines: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| line.contains("plugin evil: "))
        .collect();
    assert_eq!(lines[0], " INFO plugin evil: line 0");
    assert_eq!(lines[999], " INFO plugin evil: line 999");
    assert_eq!(
        lines[1_000],
        " WARN plugin evil: wrote 1000 log lines at once; lines beyond 10 per second of packet time are \
         dropped and counted"
    );
    // The plugin writes 5,000 lines for each of 9 flows. During the seconds of the capture, 10 per second are
    // accepted.
    assert!(lines.len() < 1_500, "{run}");
    let shown = lines.len() - 1;
    let dropped = format!(", {} log lines not shown", 9 * 5_000 - shown);
    assert!(run.stderr.contains(&dropped), "{run}");
    assert_eq!(values(&run, "evil", "count"), packets(&run));
}

#[test]
fn a_long_log_line_is_shortened() {
    let run = evil("mode=log_long,at=finish", AUTO).done();
    let line = format!(" WARN plugin evil: {}…", "x".repeat(1_021));
    run.reports_line(&line);
}

#[test]
fn terminal_escapes_in_log_lines_are_shown_as_text() {
    let run = evil("mode=log_escapes,at=finish", AUTO)
        .done()
        .reports_line(
            r" WARN plugin evil: \u{1b}[2J\u{1b}]0;title\u{7} a\u{d}\u{a}flowloom: all is well \u{202e}txt.exe\u{2066}\u{9b}",
        );
    let harmless = |c: char| c == '\n' || !c.is_control() && c != '\u{202e}';
    assert!(run.stderr.chars().all(harmless), "{run}");
}

#[test]
fn log_lines_have_their_levels() {
    let run = evil("mode=log_levels,at=finish", AUTO).done();
    let lines = run
        .stderr
        .lines()
        .filter(|line| line.contains("plugin evil: "));
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            "ERROR plugin evil: an error",
            " WARN plugin evil: a warning",
            " INFO plugin evil: news",
        ]
    );
}

#[test]
fn control_characters_in_a_version_are_escaped() {
    let run = evil("version=1\u{1b}[2J", AUTO).done();
    run.reports_line(
        r"plugin   evil 1\u{1b}[2J: 41 events in 2 calls, _ ns per event, _ KiB, 0 traps",
    );
}

#[test]
fn memory_of_one_plugin_is_not_seen_by_another() {
    let run = meter("dns.pcap")
        .args(["--plugin", &(named("a", "evil") + ",mode=residue")])
        .args(["--plugin", &(named("b", "evil") + ",mode=residue")])
        .args(["--n-meters", "2"])
        .jsonl()
        .run()
        .done();
    // When it opens, each instance counts the nonzero bytes in 16 MiB of new memory, and then fills it with a pattern.
    assert_eq!(values(&run, "a", "count"), [Some(0); FLOWS]);
    assert_eq!(values(&run, "b", "count"), [Some(0); FLOWS]);
}

#[test]
fn cutting_flows_must_be_declared_in_the_manifest() {
    let run = evil("mode=cut", PER_EVENT).done();
    assert_eq!(run.flows().len(), FLOWS, "{run}");
    let run = evil("mode=cut,cuts=1", PER_EVENT).done();
    for flow in run.flows() {
        assert!(flow["bidirectional_packets"].as_u64() <= Some(2), "{run}");
        let cut = flow["bidirectional_packets"] == 2;
        assert_eq!(flow["expiration_id"], if cut { -1 } else { 0 }, "{run}");
    }
    assert_eq!(values(&run, "evil", "count"), packets(&run));
}

#[test]
fn packets_per_flow_limits_the_events() {
    for call_mode in Command::CALLS {
        let run = evil("packets_per_flow=2", call_mode).done();
        let seen: Vec<_> = packets(&run)
            .into_iter()
            .map(|packets| packets.map(|packets| packets.min(2)))
            .collect();
        assert_eq!(values(&run, "evil", "count"), seen, "{run}");
    }
}

/// A plugin that declares a third of its memory for a flow holds two flows at once.
#[test]
fn an_instance_gets_as_many_flows_as_fit_into_its_memory() {
    for call_mode in Command::CALLS {
        let run = evil("flow_bytes=80000000", call_mode).done();
        let values = values(&run, "evil", "count");
        let with_values = values.iter().flatten().count();
        assert!((2..FLOWS).contains(&with_values), "{run}");
        let skipped = FLOWS - with_values;
        let report = run.report();
        let end = format!(", {skipped} flows skipped: the plugin reached its flow limit");
        let summary = report.last().expect("a line about the plugin");
        assert!(summary.contains(&end), "{run}");
    }
}

/// Runs dns.pcap with a hand-written module.
fn by_hand(module: &Module) -> Run {
    let (_folder, path) = module.file();
    meter("dns.pcap")
        .arg("--plugin")
        .arg(format!("hand={}", path.display()))
        .jsonl()
        .run()
}
