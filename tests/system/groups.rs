//! Tests of several captures in one run. Each gives the same flows as alone, and rotated files are one capture.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Command, Run, captures, flowloom, meter};
use crate::flows::Flow;
use crate::guests::plugin;
use crate::pcap;

/// The time of the first packet, in ms since 1970.
const START_MS: u64 = 1_700_000_000_000;

fn metering() -> Command {
    flowloom().args(["meter", "--format", "jsonl", "--n-dissections", "0"])
}

/// Returns the flows of each capture, without the column `capture`.
fn by_capture(run: &Run) -> Vec<Vec<Flow>> {
    let mut captures: Vec<Vec<Flow>> = Vec::new();
    for mut flow in run.flows() {
        let capture = flow.remove("capture").and_then(|number| number.as_u64());
        let capture = capture.expect("a run over several sources numbers its captures") as usize;
        captures.resize_with(captures.len().max(capture + 1), Vec::new);
        captures[capture].push(flow);
    }
    captures
}

/// Returns the flows of a run over one file, which have no column `capture`.
fn alone(path: &Path, more: &[&str]) -> Vec<Flow> {
    let run = metering().arg(path).args(more).run();
    let flows = run.flows();
    assert!(
        flows.iter().all(|flow| !flow.contains_key("capture")),
        "{run}"
    );
    flows
}

/// Writes captures to a folder. Returns their paths.
fn files(folder: &Path, files: &[(&str, Vec<u8>)]) -> Vec<PathBuf> {
    let write = |(name, bytes): &(&str, Vec<u8>)| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a temporary file");
        path
    };
    files.iter().map(write).collect()
}

#[test]
fn unrelated_captures_give_the_flows_of_separate_runs() {
    let mut paths: Vec<_> = fs::read_dir(captures())
        .expect("the captures can be read")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(".pcap"))
        .collect();
    paths.sort();
    let stats = plugin("packet_stats");
    let more = ["--statistical-analysis", "--splt-analysis", "5", "--plugin"];
    let more: Vec<_> = more.into_iter().chain(stats.to_str()).collect();
    let expected: Vec<_> = paths.iter().map(|path| alone(path, &more)).collect();
    assert!(expected.iter().map(Vec::len).sum::<usize>() > 300);
    for meters in ["1", "3"] {
        let run = metering()
            .args(&paths)
            .args(&more)
            .args(["--n-meters", meters])
            .run()
            .incomplete()
            .reports_line(&format!("captures {}", paths.len()));
        let mut captures = by_capture(&run);
        captures.resize_with(expected.len(), Vec::new);
        for ((path, got), expected) in paths.iter().zip(captures).zip(&expected) {
            assert_eq!(got, *expected, "{} with {meters} meters", path.display());
        }
    }
}

/// Returns the packets of two links with two flows each. The tests split them into files in the middle of flows.
fn rotated() -> [Vec<(u64, u16)>; 2] {
    let link = |shift: u64, port: u16| {
        (0..400_u64)
            .map(|n| {
                // After every 100 packets the flows are idle for longer than the timeout.
                let gaps = n / 100 * 20_000;
                let time = START_MS + shift + n * 50 + gaps;
                (time, port + (n % 7 / 4) as u16)
            })
            .collect()
    };
    [link(0, 4_000), link(13, 4_000)]
}

#[test]
fn rotated_files_give_the_flows_of_the_joined_capture_in_any_order() {
    let forms: [fn(&str, usize) -> String; 5] = [
        |link, n| match n {
            0 => format!("{link}.pcap"),
            n => format!("{link}.pcap{n}"),
        },
        |link, n| format!("{link}.pcap{n:02}"),
        |link, n| format!("{link}_{:05}_202311142213{n:02}.pcapng", n + 1),
        |link, n| format!("{link}-2023-11-14T22:13:{n:02}.pcap"),
        |link, n| format!("{link}.{}.pcap", n + 1),
    ];
    for form in forms {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (mut paths, mut expected) = (Vec::new(), Vec::new());
        for (link, packets) in ["eth0", "eth1"].into_iter().zip(rotated()) {
            let whole = files(folder.path(), &[("whole", pcap::capture(packets.clone()))]);
            expected.push(alone(&whole[0], &[]));
            for (n, some) in packets.chunks(90).enumerate() {
                let bytes = pcap::capture(some.iter().copied());
                paths.extend(files(folder.path(), &[(&form(link, n), bytes)]));
            }
        }
        assert!(expected.iter().all(|flows| flows.len() == 8));
        // The order of the files is mixed: late files come first, and the links alternate.
        paths.sort_by_key(|path| path.to_string_lossy().chars().rev().collect::<String>());
        for meters in ["1", "2"] {
            let run = metering().args(&paths).args(["--n-meters", meters]).run();
            let run = run.done().reports_line("captures 2");
            let mut captures = by_capture(&run);
            captures.sort_by_key(|flows| flows[0]["bidirectional_first_seen_ms"].as_u64());
            assert_eq!(captures, expected, "{paths:?}");
        }
    }
}

#[test]
fn a_numbered_file_that_begins_too_early_is_another_capture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let of = |from: u64| pcap::capture((from..from + 10).map(|n| (START_MS + n * 1_000, 5_000)));
    let names = [("x.pcap", of(0)), ("x.pcap1", of(8)), ("x.pcap2", of(16))];
    let paths = files(folder.path(), &names);
    // The second and the third file begin exactly 1 s before the newest packet of the file before.
    let run = metering().args(&paths).run().done();
    assert_eq!(by_capture(&run).len(), 1);
    let paths = files(folder.path(), &[("x.pcap1", of(7)), ("x.pcap", of(0))]);
    let run = metering()
        .args(&paths)
        .run()
        .done()
        .reports_line("captures 2");
    let flows = by_capture(&run);
    assert_eq!([flows[0].len(), flows[1].len()], [1, 1]);
    assert_eq!(flows[1][0]["id"], 0);
}

#[test]
fn the_option_group_joins_or_separates_files() {
    let [packets, _] = rotated();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (early, late) = packets.split_at(150);
    let paths = files(
        folder.path(),
        &[
            ("b.pcap", pcap::capture(early.iter().copied())),
            ("a.pcap", pcap::capture(late.iter().copied())),
            ("whole.pcap", pcap::capture(packets.iter().copied())),
        ],
    );
    let parts = &paths[..2];
    let grouped = |how: &str| {
        let run = metering().args(parts).args(["--group", how]).run().done();
        by_capture(&run)
    };
    assert_eq!(grouped("one"), [alone(&paths[2], &[])]);
    let each = [alone(&paths[0], &[]), alone(&paths[1], &[])];
    assert_eq!(grouped("each"), each);
    assert_eq!(grouped("auto"), each);
}

#[test]
fn plugin_state_across_flows_is_reset_for_each_capture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // One flow per minute to the same host.
    let beats = |from: u64| pcap::capture((0..8).map(|n| (START_MS + from + n * 60_000, 6_000)));
    let paths = files(folder.path(), &[("a.pcap", beats(0)), ("b.pcap", beats(7))]);
    let beacon = plugin("beacon");
    let more = ["--plugin", &*beacon.to_string_lossy(), "--grant"];
    let more: Vec<_> = more.into_iter().chain(["beacon=addresses"]).collect();
    let run = metering().args(&paths).args(&more).run().done();
    let expected: Vec<_> = paths.iter().map(|path| alone(path, &more)).collect();
    assert_eq!(by_capture(&run), expected);
    let line = run
        .report()
        .into_iter()
        .find(|line| line.starts_with("plugin"));
    assert!(line.is_some_and(|line| !line.contains("versions")), "{run}");
}

#[test]
fn folders_and_lists_are_sources() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let of = |port| pcap::capture([(START_MS, port)]);
    let named = [
        ("b.pcap", of(2)),
        ("a.pcap", of(1)),
        ("readme.txt", b"text".to_vec()),
    ];
    let paths = files(folder.path(), &named);
    let ports = |run: &Run| -> Vec<_> {
        let port = |flow: &Flow| flow["src_port"].as_u64();
        run.flows().iter().map(port).collect()
    };
    let run = metering().arg(folder.path()).run().done();
    assert_eq!(ports(&run), [Some(1), Some(2)], "{run}");
    for text in ["b.pcap\na.pcap\n", "b.pcap\0a.pcap"] {
        let list = metering().args(["--files-from", "-"]).folder(folder.path());
        let run = list.stdin(text).run().done();
        assert_eq!(ports(&run), [Some(2), Some(1)], "{run}");
    }
    // A folder with one file gives the column `capture` too.
    fs::remove_file(&paths[0]).expect("the path exists");
    let run = metering().arg(folder.path()).run().done();
    assert_eq!(run.flows()[0]["capture"], 0, "{run}");
}

#[test]
fn all_bad_files_are_named_and_may_be_skipped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let named = [
        ("a.pcap", pcap::capture([(START_MS, 1)])),
        ("bad.pcap", b"text".to_vec()),
        ("empty.pcap", Vec::new()),
    ];
    let mut paths = files(folder.path(), &named);
    paths.push(folder.path().join("missing.pcap"));
    let expected = [
        "flowloom: cannot read 3 captures:".to_owned(),
        format!(
            "  cannot read '{}': it is not a capture (first bytes 74 65 78 74); use pcap or pcapng, uncompressed or compressed with gzip or zstd",
            paths[1].display()
        ),
        format!("  cannot read '{}': the file is empty", paths[2].display()),
        format!(
            "  cannot open '{}': No such file or directory (os error 2)",
            paths[3].display()
        ),
    ];
    let run = metering().args(&paths).run().exits(1);
    assert_eq!(run.stderr.lines().collect::<Vec<_>>(), expected, "{run}");
    assert_eq!(run.stdout, "", "{run}");
    let run = metering().args(&paths).arg("--skip-unreadable").run();
    let run = run.incomplete();
    let run = run.reports_line("         3 files skipped: they cannot be read");
    assert_eq!(run.flows().len(), 1, "{run}");
    for (line, path) in expected[1..].iter().zip(&paths[1..]) {
        let why = line.trim();
        assert!(run.stderr.contains(why), "{} in {run}", path.display());
    }
    let only_bad = metering().args(&paths[1..]).arg("--skip-unreadable");
    only_bad.run().exits(1);
}

#[test]
fn a_run_over_one_capture_has_no_capture_column() {
    let run = meter("dns.pcap").jsonl().run().done();
    assert!(run.flows().iter().all(|flow| !flow.contains_key("capture")));
    let run = meter("dns.pcap").arg("icmp.pcap").run().done();
    assert!(run.stdout.starts_with("id,capture,expiration_id,"), "{run}");
}
