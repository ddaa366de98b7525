//! Compares the flows of the captures of this repository with those of NFStream and with `tests/golden`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{HOST, captures, meter};
use crate::flows::{Difference, Flow, core, parse};

/// The captures for which the flows of Flowloom differ from those of NFStream on purpose, with the reasons.
/// `tests/golden/flows` has Flowloom's flows. `tests/oracle/parity.py` derives the flows of both from the rules.
const DIFFERENT: [(&str, &str); 16] = [
    ("capwap.pcap", "CAPWAP is decoded over IPv6 too"),
    (
        "gtp.pcap",
        "later fragments within GTP-U are ignored, not read for ports",
    ),
    ("gtp6.pcap", "GTP-U is decoded over IPv6 too"),
    (
        "links.pcapng",
        "interfaces with link types other than the first one are read",
    ),
    ("loop.pcap", "OpenBSD loopback is decoded"),
    ("loopback.pcap", "sizes beyond 65535 do not wrap"),
    (
        "null.pcap",
        "later fragments behind a BSD loopback header are ignored, not read for ports",
    ),
    (
        "odd.pcap",
        "the ethertype decides whether a frame is IP, header lengths below 20 are malformed, total length 0 means \
         the length on the wire, short frames and truncated headers are read as far as possible",
    ),
    ("qinq.pcap", "service VLAN tags (0x88A8) are decoded"),
    ("sections.pcapng", "sections in another byte order are read"),
    ("sll2.pcap", "LINUX_SLL2 is decoded"),
    (
        "snap.pcap",
        "later fragments behind LLC/SNAP are ignored, not read for ports",
    ),
    (
        "snaplen46.pcap",
        "TCP flags that were not captured are not read from the memory behind the packet",
    ),
    (
        "snaplen60.pcap",
        "IPv6 packets that were not captured completely are metered",
    ),
    ("tzsp.pcap", "TZSP is decoded with any tags"),
    ("tzsp6.pcap", "TZSP is decoded over IPv6 too"),
];

/// Captures that are damaged on purpose. Flowloom reports the damage; NFStream does not.
const DAMAGED: [&str; 4] = [
    "bad-length.pcap",
    "cut-header.pcap",
    "cut.pcap",
    "cut.pcapng",
];

#[test]
fn flows_equal_nfstreams_except_for_documented_differences() {
    let mut wrong = String::new();
    for name in all_captures() {
        // The expected flows were generated with the same options.
        let run = meter(&name)
            .args(["--statistical-analysis", "--splt-analysis", "8"])
            .jsonl()
            .run();
        let run = match DAMAGED.contains(&name.as_str()) {
            true => run.incomplete(),
            false => run.done(),
        };
        let expected = captures().join("expected").join(format!("{name}.jsonl"));
        let expected = fs::read_to_string(&expected)
            .unwrap_or_else(|error| panic!("{}: {error}", expected.display()));
        let ours = run.flows();
        let difference = Difference::of(&ours, &parse(&expected));
        let documented = DIFFERENT.iter().find(|(different, _)| *different == name);
        match documented {
            None if difference.is_empty() => {}
            None => wrong += &format!("{name}:\n{}", difference.describe("NFStream's")),
            Some((_, reason)) if difference.is_empty() => {
                wrong += &format!("{name}: no longer differs, so this reason is wrong: {reason}\n");
            }
            Some((_, reason)) => {
                let lines: String = ours.iter().map(|flow| line(&core(flow))).collect();
                let golden = folder().join("flows").join(format!("{name}.jsonl"));
                if let Some(before) = bless(&golden, &lines) {
                    let difference = Difference::of(&ours, &parse(&before));
                    let difference = difference.describe("before");
                    wrong += &format!("{name} ({reason}):\n{difference}");
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Returns the file names of all captures in `tests/captures`.
pub(crate) fn all_captures() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(captures())
        .expect("tests/captures can be read")
        .map(|entry| entry.expect("tests/captures can be read").file_name())
        .map(|name| name.into_string().expect("our names are UTF-8"))
        .filter(|name| name.ends_with(".pcap") || name.ends_with(".pcapng"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there are no captures in tests/captures");
    names
}

fn line(flow: &Flow) -> String {
    serde_json::to_string(flow).expect("an object can be written") + "\n"
}

pub(crate) fn folder() -> PathBuf {
    Path::new(HOST).join("../../tests/golden")
}

/// Returns the content of the golden file if it differs from `text`. With FLOWLOOM_BLESS=1 it writes `text` to the
/// file instead.
pub(crate) fn bless(golden: &Path, text: &str) -> Option<String> {
    if std::env::var_os("FLOWLOOM_BLESS").is_some_and(|bless| bless == "1") {
        let folder = golden.parent().expect("a golden file is in a folder");
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(golden, text))
            .unwrap_or_else(|error| panic!("{}: {error}", golden.display()));
        return None;
    }
    let before = fs::read_to_string(golden).unwrap_or_else(|error| {
        panic!("{}: {error}; FLOWLOOM_BLESS=1 writes it", golden.display())
    });
    (before != text).then_some(before)
}
