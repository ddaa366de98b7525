//! Tests of plugins that trap: Flowloom restarts them, and only their own values are lost.

use flowloom::capture::{LinkType, RawPacket};
use flowloom::plugin::{CallMode, PluginSpec, Registry};
use flowloom::{Meter, Settings, Time};

use crate::command::{Command, Run, meter};
use crate::flows::Flow;
use crate::guests::{plugin, udps};

/// The number of flows in the capture. A flow begins every 0.5 s, and its second packet follows 0.1 s later.
const FLOWS: u16 = 4_000;

/// Returns a pcap of raw IP with these flows.
fn capture() -> Vec<u8> {
    let mut packets: Vec<_> = (0..FLOWS)
        .flat_map(|flow| {
            let begin = u32::from(flow) * 500;
            [(begin, flow), (begin + 100, flow)]
        })
        .collect();
    packets.sort_unstable();
    let mut pcap = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        pcap.extend(word.to_le_bytes());
    }
    for (ms, flow) in packets {
        for word in [ms / 1_000, ms % 1_000 * 1_000, 28, 28] {
            pcap.extend(word.to_le_bytes());
        }
        pcap.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
        pcap.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        pcap.extend((1_024 + flow).to_be_bytes());
        pcap.extend([0, 53, 0, 8, 0, 0]);
    }
    pcap
}

fn run(options: &str, call_mode: &[&str], meters: &str) -> Run {
    let run = meter("-").stdin(capture()).args(["--idle-timeout", "1"]);
    let run = match options {
        "" => run,
        options => run.plugin(&format!("evil,{options}")),
    };
    run.args(call_mode)
        .args(["--n-meters", meters])
        .jsonl()
        .run()
}

/// Returns the flows without the columns of plugins.
fn core(run: &Run) -> Vec<Flow> {
    let mut flows = run.flows();
    for flow in &mut flows {
        flow.remove("udps");
    }
    flows
}

/// Returns the indices of the flows that have a value of the plugin, and checks each value.
fn with_value(run: &Run) -> Vec<usize> {
    let flows = run.flows();
    let has = |(at, flow): (usize, &Flow)| {
        let count = &udps(flow, "evil")["count"];
        assert!(
            count.is_null() || *count == flow["bidirectional_packets"],
            "{flow:?}"
        );
        (!count.is_null()).then_some(at)
    };
    flows.iter().enumerate().filter_map(has).collect()
}

/// Returns the back-offs in the log, in seconds.
fn back_offs(run: &Run) -> Vec<u64> {
    let back_off = |line: &str| {
        let (_, rest) = line.split_once("; back-off: ")?;
        rest.strip_suffix(" s")?.parse().ok()
    };
    run.stderr.lines().filter_map(back_off).collect()
}

/// Returns the number before `what` in the plugin's line of the summary.
fn number_before(run: &Run, what: &str) -> usize {
    let line = run.stderr.lines().find(|line| line.starts_with("plugin "));
    let numbers = line.and_then(|line| {
        let (before, _) = line.split_once(what)?;
        before.rsplit(' ').next()?.parse().ok()
    });
    numbers.unwrap_or_else(|| panic!("no number before `{what}` in\n{run}"))
}

#[test]
fn a_plugin_that_traps_occasionally_is_restarted() {
    let alone = run("", &[], "1");
    assert_eq!(alone.flows().len(), usize::from(FLOWS));
    for call_mode in Command::CALLS {
        // 30 flows take longer than the trial after a restart (10 s), so that each back-off is 1 s again.
        let run = run("mode=panic,at=init,after=30", call_mode, "1").incomplete();
        assert_eq!(core(&run), core(&alone));
        let back_offs = back_offs(&run);
        assert!(
            back_offs.len() > 5 && back_offs.iter().all(|back_off| *back_off == 1),
            "{run}"
        );
        let traps = number_before(&run, " traps");
        assert_eq!(traps, back_offs.len(), "{run}");
        let values = with_value(&run);
        // A lost batch contains about 1,000 events.
        let least = usize::from(FLOWS)
            / if call_mode == Command::CALLS[0] {
                25
            } else {
                2
            };
        assert!(values.len() > least, "{run}");
        let lost = number_before(&run, " flows without values");
        assert_eq!(values.len() + lost, usize::from(FLOWS), "{run}");
    }
}

#[test]
fn repeated_traps_name_the_packet_and_increase_the_back_off() {
    let alone = run("", &[], "1");
    for call_mode in Command::CALLS {
        let run = run("mode=silent,at=init,after=3", call_mode, "1").incomplete();
        assert_eq!(core(&run), core(&alone));
        let back_offs = back_offs(&run);
        assert_eq!(back_offs[..6], [1, 2, 4, 8, 16, 30], "{run}");
        assert!(
            back_offs[6..].iter().all(|back_off| *back_off == 30),
            "{run}"
        );
        // After the first trap, both call modes pass one event per call, so that the error names the packet.
        let named = run
            .stderr
            .lines()
            .filter(|line| line.contains("ERROR plugin evil: stopped in init, packet "));
        assert!(named.count() >= back_offs.len() - 1, "{run}");
        let lost = number_before(&run, " flows without values");
        assert_eq!(with_value(&run).len() + lost, usize::from(FLOWS), "{run}");
    }
}

#[test]
fn meters_restart_their_own_instances() {
    let alone = run("", &[], "1");
    for call_mode in Command::CALLS {
        let run = run("mode=hoard,at=update,after=20", call_mode, "3").incomplete();
        assert_eq!(core(&run), core(&alone));
        let lost = number_before(&run, " flows without values");
        assert_eq!(with_value(&run).len() + lost, usize::from(FLOWS), "{run}");
        assert!(number_before(&run, " traps") > 3, "{run}");
    }
}

#[test]
fn twenty_traps_in_a_row_quarantine_a_plugin() {
    for call_mode in Command::CALLS {
        let run = run("mode=silent,at=init", call_mode, "1").incomplete();
        assert_eq!(back_offs(&run).len(), 19, "{run}");
        assert_eq!(number_before(&run, " traps"), 20, "{run}");
        assert!(
            run.stderr.contains(
                "quarantine: it trapped too many times in a row, and gets no new flows \
                 until the capture ends"
            ),
            "{run}"
        );
        assert!(
            run.stderr.contains("plugin   evil 6.6.6 (quarantined): "),
            "{run}"
        );
        assert_eq!(with_value(&run), [0_usize; 0]);
    }
}

/// Ended flows usually wait until a plugin has received their events. They must not wait for a plugin that gets no
/// events.
#[test]
fn flows_do_not_wait_for_a_plugin_that_gets_no_events() {
    let mut settings = Settings::default();
    settings.idle_timeout = 1;
    settings.n_dissections = 0;
    let registry = Registry::new(settings.schema()).expect("the engine starts");
    let spec = PluginSpec::new(plugin("evil"))
        .option("mode", "silent")
        .option("at", "init")
        .calls(CallMode::Auto);
    let evil = registry.load(spec).expect("the plugin opens");
    let mut meter = Meter::new(settings, &[evil]).expect("the plugin opens");
    let capture = capture();
    let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|n| capture[at + n]));
    let packets = (24..capture.len()).step_by(44).map(|at| RawPacket {
        time: Time::from_ns(u64::from(word(at)) * 1_000_000_000 + u64::from(word(at + 4)) * 1_000),
        link: LinkType(101),
        wire_len: word(at + 12),
        data: &capture[at + 16..at + 44],
    });
    meter.push(packets);
    let out = std::iter::from_fn(|| meter.next_flow()).count();
    // One batch may not be delivered yet, and the last flows are still live.
    assert!(
        out > usize::from(FLOWS) - 1_024 - 4,
        "{out} of {FLOWS} flows were output"
    );
    let rest = meter.finish().count();
    assert_eq!(out + rest, usize::from(FLOWS));
}
