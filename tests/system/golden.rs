//! Our own captures against what NFStream made of them, and the files in `tests/golden`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{HOST, captures, meter};
use crate::flows::{Difference, Flow, core, parse};

/// The captures of whose packets Flowloom makes other flows than NFStream, on purpose. What it makes
/// of them is in `tests/golden/flows`; `tests/oracle/parity.py` derives both from the rules.
const DIFFERENT: [(&str, &str); 16] = [
    (
        "capwap.pcap",
        "CAPWAP is looked into over IPv6 as over IPv4",
    ),
    (
        "gtp.pcap",
        "later fragments within GTP-U are ignored, not read for ports",
    ),
    ("gtp6.pcap", "GTP-U is looked into over IPv6 as over IPv4"),
    (
        "links.pcapng",
        "interfaces of other link types than the first are read",
    ),
    ("loop.pcap", "OpenBSD loopback is decoded"),
    ("loopback.pcap", "sizes beyond 65535 do not wrap"),
    (
        "null.pcap",
        "later fragments behind a BSD loopback header are ignored, not read for ports",
    ),
    (
        "odd.pcap",
        "the ethertype decides what is IP, header lengths below 20 are malformed, total length 0 is \
         the length on the wire, short frames and cut headers are read as far as they go",
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
        "IPv6 packets of which not all was captured are metered",
    ),
    ("tzsp.pcap", "TZSP is looked into whatever tags it has"),
    ("tzsp6.pcap", "TZSP is looked into over IPv6 as over IPv4"),
];

/// Captures that are damaged on purpose: Flowloom says so, NFStream does not.
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
        // As the expected flows were made.
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
                wrong += &format!("{name}: no longer differs, so this is not true: {reason}\n");
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

/// File names of all captures of our own.
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

/// What the golden file holds, if it is not this. With FLOWLOOM_BLESS it is written instead.
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
